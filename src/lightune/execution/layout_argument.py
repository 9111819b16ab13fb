"""How the layout of a packed batch reaches attention: as the argument `ragged`, or on the mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

# Models that use transformers' attention interface pass unknown arguments on to the attention function.
ARGUMENT = "ragged"
MASK = "attention_mask"
# Models that compute attention themselves pass on only the mask. Their layers take it first, after the hidden states.
ATTRIBUTE = "lightune_layout"


def without_values(mask: torch.Tensor, layout: Any) -> dict[str, Any]:
    """Return the arguments for a model that uses the attention interface.

    transformers takes a mask of four dimensions as it is. No attention function can use this empty one, so none can
    run without the layout unnoticed.
    """
    return {MASK: mask.new_zeros(1, 1, 0, 0).bool(), ARGUMENT: layout}


def on_mask(tokens: torch.Tensor, layout: Any) -> dict[str, Any]:
    """Return the arguments for a model that computes attention itself; `tokens` are packed, (1, tokens).

    The mask marks every token as real, (1, 1, 1, tokens): such models also multiply embeddings by it. Its type and
    shape tell it from the masks of users and those that models make themselves.
    """
    return {MASK: _bearing(tokens.new_ones(1, 1, *tokens.shape).short(), layout)}


def layout_in(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Return the layout that the arguments of a base model, layer stack or layer hold; None if there is none."""
    return kwargs.get(ARGUMENT) or layout_on(kwargs[MASK] if MASK in kwargs else next(iter(args[1:2]), None))


def layout_on(mask: Any) -> Any:
    """Return the layout that a mask holds, or None; RuntimeError for a packed mask that has lost it.

    In the mask's place GPT-2 gives its layers a cache, and other attention a mask that is no tensor.
    """
    found = getattr(mask, ATTRIBUTE, None)
    if found is None and _is_packed(mask):
        raise RuntimeError("the layout of a packed batch was lost, as in reentrant checkpointing: use_reentrant=False")
    return found


def _is_packed(mask: Any) -> bool:
    import torch

    is_short = isinstance(mask, torch.Tensor) and mask.dtype == torch.int16
    return is_short and mask.ndim == 4 and mask.shape[:3] == (1, 1, 1)


def with_layout(args: Sequence[Any], kwargs: Mapping[str, Any], layout: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return a layer's arguments with another layout in the place of the one they hold."""
    if kwargs.get(ARGUMENT) is not None:
        return tuple(args), {**kwargs, ARGUMENT: layout}
    if MASK in kwargs:
        return tuple(args), {**kwargs, MASK: _bearing(kwargs[MASK], layout)}
    hidden, mask, *others = args
    return (hidden, _bearing(mask, layout), *others), dict(kwargs)


def _bearing(mask: torch.Tensor, layout: Any) -> torch.Tensor:
    """Return the same mask as a new tensor object that holds the layout."""
    own = mask.view_as(mask)
    setattr(own, ATTRIBUTE, layout)
    return own
