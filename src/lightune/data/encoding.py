"""Texts to token ids, and token ids to padded batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

KEPT = ("input_ids", "token_type_ids")


@dataclass(frozen=True)
class Encoded:
    """Token ids of each text, cut to the model's limit, and how many texts were cut."""

    rows: list[dict[str, list[int]]]
    truncated: int

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def lengths(self) -> list[int]:
        """The number of tokens of each row."""
        return [len(row["input_ids"]) for row in self.rows]


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[tuple[str, ...]], max_length: int) -> Encoded:
    """Tokenize texts or pairs of texts, all at once; too long ones are cut at `max_length` tokens."""
    if not texts:
        return Encoded([], 0)
    columns = [list(column) for column in zip(*texts, strict=True)]
    given: Any = tokenizer(*columns, truncation=True, max_length=max_length)
    if given.encodings is not None:
        truncated = sum(bool(encoding.overflowing) for encoding in given.encodings)
    else:  # a tokenizer written in Python does not say what it cut
        truncated = sum(len(ids) > max_length for ids in tokenizer(*columns, verbose=False)["input_ids"])
    names = [name for name in KEPT if name in given]
    rows = [{name: list(given[name][row]) for name in names} for row in range(len(texts))]
    return Encoded(rows, truncated)


def collate(tokenizer: PreTrainedTokenizerBase, rows: Sequence[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
    """Pad rows to the longest among them: input_ids, attention_mask (and token_type_ids), each (rows, tokens)."""
    return dict(tokenizer.pad({name: [row[name] for row in rows] for name in rows[0]}, return_tensors="pt"))


def length_sorted_batches(encoded: Encoded, batch_size: int) -> Iterator[list[int]]:
    """Yield row numbers in batches of similar length, longest first: least padding, and memory runs out at once."""
    lengths = encoded.lengths
    order = sorted(range(len(encoded)), key=lambda row: (-lengths[row], row))
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]
