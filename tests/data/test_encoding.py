"""Texts to token ids, checked against the tokenizer's own batches and counts by hand."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightune.data.encoding import Encoded, TokenRows, collate, encode, length_sorted_batches
from tiny import sentences

# With [CLS] and [SEP] these are 4, 6, 9 and 3 tokens.
TEXTS = [("a film",), ("the plot was dull",), ("this was a very very warm book",), ("soup",)]


@pytest.fixture(scope="module")
def tokenizer(tiny_models: dict[str, Path]) -> Any:
    from transformers import AutoTokenizer

    names = ["input_ids", "token_type_ids", "attention_mask"]
    return AutoTokenizer.from_pretrained(tiny_models["bert"], model_input_names=names)


def test_every_text_has_its_tokens(tokenizer: Any):
    encoded = encode(tokenizer, TEXTS, 64)
    assert encoded.lengths == [4, 6, 9, 3]
    assert encoded.truncated == 0
    assert tokenizer.decode(encoded.rows[1]["input_ids"]) == "[CLS] the plot was dull [SEP]"


@pytest.mark.parametrize(("limit", "cut"), [(9, 0), (8, 1), (6, 1), (5, 2), (4, 2), (3, 3)])
def test_texts_over_the_limit_are_cut_and_counted(tokenizer: Any, limit: int, cut: int):
    encoded = encode(tokenizer, TEXTS, limit)
    assert encoded.truncated == cut
    assert encoded.lengths == [min(length, limit) for length in (4, 6, 9, 3)]


def test_a_cut_text_still_ends_with_the_separator(tokenizer: Any):
    row = encode(tokenizer, [TEXTS[2]], 5).rows[0]
    assert tokenizer.decode(row["input_ids"]) == "[CLS] this was a [SEP]"


def test_pairs_are_one_row_each_with_their_segments(tokenizer: Any):
    encoded = encode(tokenizer, [("a film", "the plot"), ("soup", "bread")], 64)
    assert tokenizer.decode(encoded.rows[0]["input_ids"]) == "[CLS] a film [SEP] the plot [SEP]"
    assert encoded.rows[0]["token_type_ids"] == [0, 0, 0, 0, 1, 1, 1]
    assert encode(tokenizer, [("a film", "the plot")], 6).truncated == 1


def test_a_batch_is_padded_as_the_tokenizer_pads_it(tokenizer: Any):
    batch = collate(tokenizer, encode(tokenizer, TEXTS, 6).rows)
    texts = [text for (text,) in TEXTS]
    expected = tokenizer(texts, padding=True, truncation=True, max_length=6, return_tensors="pt")
    assert batch.keys() == expected.keys()
    for name, values in expected.items():
        assert torch.equal(batch[name], values)
    assert batch["attention_mask"].tolist() == [[1] * 4 + [0] * 2, [1] * 6, [1] * 6, [1] * 3 + [0] * 3]


def test_no_texts_are_no_rows(tokenizer: Any):
    assert encode(tokenizer, [], 8) == Encoded(TokenRows.of([]), 0)
    assert list(length_sorted_batches(Encoded(TokenRows.of([]), 0), 4)) == []


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_batch_is_padded_on_the_tokenizers_side_with_the_tokenizers_padding(tokenizer: Any, side: str):
    own = copy.deepcopy(tokenizer)
    own.padding_side, own.pad_token, own._pad_token_type_id = side, "[UNK]", 3
    rows = encode(own, [("a film", "the plot"), ("soup", "b")], 64).rows
    rows = [rows[0], {name: values[:-1] for name, values in rows[1].items()}]
    expected = own.pad({name: [row[name] for row in rows] for name in rows[0]}, return_tensors="pt")
    batch = collate(own, rows)
    assert batch.keys() == expected.keys()
    assert (batch["input_ids"] == own.unk_token_id).any()
    for name, values in expected.items():
        assert torch.equal(batch[name], values)
        assert batch[name].dtype == values.dtype


def test_a_tokenizer_without_padding_says_so_itself(tokenizer: Any):
    own = copy.deepcopy(tokenizer)
    own.pad_token = None
    with pytest.raises(ValueError, match="padding token"):
        collate(own, encode(own, TEXTS, 6).rows)


@given(lengths=st.lists(st.integers(1, 300), max_size=60), batch_size=st.integers(1, 20))
def test_length_sorted_batches_hold_every_row_once_longest_first(lengths: list[int], batch_size: int):
    encoded = Encoded(TokenRows.of({"input_ids": [0] * length} for length in lengths), 0)
    batches = list(length_sorted_batches(encoded, batch_size))
    order = [row for batch in batches for row in batch]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[row] for row in order] == sorted(lengths, reverse=True)
    budget = 64 * batch_size
    padded = [len(batch) * max(lengths[row] for row in batch) for batch in batches]
    assert all(tokens <= budget or len(batch) == 1 for batch, tokens in zip(batches, padded, strict=True))
    # None could have taken one more text.
    assert all((len(batch) + 1) * lengths[batch[0]] > budget for batch in batches[:-1])


def test_long_texts_make_small_batches_and_short_ones_large_batches():
    encoded = Encoded(TokenRows.of({"input_ids": [0] * length} for length in [512] * 64 + [8] * 600), 0)
    batches = list(length_sorted_batches(encoded, 64))
    assert [len(batch) for batch in batches] == [8] * 8 + [512, 88]


@pytest.mark.parametrize("limit", [5, 64])
def test_chunks_change_nothing(tokenizer: Any, monkeypatch: pytest.MonkeyPatch, limit: int):
    texts = [text * (1 + number % 3) for number, (text,) in enumerate(TEXTS * 5)]
    monkeypatch.setattr("lightune.data.encoding.CHUNK_TEXTS", 3)
    encoded = encode(tokenizer, [(text,) for text in texts], limit)
    expected = tokenizer(texts, truncation=True, max_length=limit)
    assert [row["input_ids"] for row in encoded.rows] == expected["input_ids"]
    assert [row["token_type_ids"] for row in encoded.rows] == expected["token_type_ids"]
    assert encoded.truncated == sum(len(ids) > limit for ids in tokenizer(texts)["input_ids"])
    assert encoded.rows[4:6] == [encoded.rows[4], encoded.rows[5]]
    assert encoded.rows[-1] == encoded.rows[19]


def test_tokens_take_four_bytes_and_segments_that_are_all_zero_none(tokenizer: Any):
    singles, pairs = encode(tokenizer, TEXTS, 64).rows, encode(tokenizer, [("a film", "soup")], 64).rows
    assert (singles.ids.dtype, singles.ids.nbytes) == ("int32", 4 * (4 + 6 + 9 + 3))
    assert singles.segments is None
    assert pairs.segments.tolist() == [0, 0, 0, 0, 1, 1]
    assert singles[3]["token_type_ids"] == [0, 0, 0]


def test_many_tokens_lie_in_a_file(tokenizer: Any, monkeypatch: pytest.MonkeyPatch):
    pairs = [("a film", text) for (text,) in TEXTS * 4]
    expected = encode(tokenizer, pairs, 8)
    monkeypatch.setattr("lightune.data.encoding.IN_MEMORY_BYTES", 100)
    monkeypatch.setattr("lightune.data.encoding.CHUNK_TEXTS", 3)
    found = encode(tokenizer, pairs, 8)
    assert isinstance(found.rows.ids, np.memmap)
    assert isinstance(found.rows.segments, np.memmap)
    assert list(found.rows) == list(expected.rows)
    assert (found.lengths, found.truncated) == (expected.lengths, expected.truncated)


def test_texts_may_come_from_anything_that_can_be_gone_through(tokenizer: Any):
    assert list(encode(tokenizer, dict.fromkeys(TEXTS), 64).rows) == list(encode(tokenizer, TEXTS, 64).rows)


def test_threads_that_cut_at_different_lengths_do_not_cut_for_each_other(tokenizer: Any):
    """The length is a state of the tokenizer, which they share."""
    texts = [(text,) for text, _ in sentences(400, seed=1)]
    limits = [4, 6, 8, 10] * 8
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda limit: max(encode(tokenizer, texts, limit).lengths), limits))
    assert found == limits
