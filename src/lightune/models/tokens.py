"""What a text has of its own among its tokens: special tokens say nothing of it."""

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
    """Raise RecipeError when the special tokens leave less than a token for each part of a text.

    A pair of which one text is cut away would be no pair any more.
    """
    if limit < special + parts:
        what = "a text" if parts == 1 else "a pair of texts"
        message = f"{what} is cut at {limit} tokens, of which {special} are special ones: there is no room for it."
        hint = f"Set data.max_length to {special + parts} or more, or take a model that reads more."
        raise RecipeError("RECIPE-064", message, hint)
