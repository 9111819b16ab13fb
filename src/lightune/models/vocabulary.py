"""A tokenizer and its model's embeddings: tokens without an embedding are refused before any text is read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from lightune.errors import RecipeError, shortlist

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MOST_SHOWN = 5


def require_embeddings(name: str, vocabulary: Mapping[str, int], pad: str | None, rows: int) -> None:
    """Raise RecipeError for tokens whose ids are beyond a model's `rows` embeddings; ids may have gaps.

    A pad token's id may be beyond: its embedding is never read, and `settle_pad` replaces it by another token.
    """
    beyond = sorted((number, token) for token, number in vocabulary.items() if number >= rows and token != pad)
    if not beyond:
        return
    highest = max(vocabulary.values())
    shown = shortlist([token for _, token in beyond], MOST_SHOWN)
    message = (
        f"{name}: the tokenizer has {len(vocabulary):,} tokens (ids up to {highest:,}), the model {rows:,} embeddings. "
        f"Without one: {shown}."
    )
    hint = (
        "Use the tokenizer that was saved with this model. If the tokens were added on purpose, give the model "
        f"embeddings for them once: model.resize_token_embeddings({highest + 1}), then model.save_pretrained(FOLDER)."
    )
    raise RecipeError("RECIPE-058", message, hint)


def require_written(name: str, raw: Mapping[str, Any], about: Mapping[str, Any], vocabulary: dict[str, int]) -> None:
    """Raise RecipeError as `require_embeddings` does, from files only.

    `raw` is config.json, `about` tokenizer_config.json, `vocabulary` that of tokenizer.json. Without a vocab_size the
    architecture's default applies, which is known only after loading.
    """
    rows = raw.get("vocab_size")
    if not isinstance(rows, int):
        return
    known = dict(vocabulary)
    for token in _named(about):
        known.setdefault(token, max(known.values(), default=-1) + 1)  # loading adds missing ones
    require_embeddings(name, known, _content(about.get("pad_token")), rows)


def settle_pad(name: str, tokenizer: PreTrainedTokenizerBase, rows: int) -> None:
    """Use the eos or unk token as pad token if the pad token is missing or has no embedding.

    Raises RecipeError when the tokenizer has none of them.
    """
    own = tokenizer.pad_token_id
    if own is not None and own < rows:
        return
    other = tokenizer.eos_token or tokenizer.unk_token
    if other is None:
        raise RecipeError(
            "RECIPE-055", f"{name}: the tokenizer has no pad token, and none that could replace it (eos, unk).",
            'Name one of its tokens in tokenizer_config.json, for example "pad_token": "</s>".',
        )  # fmt: skip
    tokenizer.pad_token = other
    if own is not None:
        _forget_beyond(tokenizer, rows)


def _forget_beyond(tokenizer: Any, rows: int) -> None:
    """Remove added tokens without an embedding from the tokenizer: a text may contain their exact characters."""
    from tokenizers import Tokenizer

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return
    told = json.loads(backend.to_str())
    told["added_tokens"] = [token for token in told["added_tokens"] if token["id"] < rows]
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(told))


def _named(about: Mapping[str, Any]) -> Iterator[str]:
    """Yield the tokens that tokenizer_config.json names."""
    added = about.get("added_tokens_decoder")
    listed = [about.get("extra_special_tokens"), about.get("additional_special_tokens")]
    groups = [added, *listed, {key: value for key, value in about.items() if key.endswith("_token")}]
    for group in groups:
        values = group.values() if isinstance(group, dict) else group if isinstance(group, list) else ()
        yield from filter(None, map(_content, values))


def _content(token: Any) -> str | None:
    """Return a token's text, given as a string or as an object."""
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else None
