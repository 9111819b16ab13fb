"""Attention over packed texts by torch's variable-length kernels, for a CUDA device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

# FlashAttention's kernels take heads up to this width, in multiples of eight, from compute capability 8.0 on.
FLASH_WIDTH, FLASH_STEP, FLASH_CAPABILITY = 256, 8, (8, 0)
# In the other kernels the bytes of a head are a multiple of 16.
EFFICIENT_BYTES = 16
CAUSAL_FROM_TOP_LEFT = 1


@dataclass(frozen=True)
class Ends:
    """Where texts end among packed tokens: `ends` (texts + 1), int32, starts with 0; `longest` is in tokens."""

    ends: torch.Tensor
    longest: int


@dataclass(frozen=True)
class Packed:
    """Query (tokens, heads, width), key and value (tokens, key/value heads, width), each with the ends of the texts."""

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor
    query_ends: Ends
    key_ends: Ends


def takes(packed: Packed, window: int | None) -> bool:
    """Whether one of the kernels supports this input."""
    width, kind = packed.query.shape[-1], packed.query.dtype
    if packed.query.device.type != "cuda" or not kind == packed.key.dtype == packed.value.dtype:
        return False
    if _is_flash(packed):
        return True
    is_known = kind != torch.bfloat16 or torch.cuda.get_device_capability(packed.query.device) >= FLASH_CAPABILITY
    return is_known and window is None and width * kind.itemsize % EFFICIENT_BYTES == 0


def varlen_attention(
    packed: Packed, is_causal: bool, window: int | None, dropout: float = 0.0, scaling: float | None = None
) -> torch.Tensor:
    """Return drop(softmax(s Q K^T)) V inside each text, (tokens, heads, width).

    FlashAttention (Dao 2023, arXiv:2307.08691) in 16 bits, else memory-efficient attention (Rabe and Staats 2021,
    arXiv:2112.05682). torch.nn.attention.varlen also offers FlashAttention, but without dropout.
    """
    by = _flash if _is_flash(packed) else _efficient
    return by(packed, is_causal, window, dropout, scaling)


def _is_flash(packed: Packed) -> bool:
    width, device = packed.query.shape[-1], packed.query.device
    is_half = packed.query.dtype in (torch.float16, torch.bfloat16)
    is_width = width % FLASH_STEP == 0 and width <= FLASH_WIDTH
    if not (is_half and is_width and torch.backends.cuda.is_flash_attention_available()):
        return False
    return torch.cuda.get_device_capability(device) >= FLASH_CAPABILITY


def _flash(packed: Packed, is_causal: bool, window: int | None, dropout: float, scaling: float | None) -> torch.Tensor:
    query_ends, key_ends = packed.query_ends, packed.key_ends
    before = None if window is None else window - 1
    found: Any = torch.ops.aten._flash_attention_forward(
        packed.query, packed.key, packed.value, query_ends.ends, key_ends.ends, query_ends.longest, key_ends.longest,
        dropout, is_causal, False, scale=scaling, window_size_left=before,
        window_size_right=0 if is_causal and before is not None else before,
    )  # fmt: skip
    output: torch.Tensor = found[0]
    return output


def _efficient(
    packed: Packed, is_causal: bool, window: int | None, dropout: float, scaling: float | None
) -> torch.Tensor:
    assert window is None
    grouped = packed.query.shape[1] // packed.key.shape[1]
    key, value = (part.repeat_interleave(grouped, 1) if grouped > 1 else part for part in (packed.key, packed.value))
    query_ends, key_ends = packed.query_ends, packed.key_ends
    found: Any = torch.ops.aten._efficient_attention_forward(
        *(part.unsqueeze(0) for part in (packed.query, key, value)), None, query_ends.ends, key_ends.ends,
        query_ends.longest, key_ends.longest, dropout, CAUSAL_FROM_TOP_LEFT if is_causal else 0, True, scale=scaling,
    )  # fmt: skip
    output: torch.Tensor = found[0]
    return output.squeeze(0)
