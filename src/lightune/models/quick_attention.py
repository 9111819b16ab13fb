"""Attention over short texts by plain products, with dropout or without, for a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from lightune.models.dropout import Mask, draw_mask


def quick_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """drop(softmax(s Q K^T)) V; torch's own function leaves its fast path for a CPU as soon as anything is dropped.

    Shapes as transformers' attention functions have them; no row of the mask, boolean, may be without a key.
    """
    grouped = query.shape[1] // key.shape[1]
    if grouped > 1:
        key, value = (part.repeat_interleave(grouped, 1) for part in (key, value))
    is_causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    if mask is None and is_causal and query.shape[2] > 1:
        mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device).tril()
    bias = None if mask is None else query.new_zeros(mask.shape).masked_fill_(~mask, -torch.inf)
    scale = scaling or query.shape[-1] ** -0.5
    found = _Attention.apply(query, key, value, bias, scale, dropout)
    return found.transpose(1, 2), None


class _Attention(torch.autograd.Function):
    """With P = softmax(s Q K^T + bias) and D = drop(P): D V, (texts, heads, queries, width)."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        bias: torch.Tensor | None,
        scale: float,
        dropout: float,
    ) -> torch.Tensor:
        """Query (texts, heads, queries, width), key and value (texts, heads, keys, width), bias broadcast to scores."""
        q, k, v = (part.flatten(0, 1) for part in (query, key, value))
        scores = torch.baddbmm(q.new_empty(1), q, k.transpose(1, 2), beta=0, alpha=scale)
        if bias is not None:
            scores.unflatten(0, query.shape[:2]).add_(bias)
        shares = scores.softmax(-1)
        mask = draw_mask(shares, dropout) if dropout else None
        ctx.scale, ctx.level, ctx.shape = scale, mask and mask.level, (query.shape, key.shape, value.shape)
        ctx.save_for_backward(q, k, v, shares, mask and mask.numbers)
        found = torch.bmm(_dropped(shares, mask), v)
        return found.unflatten(0, query.shape[:2])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of query, key and value, of their shapes."""
        q, k, v, shares, numbers = ctx.saved_tensors
        mask = None if numbers is None else Mask(numbers, ctx.level)
        outer = gradient.flatten(0, 1)
        to_value = torch.bmm(_dropped(shares, mask).transpose(1, 2), outer)
        to_shares = torch.bmm(outer, v.transpose(1, 2))
        if mask is not None:
            to_shares = mask.cover_(to_shares).mul_(mask.scale)
        to_scores = torch.ops.aten._softmax_backward_data(to_shares, shares, -1, shares.dtype)
        nothing = q.new_empty(1)
        to_query = torch.baddbmm(nothing, to_scores, k, beta=0, alpha=ctx.scale)
        to_key = torch.baddbmm(nothing, to_scores.transpose(1, 2), q, beta=0, alpha=ctx.scale)
        found = (to_query, to_key, to_value)
        return *(part.view(shape) for part, shape in zip(found, ctx.shape, strict=True)), None, None, None


def _dropped(shares: torch.Tensor, mask: Mask | None) -> torch.Tensor:
    return shares if mask is None else mask.cover(shares).mul_(mask.scale)
