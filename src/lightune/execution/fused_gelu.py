"""The tanh approximation of GELU in one pass; stock modules compute it in eight."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import gelu
from transformers.activations import FastGELUActivation, NewGELUActivation


class FusedNewGELU(NewGELUActivation):
    """x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) (Hendrycks and Gimpel 2016, arXiv:1606.08415)."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the activation of (..., width)."""
        return gelu(input, approximate="tanh")


class FusedFastGELU(FastGELUActivation):
    """The same formula, which this module writes with sqrt(2/pi) to ten digits."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the activation of (..., width)."""
        return gelu(input, approximate="tanh")


FUSED: dict[type[nn.Module], type[nn.Module]] = {
    NewGELUActivation: FusedNewGELU,
    FastGELUActivation: FusedFastGELU,
}
