"""Texts to token ids, and token ids to padded batches."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lightune.data.arrow_columns import IN_MEMORY_BYTES, LazySequence, nameless_file
from lightune.data.split import Split
from lightune.data.windows import CUT, WINDOWS, LongTexts, require_windows, windows_of
from lightune.faults import Fault, FaultsError, raise_faults
from lightune.models.tokens import is_bare, require_room

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

CHUNK_TEXTS = 1024
# A batch size counts texts of this many tokens; docs/LOG.md has the figures.
TOKENS_PER_TEXT = 64
# A tokenizer stores its truncation length as state: two threads would overwrite each other's.
_TOKENIZING = threading.Lock()
TokenRow = dict[str, list[int]]


class TokenRows(LazySequence):
    """The token ids of all texts in one int32 array; row i is ids[offsets[i]:offsets[i + 1]].

    `segments` are the token_type_ids, an array as long as the ids, or None when all are zero. `has_segments` says
    whether rows have token_type_ids at all.
    """

    def __init__(
        self, ids: NDArray[Any], offsets: NDArray[Any], segments: NDArray[Any] | None, has_segments: bool
    ) -> None:
        self.ids, self.offsets, self.segments, self.has_segments = ids, offsets, segments, has_segments

    @classmethod
    def of(cls, rows: Iterable[TokenRow]) -> TokenRows:
        """Return rows of Python lists in one array."""
        builder = _Builder()
        builder.add(list(rows))
        return builder.rows()

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def _items(self, start: int, stop: int) -> list[TokenRow]:
        return [self._row(int(self.offsets[row]), int(self.offsets[row + 1])) for row in range(start, stop)]

    def _row(self, first: int, end: int) -> TokenRow:
        found = {"input_ids": self.ids[first:end].tolist()}
        if self.has_segments:
            zeros = self.segments is None
            found["token_type_ids"] = [0] * (end - first) if zeros else self.segments[first:end].tolist()  # type: ignore[index]
        return found


@dataclass(frozen=True)
class Encoded:
    """Token ids of texts within the model's limit, and how many texts were truncated.

    Each text is one row. With `firsts` some texts are several rows, their windows: text i is rows firsts[i] to
    firsts[i + 1]. `bare` are the texts that have no tokens besides special tokens, or of which one of a pair has none.
    """

    rows: TokenRows
    truncated: int
    bare: tuple[int, ...] = ()
    firsts: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.rows) if self.firsts is None else len(self.firsts) - 1

    @property
    def lengths(self) -> list[int]:
        """The number of tokens of each text, in all of its windows."""
        return np.diff(self.rows.offsets if self.firsts is None else self.rows.offsets[self.firsts]).tolist()

    @property
    def row_lengths(self) -> list[int]:
        """The number of tokens of each row."""
        return np.diff(self.rows.offsets).tolist()

    @property
    def windowed(self) -> NDArray[Any]:
        """The number of windows of each text that has several."""
        counts = np.diff([] if self.firsts is None else self.firsts)
        return counts[counts > 1]

    def rows_of(self, texts: Sequence[int]) -> list[list[int]]:
        """Return the numbers of each text's rows."""
        if self.firsts is None:
            return [[text] for text in texts]
        return [list(range(int(self.firsts[text]), int(self.firsts[text + 1]))) for text in texts]

    def pooled(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return what was computed of each row, (rows, ...), as that of each text: the mean over its windows."""
        if self.firsts is None:
            return values
        counts = np.diff(self.firsts).astype(values.dtype).reshape(-1, *[1] * (values.ndim - 1))
        found: NDArray[Any] = np.add.reduceat(values, self.firsts[:-1], axis=0) / counts
        return found


def encode(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[tuple[str, ...]], max_length: int, long_texts: LongTexts = CUT
) -> Encoded:
    """Tokenize texts or pairs of texts, a chunk at a time.

    Texts of more than `max_length` tokens are truncated, or become windows of that length (see data/windows.py).
    Raises RecipeError when the special tokens leave no room for a text, or the tokenizer cannot make windows.
    """
    require_windows(tokenizer, long_texts)
    builder, truncated, bare, counts, remaining = _Builder(), 0, list[int](), list[int](), iter(texts)
    while chunk := list(islice(remaining, CHUNK_TEXTS)):
        with _TOKENIZING:
            cut_rows, longer, empty = _tokenized(tokenizer, chunk, max_length)
            windows: dict[int, list[TokenRow]] = {}
            cut = len(longer)
            if long_texts == WINDOWS:
                windows, cut = windows_of(tokenizer, {row: chunk[row] for row in longer}, max_length, [*cut_rows[0]])
        bare += [len(counts) + row for row in empty]
        truncated += cut
        rows = [windows.get(number, [row]) for number, row in enumerate(cut_rows)]
        counts += map(len, rows)
        builder.add([row for own in rows for row in own])
    firsts = np.concatenate([[0], np.cumsum(counts)]) if builder.count > len(counts) else None
    return Encoded(builder.rows(), truncated, tuple(bare), firsts)


def _tokenized(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[tuple[str, ...]], max_length: int
) -> tuple[list[TokenRow], list[int], list[int]]:
    """Return (a truncated row for each text, which texts were longer, which have no tokens of their own)."""
    columns = [list(column) for column in zip(*texts, strict=True)]
    special = tokenizer.num_special_tokens_to_add(pair=len(columns) > 1)
    require_room(special, len(columns), max_length)
    given: Any = tokenizer(*columns, truncation=True, max_length=max_length)
    names = [name for name in ("input_ids", "token_type_ids") if name in given]
    if given.encodings is not None:
        is_longer = [bool(encoding.overflowing) for encoding in given.encodings]
        is_empty = [is_bare(encoding, special, len(columns)) for encoding in given.encodings]
    else:  # a tokenizer written in Python does not say what it truncated
        lengths = [len(ids) for ids in tokenizer(*columns, verbose=False)["input_ids"]]
        is_longer, is_empty = ([length > max_length for length in lengths], [length <= special for length in lengths])
    rows = [{name: given[name][row] for name in names} for row in range(len(texts))]
    return rows, np.flatnonzero(is_longer).tolist(), np.flatnonzero(is_empty).tolist()


def encode_splits(
    tokenizer: PreTrainedTokenizerBase, splits: Mapping[str, Split], max_length: int, long_texts: LongTexts = CUT
) -> dict[str, Encoded]:
    """Tokenize labelled splits; DataError with file and row lists every text that has no tokens."""
    found = {name: encode(tokenizer, split.texts, max_length, long_texts) for name, split in splits.items()}
    raise_faults([fault for name, split in splits.items() for fault in bare_faults(found[name], split.places)])
    return found


def bare_faults(encoded: Encoded, places: Sequence[str]) -> list[Fault]:
    """Return a fault for each text without tokens; without places, rows are named by number."""
    return [bare_fault(places[row] if places else f"row {row + 1}") for row in encoded.bare]


def bare_fault(place: str, model: str = "the model") -> Fault:
    """Return the fault of a text for which the model's tokenizer gives no tokens."""
    text = f"the text has no tokens: the tokenizer of {model} drops all its characters."
    return Fault("DATA-044", place, text, "Fix the row, or use a model whose tokenizer knows these characters.")


class NoTokensError(FaultsError):
    """A text to classify that has no tokens; `index` is its index among the texts given."""

    def __init__(self, index: int, place: str = "") -> None:
        """Name the text by its number when there is no place."""
        fault = bare_fault(place or f"text {index + 1}")
        super().__init__(fault.code, f"{fault.place}: {fault.text}", fault.hint, [fault])
        self.index = index


def collate(tokenizer: PreTrainedTokenizerBase, rows: Sequence[TokenRow], multiple: int = 1) -> dict[str, torch.Tensor]:
    """Pad rows to the longest among them: input_ids, attention_mask (and token_type_ids), each (rows, tokens).

    The padded length is a multiple of `multiple`.
    """
    if tokenizer.pad_token_id is None or "attention_mask" not in tokenizer.model_input_names:
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        return dict(tokenizer.pad(columns, return_tensors="pt", pad_to_multiple_of=multiple))
    import torch

    # The result of tokenizer.pad, without its overhead in every call.
    lengths = [len(row["input_ids"]) for row in rows]
    longest, is_right = -(-max(lengths) // multiple) * multiple, tokenizer.padding_side == "right"
    padding = {"input_ids": tokenizer.pad_token_id, "token_type_ids": tokenizer.pad_token_type_id}
    found = {name: np.full((len(rows), longest), padding[name], np.int64) for name in rows[0]}
    found["attention_mask"] = np.zeros((len(rows), longest), np.int64)
    for number, (row, length) in enumerate(zip(rows, lengths, strict=True)):
        place = slice(0, length) if is_right else slice(longest - length, longest)
        for name, values in row.items():
            found[name][number, place] = values
        found["attention_mask"][number, place] = 1
    return {name: torch.from_numpy(array) for name, array in found.items()}


def length_sorted_batches(encoded: Encoded, batch_size: int) -> Iterator[list[int]]:
    """Yield row numbers in batches of similar length, longest first: little padding, and early memory errors.

    A batch has at least one text, and at most as many tokens, padding included, as `batch_size` texts of 64 tokens. So
    batches of short texts are not too small, and batches of long texts are not too large.
    """
    lengths = np.diff(encoded.rows.offsets)
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        texts = max(1, batch_size * TOKENS_PER_TEXT // max(1, int(lengths[order[start]])))
        yield order[start : start + texts].tolist()
        start += texts


class _Builder:
    """Collects token rows into arrays."""

    def __init__(self) -> None:
        self._ids, self._segments = _Numbers(np.int32), _Numbers(np.int32)
        self._lengths: list[NDArray[Any]] = []
        self._has_segments = self._any_segment = False
        self.count = 0

    def add(self, rows: Sequence[TokenRow]) -> None:
        """Add the next rows."""
        self.count += len(rows)
        self._lengths.append(np.fromiter((len(row["input_ids"]) for row in rows), np.int64, len(rows)))
        self._ids.add(number for row in rows for number in row["input_ids"])
        if rows and "token_type_ids" in rows[0]:
            self._has_segments = True
            self._any_segment |= self._segments.add(number for row in rows for number in row["token_type_ids"])

    def rows(self) -> TokenRows:
        """Return what was collected."""
        offsets = np.concatenate([np.zeros(1, np.int64), *self._lengths]).cumsum()
        segments = self._segments.array() if self._any_segment else None
        return TokenRows(self._ids.array(), offsets, segments, self._has_segments)


class _Numbers:
    """A growing array, which moves to an unnamed temporary file when it gets large."""

    def __init__(self, kind: type) -> None:
        self._kind = kind
        self._parts: list[NDArray[Any]] = []
        self._bytes = 0
        self._file: Any = None

    def add(self, numbers: Iterable[int]) -> bool:
        """Add numbers, and say whether one of them is not zero."""
        part: NDArray[Any] = np.fromiter(numbers, self._kind)
        self._parts.append(part)
        self._bytes += part.nbytes
        if self._bytes > IN_MEMORY_BYTES:
            self._file = self._file or nameless_file()
            for kept in self._parts:
                self._file.write(kept.tobytes())
            self._parts = []
        return bool(part.any())

    def array(self) -> NDArray[Any]:
        """Return all numbers."""
        if self._file is None:
            return np.concatenate([np.empty(0, self._kind), *self._parts])
        self._file.flush()
        return np.memmap(self._file, self._kind, mode="r")
