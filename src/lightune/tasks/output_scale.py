"""Changing an output layer that gives z so that it gives scale * z + offset."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray


def rescale(layer: Any, scale: NDArray[Any], offset: NDArray[Any]) -> None:
    """Change a linear layer in place; scale and offset are (outputs,). Without a bias the offset has to be 0."""
    import torch

    assert layer.bias is not None or not offset.any(), "a layer without a bias has no place for an offset"
    with torch.no_grad():
        factor = torch.from_numpy(scale)  # on the CPU: not every device has double precision
        layer.weight.copy_(layer.weight.cpu().double() * factor[:, None])
        if layer.bias is not None:
            layer.bias.copy_(layer.bias.cpu().double() * factor + torch.from_numpy(offset))
