"""Where the heads of every token are while attention computes texts of similar length in small padded grids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable


@dataclass(frozen=True)
class Places:
    """Index tables between tokens' heads, (tokens * heads), and the grids' rows, (texts, heads, longest) of each group.

    `rows` says for each row of the grids which token's head is there, at padding a copy of the last token's. `back`
    says for each token's head which row it is in. `pads` lists the rows that are padding.
    """

    rows: torch.Tensor
    back: torch.Tensor
    pads: torch.Tensor

    @classmethod
    def of(cls, grids: Sequence[tuple[Sequence[int], int]], heads: int, device: torch.device) -> Places:
        """Lay out groups of texts, given by the tokens of each text and the length of the group's grid."""
        rows, back, pads = [], [], []
        token = place = 0
        head = torch.arange(heads, device=device)
        for group, longest in grids:
            lengths = torch.tensor(group, device=device)
            column = torch.arange(longest, device=device)
            starts = token + lengths.cumsum(0) - lengths
            tokens = starts[:, None] + torch.minimum(column, lengths[:, None] - 1)
            rows.append((tokens[:, None, :] * heads + head[:, None]).flatten())
            here = torch.arange(place, place + len(rows[-1]), device=device).view(len(group), heads, longest)
            is_real = column < lengths[:, None]
            back.append(here.transpose(1, 2)[is_real].flatten())
            pads.append(here.transpose(1, 2)[~is_real].flatten())
            token, place = token + sum(group), place + len(rows[-1])
        return cls(torch.cat(rows), torch.cat(back), torch.cat(pads))

    def into(self, heads: torch.Tensor) -> torch.Tensor:
        """(tokens * heads, width) -> the grids' rows, (rows, width); filling after the tokens is left out."""
        found: torch.Tensor = _Into.apply(heads, self)
        return found

    def out_of(self, grid: torch.Tensor, size: int) -> torch.Tensor:
        """The grids' rows, (rows, width) -> (size, width), size >= tokens * heads, with zeros after the tokens."""
        found: torch.Tensor = _OutOf.apply(grid, self, size)
        return found


class _Into(torch.autograd.Function):
    """Values at padding are copies that nothing reads, so they have no gradient."""

    @staticmethod
    def forward(ctx: Any, heads: torch.Tensor, places: Places) -> torch.Tensor:
        ctx.places, ctx.size = places, len(heads)
        return heads.index_select(0, places.rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return _tokens(gradient, ctx.places, ctx.size), None


class _OutOf(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, grid: torch.Tensor, places: Places, size: int) -> torch.Tensor:
        ctx.places = places
        return _tokens(grid, places, size)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        found = gradient.index_select(0, ctx.places.rows)
        return found.index_fill_(0, ctx.places.pads, 0), None, None


def _tokens(grid: torch.Tensor, places: Places, size: int) -> torch.Tensor:
    found = grid.new_empty(size, grid.shape[1])
    real = len(places.back)
    torch.index_select(grid, 0, places.back, out=found[:real])
    found[real:] = 0
    return found
