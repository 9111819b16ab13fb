"""Files without pickle in which any changed byte is detected: tensors, JSON, and a manifest of their hashes."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightune.bounded import MOST_BYTES, read_own_json
from lightune.durable import write_file
from lightune.errors import ArtifactError
from lightune.links import require_own_files
from lightune.tensor_headers import read_headers, unreadable

if TYPE_CHECKING:
    import torch

MANIFEST_FILE = "MANIFEST.json"
MOST_MANIFEST_BYTES = 1 << 20
TENSORS = ".safetensors"
LONGEST_NAME = 255  # bytes of a file's name, on every file system in use


def write_manifest(folder: Path) -> None:
    """Write MANIFEST.json: the SHA-256 of every other file, and of the list itself."""
    write_file(folder / MANIFEST_FILE, manifest_bytes(hashes_of(folder)))


def hashes_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in a folder but its manifest, by name."""
    found = (path for path in sorted(folder.iterdir()) if path.is_file() and path.name != MANIFEST_FILE)
    return {path.name: _sha256(path) for path in found}


def verify(folder: Path) -> None:
    """Raise ArtifactError unless every listed file exists with the listed hash, and all are files of this folder."""
    place = folder / MANIFEST_FILE
    try:
        for name, expected in _own_names(folder).items():
            place = folder / name
            if not place.is_file():
                raise ArtifactError("ARTIFACT-003", f"{place}: this file is missing.", "Restore it from a copy.")
            is_large = not name.endswith(TENSORS) and place.stat().st_size > MOST_BYTES
            if is_large or _sha256(place) != expected:
                hint = "Its bytes are not those that were saved. Restore it from a copy."
                raise ArtifactError("ARTIFACT-004", f"{place}: this file is damaged.", hint)
    except OSError as error:
        message = f"{place}: this file cannot be read ({error.strerror or error})."
        raise ArtifactError("ARTIFACT-004", message, "Restore it from a copy.") from error


def _own_names(folder: Path) -> dict[str, str]:
    """Return what a folder's manifest lists; ArtifactError unless it is undamaged, and names files of this folder."""
    path = folder / MANIFEST_FILE
    require_own_files(folder, MANIFEST_FILE)
    if not path.is_file():
        raise ArtifactError("ARTIFACT-001", f"{folder}: no {MANIFEST_FILE}, so this is not a saved adapter.")
    try:
        files: dict[str, str] = read_own_json(path, MOST_MANIFEST_BYTES)["files"]
        intact = path.read_bytes() == manifest_bytes(files) and all(isinstance(one, str) for one in files.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        intact = False
    if not intact:
        raise ArtifactError("ARTIFACT-002", f"{path}: this file is damaged.", "Restore the folder from a copy.")
    _require_own_names(path, list(files))
    require_own_files(folder, *files)
    return files


def _require_own_names(manifest: Path, names: Sequence[str]) -> None:
    """Raise ArtifactError for names that are no file of this very folder, or one file on some systems."""
    folded = Counter(name.casefold() for name in (*names, MANIFEST_FILE))
    for name in names:
        is_plain = name.isprintable() and not set(name) & set("/\\:") and name.strip(". ") != ""
        if not is_plain or len(name.encode()) > LONGEST_NAME or folded[name.casefold()] > 1:
            message = f"{manifest}: it names {name!r:.80}, which is not a file of its own in this folder."
            raise ArtifactError("ARTIFACT-052", message, "Nothing was read. Use a copy from where it was made.")


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file; ArtifactError when it is not one, or a value in it is not a finite number."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    read_headers(path)
    try:
        found = load_file(path)
    except (SafetensorError, OSError) as error:
        raise unreadable(path, error) from error
    require_finite(path, [name for name, value in found.items() if not bool(value.isfinite().all())])
    return found


def require_finite(path: Path | str, spoilt: Sequence[str]) -> None:
    """Raise ArtifactError if there are tensors with NaN or infinity: what is computed with them means nothing."""
    if spoilt:
        named = spoilt[0] if len(spoilt) == 1 else f"{spoilt[0]} and {len(spoilt) - 1} more"
        message = f"{path}: NaN or infinity in {named}."
        raise ArtifactError("ARTIFACT-051", message, "Use a sound copy, or train it again.")


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON."""
    write_file(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """Return indented JSON as `write_json` writes it."""
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def json_text(value: Any, ensure_ascii: bool = False, indent: str = "") -> str:
    """Return indented JSON with each list of numbers on one line: one for each row of a matrix, not for each cell."""
    is_list = isinstance(value, list | tuple)
    if not value or not (is_list or isinstance(value, dict)):
        return json.dumps(value, ensure_ascii=ensure_ascii)
    if is_list and all(isinstance(cell, int | float) for cell in value):
        return json.dumps(value)
    inner = f"{indent}  "
    names = [""] * len(value) if is_list else [f"{json.dumps(str(key), ensure_ascii=ensure_ascii)}: " for key in value]
    values = (json_text(found, ensure_ascii, inner) for found in (value if is_list else value.values()))
    lines = ",\n".join(f"{inner}{name}{text}" for name, text in zip(names, values, strict=True))
    opening, closing = "[]" if is_list else "{}"
    return f"{opening}\n{lines}\n{indent}{closing}"


def listed_files(folder: Path) -> dict[str, str]:
    """Return the names and hashes that a verified folder's manifest lists; other files may lie beside these."""
    found: dict[str, str] = read_own_json(folder / MANIFEST_FILE)["files"]
    return found


def manifest_bytes(files: dict[str, str]) -> bytes:
    """Return the only valid bytes of a manifest of these names and hashes.

    Its own hash covers the list, so that any changed byte is detected.
    """
    listed = json.dumps(files, sort_keys=True)
    own = hashlib.sha256(listed.encode()).hexdigest()
    return (json.dumps({"files": files, "sha256": own}, indent=2, sort_keys=True) + "\n").encode()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
