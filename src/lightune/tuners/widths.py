"""How wide a linear layer's input and output are; Conv1D (GPT-2) stores its weight transposed."""

from __future__ import annotations

from torch import nn
from transformers.pytorch_utils import Conv1D


def input_width(layer: nn.Module) -> int:
    """Return how many numbers the layer reads; ValueError for one that is not linear."""
    return _widths(layer)[0]


def output_width(layer: nn.Module) -> int:
    """Return how many numbers the layer writes; ValueError for one that is not linear."""
    return _widths(layer)[1]


def _widths(layer: nn.Module) -> tuple[int, int]:
    if isinstance(layer, Conv1D):
        return int(layer.weight.shape[0]), int(layer.weight.shape[1])
    if isinstance(layer, nn.Linear):
        return layer.in_features, layer.out_features
    raise ValueError(f"{type(layer).__name__} is no linear layer")
