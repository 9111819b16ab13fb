"""PEFT's BOFT layer without dense rotations: each block of inputs is rotated by its own small matrix."""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.boft.layer import Linear
from torch import nn

# Blocks are multiplied in groups as wide as this: products with 4 x 4 matrices are mostly overhead.
GROUP = 32


class BlockBoft(Linear):
    """diag(s) W R x + b with R = diag(R_1, ..., R_n), in O(width) for each token.

    PEFT writes R as a matrix, in x in, and multiplies it with three matrices of that size, which with one butterfly
    factor are the identity: 87 billion multiplications in a layer of 3,072 inputs, however few the texts are.
    PEFT computes everything else.
    """

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return (..., out) of (..., in)."""
        if args or kwargs or self.disable_adapters or self.merged or not self._is_plain():
            return super().forward(x, *args, **kwargs)
        (name,) = self.active_adapters
        blocks = self.cayley_batch(self.boft_R[name][0])
        blocks = self.boft_dropout[name](blocks.unsqueeze(0))[0]
        found = self.base_layer(rotated(x.to(blocks.dtype), blocks).to(x.dtype))
        scale, bias = self.boft_s[name].squeeze(-1), self.base_layer.bias
        found = found * scale if bias is None else torch.addcmul(bias * (1 - scale), found.to(scale.dtype), scale)
        return found.to(x.dtype)

    def _is_plain(self) -> bool:
        """Whether there is one active adapter, with one butterfly factor."""
        return len(self.active_adapters) == 1 and all(
            name in self.boft_R and len(self.boft_R[name]) == 1 for name in self.active_adapters
        )


def rotated(x: torch.Tensor, blocks: torch.Tensor) -> torch.Tensor:
    """Return x times diag(blocks): x (..., count * size), blocks (count, size, size)."""
    grouped = _in_groups(blocks)
    rows = x.reshape(-1, len(grouped), grouped.shape[1]).transpose(0, 1)
    return torch.bmm(rows, grouped).transpose(0, 1).reshape(x.shape)


def share_permutations(model: nn.Module) -> None:
    """Let all BOFT layers of one width have one permutation, which is the identity, instead of in x in numbers each."""
    known: dict[tuple[int, ...], torch.Tensor] = {}
    layers: list[Any] = [module for module in model.modules() if isinstance(module, Linear)]
    for layer in layers:
        if len(layer.boft_P) == 1:
            layer.boft_P = known.setdefault(tuple(layer.boft_P.shape), layer.boft_P)


def _in_groups(blocks: torch.Tensor) -> torch.Tensor:
    """Return diagonal matrices of neighbouring blocks, as many in each as fit into GROUP and divide their number."""
    count, size, _ = blocks.shape
    together = next(number for number in range(max(1, GROUP // size), 0, -1) if count % number == 0)
    if together == 1:
        return blocks
    found = blocks.new_zeros(count // together, together, size, together, size)
    place = torch.arange(together, device=blocks.device)
    found[:, place, :, place, :] = blocks.view(-1, together, size, size).transpose(0, 1)
    return found.view(-1, together * size, together * size)
