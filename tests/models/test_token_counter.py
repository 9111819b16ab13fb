"""Counting tokens without weights gives what the loaded model's own tokenizer gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lightune.errors import RecipeError
from lightune.models.token_counter import token_counter
from tiny import ARCHITECTURES

TEXTS = ["the film was lovely", "unknown words here", "a " * 40, "soup"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_counts_and_the_limit_are_those_of_the_loaded_model(
    architecture: str, tiny_models: dict[str, Path], load_tiny: Callable[..., Any]
):
    counter, loaded = token_counter(str(tiny_models[architecture])), load_tiny(architecture)
    assert counter.limit == loaded.max_length
    assert counter.count([(text,) for text in TEXTS]) == [len(loaded.tokenizer(text)["input_ids"]) for text in TEXTS]
    pairs = list(zip(TEXTS, reversed(TEXTS), strict=True))
    assert counter.count(pairs) == [len(loaded.tokenizer(*pair)["input_ids"]) for pair in pairs]


def test_weights_are_not_needed(tiny_models: dict[str, Path], tmp_path: Path):
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((tiny_models["bert"] / name).read_bytes())
    assert token_counter(str(tmp_path)).count([("the film",)]) == [4]
    assert token_counter(str(tmp_path), max_length=16).limit == 16
    with pytest.raises(RecipeError, match="at most 64 tokens"):
        token_counter(str(tmp_path), max_length=65)


def test_the_embedded_tokenizer_neither_cuts_nor_pads():
    counter = token_counter("minilm")
    assert counter.count([("film " * 600,), ("film",)]) == [602, 3]
    assert counter.limit == 512


def test_a_broken_tokenizer_is_named(tmp_path: Path):
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(RecipeError, match=r"tokenizer\.json: this tokenizer cannot be read"):
        token_counter(str(tmp_path))


def test_a_folder_that_is_not_there_is_named():
    with pytest.raises(RecipeError, match="there is no folder"):
        token_counter("./no-such-model")
