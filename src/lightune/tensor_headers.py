"""The header of a safetensors file, read and checked before any tensor: names, types and shapes, without torch.

The format is https://github.com/huggingface/safetensors#format: 8 bytes with the length of the header, the header in
JSON, the tensors' bytes. The library that then reads the tensors checks most of this too; here it costs no memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightune.bounded import parse_json
from lightune.errors import ArtifactError

MOST_HEADER_BYTES = 32 << 20  # about 200,000 tensors
MOST_DIMENSIONS = 8
LONGEST_NAME = 1024
BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2,
    "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip
METADATA = "__metadata__"
# The names of numpy and torch for the types that adapters and base models have here.
DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64"}


@dataclass(frozen=True)
class TensorHeader:
    """What the header says of one tensor: its type by the format's name, and its shape."""

    kind: str
    shape: tuple[int, ...]

    @property
    def dtype(self) -> str:
        """The type as numpy and torch name it."""
        return DTYPES.get(self.kind, self.kind)

    @property
    def numbers(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


def read_headers(path: Path) -> dict[str, TensorHeader]:
    """Return what the header of a safetensors file says of each tensor, by name.

    Raises ArtifactError unless header and file agree: the tensors' bytes follow each other from the header to the end
    of the file, without overlap and hole, and no name is given twice.
    """
    try:
        return _headers(*_raw_header(path))
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> ArtifactError:
    """Return the error of a file that is none of safetensors."""
    return ArtifactError("ARTIFACT-011", f"{path}: not a readable safetensors file ({error}).")


def _raw_header(path: Path) -> tuple[bytes, int]:
    """Return (the header, how many bytes follow it)."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, MOST_HEADER_BYTES):
            raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
        return file.read(length), size - 8 - length


def _headers(raw: bytes, size: int) -> dict[str, TensorHeader]:
    told = parse_json(raw)
    if not isinstance(told, dict):
        raise ValueError("its header is not an object")
    metadata = told.pop(METADATA, {})
    if not _is_words(metadata):
        raise ValueError("its metadata are not words by name")
    places = sorted(_place(name, entry) for name, entry in told.items())
    end = 0
    for start, stop, name in places:
        if start != end:
            raise ValueError(f"{name} begins at byte {start:,}, where {end:,} is expected")
        end = stop
    if end != size:
        raise ValueError(f"tensors of {end:,} bytes in a file with room for {size:,}")
    return {name: TensorHeader(entry["dtype"], tuple(entry["shape"])) for name, entry in told.items()}


def _place(name: str, entry: Any) -> tuple[int, int, str]:
    """Return (first byte, byte behind the last, name) of a tensor; ValueError where its entry is not sound."""
    if len(name) > LONGEST_NAME or not isinstance(entry, Mapping) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f'the entry "{name[:80]}" is not that of a tensor')
    kind, shape, place = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(kind, str) or kind not in BYTES or not _are_counts(shape) or not _are_counts(place):
        raise ValueError(f"{name[:80]}: not the type, shape and place of a tensor")
    if len(shape) > MOST_DIMENSIONS or len(place) != 2 or place[1] - place[0] != math.prod(shape) * BYTES[kind]:
        raise ValueError(f"{name[:80]}: its shape does not give as many bytes as it has")
    return place[0], place[1], name


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(type(one) is int and 0 <= one < 1 << 48 for one in value)


def _is_words(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(one, str) for one in value.values())


def total_numbers(paths: Iterable[Path]) -> int:
    """Return how many numbers safetensors files hold together."""
    return sum(header.numbers for path in paths for header in read_headers(path).values())
