"""Prefixes inside attention: one, several that are active together, or another one for each row of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch
    from torch import nn

Attend = Callable[..., "tuple[torch.Tensor, None]"]


class Prefixes(Protocol):
    """What attention does about a prefix, around an attention function for padded batches."""

    @property
    def is_apart(self) -> bool:
        """Whether `apart` can be added to an attention that knows of no prefix."""

    def apart(self, query: torch.Tensor, scaling: float | None) -> torch.Tensor:
        """Return what is added, (rows, tokens, heads, head width)."""

    def attend(self, attend: Attend, module: nn.Module, *parts: Any, **options: Any) -> tuple[torch.Tensor, None]:
        """Return the attention of query, key, value and mask with the prefix, (rows, tokens, heads, head width)."""


@dataclass(frozen=True)
class Prefix:
    """Keys and values that come before every text, each (key/value heads, tokens, head width).

    They are prepended: softmax(q [P_k; K]^T) [P_v; V] (Li and Liang 2021, arXiv:2101.00190). Or they are attended to
    separately: softmax(q K^T) V + g softmax(q P_k^T) P_v with g = tanh(gate), gate: (heads,) (Zhang et al. 2023,
    arXiv:2303.16199), or g = 1 without a gate. Then a gate of zero, or values of zero, leave the model unchanged.
    """

    keys: torch.Tensor
    values: torch.Tensor
    is_apart: bool = False
    gate: torch.Tensor | None = None

    def attend(
        self,
        attend: Attend,
        module: nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        **options: Any,
    ) -> tuple[torch.Tensor, None]:
        """Return the attention with the prefix, (rows, tokens, heads, head width), and no weights."""
        if self.is_apart:
            found, _ = attend(module, query, key, value, mask, **options)
            return found + self.apart(query, options.get("scaling")), None
        seen = len(query[0, 0]) if _is_first_of_a_static_cache(mask, query, key, module, options) else len(key[0, 0])
        mask = _with_prefix(mask, query, len(self.keys[0]), is_causal_for(module, options))
        options = _with_no_bias(options, len(self.keys[0]), seen)
        key, value = _prepend(self.keys, key[:, :, :seen]), _prepend(self.values, value[:, :, :seen])
        return attend(module, query, key, value, mask, **{**options, "is_causal": False})

    def apart(self, query: torch.Tensor, scaling: float | None) -> torch.Tensor:
        """Return g softmax(q P_k^T) P_v, (rows, tokens, heads, head width)."""
        from torch.nn.functional import scaled_dot_product_attention

        groups = query.shape[1] // len(self.keys)
        keys, values = (part.to(query.dtype).repeat_interleave(groups, 0) for part in (self.keys, self.values))
        rows = len(query)
        found = scaled_dot_product_attention(
            query, keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), scale=scaling
        )
        if self.gate is not None:
            found = found * self.gate.tanh().to(query.dtype)[:, None, None]
        return found.transpose(1, 2)


@dataclass(frozen=True)
class Together:
    """Prefixes that are active at the same time: prepended ones one after the other, and the others' sum."""

    parts: tuple[Prefix, ...]

    @property
    def is_apart(self) -> bool:
        """Whether none of them is prepended."""
        return all(part.is_apart for part in self.parts)

    def apart(self, query: torch.Tensor, scaling: float | None) -> torch.Tensor:
        """Return the sum over those that are attended to separately."""
        first, *rest = (part.apart(query, scaling) for part in self.parts if part.is_apart)
        return sum(rest, start=first)

    def attend(self, attend: Attend, module: nn.Module, *parts: Any, **options: Any) -> tuple[torch.Tensor, None]:
        """Return the attention with all of them."""
        import torch

        before = [part for part in self.parts if not part.is_apart]
        if before:
            keys, values = (torch.cat([getattr(part, name) for part in before], 1) for name in ("keys", "values"))
            found, _ = Prefix(keys, values).attend(attend, module, *parts, **options)
        else:
            found, _ = attend(module, *parts, **options)
        if len(before) < len(self.parts):
            found = found + self.apart(parts[0], options.get("scaling"))
        return found, None


def together(parts: Sequence[Prefix]) -> Prefix | Together | None:
    """Return prefixes that are active at the same time as one; None for none."""
    return Together(tuple(parts)) if len(parts) > 1 else parts[0] if parts else None


@dataclass(frozen=True)
class ByRow:
    """For some rows of a batch this prefix, for others that one or none; each row stands in one of the groups."""

    groups: tuple[tuple[list[int], Prefix | None], ...]
    is_apart: bool = False

    def apart(self, query: torch.Tensor, scaling: float | None) -> torch.Tensor:
        """Raise: what is added depends on the row."""
        raise NotImplementedError

    def attend(
        self,
        attend: Attend,
        module: nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        **options: Any,
    ) -> tuple[torch.Tensor, None]:
        """Return the attention of all rows, computed group by group."""
        import torch

        found = []
        for rows, prefix in self.groups:
            own = [_rows(part, rows) for part in (query, key, value, mask)]
            given = {**options, "position_bias": _rows(options.get("position_bias"), rows)}
            given = {name: value for name, value in given.items() if name in options}
            found.append((attend if prefix is None else _attending(prefix, attend))(module, *own, **given)[0])
        order = torch.tensor([row for rows, _ in self.groups for row in rows], device=query.device)
        return torch.cat(found).index_select(0, order.argsort()), None


def _attending(prefix: Prefix, attend: Attend) -> Attend:
    return lambda *parts, **options: prefix.attend(attend, *parts, **options)


def _rows(part: torch.Tensor | None, rows: list[int]) -> torch.Tensor | None:
    """Return these rows; a mask or bias of one row is for all."""
    return part if part is None or (len(part) == 1 and max(rows) > 0) else part[rows]


def is_causal_for(module: nn.Module, options: Any) -> bool:
    """Whether no token may look ahead: as the call says, else as the module says, as in transformers."""
    told = options.get("is_causal")
    return bool(getattr(module, "is_causal", True) if told is None else told)


def _is_first_of_a_static_cache(
    mask: torch.Tensor | None, query: torch.Tensor, key: torch.Tensor, module: nn.Module, options: Any
) -> bool:
    """Whether the keys behind the queries' are empty places: transformers leaves the mask out only then."""
    return mask is None and 1 < query.shape[2] < key.shape[2] and is_causal_for(module, options)


def _prepend(prefix: torch.Tensor, to: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.cat([prefix.to(to.dtype).expand(len(to), -1, -1, -1), to], dim=2)


def _with_prefix(mask: torch.Tensor | None, query: torch.Tensor, length: int, is_causal: bool) -> torch.Tensor | None:
    """Return the mask with columns that let every token see the prefix; without a mask a causal one may be made."""
    import torch
    from torch.nn.functional import pad

    tokens = query.shape[2]
    if mask is None and is_causal and tokens > 1:  # a single one sees all that a cache holds
        mask = torch.ones(1, 1, tokens, tokens, dtype=torch.bool, device=query.device).tril()
    if mask is None:
        return None
    return pad(mask, (length, 0), value=True if mask.dtype == torch.bool else 0.0)


def _with_no_bias(options: dict[str, Any], length: int, seen: int) -> dict[str, Any]:
    """Return the options with a bias of zero for the prefix, where there is one: T5's, or a ScoreBias."""
    from torch.nn.functional import pad

    from lightune.execution.score_bias import AfterPrefix

    changed: dict[str, Any] = {}
    if options.get("position_bias") is not None:
        changed["position_bias"] = pad(options["position_bias"][..., :seen], (length, 0))
    if options.get("score_bias") is not None:
        changed["score_bias"] = AfterPrefix(options["score_bias"], length)
    return {**options, **changed}
