"""What models add to attention's scores, by the distance between two tokens of a text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import pad

# Given query and key, (rows, heads, tokens, head width), which begin with a text's first token: what is added to their
# scores, (rows or 1, heads, queries, keys).
ScoreBias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


# oneDNN compiles a bf16 product for each size, and keeps most of a megabyte for it: so many texts are multiplied at a
# time, or one, and one at a time where they are longer than this.
TOGETHER, SHORT_TOGETHER = 4, 96


def at_a_time(texts: int, tokens: int) -> list[int]:
    """Return how many texts, of so many tokens each, are multiplied in each bf16 product: few sizes in all."""
    together = TOGETHER if tokens <= SHORT_TOGETHER else 1
    return [together] * (texts // together) + [1] * (texts % together)


@dataclass(frozen=True)
class DistanceBias:
    """A number for each head and distance, the same for all texts (MPNet; Raffel et al. 2020, arXiv:1910.10683).

    `table`, (heads, 2 n - 1), has the distances j - i from -(n - 1) to n - 1 of a key j from a query i.
    """

    table: torch.Tensor

    def __call__(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        """Return what is added to the scores, (1, heads, queries, keys)."""
        queries, keys, middle = query.shape[2], key.shape[2], self.table.shape[1] // 2
        place = torch.arange(keys, device=key.device) - torch.arange(queries, device=key.device)[:, None] + middle
        return self.table.index_select(1, place.flatten()).view(1, -1, queries, keys)


@dataclass(frozen=True)
class GivenBias:
    """What a model computed for n tokens, (1, heads, n, n), of which shorter texts use the first rows and columns."""

    bias: torch.Tensor

    def __call__(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        """Return what is added to the scores, (1, heads, queries, keys)."""
        return self.bias[:, :, : query.shape[2], : key.shape[2]]


@dataclass(frozen=True)
class DisentangledBias:
    """s (q_i . K'_(i-j) + k_j . Q'_(i-j)) with keys K' and queries Q' of distances (He et al. 2021, arXiv:2006.03654).

    `keys` and `queries`, (heads, 2 n - 1, head width), have the distances i - j from -(n - 1) to n - 1; either may be
    missing. `scale` is s.
    """

    keys: torch.Tensor | None
    queries: torch.Tensor | None
    scale: float

    def __call__(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        """Return what is added to the scores, (rows, heads, queries, keys)."""
        count, length = query.shape[2], key.shape[2]
        found = []
        if self.keys is not None:  # row e of these distances is that of a key j = i + e - (count - 1)
            distances = _between(self.keys, 1 - length, count - 1).flip(1)
            found.append(by_distance(_times(query, distances), length))
        if self.queries is not None:  # row e is that of a query i = j + e - (length - 1)
            distances = _between(self.queries, 1 - length, count - 1)
            found.append(by_distance(_times(key, distances), count).transpose(2, 3))
        return sum(found[1:], found[0]) * self.scale


def by_distance(products: torch.Tensor, columns: int) -> torch.Tensor:
    """(..., rows, rows + columns - 1) -> (..., rows, columns): entry (i, j) is entry (i, j - i + rows - 1).

    Row i of what is wanted starts `rows` + `columns` - 2 entries after row i - 1: the matrix, read with rows that are
    one entry shorter.
    """
    rows, width = products.shape[-2:]
    if rows == 1:
        return products
    flat = products.flatten(-2)[..., rows - 1 : rows - 1 + rows * (width - 1)]
    return flat.unflatten(-1, (rows, width - 1))[..., :columns]


@dataclass(frozen=True)
class AfterPrefix:
    """The same bias with zeros for the `length` keys of a prefix, which has no place in the text."""

    bias: ScoreBias
    length: int

    def __call__(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        """Return what is added to the scores, (rows or 1, heads, queries, length + keys)."""
        return pad(self.bias(query, key[:, :, self.length :]), (self.length, 0))


def merged(mask: torch.Tensor | None, bias: torch.Tensor) -> torch.Tensor:
    """Return one mask that is added to the scores: a token that may not be seen has the lowest number there is."""
    if mask is None:
        return bias
    if mask.dtype == torch.bool:
        return torch.where(mask, bias, torch.finfo(bias.dtype).min)
    # fp32's lowest number is infinite in bf16, and kernels want a mask of the queries' type.
    return bias + mask.clamp(min=torch.finfo(bias.dtype).min).to(bias.dtype)


def _between(rows: torch.Tensor, lowest: int, highest: int) -> torch.Tensor:
    middle = rows.shape[1] // 2
    return rows[:, middle + lowest : middle + highest + 1]


def _times(states: torch.Tensor, distances: torch.Tensor) -> torch.Tensor:
    """(rows, heads, tokens, width), (heads, distances, width) -> (rows, heads, tokens, distances)"""
    if states.dtype == torch.bfloat16:  # few sizes of products, as in cpu_attention.py
        return torch.cat([_product(part, distances) for part in states.split(at_a_time(len(states), states.shape[2]))])
    return _product(states, distances)


def _product(states: torch.Tensor, distances: torch.Tensor) -> torch.Tensor:
    rows, _, tokens, _ = states.shape
    found = torch.bmm(states.transpose(0, 1).flatten(1, 2), distances.to(states.dtype).transpose(1, 2))
    return found.unflatten(1, (rows, tokens)).transpose(0, 1)
