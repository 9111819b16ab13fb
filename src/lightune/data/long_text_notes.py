"""What became of the texts that are longer than the model's limit, in words: what was cut, or how many windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lightune.data.encoding import Encoded
from lightune.data.split import Split
from lightune.data.windows import WINDOWS, LongTexts, Unread

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Of so many of the texts that were cut, evenly spread, all tokens are counted.
MOST_COUNTED = 1000


def long_text_notes(
    tokenizer: PreTrainedTokenizerBase,
    splits: Mapping[str, Split],
    encoded: Mapping[str, Encoded],
    max_length: int,
    long_texts: LongTexts,
) -> list[str]:
    """Return notes on the texts of all splits that are longer than `max_length` tokens; none if there is no such."""
    texts, cut = sum(map(len, encoded.values())), sum(found.truncated for found in encoded.values())
    if long_texts == WINDOWS:
        counts = np.concatenate([found.windowed for found in encoded.values()])
        return [*_windows(counts, texts, max_length), *_shorter_cut(cut, texts)]
    if not cut:
        return []
    told = f"{cut:,} of {texts:,} texts were truncated to {max_length} tokens; the rest was not read"
    longer = [text for name, found in encoded.items() for text in _full(splits[name].texts, found, max_length)]
    lengths, special = _uncut(tokenizer, longer[:: -(-len(longer) // MOST_COUNTED)])
    unread = Unread.of(lengths, special, max_length)
    tokens = sum(int(found.rows.offsets[-1]) for found in encoded.values())
    return [
        f"{told}." if unread is None else f"{told}: {unread.share:.0%} of their tokens. {unread.remedy(cut, tokens)}"
    ]


def _windows(counts: NDArray[Any], texts: int, max_length: int) -> list[str]:
    """Return a note on texts that were read in so many windows each; empty when there is none."""
    if not len(counts):
        return []
    found = f"{counts.mean():.1f} windows each, {counts.max():,} at most"
    longer = f"{len(counts):,} of {texts:,} texts are longer than {max_length} tokens"
    return [f"{longer}: they were read in {found}, and the mean of the windows' logits answers a text."]


def _shorter_cut(cut: int, texts: int) -> list[str]:
    found = f"{cut:,} of {texts:,} pairs have two long texts: the shorter one was truncated, the longer one read whole."
    return [found] if cut else []


def _full(texts: Sequence[tuple[str, ...]], encoded: Encoded, max_length: int) -> list[tuple[str, ...]]:
    """Return the texts that have as many tokens as a text may have: those that were cut, and those that just fit."""
    return [texts[row] for row in np.flatnonzero(np.diff(encoded.rows.offsets) == max_length).tolist()]


def _uncut(tokenizer: Any, texts: Sequence[tuple[str, ...]]) -> tuple[list[int], int]:
    """Return (the number of tokens of each whole text, how many of them are special)."""
    columns = [list(column) for column in zip(*texts, strict=True)]
    ids = tokenizer(*columns, truncation=False, verbose=False)["input_ids"]
    return [len(row) for row in ids], tokenizer.num_special_tokens_to_add(pair=len(columns) > 1)
