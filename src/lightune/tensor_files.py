"""The bytes of a safetensors file, in parts: without a copy of all tensors, and written as everything else is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PART = 1 << 24  # bytes of a tensor that are written at a time
ALIGNMENT = 8  # of the header
# The names of the format for torch's types.
KINDS = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip


def safetensors_size(tensors: Mapping[str, torch.Tensor]) -> int:
    """Return about how many bytes the file of these tensors has."""
    return sum(value.numel() * value.element_size() + len(name) + 100 for name, value in tensors.items())


def safetensors_parts(
    tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> Iterator[bytes | memoryview]:
    """Yield a safetensors file in parts: the length of the header (8 bytes), the header, the bytes of each tensor.

    The format is https://github.com/huggingface/safetensors#format. No copy of all tensors is made.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    place = 0
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))  # each is then aligned
    for name in names:
        value = tensors[name]
        end = place + value.numel() * value.element_size()
        kind = KINDS[str(value.dtype).removeprefix("torch.")]
        header[name] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [place, end]}
        place = end
    raw = json.dumps(header, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % ALIGNMENT)
    yield len(raw).to_bytes(8, "little") + raw
    for name in names:
        yield from _bytes_of(tensors[name])


def _bytes_of(value: torch.Tensor) -> Iterator[memoryview]:
    import torch

    flat = value.detach().cpu().contiguous().flatten().view(torch.uint8)
    for start in range(0, len(flat), PART):
        yield memoryview(flat[start : start + PART].numpy())  # type: ignore[arg-type]
