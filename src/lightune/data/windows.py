"""A text that is longer than the model's limit: how it is cut into overlapping windows, and how many they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lightune.errors import RecipeError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# The recipe key, and what becomes of the tokens beyond the limit: they are not read, or in further windows.
KEY = "data.long_texts"
LongTexts = Literal["cut", "windows"]
CUT: LongTexts = "cut"
WINDOWS: LongTexts = "windows"
# Neighbouring windows share at least one of so many tokens. Answers of saved adapters depend on it.
OVERLAP = 4


def window_starts(tokens: int, size: int) -> list[int]:
    """Return where the windows of `size` tokens begin: as few as overlap by size // OVERLAP tokens, evenly spread.

    The first begins with the text and the last ends with it. All are full, so that each has the same weight in a mean.
    """
    if tokens <= size:
        return [0]
    overlap = size // OVERLAP
    steps = -(-(tokens - size) // (size - overlap))
    return [step * (tokens - size) // steps for step in range(steps + 1)]


def require_windows(tokenizer: PreTrainedTokenizerBase, long_texts: LongTexts) -> None:
    """Raise RecipeError where windows are asked for and the tokenizer does not say which tokens are the text's."""
    if long_texts == WINDOWS and not tokenizer.is_fast:
        message = "data.long_texts windows: the tokenizer of this model does not say which tokens are the text's."
        raise RecipeError("RECIPE-065", message, "Leave it out, or use a model with a tokenizer.json.")


def windows_of(
    tokenizer: Any, texts: Mapping[int, tuple[str, ...]], limit: int, names: Sequence[str]
) -> tuple[dict[int, list[dict[str, list[int]]]], int]:
    """Return (the windows of each text, of how many texts some tokens are in none); `names` are a row's fields."""
    if not texts:
        return {}, 0
    whole = tokenizer(*(list(column) for column in zip(*texts.values(), strict=True)), verbose=False)
    found, cut = {}, 0
    for place, number in enumerate(texts):
        uncut = {name: whole[name][place] for name in names}
        found[number], is_whole = cut_into_windows(uncut, whole.encodings[place].sequence_ids, limit)
        cut += not is_whole
    return found, cut


def cut_into_windows(
    row: Mapping[str, Sequence[int]], parts: Sequence[int | None], limit: int
) -> tuple[list[dict[str, list[int]]], bool]:
    """Return (the windows of an uncut row, whether all of its tokens are in one of them).

    `parts` says for each token which text it is of, None for special tokens, which are in every window. Of a pair, the
    longer text is read in windows, each beside the whole shorter one, of which half the room is kept at most.
    """
    spans = [_span(parts, part) for part in sorted({part for part in parts if part is not None})]
    room = limit - (len(parts) - sum(map(len, spans)))
    longest = max(spans, key=len)
    kept = {span: min(len(span), room // 2) for span in spans if span is not longest}
    dropped = {at for span, count in kept.items() for at in span[count:]}
    before, after = range(longest.start), range(longest.stop, len(parts))
    around = [[at for at in side if at not in dropped] for side in (before, after)]
    size = room - sum(kept.values())
    found = []
    for start in window_starts(len(longest), size):
        places = [*around[0], *longest[start : start + size], *around[1]]
        found.append({name: [values[at] for at in places] for name, values in row.items()})
    return found, not dropped


def _span(parts: Sequence[int | None], part: int) -> range:
    """Return the places of a text's tokens, which are next to each other."""
    first = parts.index(part)
    return range(first, first + sum(found == part for found in parts))


@dataclass(frozen=True)
class Unread:
    """What is not read where texts are cut at `limit` tokens: the share of the tokens of those that are longer.

    `windows` is how many windows each of them would be, on average.
    """

    limit: int
    share: float
    windows: float

    @classmethod
    def of(cls, lengths: Sequence[int], special: int, limit: int) -> Unread | None:
        """Return it from uncut lengths, of all texts or of a sample; None where none is longer than the limit."""
        longer = [length for length in lengths if length > limit]
        if not longer:
            return None
        counts = [len(window_starts(length - special, limit - special)) for length in longer]
        return cls(limit, 1 - limit * len(longer) / sum(longer), sum(counts) / len(counts))

    def remedy(self, longer: int, tokens: int) -> str:
        """Return a sentence on what reading them would cost: `longer` texts, in `tokens` tokens of all texts."""
        more = 1 + longer * (self.windows - 1) * self.limit / tokens
        return (
            f"--set {KEY}={WINDOWS} reads them whole, in about {self.windows:.1f} windows each: "
            f"{more:.1f} times the computation."
        )
