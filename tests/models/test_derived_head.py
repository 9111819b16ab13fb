"""Heads derived from models against those that were once written by hand, and heads of other kinds of models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lightune.execution.unpadding import padding_free
from lightune.models.anatomy import anatomy_of, is_stock_sequence_classifier
from lightune.models.architectures import ARCHITECTURES
from lightune.models.derived_head import Head, head_of
from lightune.models.load import LoadedModel
from padded_and_ragged import batch_of, texts
from tiny import tiny_config

# Written by hand from transformers' sources, before heads were derived: the head's modules, then the output layer.
HEADS = {
    "distilbert": Head(("pre_classifier", "classifier"), "classifier"),
    "bert": Head(("classifier",), "classifier"),
    "roberta": Head(("classifier",), "classifier.out_proj"),
    "xlm-roberta": Head(("classifier",), "classifier.out_proj"),
    "camembert": Head(("classifier",), "classifier.out_proj"),
    "electra": Head(("classifier",), "classifier.out_proj"),
    "deberta-v2": Head(("pooler", "classifier"), "classifier"),
    "mpnet": Head(("classifier",), "classifier.out_proj"),
    "albert": Head(("classifier",), "classifier"),
    "modernbert": Head(("head", "classifier"), "classifier"),
    "gpt2": Head(("score",), "score"),
    "opt": Head(("score",), "score"),
    "llama": Head(("score",), "score"),
    "mistral": Head(("score",), "score"),
    "qwen2": Head(("score",), "score"),
    "qwen3": Head(("score",), "score"),
    "gemma": Head(("score",), "score"),
}
# The rows of whose architectures it was once said that the head reads the first token alone.
FIRST_TOKEN = {"distilbert", "bert", "roberta", "xlm-roberta", "camembert", "electra", "mpnet", "deberta-v2"}


def made(architecture: str, kind: str, **changes: Any) -> Any:
    """Return a tiny model of an auto class."""
    import transformers

    config = tiny_config(architecture, words=60)
    for name, value in changes.items():
        setattr(config, name, value)
    return getattr(transformers, f"AutoModelFor{kind}").from_config(config)


def test_there_is_a_head_for_each_architecture() -> None:
    assert list(HEADS) == list(ARCHITECTURES)
    assert {name for name, row in ARCHITECTURES.items() if row.projects_input} == FIRST_TOKEN


@pytest.mark.parametrize("architecture", HEADS)
def test_the_head_of_a_loaded_classifier_is_the_one_written_by_hand(
    load_tiny: Callable[..., LoadedModel], architecture: str
) -> None:
    loaded = load_tiny(architecture, labels=["a", "b", "c"])
    anatomy = loaded.anatomy
    assert head_of(loaded.model) == HEADS[architecture]
    assert Head(anatomy.head_modules, anatomy.output_layer) == HEADS[architecture]
    assert anatomy.head == list(HEADS[architecture].modules), "what the tiny checkpoint lacks is the head"
    assert loaded.model.get_submodule(anatomy.output_layer).weight.shape == (3, 32)
    assert is_stock_sequence_classifier(loaded.model)


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("bert", Head(("classifier",), "classifier")),
        ("distilbert", Head(("classifier",), "classifier")),
        ("roberta", Head(("classifier",), "classifier")),
        ("modernbert", Head(("head", "classifier"), "classifier")),
        ("gpt2", Head(("classifier",), "classifier")),
        ("llama", Head(("score",), "score")),
    ],
)
def test_a_token_classifier_has_a_head_and_is_no_sequence_classifier(architecture: str, expected: Head) -> None:
    """One row serves every auto class; the names are those of transformers' sources."""
    model = made(architecture, "TokenClassification")
    anatomy = anatomy_of(model)
    assert Head(anatomy.head_modules, anatomy.output_layer) == expected
    assert not is_stock_sequence_classifier(model)


@pytest.mark.parametrize("architecture", ["gpt2", "llama", "gemma", "opt"])
def test_an_output_layer_tied_to_the_embedding_is_no_head(architecture: str) -> None:
    anatomy = anatomy_of(made(architecture, "CausalLM", tie_word_embeddings=True))
    assert (anatomy.head_modules, anatomy.output_layer, anatomy.head) == ((), "", [])


def test_an_output_layer_of_its_own_is_a_head() -> None:
    anatomy = anatomy_of(made("llama", "CausalLM", tie_word_embeddings=False))
    assert (anatomy.head_modules, anatomy.output_layer) == (("lm_head",), "lm_head")


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "roberta"])
def test_the_last_layer_of_a_token_classifier_works_for_every_token(architecture: str, load_lively: Any) -> None:
    """Its head reads all of them, so `logits_only` must not leave the last layer with the first ones."""
    model = made(architecture, "TokenClassification").eval()
    batch = batch_of(load_lively(architecture), texts((3, 9, 5)))
    with torch.no_grad():
        wanted = model(**batch).logits
        with padding_free(model, logits_only=True):
            found = model(**batch).logits
    real = batch["attention_mask"].bool()
    assert (found - wanted)[real].abs().max() < 1e-5
