"""bitsandbytes' 8-bit linear layer, the same in training and evaluation.

Imported only where such a layer is needed, since it needs torch and bitsandbytes.
"""

from __future__ import annotations

from typing import Any

import bitsandbytes
import torch
from torch import nn

from lightune.models.bf16_linear import FrozenProduct
from lightune.models.class_swap import swap_classes


class Int8Linear(bitsandbytes.nn.Linear8bitLt):
    """Linear8bitLt that, on the CPU, rounds only the weight (Dettmers et al. 2022, arXiv:2208.07339).

    bitsandbytes itself does so on the CPU in training, but in evaluation it rounds the activations as well. It also
    keeps every layer's input where gradient checkpointing cannot drop it. Other devices use bitsandbytes' own kernels.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x W^T + b: (..., in) to (..., out)."""
        if x.device.type != "cpu":
            return super().forward(x)
        held: Any = self.weight
        scale: Any = self.state.SCB if held.SCB is None else held.SCB
        product = FrozenProduct.apply(x, held.data, scale.unsqueeze(1) / 127)
        return product if self.bias is None else product + self.bias


def keep_activations(model: nn.Module) -> None:
    """Turn every Linear8bitLt of the model into an Int8Linear, in place; the weights are not moved."""
    swap_classes(model, {bitsandbytes.nn.Linear8bitLt: Int8Linear})
