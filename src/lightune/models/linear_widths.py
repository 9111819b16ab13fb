"""How wide a linear layer's input and output are; GPT-2's Conv1D stores its weight as (in, out)."""

from __future__ import annotations

from typing import Any


def in_and_out(layer: Any) -> tuple[int, int]:
    """Return the layer's input and output width; ValueError if it is not linear."""
    if hasattr(layer, "in_features"):
        return layer.in_features, layer.out_features
    weight = getattr(layer, "weight", None)
    if weight is None or weight.dim() != 2:
        raise ValueError(f"{type(layer).__name__} is not a linear layer")
    return int(weight.shape[0]), int(weight.shape[1])
