"""Attention over short texts by plain products, with dropout or without, for a CPU."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from lightune.execution.dropout import Mask, draw_mask
from lightune.execution.score_bias import ScoreBias, at_a_time


def quick_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    score_bias: ScoreBias | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """drop(softmax(s Q K^T + bias)) V; with dropout, torch's own function leaves its fast path on a CPU.

    Shapes as in transformers' attention functions; each row of the boolean mask must have at least one key. bf16
    inputs are multiplied in bf16; scores are summed up, and softmax is computed, in fp32.
    """
    grouped = query.shape[1] // key.shape[1]
    if grouped > 1:
        key, value = (part.repeat_interleave(grouped, 1) for part in (key, value))
    is_causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    if mask is None and is_causal and query.shape[2] > 1:
        mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device).tril()
    bias = None if mask is None else _wide(query[:0]).new_zeros(mask.shape).masked_fill_(~mask, -torch.inf)
    scale = scaling or query.shape[-1] ** -0.5
    added = None if score_bias is None else _wide(score_bias(query, key))
    found = _Attention.apply(query, key, value, bias, added, scale, dropout)
    return found.transpose(1, 2), None


class _Attention(torch.autograd.Function):
    """With P = softmax(s Q K^T + added + bias) and D = drop(P): D V, (texts, heads, queries, width)."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        bias: torch.Tensor | None,
        added: torch.Tensor | None,
        scale: float,
        dropout: float,
    ) -> torch.Tensor:
        """Query (texts, heads, queries, width), key and value (texts, heads, keys, width); the others broadcast."""
        q, k, v = (part.flatten(0, 1) for part in (query, key, value))
        heads = query.shape[1]
        scores = _wide(_product(q, k.transpose(1, 2), heads, scale))
        for more in (added, bias):
            if more is not None:
                scores.unflatten(0, query.shape[:2]).add_(more)
        shares = scores.softmax(-1).to(q.dtype)
        mask = draw_mask(shares, dropout) if dropout else None
        ctx.scale, ctx.level, ctx.shape = scale, mask and mask.level, (query.shape, key.shape, value.shape)
        ctx.added = None if added is None else added.shape
        ctx.save_for_backward(q, k, v, shares, mask and mask.numbers)
        return _product(_dropped(shares, mask), v, heads).unflatten(0, query.shape[:2])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of query, key, value and what was added, each in its input's shape."""
        q, k, v, shares, numbers = ctx.saved_tensors
        mask, outer = None if numbers is None else Mask(numbers, ctx.level), gradient.flatten(0, 1)
        heads = ctx.shape[0][1]
        to_shares = _product(outer, v.transpose(1, 2), heads)
        dropped = shares
        if mask is not None:
            kept = mask.kept(shares)
            to_shares.mul_(kept).mul_(mask.scale)
            dropped = (shares * kept).mul_(mask.scale)
        to_value = _product(dropped.transpose(1, 2), outer, heads)
        to_shares, shares = _wide(to_shares), _wide(shares)
        to_scores = torch.ops.aten._softmax_backward_data(to_shares, shares, -1, shares.dtype)
        outer = to_scores.to(q.dtype)
        to_query = _product(outer, k, heads, ctx.scale)
        to_key = _product(outer.transpose(1, 2), q, heads, ctx.scale)
        found = zip((to_query, to_key, to_value), ctx.shape, strict=True)
        to_added = None
        if ctx.needs_input_grad[4]:
            to_added = to_scores.unflatten(0, ctx.shape[0][:2]).sum_to_size(ctx.added)
        return *(part.view(shape) for part, shape in found), None, to_added, None, None


def _product(left: torch.Tensor, right: torch.Tensor, heads: int, scale: float = 1.0) -> torch.Tensor:
    """s L R for each text and head; in bf16 for a few texts at a time, so that few sizes of products occur.

    Shapes: (texts * heads, rows, inner), (texts * heads, inner, columns), (texts * heads, rows, columns).
    """
    if left.dtype != torch.bfloat16:
        return torch.baddbmm(left.new_empty(1), left, right, beta=0, alpha=scale)
    found = left.new_empty(*left.shape[:2], right.shape[2])
    ends = [heads * count for count in accumulate(at_a_time(len(left) // heads, max(found.shape[1:])))]
    for start, end in pairwise([0, *ends]):
        own = found[start:end]
        torch.baddbmm(own, left[start:end], right[start:end], beta=0, alpha=scale, out=own)
    return found


def _dropped(shares: torch.Tensor, mask: Mask | None) -> torch.Tensor:
    return shares if mask is None else mask.cover(shares).mul_(mask.scale)


def _wide(part: torch.Tensor) -> torch.Tensor:
    return part.float() if part.dtype == torch.bfloat16 else part
