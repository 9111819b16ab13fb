"""Where the texts of a batch lie once their padding is dropped, and attention inside their borders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from lightune.models.attention import Attend
from lightune.ragged.similar import groups_of_similar_length


@dataclass(frozen=True)
class Grid:
    """The places of uneven texts in a small padded grid.

    `tokens` (texts x longest) says which of the group's tokens stands at each place, at padding the text's last again;
    `places` (tokens) where each token stands; `is_real` is (texts, 1, 1, longest).
    """

    tokens: torch.Tensor
    places: torch.Tensor
    is_real: torch.Tensor

    @classmethod
    def of(cls, lengths: torch.Tensor, longest: int) -> Grid:
        """Lay out texts of these lengths, one after the other."""
        columns = torch.arange(longest, device=lengths.device)
        is_real = columns < lengths[:, None]
        starts = lengths.cumsum(0) - lengths
        tokens = starts[:, None] + torch.minimum(columns, lengths[:, None] - 1)
        return cls(tokens.flatten(), is_real.flatten().nonzero().squeeze(1), is_real[:, None, None, :])


class _Spread(torch.autograd.Function):
    """Put tokens into a grid; what stands at padding is a copy that nothing looks at, so it has no gradient."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, tokens: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(places)
        return x.index_select(0, tokens)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return gradient.index_select(0, *ctx.saved_tensors), None, None


@dataclass(frozen=True)
class Group:
    """Texts of similar length that attention takes together, so many `tokens` in all; no grid where all are alike."""

    tokens: int
    texts: int
    longest: int
    grid: Grid | None

    def attend(self, attend: Attend, module: nn.Module, parts: Sequence[torch.Tensor], options: Any) -> torch.Tensor:
        """Return what the group's tokens find, (tokens, heads, head width).

        Parts: their query, key and value, each (tokens, heads, head width).
        """
        mask = self.mask(_is_causal(module, options), options.get("sliding_window"), parts[0].device)
        found, _ = attend(module, *(self._padded(part) for part in parts), mask, **options)
        found = found.flatten(0, 1)
        return found if self.grid is None else found.index_select(0, self.grid.places)

    def attend_once(
        self, attend: Attend, module: nn.Module, parts: Sequence[torch.Tensor], options: Any
    ) -> torch.Tensor:
        """Return what one token of each text finds in all of it, (texts, heads, head width).

        Parts: its query (texts, heads, head width), the text's key and value, each (tokens, heads, head width).
        """
        query = parts[0].unsqueeze(2)
        mask = None if self.grid is None else self.grid.is_real
        found, _ = attend(module, query, *(self._padded(part) for part in parts[1:]), mask, **options)
        return found.flatten(0, 1)

    def _padded(self, own: torch.Tensor) -> torch.Tensor:
        """(tokens, heads, width) -> (texts, heads, longest, width)"""
        if self.grid is not None:
            own = _Spread.apply(own, self.grid.tokens, self.grid.places)
        return own.unflatten(0, (self.texts, self.longest)).transpose(1, 2)

    def mask(self, is_causal: bool, window: int | None, device: torch.device) -> torch.Tensor | None:
        """Return who sees whom, boolean, (texts or 1, 1, longest or 1, longest); None where attention needs no telling.

        A token sees those less than `window` tokens away. No token looks ahead under a causal mask, so that none sees
        the padding behind its text; padding sees something always, or it would yield NaN.
        """
        is_real = None if self.grid is None or is_causal else self.grid.is_real
        if window is None or self.longest <= window:
            return is_real
        columns = torch.arange(self.longest, device=device)
        back = columns[:, None] - columns
        near = (back < window) & (back >= 0 if is_causal else -back < window)
        return near[None, None] if is_real is None else near & is_real | (back == 0)


@dataclass(frozen=True)
class Layout:
    """A padded batch of `shape` (texts, positions) without its padding, the longest texts first.

    `real` says at which place of the flattened batch each of the tokens stands, `firsts` (texts) where among the tokens
    each text begins; with `narrows`, the last layer is left with those. The last `filling` tokens are copies of the
    first one, to which nobody attends. Made for one batch and passed along with it, so that nothing is kept between
    calls.
    """

    shape: tuple[int, int]
    real: torch.Tensor
    firsts: torch.Tensor
    groups: tuple[Group, ...]
    narrows: bool = False
    filling: int = 0

    @classmethod
    def of(cls, mask: torch.Tensor, narrows: bool = False, multiple: int = 1) -> Layout | None:
        """Read it from an attention mask (texts, positions); None if padding stands elsewhere than on the right.

        None as well where there is no padding, unless the last layer is narrowed. The tokens are filled up to a
        multiple of `multiple`.
        """
        is_real = mask.bool()
        lengths, order = is_real.sum(1).sort(descending=True, stable=True)
        counts = lengths.tolist()
        is_right = bool((is_real[:, 1:] <= is_real[:, :-1]).all())
        if not is_right or counts[-1] == 0 or (counts[-1] == mask.shape[1] and not narrows):
            return None
        places = torch.arange(mask.numel(), device=mask.device).view_as(mask)
        real = places[order][is_real[order]]
        filling = -len(real) % multiple
        real = torch.cat([real, real[:1].expand(filling)])
        firsts = lengths.cumsum(0) - lengths
        return cls((mask.shape[0], mask.shape[1]), real, firsts, tuple(_groups(counts, lengths)), narrows, filling)

    def pack(self, batch: torch.Tensor) -> torch.Tensor:
        """(texts, positions, ...) -> (1, tokens, ...)"""
        return batch.flatten(0, 1).index_select(0, self.real).unsqueeze(0)

    def unpack(self, packed: torch.Tensor) -> torch.Tensor:
        """(1, tokens, width) -> (texts, positions, width), zero at padding; (1, texts, width) if the layer narrows."""
        texts, positions = self.shape
        flat = packed.new_zeros(texts * positions, packed.shape[-1])
        places = self.real[self.firsts] if self.narrows else self.real[: len(self.real) - self.filling]
        return flat.index_copy(0, places, packed[0, : len(places)]).unflatten(0, self.shape)

    def cut(self, part: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Cut (1, heads, all tokens, width) into each group's (tokens, heads, width), and what fills up."""
        # At once: the gradient of a slice would be a tensor of zeros as large as the whole, for each group.
        return part[0].transpose(0, 1).split([*(group.tokens for group in self.groups), self.filling])

    def attend(
        self, attend: Attend, module: nn.Module, parts: Sequence[torch.Tensor], options: Any
    ) -> tuple[torch.Tensor, None]:
        """Return what every token finds in its own text, (1, tokens, heads, head width), and no weights.

        `attend` is the attention function for padded batches; parts are query, key, value, (1, heads, tokens, width).
        """
        *cut, rest = zip(*map(self.cut, parts), strict=True)
        found = [group.attend(attend, module, own, options) for group, own in zip(self.groups, cut, strict=True)]
        return torch.cat([*found, torch.zeros_like(rest[0])]).unsqueeze(0), None


@dataclass(frozen=True)
class Narrowed:
    """The last layer of a batch: the first token of each text asks, all its tokens answer.

    `keys` and `values`, (1, tokens, key/value heads * head width), are those of all tokens; what the layer itself makes
    of the first tokens alone is not looked at.
    """

    layout: Layout
    keys: torch.Tensor
    values: torch.Tensor

    def attend(
        self, attend: Attend, module: nn.Module, parts: Sequence[torch.Tensor], options: Any
    ) -> tuple[torch.Tensor, None]:
        """Return what the first tokens find in their texts, (1, texts, heads, head width), and no weights."""
        query = parts[0]
        heads = [part.unflatten(-1, (-1, query.shape[-1])).transpose(1, 2) for part in (self.keys, self.values)]
        answering = [part.to(query.dtype) for part in heads]
        groups = self.layout.groups
        asking = query[0].transpose(0, 1).split([group.texts for group in groups])
        cut = zip(asking, *(self.layout.cut(part)[:-1] for part in answering), strict=True)
        found = [group.attend_once(attend, module, own, options) for group, own in zip(groups, cut, strict=True)]
        return torch.cat(found).unsqueeze(0), None


def _groups(counts: list[int], lengths: torch.Tensor) -> Iterator[Group]:
    """Cut texts in order of length into groups of similar length."""
    for rows in groups_of_similar_length(counts):
        own = counts[rows]
        grid = None if own[-1] == own[0] else Grid.of(lengths[rows], own[0])
        yield Group(sum(own), len(own), own[0], grid)


def _is_causal(module: nn.Module, options: Any) -> bool:
    """As transformers' attention functions decide it: by the call, else by the module."""
    told = options.get("is_causal")
    return bool(getattr(module, "is_causal", True) if told is None else told)
