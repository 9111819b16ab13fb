"""Where the texts of a batch are once their padding is dropped, and attention inside their borders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import nn
from torch.nn.functional import pad

from lightune import runtime
from lightune.execution.length_grids import Places
from lightune.execution.length_groups import groups_of_similar_length
from lightune.execution.prefixes import Attend, is_causal_for
from lightune.execution.varlen_attention import Ends, Packed


@dataclass(frozen=True)
class Group:
    """Texts of similar length that attention computes together, given by the tokens of each, the longest first.

    The grid's length is that of the longest, filled up to a multiple of `step`.
    """

    counts: tuple[int, ...]
    device: torch.device
    step: int = 1

    @cached_property
    def is_real(self) -> torch.Tensor | None:
        """Which positions hold tokens, (texts, 1, 1, longest); None where all do."""
        if self.counts[-1] == self.longest:
            return None
        columns = torch.arange(self.longest, device=self.device)
        return (columns < torch.tensor(self.counts, device=self.device)[:, None])[:, None, None, :]

    @property
    def longest(self) -> int:
        """The length of the grid."""
        return -(-self.counts[0] // self.step) * self.step

    def mask(self, is_causal: bool, window: int | None, device: torch.device) -> torch.Tensor | None:
        """Return which tokens see which, boolean, (texts or 1, 1, longest or 1, longest); None if no mask is needed.

        A token sees tokens less than `window` tokens away. Under a causal mask no token looks ahead, so none sees the
        padding after its text. Padding always sees at least one token, or it would yield NaN.
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

    `real` is the index of each token in the flattened batch. `ends` (texts + 2), int32, is where each text ends among
    the tokens: the first entry is 0, the last is the end of all tokens. With `narrows`, the last layer computes only
    the first token of each text. The last `filling` tokens are copies of the first one and form a text of their own,
    which no other text sees. `head_reads` is "first" or "last" where the last layer's feed-forward part computes only
    that token of each text. Made for one batch and passed along with it, so that nothing is kept between calls.
    """

    shape: tuple[int, int]
    real: torch.Tensor
    ends: torch.Tensor
    longest: int  # tokens of the longest text
    groups: tuple[Group, ...]
    narrows: bool = False
    filling: int = 0
    head_reads: str = ""
    places: dict[int, Places] = field(default_factory=dict)  # by the number of heads, when it is asked for

    @classmethod
    def of(
        cls,
        mask: torch.Tensor,
        narrows: bool = False,
        multiple: int = 1,
        device: torch.device | None = None,
        step: int = 1,
    ) -> Layout | None:
        """Read it from a mask (texts, positions) on the CPU; None if there is padding anywhere but on the right.

        Also None if there is no padding, unless the last layer is narrowed. The tokens are filled up to a multiple of
        `multiple`, and grids to one of `step`. The layout is on `device`, or on the mask's device if none is given.
        """
        is_real, device = mask.bool(), device or mask.device
        lengths, order = is_real.sum(1).sort(descending=True, stable=True)
        counts = lengths.tolist()
        is_right = bool((is_real[:, 1:] <= is_real[:, :-1]).all())
        if not is_right or counts[-1] == 0 or (counts[-1] == mask.shape[1] and not narrows):
            return None
        real = torch.arange(mask.numel()).view(mask.shape)[order][is_real[order]]
        filling = -len(real) % multiple
        real = torch.cat([real, real[:1].expand(filling)])
        ends = pad(pad(lengths.cumsum(0), (1, 0)), (0, 1), value=len(real)).to(torch.int32)
        groups = tuple(Group(tuple(counts[rows]), device, step) for rows in groups_of_similar_length(counts))
        real, ends = (runtime.sent(part, device) for part in (real, ends))
        return cls((mask.shape[0], mask.shape[1]), real, ends, counts[0], groups, narrows, filling)

    @property
    def firsts(self) -> torch.Tensor:
        """The index of each text's first token, (texts)."""
        return self.ends[:-2]

    @property
    def read(self) -> torch.Tensor:
        """The index of each text's token that `head_reads` names, (texts)."""
        return (self.ends[1:-1] - 1 if self.head_reads == "last" else self.firsts).long()

    @property
    def longest_grid(self) -> int:
        """The length of the longest text's grid."""
        return self.grids[0].longest

    @property
    def grids(self) -> tuple[Group, ...]:
        """The groups; RuntimeError where there are none, because variable-length kernels were to compute everything."""
        if not self.groups:
            raise RuntimeError("no grids were laid out for this batch")
        return self.groups

    def pack(self, batch: torch.Tensor) -> torch.Tensor:
        """(texts, positions, ...) -> (1, tokens, ...)"""
        return batch.flatten(0, 1).index_select(0, self.real).unsqueeze(0)

    def unpack(self, packed: torch.Tensor) -> torch.Tensor:
        """(1, tokens, width) -> (texts, positions, width), zero at padding; (1, texts, width) if the layer narrows."""
        texts, positions = self.shape
        outside = texts * positions
        flat = packed.new_zeros(outside + bool(self.filling), packed.shape[-1])
        if self.narrows:
            places = self.real[self.firsts]
        elif self.filling:
            columns = torch.arange(len(self.real), device=packed.device)
            places = torch.where(columns < self.ends[-2], self.real, outside)
        else:
            places = self.real
        return flat.index_copy(0, places, packed[0, : len(places)])[:outside].unflatten(0, self.shape)

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
        """Return each token's attention output within its text, (1, tokens, heads, head width), and no weights.

        `attend` is the attention function for padded batches; parts are query, key, value, (1, heads, tokens, width).
        """
        heads, tokens, device = parts[0].shape[1], parts[0].shape[2], parts[0].device
        is_causal, window = is_causal_for(module, options), options.get("sliding_window")
        masks = [group.mask(is_causal, window, device) for group in self.grids]
        asked = zip(*map(self.spread, parts), masks, strict=True)
        found = [attend(module, *own, **options)[0].transpose(1, 2).flatten(0, 2) for own in asked]
        whole = self._heads(heads, device).out_of(torch.cat(found), tokens * heads)
        return whole.unflatten(0, (1, tokens, heads)), None

    def packed(self, parts: Sequence[torch.Tensor]) -> Packed:
        """(1, heads, tokens, width) each -> the input of variable-length kernels."""
        ends = Ends(self.ends, max(self.longest, self.filling))
        query, key, value = (part[0].transpose(0, 1) for part in parts)
        return Packed(query, key, value, ends, ends)

    def _heads(self, heads: int, device: torch.device) -> Places:
        if heads not in self.places:
            grids = [(group.counts, group.longest) for group in self.groups]
            self.places[heads] = Places.of(grids, heads, device)
        return self.places[heads]


@dataclass(frozen=True)
class Narrowed:
    """The last layer of a batch: only the first token of each text is a query, all its tokens are keys and values.

    `keys` and `values`, (1, tokens, key/value heads * head width), are those of all tokens. The layer itself computes
    keys and values for the first tokens only; those are ignored.
    """

    layout: Layout
    keys: torch.Tensor
    values: torch.Tensor

    @property
    def longest(self) -> int:
        """The tokens of the longest text."""
        return self.layout.longest

    @property
    def longest_grid(self) -> int:
        """The length of the longest text's grid."""
        return self.layout.longest_grid

    def attend(
        self, attend: Attend, module: nn.Module, parts: Sequence[torch.Tensor], options: Any
    ) -> tuple[torch.Tensor, None]:
        """Return the first tokens' attention output, (1, texts, heads, head width), and no weights."""
        query, groups = parts[0], self.layout.grids
        queries = query[0].transpose(0, 1).unsqueeze(2).split([len(group.counts) for group in groups])
        keys_and_values = [self.layout.spread(part.transpose(1, 2)) for part in self._by_heads(query)]
        asked = zip(queries, *keys_and_values, [group.is_real for group in groups], strict=True)
        found = [attend(module, *own, **options)[0].flatten(0, 1) for own in asked]
        return torch.cat(found).unsqueeze(0), None

    def packed(self, parts: Sequence[torch.Tensor]) -> Packed:
        """(1, heads, texts, width) of the query -> the input of variable-length kernels."""
        query, ends = parts[0][0].transpose(0, 1), self.layout.ends[:-1]
        one_each = Ends(torch.arange(len(ends), dtype=torch.int32, device=ends.device), 1)
        key, value = (part[0] for part in self._by_heads(parts[0]))
        if self.layout.filling:
            # No query attends to the filling after the texts, so a kernel leaves its gradients unwritten.
            is_real = (torch.arange(len(key), device=key.device) < ends[-1])[:, None, None]
            key, value = (part.where(is_real, 0) for part in (key, value))
        return Packed(query, key, value, one_each, Ends(ends, self.longest))

    def _by_heads(self, query: torch.Tensor) -> list[torch.Tensor]:
        """Return keys and values in the query's dtype, (1, tokens, key/value heads, width)."""
        return [part.unflatten(-1, (-1, query.shape[-1])).to(query.dtype) for part in (self.keys, self.values)]
