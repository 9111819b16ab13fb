"""PEFT's BOFT layer without dense rotations: each block of inputs is rotated by its own small matrix."""

from __future__ import annotations

from typing import Any, cast

import torch
from peft.tuners.boft.layer import Linear
from torch import nn

from lightune.models.class_swap import swap_classes

# Blocks are multiplied in groups as wide as this: products with 4 x 4 matrices are mostly overhead.
GROUP = 32


class BlockBoft(Linear):
    """diag(s) W R x + b with R = diag(R_1, ..., R_n), in O(width) for each token.

    PEFT writes R as a matrix, in x in, and multiplies it with three matrices of that size, which with one butterfly
    factor are the identity: 87 billion multiplications in a layer of 3,072 inputs, however few the texts are.
    PEFT computes everything else.
    """

    @property
    def boft_P(self) -> torch.Tensor:  # noqa: N802  (PEFT's name)
        """PEFT's permutations, (factors, in, in): with one butterfly factor the identity, which is made when asked for.

        One kept by each layer takes 0.6 GB in a model of 110 million parameters, and layers that share one no longer do
        after `.to`, which gives each module buffers of its own.
        """
        kept, frozen = self._buffers["boft_P"], cast(nn.Linear, self.get_base_layer())
        return torch.eye(self.in_features, device=frozen.weight.device)[None] if kept is None else kept

    def update_layer(self, adapter_name: str, *args: Any, **kwargs: Any) -> None:
        """Add an adapter, as PEFT does."""
        super().update_layer(adapter_name, *args, **kwargs)
        drop_identity(self)

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


def rotate_in_blocks(model: nn.Module) -> None:
    """Let all BOFT layers compute as BlockBoft, without the identity, in x in, that PEFT keeps in each."""
    swap_classes(model, {Linear: BlockBoft})
    for module in model.modules():
        if isinstance(module, BlockBoft):
            drop_identity(module)


def drop_identity(layer: BlockBoft) -> None:
    """Free a layer's permutation where it is the identity, which it is with one butterfly factor."""
    # The name stays registered: PEFT registers it again with every adapter.
    kept = layer._buffers["boft_P"]
    if kept is not None and len(kept) == 1:
        layer._buffers["boft_P"] = None


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
