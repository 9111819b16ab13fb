"""PEFT's plain LoRA layer in fewer passes over its outputs, for training."""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from lightune.execution.bf16 import HalfConv1D, HalfLinear
from lightune.execution.dropout import Mask, draw_mask


class FusedLora(Linear):
    """W x + b + s B A drop(x) as one step, forward and backward; PEFT computes everything that is not plain LoRA.

    Plain LoRA is one active adapter, without bias, magnitude or another variant, over a frozen, unmerged nn.Linear or
    Conv1D, without hooks inside. All weights have one dtype, or the frozen layer is in bf16.
    """

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return (..., out) of (..., in)."""
        if args or kwargs or not self._is_plain(x):
            return super().forward(x, *args, **kwargs)
        (name,) = self.active_adapters
        dropout = self.lora_dropout[name]
        mask = draw_mask(x, dropout.p) if isinstance(dropout, nn.Dropout) and self.training and dropout.p else None
        frozen, factors = self.base_layer, (self.lora_A[name].weight, self.lora_B[name].weight)
        weight = frozen.weight.t() if isinstance(frozen, Conv1D) else frozen.weight
        return _Lora.apply(x, *factors, weight, frozen.bias, float(self.scaling[name]), mask)

    def _is_plain(self, x: torch.Tensor) -> bool:
        if len(self.active_adapters) != 1 or self.disable_adapters or self.merged:
            return False
        (name,) = self.active_adapters
        if name not in self.lora_A or name in self.lora_variant or self.lora_B[name].bias is not None:
            return False
        parts = (self.base_layer, self.lora_A[name], self.lora_B[name], self.lora_dropout[name])
        if any(part._forward_hooks or part._forward_pre_hooks for part in parts):
            return False
        if any(value.requires_grad for value in self.base_layer.parameters()):
            return False
        device = x.device.type
        return device in ("cpu", "cuda") and not torch.is_autocast_enabled(device) and self._types_fit(x, name)

    def _types_fit(self, x: torch.Tensor, name: str) -> bool:
        trained = {self.lora_A[name].weight.dtype, self.lora_B[name].weight.dtype}
        if type(self.base_layer) in (HalfLinear, HalfConv1D):
            return trained == {torch.float32} and x.dtype in (torch.float32, torch.bfloat16)
        return type(self.base_layer) in (nn.Linear, Conv1D) and {x.dtype, self.base_layer.weight.dtype} == trained


class _Lora(torch.autograd.Function):
    """x W^T + b + s drop(x) A^T B^T for frozen W and b."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        a: torch.Tensor,
        b: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        scale: float,
        mask: Mask | None,
    ) -> torch.Tensor:
        """Return (..., out); x (..., in), A (rank, in), B (out, rank), W (out, in), b (out)."""
        rows = _rows(x)
        ctx.scale, ctx.level, ctx.trained = scale * (mask.scale if mask else 1.0), mask and mask.level, a.dtype
        a, b = a.to(x.dtype), b.to(x.dtype)
        inner = (mask.cover(rows) if mask else rows) @ a.t()
        if weight.dtype == rows.dtype == torch.float32:  # its product takes the bias along
            found = linear(rows, weight, bias).addmm_(inner, b.t(), alpha=ctx.scale)
        else:
            found = (rows.to(weight.dtype) @ weight.t()).to(x.dtype)
            found.addmm_(*_with_bias(inner * ctx.scale, b.t(), bias))
        ctx.save_for_backward(x, inner, a, b, weight, mask and mask.numbers)
        return found.view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of x, A and B, each in its input's shape."""
        x, inner, a, b, weight, numbers = ctx.saved_tensors
        rows, outer = _rows(x), _rows(gradient)
        kept = None if numbers is None else Mask(numbers, ctx.level).kept(rows)
        to_inner = (outer @ b).mul_(ctx.scale)
        to_a = to_inner.t() @ (rows if kept is None else rows * kept)
        to_b = (inner.t() @ outer).mul_(ctx.scale).t()
        to_x = None
        if ctx.needs_input_grad[0]:
            to_x = (outer.to(weight.dtype) @ weight).to(x.dtype)
            to_x = to_x.addmm_(to_inner, a) if kept is None else to_x.add_((to_inner @ a).mul_(kept))
            to_x = to_x.view_as(x)
        return to_x, to_a.to(ctx.trained), to_b.to(ctx.trained), None, None, None, None


def _with_bias(inner: torch.Tensor, up: torch.Tensor, bias: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (rows, rank + 1) and (rank + 1, out), whose product has the bias too, without a pass of its own."""
    if bias is None:
        return inner, up
    return torch.cat([inner, inner.new_ones(len(inner), 1)], 1), torch.cat([up, bias.to(up.dtype)[None]])


def _rows(x: torch.Tensor) -> torch.Tensor:
    return x.reshape(-1, x.shape[-1])
