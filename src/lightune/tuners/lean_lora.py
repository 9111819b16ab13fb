"""PEFT's plain LoRA layer in fewer passes over its outputs, for training on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch import nn
from torch.autograd.function import once_differentiable

from lightune.models.dropout import draw_bits, drop


class LeanLora(Linear):
    """W x + s B A drop(x), the second term added in the product; whatever is not plain LoRA goes PEFT's way.

    Plain is: one active adapter, without bias, magnitude or another variant, over an unmerged nn.Linear, all in one
    type of numbers, and nobody listens inside.
    """

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return (..., out) of (..., in)."""
        if args or kwargs or not self._is_plain(x):
            return super().forward(x, *args, **kwargs)
        (name,) = self.active_adapters
        dropout = self.lora_dropout[name]
        rate = dropout.p if isinstance(dropout, nn.Dropout) and self.training else 0.0
        factors = self.lora_A[name].weight, self.lora_B[name].weight
        return _Added.apply(self.base_layer(x).contiguous(), x, *factors, float(self.scaling[name]), rate)

    def _is_plain(self, x: torch.Tensor) -> bool:
        if len(self.active_adapters) != 1 or self.disable_adapters or self.merged:
            return False
        (name,) = self.active_adapters
        if name not in self.lora_A:
            return False
        parts = (self.base_layer, self.lora_A[name], self.lora_B[name], self.lora_dropout[name])
        if any(part._forward_hooks or part._forward_pre_hooks for part in parts):
            return False
        if name in self.lora_variant or self.lora_B[name].bias is not None or type(self.base_layer) is not nn.Linear:
            return False
        types = {x.dtype, self.base_layer.weight.dtype, self.lora_A[name].weight.dtype, self.lora_B[name].weight.dtype}
        return len(types) == 1 and not torch.is_autocast_enabled("cpu") and x.device.type == "cpu"


class _Added(torch.autograd.Function):
    """base + s drop(x) A^T B^T, written into `base`, which nothing else has seen."""

    @staticmethod
    def forward(
        ctx: Any, base: torch.Tensor, x: torch.Tensor, a: torch.Tensor, b: torch.Tensor, scale: float, rate: float
    ) -> torch.Tensor:
        """Return base + scale drop(x) A^T B^T; base (..., out), x (..., in), A (rank, in), B (out, rank)."""
        ctx.scale, ctx.rate = scale, rate
        bits = draw_bits(x) if rate else None
        inner = _rows(x if bits is None else drop(x, rate, bits)) @ a.t()
        _rows(base).addmm_(inner, b.t(), alpha=scale)
        ctx.save_for_backward(x, inner, a, b, bits)
        ctx.mark_dirty(base)
        return base

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of base, x, A and B, of the shapes of those."""
        x, inner, a, b, bits = ctx.saved_tensors
        outer = _rows(gradient)
        to_inner = (outer @ b).mul_(ctx.scale)
        read = _rows(x if bits is None else drop(x, ctx.rate, bits))
        to_a, to_b = to_inner.t() @ read, (outer.t() @ inner).mul_(ctx.scale)
        to_x = None
        if ctx.needs_input_grad[1]:
            to_x = (to_inner @ a).view_as(x)
            to_x = to_x if bits is None else drop(to_x, ctx.rate, bits)
        return gradient, to_x, to_a, to_b, None, None


def _rows(x: torch.Tensor) -> torch.Tensor:
    return x.reshape(-1, x.shape[-1])
