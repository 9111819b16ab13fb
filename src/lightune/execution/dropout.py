"""Dropout whose mask costs less than the product it follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable

# A mask is drawn with 16 bits per element, so a rate is rounded to a multiple of 1 / STEPS.
STEPS = 2**16


@dataclass(frozen=True)
class Mask:
    """Which elements of a tensor are kept: `numbers` are zeros and ones, or bytes that hold eight of them each.

    An element is dropped with probability level / 65536.
    """

    numbers: torch.Tensor
    level: int

    @property
    def scale(self) -> float:
        """The factor that preserves the mean: 1 / (1 - rate)."""
        return STEPS / (STEPS - self.level) if self.level < STEPS else 0.0

    def kept(self, like: torch.Tensor) -> torch.Tensor:
        """Return zeros and ones in the shape and type of another tensor."""
        if self.numbers.dtype != torch.uint8:
            return self.numbers.view(like.shape)
        bits = np.unpackbits(self.numbers.numpy(), count=like.numel())
        return torch.from_numpy(bits).view(like.shape).to(like.dtype)

    def cover(self, x: torch.Tensor) -> torch.Tensor:
        """Return x with zeros for dropped elements, without scaling."""
        return x * self.kept(x)


def draw_mask(x: torch.Tensor, rate: float) -> Mask:
    """Return a mask for a tensor; the rate is rounded to 1/65536.

    torch's generator gives the seed of each mask, so that runs are reproducible and a recomputed layer gets the same
    mask. On a CPU the mask takes one bit per element.
    """
    level = round(rate * STEPS)
    if x.device.type != "cpu":  # a GPU draws and multiplies in two calls; its time depends on the number of calls
        return Mask(torch.empty_like(x, memory_format=torch.contiguous_format).bernoulli_(1 - level / STEPS), level)
    seed = int(torch.randint(2**63 - 1, ()))
    words = np.random.SFC64(seed).random_raw((x.numel() + 3) // 4)
    is_kept = words.view(np.int16)[: x.numel()] >= level - STEPS // 2
    return Mask(torch.from_numpy(np.packbits(is_kept)), level)


def quick_dropout(x: torch.Tensor, rate: float) -> torch.Tensor:
    """Return m x / (1 - rate), m = 0 with probability `rate`, else 1; x has any shape (Srivastava et al. 2014)."""
    found: torch.Tensor = _Drop.apply(x, draw_mask(x, rate))
    return found


class QuickDropout(nn.Dropout):
    """torch's dropout module, with `quick_dropout`."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Drop in training mode."""
        return quick_dropout(input, self.p) if self.training and self.p > 0 else input


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, mask: Mask) -> torch.Tensor:
        ctx.level = mask.level
        ctx.save_for_backward(mask.numbers)
        return mask.cover(x).mul_(mask.scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (numbers,) = ctx.saved_tensors
        mask = Mask(numbers, ctx.level)
        return mask.cover(gradient).mul_(mask.scale), None
