"""The files and folders that a pattern such as data/**/*.csv names."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path


def matching(pattern: Path) -> set[Path]:
    """Return what a pattern names; ** goes into linked folders too, but into none twice: links may lead around.

    Names that begin with a dot are left out, unless the pattern has the dot.
    """
    parts = pattern.parts
    if "**" not in parts:
        return set(map(Path, glob.glob(str(pattern))))
    first = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    found: Iterable[Path] = [Path(*parts[:first])]
    for part in [*parts[first:], *(["*"] if parts[-1] == "**" else [])]:
        found = _folders(found) if part == "**" else [place / name for place in found for name in _named(place, part)]
    return set(found)


def _named(place: Path, part: str) -> list[str]:
    return glob.glob(part, root_dir=place)


def _folders(tops: Iterable[Path]) -> Iterator[Path]:
    """Yield folders and all that are in them, by links only those that are not reached without one."""
    seen, linked = set[Path](), list(tops)
    while linked:
        waiting, linked = linked, []
        while waiting:
            folder = waiting.pop()
            if folder.resolve() in seen:
                continue
            seen.add(folder.resolve())
            yield folder
            for one in _inner(folder):
                (linked if one.is_symlink() else waiting).append(one)


def _inner(folder: Path) -> list[Path]:
    with suppress(OSError):  # a folder that may not be read is passed over, as `glob` does
        return [one for one in folder.iterdir() if not one.name.startswith(".") and one.is_dir()]
    return []
