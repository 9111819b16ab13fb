"""Texts cut into windows, counted by hand: where they begin, what they hold, and what is said of them."""

from __future__ import annotations

import ast
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lightune
from lightune.data.encoding import Encoded, TokenRows, encode
from lightune.data.long_text_notes import long_text_notes
from lightune.data.split import Split
from lightune.data.windows import cut_into_windows, window_starts
from lightune.errors import RecipeError

SHORT, LONG = "a film", "the plot was dull and the very warm book is quite clever here"  # 2 and 13 words


@pytest.fixture(scope="module")
def tokenizer(tiny_models: dict[str, Path]) -> Any:
    from transformers import AutoTokenizer

    names = ["input_ids", "token_type_ids", "attention_mask"]
    return AutoTokenizer.from_pretrained(tiny_models["bert"], model_input_names=names)


def decoded(tokenizer: Any, encoded: Encoded) -> list[str]:
    return [tokenizer.decode(row["input_ids"]) for row in encoded.rows]


@pytest.mark.parametrize(
    ("tokens", "size", "starts"),
    [(6, 6, [0]), (7, 6, [0, 1]), (11, 6, [0, 5]), (12, 6, [0, 3, 6]), (16, 6, [0, 5, 10]), (100, 40, [0, 30, 60]),
     (3, 1, [0, 1, 2]), (5, 2, [0, 1, 3]), (0, 5, [0])],
)  # fmt: skip
def test_windows_begin_where_a_hand_puts_them(tokens: int, size: int, starts: list[int]):
    assert window_starts(tokens, size) == starts


@given(tokens=st.integers(1, 5000), size=st.integers(1, 600))
def test_windows_are_full_overlap_by_a_quarter_and_are_as_few_as_that_allows(tokens: int, size: int):
    starts, overlap = window_starts(tokens, size), size // 4
    if tokens <= size:
        assert starts == [0]
        return
    assert (starts[0], starts[-1]) == (0, tokens - size)
    assert all(overlap <= one + size - other < size for one, other in pairwise(starts))
    assert (len(starts) - 1) * (size - overlap) + overlap < tokens  # one window fewer could not reach


def test_a_long_text_is_several_rows_and_a_short_one_is_one(tokenizer: Any):
    encoded = encode(tokenizer, [(SHORT,), (LONG,), (SHORT,)], 8, "windows")
    assert decoded(tokenizer, encoded) == [
        "[CLS] a film [SEP]",
        "[CLS] the plot was dull and the [SEP]",
        "[CLS] dull and the very warm book [SEP]",
        "[CLS] warm book is quite clever here [SEP]",
        "[CLS] a film [SEP]",
    ]
    assert (len(encoded), encoded.truncated, encoded.bare) == (3, 0, ())
    assert (encoded.lengths, encoded.row_lengths) == ([4, 24, 4], [4, 8, 8, 8, 4])
    assert encoded.rows_of([2, 1]) == [[4], [1, 2, 3]]
    assert encoded.windowed.tolist() == [3]


def test_the_first_window_is_what_cutting_keeps_and_the_last_ends_with_the_text(tokenizer: Any):
    cut, windows = (encode(tokenizer, [(LONG,)], 7, way).rows for way in ("cut", "windows"))
    whole = encode(tokenizer, [(LONG,)], 64).rows[0]["input_ids"]
    assert windows[0] == cut[0]
    assert windows[-1]["input_ids"] == [whole[0], *whole[-6:]]


def test_texts_that_fit_are_the_rows_of_cutting(tokenizer: Any):
    texts = [(LONG,), (SHORT,)]
    cut, windows = (encode(tokenizer, texts, 15, way) for way in ("cut", "windows"))
    assert list(windows.rows) == list(cut.rows)
    assert windows.firsts is None


def test_the_longer_text_of_a_pair_is_read_beside_the_whole_shorter_one(tokenizer: Any):
    encoded = encode(tokenizer, [(SHORT, LONG), (LONG, SHORT)], 11, "windows")
    assert decoded(tokenizer, encoded) == [
        "[CLS] a film [SEP] the plot was dull and the [SEP]",
        "[CLS] a film [SEP] dull and the very warm book [SEP]",
        "[CLS] a film [SEP] warm book is quite clever here [SEP]",
        "[CLS] the plot was dull and the [SEP] a film [SEP]",
        "[CLS] dull and the very warm book [SEP] a film [SEP]",
        "[CLS] warm book is quite clever here [SEP] a film [SEP]",
    ]
    assert encoded.rows[0]["token_type_ids"] == [0] * 4 + [1] * 7
    assert encoded.truncated == 0


def test_of_two_long_texts_the_shorter_one_keeps_half_of_the_room(tokenizer: Any):
    encoded = encode(tokenizer, [("my lamp is here again with the chair", LONG)], 11, "windows")
    # Eleven tokens without three special ones are eight: four of each.
    assert decoded(tokenizer, encoded)[0] == "[CLS] my lamp is here [SEP] the plot was dull [SEP]"
    assert decoded(tokenizer, encoded)[-1] == "[CLS] my lamp is here [SEP] is quite clever here [SEP]"
    assert (encoded.truncated, encoded.windowed.tolist()) == (1, [4])


def test_special_tokens_within_a_text_are_the_texts():
    row, parts = {"input_ids": [2, 5, 3, 6, 7, 3]}, [None, 0, 0, 0, 0, None]
    found, is_whole = cut_into_windows(row, parts, 4)
    assert [window["input_ids"] for window in found] == [[2, 5, 3, 3], [2, 6, 7, 3]]
    assert is_whole


def test_chunks_change_nothing(tokenizer: Any, monkeypatch: pytest.MonkeyPatch):
    texts = [(LONG,), (SHORT,), (LONG + " " + LONG,), ("",), (LONG,)]
    expected = encode(tokenizer, texts, 8, "windows")
    monkeypatch.setattr("lightune.data.encoding.CHUNK_TEXTS", 2)
    found = encode(tokenizer, texts, 8, "windows")
    assert list(found.rows) == list(expected.rows)
    assert (found.firsts.tolist(), found.bare) == (expected.firsts.tolist(), (3,))


def test_pooled_is_the_mean_of_each_texts_rows():
    rows = TokenRows.of({"input_ids": [0]} for _ in range(4))
    values = np.array([[1, 2], [3, 4], [5, 9], [7, 7]], np.float32)
    found = Encoded(rows, 0, firsts=np.array([0, 1, 3, 4])).pooled(values)
    assert (found.tolist(), found.dtype) == ([[1, 2], [4, 6.5], [7, 7]], "float32")
    assert Encoded(rows, 0).pooled(values) is values


def test_a_tokenizer_that_does_not_say_what_is_the_texts_is_refused(tokenizer: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(type(tokenizer), "is_fast", False)
    with pytest.raises(RecipeError, match="does not say which tokens are the text's"):
        encode(tokenizer, [(SHORT,)], 8, "windows")


def notes_of(tokenizer: Any, texts: list[tuple[str, ...]], limit: int, way: Any) -> list[str]:
    split = Split(texts, np.zeros(len(texts)), {}, [])
    return long_text_notes(tokenizer, {"train": split}, {"train": encode(tokenizer, texts, limit, way)}, limit, way)


def test_what_was_cut_and_what_reading_it_would_cost_is_said(tokenizer: Any):
    # Of 2 x 15 tokens 2 x 8 are read; three windows of 8 instead of one: (4 + 48) / (4 + 16) = 2.6 times the tokens.
    assert notes_of(tokenizer, [(LONG,), (SHORT,), (LONG,)], 8, "cut") == [
        "2 of 3 texts were truncated to 8 tokens; the rest was not read: 47% of their tokens. "
        "--set data.long_texts=windows reads them whole, in about 3.0 windows each: 2.6 times the computation."
    ]
    assert notes_of(tokenizer, [(LONG,), (SHORT,)], 15, "cut") == []


def test_how_many_windows_there_were_is_said(tokenizer: Any):
    assert notes_of(tokenizer, [(LONG,), (SHORT,), (LONG + " a film",)], 8, "windows") == [
        "2 of 3 texts are longer than 8 tokens: they were read in 3.0 windows each, 3 at most, and the mean of the "
        "windows' logits answers a text."
    ]
    assert notes_of(tokenizer, [(LONG,), (SHORT,)], 15, "windows") == []
    pairs: list[tuple[str, ...]] = [("my lamp is here again with the chair", LONG), (SHORT, SHORT)]
    assert notes_of(tokenizer, pairs, 11, "windows")[1] == (
        "1 of 2 pairs have two long texts: the shorter one was truncated, the longer one read whole."
    )


def test_everything_that_reads_texts_says_what_becomes_of_long_ones():
    """Who left it out would cut the texts of a model that was trained on windows."""
    missing = []
    for path in Path(lightune.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            if name in ("encode", "encode_splits") and "long_texts" not in ast.unparse(node):
                missing.append(f"{path.name}: {ast.unparse(node)}")
    assert missing == []
