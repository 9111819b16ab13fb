"""The feed-forward part of a last layer computes only the tokens that the head reads."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lightune.execution.unpadding import padding_free
from lightune.methods import make_method
from lightune.models.architectures import ARCHITECTURES
from padded_and_ragged import DEVICE, adapted, answers, batch_of, largest_difference, texts, without_dropout

pytestmark = pytest.mark.skipif(DEVICE != "cpu", reason="on other devices every token is computed")
LIMIT = 1e-5
NARROWED = sorted(name for name, row in ARCHITECTURES.items() if row.head_reads)
METHODS = ("lora", "prefix", "bottleneck", "ia3", "full", "prompt_tuning", "top_layers", "adalora")


def lively(load_lively: Any, architecture: str) -> Any:
    """Return a tiny model whose head reads one token."""
    loaded = load_lively(architecture)
    if architecture == "modernbert":
        loaded.model.config.classifier_pooling = "cls"
    return loaded


def tokens_at(module: torch.nn.Module) -> list[int]:
    """Return a list that will hold how many tokens the linear layer saw in each call."""
    seen: list[int] = []
    module.register_forward_pre_hook(lambda _, args: seen.append(args[0].flatten(0, -2).shape[0]))
    return seen


def feed_forward(loaded: Any, number: int) -> torch.nn.Module:
    """Return the last linear layer of the feed-forward part of a layer."""
    return loaded.model.get_submodule(loaded.anatomy.modules(["ffn_out"])[number])


@pytest.mark.parametrize("architecture", NARROWED)
def test_only_tokens_that_are_read_are_computed_and_gradients_are_the_same(load_lively: Any, architecture: str) -> None:
    loaded = lively(load_lively, architecture)
    batch, model = batch_of(loaded, texts()), without_dropout(loaded.model)
    wanted = answers(model, batch, is_ragged=False)
    below, last = tokens_at(feed_forward(loaded, 0)), tokens_at(feed_forward(loaded, -1))
    assert largest_difference(answers(model, batch, True, logits_only=True), wanted) < LIMIT
    assert below == [int(batch["attention_mask"].sum())]
    assert last == [len(batch["attention_mask"])]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("architecture", ["gpt2", "modernbert"])
def test_every_kind_of_adapter_is_trained_alike(load_lively: Any, architecture: str, method: str) -> None:
    model, batch = adapted(make_method(method), lively(load_lively, architecture))
    wanted = answers(model, batch, is_ragged=False)
    assert largest_difference(answers(model, batch, True, logits_only=True), wanted) < LIMIT


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_a_text_that_ends_with_the_pad_token_is_read_where_the_model_reads_it(
    load_lively: Any, architecture: str
) -> None:
    loaded = lively(load_lively, architecture)
    batch, model = batch_of(loaded, texts()), without_dropout(loaded.model)
    ends = batch["attention_mask"].sum(1) - 1
    batch["input_ids"][1, ends[1]] = model.config.pad_token_id
    wanted = answers(model, batch, is_ragged=False)
    last = tokens_at(feed_forward(loaded, -1))
    assert largest_difference(answers(model, batch, True, logits_only=True), wanted) < LIMIT
    assert last == [int(batch["attention_mask"].sum())]


def test_a_mean_over_all_tokens_needs_all_of_them(load_lively: Any) -> None:
    loaded = load_lively("modernbert")
    loaded.model.config.classifier_pooling = "mean"
    batch, model = batch_of(loaded, texts()), without_dropout(loaded.model)
    wanted = answers(model, batch, is_ragged=False)
    last = tokens_at(feed_forward(loaded, -1))
    assert largest_difference(answers(model, batch, True, logits_only=True), wanted) < LIMIT
    assert last == [int(batch["attention_mask"].sum())]


@pytest.mark.parametrize("place", ["transformer", "transformer.h.1"])
def test_whoever_listens_behind_the_layers_gets_every_token(load_lively: Any, place: str) -> None:
    loaded = lively(load_lively, "gpt2")
    batch, model = batch_of(loaded, texts()), loaded.model.eval()
    model.get_submodule(place).register_forward_hook(lambda *_: None)
    last = tokens_at(feed_forward(loaded, -1))
    with torch.no_grad(), padding_free(model, logits_only=True):
        model(**batch)
    assert last == [int(batch["attention_mask"].sum())]


def test_outside_of_the_context_and_after_an_error_every_token_is_computed(load_lively: Any) -> None:
    loaded = lively(load_lively, "gpt2")
    batch, model = batch_of(loaded, texts()), loaded.model.eval()
    wanted = model(**batch).logits
    breaking = feed_forward(loaded, -1).register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError), padding_free(model, logits_only=True):
        model(**batch)
    breaking.remove()
    last = tokens_at(feed_forward(loaded, -1))
    assert (model(**batch).logits - wanted).abs().max() < LIMIT
    assert last == [batch["input_ids"].numel()]
    with torch.no_grad(), padding_free(model):  # whoever wants more than logits gets every token
        model(**batch)
    assert last[1:] == [int(batch["attention_mask"].sum())]


@pytest.mark.parametrize("leaves_early", [False, True], ids=["backward inside", "backward outside"])
def test_gradient_checkpointing_keeps_every_token(load_lively: Any, leaves_early: bool) -> None:
    loaded = lively(load_lively, "llama")
    batch, model = batch_of(loaded, texts()), without_dropout(loaded.model)
    wanted = answers(model, batch, is_ragged=False)
    model.zero_grad()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    last = tokens_at(feed_forward(loaded, -1))
    with padding_free(model, logits_only=True):
        answer = model(**batch, labels=torch.arange(len(batch["attention_mask"])) % 2)
        if not leaves_early:
            answer.loss.backward()
    if leaves_early:
        answer.loss.backward()
    gradients = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    assert largest_difference({"logits": answer.logits.detach(), **gradients}, wanted) < LIMIT
    assert last == [int(batch["attention_mask"].sum())] * 2
