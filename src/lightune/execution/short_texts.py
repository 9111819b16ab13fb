"""The layout of a batch of one text: there is no padding to drop, only the last layer to narrow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from lightune.execution.packed_layout import Group, Layout
from lightune.execution.prefixes import Attend


@dataclass(frozen=True)
class Alone(Layout):
    """One text without padding, so packing and unpacking do nothing."""

    @classmethod
    def of_one(cls, mask: torch.Tensor, narrows: bool, device: torch.device) -> Alone | None:
        """Read it from a mask (texts, positions) on the CPU; None unless `narrows` and there is one unpadded text."""
        texts, positions = mask.shape
        if texts != 1 or not narrows or not bool(mask.all()):
            return None
        first = torch.zeros(1, dtype=torch.long, device=device)
        ends = torch.tensor([0, positions, positions], dtype=torch.int32, device=device)
        return cls((1, positions), first, ends, positions, (Group((positions,), device),), narrows)

    def pack(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the batch, which is packed already."""
        return batch

    def unpack(self, packed: torch.Tensor) -> torch.Tensor:
        """(1, 1, width) -> (1, positions, width), zero after the first"""
        padded = packed.new_zeros(1, self.shape[1], packed.shape[-1])
        padded[:, :1] = packed
        return padded

    def spread(self, part: torch.Tensor) -> list[torch.Tensor]:
        """Return the only group's part."""
        return [part]

    def attend(
        self, attend: Attend, module: nn.Module, parts: Sequence[torch.Tensor], options: Any
    ) -> tuple[torch.Tensor, None]:
        """Return each token's attention output, (1, tokens, heads, head width), and no weights."""
        # No layer that narrows looks ahead under a causal mask.
        mask = self.groups[0].mask(False, options.get("sliding_window"), parts[0].device)
        return attend(module, *parts, mask, **options)
