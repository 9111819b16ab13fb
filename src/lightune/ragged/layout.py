"""Where the texts of a batch lie once their padding is dropped, and attention inside their borders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from lightune.models.attention import Attend
from lightune.ragged.grid import Places
from lightune.ragged.similar import groups_of_similar_length


@dataclass(frozen=True)
class Group:
    """Texts of similar length that attention takes together; `is_real`, (texts, 1, 1, longest), None where all are."""

    counts: tuple[int, ...]
    is_real: torch.Tensor | None

    @classmethod
    def of(cls, counts: Sequence[int], device: torch.device) -> Group:
        """Make it of the tokens of each text, the longest first."""
        is_real = None
        if counts[-1] < counts[0]:
            columns = torch.arange(counts[0], device=device)
            is_real = (columns < torch.tensor(counts, device=device)[:, None])[:, None, None, :]
        return cls(tuple(counts), is_real)

    @property
    def longest(self) -> int:
        """The tokens of the longest text."""
        return self.counts[0]

    def mask(self, is_causal: bool, window: int | None, device: torch.device) -> torch.Tensor | None:
        """Return who sees whom, boolean, (texts or 1, 1, longest or 1, longest); None where attention needs no telling.

        A token sees those less than `window` tokens away. No token looks ahead under a causal mask, so that none sees
        the padding behind its text; padding sees something always, or it would yield NaN.
        """
        is_real = None if is_causal else self.is_real
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
    places: dict[int, Places] = field(default_factory=dict)  # by the number of heads, when it is asked for

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
        groups = tuple(Group.of(counts[rows], mask.device) for rows in groups_of_similar_length(counts))
        return cls((mask.shape[0], mask.shape[1]), real, firsts, groups, narrows, filling)

    def pack(self, batch: torch.Tensor) -> torch.Tensor:
        """(texts, positions, ...) -> (1, tokens, ...)"""
        return batch.flatten(0, 1).index_select(0, self.real).unsqueeze(0)

    def unpack(self, packed: torch.Tensor) -> torch.Tensor:
        """(1, tokens, width) -> (texts, positions, width), zero at padding; (1, texts, width) if the layer narrows."""
        texts, positions = self.shape
        flat = packed.new_zeros(texts * positions, packed.shape[-1])
        places = self.real[self.firsts] if self.narrows else self.real[: len(self.real) - self.filling]
        return flat.index_copy(0, places, packed[0, : len(places)]).unflatten(0, self.shape)

    @property
    def longest(self) -> int:
        """The tokens of the longest text."""
        return self.groups[0].longest

    def spread(self, part: torch.Tensor) -> list[torch.Tensor]:
        """(1, heads, all tokens, width) -> each group's (texts, heads, longest, width)"""
        heads = part.shape[1]
        rows = self._heads(heads, part.device).into(part[0].transpose(0, 1).flatten(0, 1))
        sizes = [len(group.counts) * heads * group.longest for group in self.groups]
        cut = zip(rows.split(sizes), self.groups, strict=True)
        return [own.view(len(group.counts), heads, group.longest, -1) for own, group in cut]

    def attend(
        self, attend: Attend, module: nn.Module, parts: Sequence[torch.Tensor], options: Any
    ) -> tuple[torch.Tensor, None]:
        """Return what every token finds in its own text, (1, tokens, heads, head width), and no weights.

        `attend` is the attention function for padded batches; parts are query, key, value, (1, heads, tokens, width).
        """
        heads, tokens, device = parts[0].shape[1], parts[0].shape[2], parts[0].device
        is_causal, window = _is_causal(module, options), options.get("sliding_window")
        masks = [group.mask(is_causal, window, device) for group in self.groups]
        asked = zip(*map(self.spread, parts), masks, strict=True)
        found = [attend(module, *own, **options)[0].transpose(1, 2).flatten(0, 2) for own in asked]
        whole = self._heads(heads, device).out_of(torch.cat(found), tokens * heads)
        return whole.unflatten(0, (1, tokens, heads)), None

    def _heads(self, heads: int, device: torch.device) -> Places:
        if heads not in self.places:
            self.places[heads] = Places.of([group.counts for group in self.groups], heads, device)
        return self.places[heads]


@dataclass(frozen=True)
class Narrowed:
    """The last layer of a batch: the first token of each text asks, all its tokens answer.

    `keys` and `values`, (1, tokens, key/value heads * head width), are those of all tokens; what the layer itself makes
    of the first tokens alone is not looked at.
    """

    layout: Layout
    keys: torch.Tensor
    values: torch.Tensor

    @property
    def longest(self) -> int:
        """The tokens of the longest text."""
        return self.layout.longest

    def attend(
        self, attend: Attend, module: nn.Module, parts: Sequence[torch.Tensor], options: Any
    ) -> tuple[torch.Tensor, None]:
        """Return what the first tokens find in their texts, (1, texts, heads, head width), and no weights."""
        query, groups = parts[0], self.layout.groups
        asking = query[0].transpose(0, 1).unsqueeze(2).split([len(group.counts) for group in groups])
        heads = [part.unflatten(-1, (-1, query.shape[-1])).transpose(1, 2) for part in (self.keys, self.values)]
        answering = [self.layout.spread(part.to(query.dtype)) for part in heads]
        asked = zip(asking, *answering, [group.is_real for group in groups], strict=True)
        found = [attend(module, *own, **options)[0].flatten(0, 1) for own in asked]
        return torch.cat(found).unsqueeze(0), None


def _is_causal(module: nn.Module, options: Any) -> bool:
    """As transformers' attention functions decide it: by the call, else by the module."""
    told = options.get("is_causal")
    return bool(getattr(module, "is_causal", True) if told is None else told)
