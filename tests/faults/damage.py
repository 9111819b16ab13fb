"""Damage to files by the hundred, and names of JSON and tensors changed one by one with a manifest that fits."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load, save

from lightune.safe_files import write_manifest

Path_ = tuple[str | int, ...]
STRANGE = "no_such_name"


@dataclass(frozen=True)
class Damage:
    """The new content of one file, and what was done to it."""

    file: str
    content: bytes
    what: str


def truncations(folder: Path, count: int, seed: int = 1) -> Iterator[Damage]:
    """Yield files cut somewhere, every file in turn."""
    draw, files = random.Random(seed), sorted(path for path in folder.iterdir() if path.stat().st_size)
    for number in range(count):
        path = files[number % len(files)]
        raw = path.read_bytes()
        length = draw.randrange(len(raw))
        yield Damage(path.name, raw[:length], f"cut to {length} of {len(raw)} bytes")


def bit_flips(folder: Path, count: int, seed: int = 2) -> Iterator[Damage]:
    """Yield files in which one bit is another, every file in turn."""
    draw, files = random.Random(seed), sorted(path for path in folder.iterdir() if path.stat().st_size)
    for number in range(count):
        path = files[number % len(files)]
        raw = bytearray(path.read_bytes())
        bit = draw.randrange(8 * len(raw))
        raw[bit // 8] ^= 1 << bit % 8
        yield Damage(path.name, bytes(raw), f"bit {bit} flipped")


def changed_names(folder: Path, files: list[str]) -> Iterator[Damage]:
    """Yield each JSON file and each safetensors file with one name deleted, renamed, added or reshaped."""
    for name in files:
        raw = (folder / name).read_bytes()
        found = _changed_tensors(raw) if name.endswith(".safetensors") else _changed_fields(json.loads(raw))
        for content, what in found:
            yield Damage(name, content, what)


def _changed_fields(value: Any) -> Iterator[tuple[bytes, str]]:
    for place in every_place(value):
        for what in ("deleted", "renamed", "added beside", "reshaped"):
            changed = copy.deepcopy(value)
            parent: Any = changed
            for step in place[:-1]:
                parent = parent[step]
            if what == "deleted":
                del parent[place[-1]]
            elif what == "renamed":
                parent[f"{place[-1]}_"] = parent.pop(place[-1])
            elif what == "added beside":
                parent[STRANGE] = parent[place[-1]]
            else:
                parent[place[-1]] = _reshaped(parent[place[-1]])
            yield json.dumps(changed).encode(), f"{'.'.join(map(str, place))} {what}"


def every_place(value: Any, at: Path_ = ()) -> Iterator[Path_]:
    """Yield where each value of JSON is; of a list, the first three."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*at, name)
            yield from every_place(inner, (*at, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value[:3]):
            yield from every_place(inner, (*at, number))


def _reshaped(value: Any) -> Any:
    """Return a value of another form: a list one longer, an object in a list, anything else in an object."""
    if isinstance(value, list):
        return [*value, value[0] if value else 0]
    return [value] if isinstance(value, dict) else {"value": value}


def _changed_tensors(raw: bytes) -> Iterator[tuple[bytes, str]]:
    tensors, metadata = load(raw), json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")]).get("__metadata__")
    for name, value in tensors.items():
        others = {key: one for key, one in tensors.items() if key != name}
        flat = value.reshape(-1)
        variants: dict[str, dict[str, Any]] = {
            "deleted": others,
            "renamed": {**others, f"{name}_": value},
            "added beside": {**tensors, f"{name}.{STRANGE}": value},
            "reshaped": {**others, name: np.append(flat, flat[-1:])},
            "in one more dimension": {**others, name: value[None]},
            "of another type": {**others, name: _of_another_type(value)},
        }
        for what, changed in variants.items():
            yield save(changed, metadata=metadata), f"{name} {what}"


def _of_another_type(value: Any) -> Any:
    with np.errstate(over="ignore"):
        return value.astype(np.float16)


def put(folder: Path, damage: Damage, with_manifest: bool) -> bytes:
    """Write the damaged file into the folder; return what it held."""
    before = (folder / damage.file).read_bytes()
    (folder / damage.file).write_bytes(damage.content)
    if with_manifest:
        (folder / "MANIFEST.json").unlink()
        write_manifest(folder)
    return before
