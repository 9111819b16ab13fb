"""A tokenizer that knows more tokens than its model has embeddings is refused, with and without the weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from case_table import case
from lightune.data.encoding import collate, encode
from lightune.errors import ArtifactError, LightuneError, RecipeError
from lightune.models.load import LoadedModel, ModelSource, load_model
from lightune.models.token_counter import token_counter
from spoilt_models import changed, with_tokens
from tiny import build_tiny_model, classes

WORDS = 48  # tokens and embeddings of the tiny models
STAR = {"content": "[STAR]", "special": True, "lstrip": False, "rstrip": False, "normalized": False,
        "single_word": False}  # fmt: skip
BEFORE = "accepted; the first text with such a token: BUG-001 IndexError, index out of range"
Spoil = Callable[[Path, Path], Path]


def load(folder: Path) -> LoadedModel:
    return load_model(ModelSource("it", folder, None), classes(["no", "yes"]), 1)


def added(**settings: Any) -> Spoil:
    return lambda source, folder: changed(source, folder, "tokenizer_config.json", settings)


def another_tokenizer(source: Path, folder: Path) -> Path:
    copy, other = Path(shutil.copytree(source, folder)), build_tiny_model(folder.with_name("other"), "qwen2")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(other / name, copy / name)
    return copy


@pytest.mark.parametrize(
    ("spoil", "tokens", "highest", "named"),
    [
        pytest.param(lambda a, b: with_tokens(a, b, {f"word{n}": WORDS + n for n in range(12)}), 60, 59,
                     "word0, word1, word2, word3, word4 and 7 more", id="more words",
                     marks=case("a tokenizer of 60 tokens, a model of 48 embeddings", BEFORE,
                                "RECIPE-058 when it is read: 60 tokens, 48 embeddings, which have none, what to do",
                                "a token without an embedding cannot be computed")),
        pytest.param(added(extra_special_tokens=["[E1]", "[E2]"]), 50, 49, "[E1], [E2]", id="added special tokens",
                     marks=case("two special tokens added, the embeddings not resized", BEFORE, "RECIPE-058",
                                "texts may hold the special tokens; the model has none of them")),
        pytest.param(added(added_tokens_decoder={"48": STAR}), 49, 48, "[STAR]", id="a token in the settings",
                     marks=case("a token that tokenizer_config.json alone adds", BEFORE, "RECIPE-058",
                                "loading adds it to those of tokenizer.json")),
        pytest.param(added(mask_token="[MASK]"), 49, 48, "[MASK]", id="a mask token",
                     marks=case("a mask token that the model has no embedding of", BEFORE, "RECIPE-058",
                                "only padding is never read")),
        pytest.param(another_tokenizer, 342, 341, "", id="another model's",
                     marks=case("the tokenizer of another, larger model in the folder", BEFORE, "RECIPE-058",
                                "its ids mean other embeddings, or none")),
    ],
)  # fmt: skip
def test_a_tokenizer_beyond_the_embeddings_is_refused(
    tiny_models: dict[str, Path], tmp_path: Path, spoil: Spoil, tokens: int, highest: int, named: str
):
    folder = spoil(tiny_models["bert"], tmp_path / "model")
    for read in (load, lambda folder: token_counter(str(folder))):
        with pytest.raises(RecipeError) as caught:
            read(folder)
        assert caught.value.code == "RECIPE-058"
        assert f"has {tokens} tokens (ids up to {highest}), the model {WORDS} embeddings" in caught.value.message
        assert named in caught.value.message
        assert f"resize_token_embeddings({highest + 1})" in caught.value.hint


def test_a_tokenizer_whose_class_adds_tokens_is_refused_when_it_is_loaded(tiny_models: dict[str, Path], tmp_path: Path):
    """GPT-2's class adds the token that ends a text; no file says so."""
    folder = Path(shutil.copytree(tiny_models["gpt2"], tmp_path / "model"))
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(RecipeError, match=r"Without one: <\|endoftext\|>"):
        load(folder)


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "llama"])
def test_a_pad_token_alone_may_lie_beyond(tiny_models: dict[str, Path], tmp_path: Path, architecture: str):
    folder = added(pad_token="<pad>")(tiny_models[architecture], tmp_path / "model")
    loaded = load(folder)
    assert AutoTokenizer.from_pretrained(folder).pad_token_id == WORDS
    assert loaded.tokenizer.pad_token_id < WORDS
    assert token_counter(str(folder)).limit == loaded.max_length


@case(
    "a text with the letters of an added pad token that has no embedding",
    "BUG-001 IndexError, index out of range",
    "answered: the letters are a text like any other",
    "another token takes the pad token's place, so nothing needs it as a token",
)
def test_the_letters_of_a_pad_token_without_an_embedding_are_read_as_letters(
    tiny_models: dict[str, Path], tmp_path: Path
):
    loaded = load(added(pad_token="<pad>")(tiny_models["gpt2"], tmp_path / "model"))
    encoded = encode(loaded.tokenizer, [("the <pad> film",), ("soup",)], 64)
    assert encoded.lengths == [5, 1]  # the < pad > film
    assert max(map(max, (row["input_ids"] for row in encoded.rows))) < WORDS
    with torch.no_grad():
        found = loaded.model(**collate(loaded.tokenizer, encoded.rows)).logits
    assert torch.isfinite(found).all()


@case(
    "49 tokens, the last with id 90, and 64 embeddings",
    BEFORE,
    "RECIPE-058: ids up to 90",
    "ids look embeddings up, not the number of tokens",
)
def test_ids_count_and_not_how_many_there_are(tiny_models: dict[str, Path], tmp_path: Path):
    folder = with_tokens(tiny_models["bert"], tmp_path / "model", {"far": 90})
    model = load(tiny_models["bert"]).model
    model.resize_token_embeddings(64)
    model.save_pretrained(folder)
    for read in (load, lambda folder: token_counter(str(folder))):
        with pytest.raises(RecipeError, match=r"49 tokens \(ids up to 90\), the model 64 embeddings"):
            read(folder)


def test_more_embeddings_than_tokens_are_fine(tiny_models: dict[str, Path], tmp_path: Path):
    """Tables of embeddings are rounded up for the sake of speed."""
    folder = Path(shutil.copytree(tiny_models["bert"], tmp_path / "model"))
    loaded = load(folder)
    loaded.model.resize_token_embeddings(64)
    loaded.model.save_pretrained(folder)
    assert load(folder).model.get_input_embeddings().num_embeddings == 64
    assert token_counter(str(folder)).limit == 64


@pytest.mark.parametrize("size", [47, 49])
def test_a_vocab_size_that_the_weights_do_not_have_is_refused(tiny_models: dict[str, Path], tmp_path: Path, size: int):
    with pytest.raises(ArtifactError, match="word_embeddings"):
        load(changed(tiny_models["bert"], tmp_path / "model", "config.json", {"vocab_size": size}))


@pytest.mark.parametrize(
    "architecture",
    [
        pytest.param("llama", marks=case(
            "a decoder whose tokenizer has no pad, end or unknown token", "read; the first batch: ValueError",
            "RECIPE-055 when it is read", "texts of unlike length cannot be put into a batch")),
        pytest.param("bert", marks=case(
            "an encoder whose tokenizer names no special tokens", "read; the first batch: ValueError", "RECIPE-055",
            "the same holds for encoders")),
    ],
)  # fmt: skip
def test_a_tokenizer_without_any_token_to_pad_with_is_refused(
    tiny_models: dict[str, Path], tmp_path: Path, architecture: str
):
    folder = Path(shutil.copytree(tiny_models[architecture], tmp_path / "model"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}', encoding="utf-8")
    with pytest.raises(LightuneError) as caught:
        load(folder)
    assert caught.value.code == "RECIPE-055"
    assert "pad_token" in caught.value.hint
