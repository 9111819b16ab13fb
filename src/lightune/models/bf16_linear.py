"""Linear layers that store their frozen weight in fewer bits and widen it to the input's precision for each product.

Imported only where such a layer is needed, since it needs torch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear


class FrozenProduct(torch.autograd.Function):
    """x W^T for a frozen W = scale * held; the widened copy of W exists only during one product.

    Shapes: x (..., in), held (out, in), scale (out, 1) or None, result (..., out). It has its own backward because
    autograd would keep the widened copy of every layer until the backward pass, which would save no memory.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, held: torch.Tensor, scale: torch.Tensor | None) -> torch.Tensor:
        """Return x W^T, computed in the precision of x."""
        ctx.save_for_backward(held, scale)
        return linear(x, _widened(held, scale, x.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        """Return the gradient of x; the weight has none."""
        held, scale = ctx.saved_tensors
        return gradients[0] @ _widened(held, scale, gradients[0].dtype), None, None


def _widened(held: torch.Tensor, scale: torch.Tensor | None, dtype: torch.dtype) -> torch.Tensor:
    wide = held.to(dtype)
    return wide if scale is None else wide.mul_(scale.to(dtype))


class HeldLinear(nn.Linear):
    """A linear layer with its weight rounded to bf16 and frozen; the bias is unchanged."""

    def __init__(self, weight: torch.Tensor, bias: nn.Parameter | None) -> None:
        """`weight` is (out, in)."""
        super().__init__(weight.shape[1], weight.shape[0], bias=False, device="meta")
        self.weight = nn.Parameter(weight.detach().to(torch.bfloat16).contiguous(), requires_grad=False)
        self.bias = bias  # type: ignore[assignment]  # torch allows None, its annotation does not

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x W^T + b: (..., in) to (..., out)."""
        product = FrozenProduct.apply(x, self.weight, None)
        return product if self.bias is None else product + self.bias
