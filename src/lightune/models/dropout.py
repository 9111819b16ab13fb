"""Dropout whose mask costs less than the product it follows, for a CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable

# A mask is drawn in 16 bits an element, so a rate is met to the nearest of so many.
STEPS = 2**16


def quick_dropout(x: torch.Tensor, rate: float) -> torch.Tensor:
    """Return m x / (1 - rate), m = 0 with probability `rate` and 1 else, of any shape (Srivastava et al. 2014).

    The rate is rounded to 1/65536, and the scale fits the rounded one. torch's generator gives the seed of each mask,
    so that runs repeat and layers that are computed again meet the same mask. The gradient keeps the mask's bits, two
    bytes an element.
    """
    return _Drop.apply(x, rate, draw_bits(x))


def draw_bits(x: torch.Tensor) -> torch.Tensor:
    """Return 16 random bits for each element, as signed numbers."""
    seed = int(torch.randint(2**63 - 1, ()))
    words = np.random.SFC64(seed).random_raw((x.numel() + 3) // 4)
    return torch.from_numpy(words.view(np.int16)[: x.numel()]).view(x.shape)


def drop(x: torch.Tensor, rate: float, bits: torch.Tensor) -> torch.Tensor:
    """Return what `quick_dropout` does, for given bits."""
    level = round(rate * STEPS)
    if level == STEPS:
        return torch.zeros_like(x)
    mask = torch.ge(bits, level - STEPS // 2, out=torch.empty_like(x, memory_format=torch.contiguous_format))
    return mask.mul_(x).mul_(STEPS / (STEPS - level))


class QuickDropout(nn.Dropout):
    """torch's dropout module, with `quick_dropout`."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Drop in training mode."""
        return quick_dropout(input, self.p) if self.training and self.p > 0 else input


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, rate: float, bits: torch.Tensor) -> torch.Tensor:
        ctx.rate = rate
        ctx.save_for_backward(bits)
        return drop(x, rate, bits)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return drop(gradient, ctx.rate, *ctx.saved_tensors), None, None
