"""Whether a text has tokens of its own, besides special tokens, and whether there is room for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightune.errors import RecipeError

if TYPE_CHECKING:
    from tokenizers import Encoding


def is_bare(encoding: Encoding, special: int, parts: int) -> bool:
    """Say whether a text, or one of a pair (`parts` is 2), has no token besides the `special` ones."""
    if parts == 1:
        return len(encoding.ids) <= special
    return not {*range(parts)} <= {*encoding.sequence_ids}


def require_room(special: int, parts: int, limit: int) -> None:
    """Raise RecipeError when the special tokens leave less than one token for each part of a text.

    If one text were cut away completely, a pair would no longer be a pair.
    """
    if limit < special + parts:
        what = "a text" if parts == 1 else "a pair of texts"
        message = f"{what} is cut at {limit} tokens, of which {special} are special ones: there is no room for it."
        hint = f"Set data.max_length to {special + parts} or more, or use a model that takes more tokens."
        raise RecipeError("RECIPE-064", message, hint)
