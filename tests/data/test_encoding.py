"""Texts to token ids, checked against the tokenizer's own batches and counts by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightune.data.encoding import Encoded, TokenRows, collate, encode, length_sorted_batches

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


@given(lengths=st.lists(st.integers(1, 30), max_size=60), batch_size=st.integers(1, 20))
def test_length_sorted_batches_hold_every_row_once_longest_first(lengths: list[int], batch_size: int):
    encoded = Encoded(TokenRows.of({"input_ids": [0] * length} for length in lengths), 0)
    batches = list(length_sorted_batches(encoded, batch_size))
    order = [row for batch in batches for row in batch]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[row] for row in order] == sorted(lengths, reverse=True)
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert all(1 <= len(batch) <= batch_size for batch in batches[-1:])
