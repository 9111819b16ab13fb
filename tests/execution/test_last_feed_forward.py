"""The feed-forward part of a last layer computes only the tokens that the head reads."""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest
import torch

from lightune.execution.execution import own_hook
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
    module.register_forward_pre_hook(own_hook(lambda _, args: seen.append(args[0].flatten(0, -2).shape[0])))
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
    loaded = lively(load_lively, architecture)
    model, batch = adapted(make_method(method), loaded)
    wanted = answers(model, batch, is_ragged=False)
    last = tokens_at(feed_forward(loaded, -1))
    assert largest_difference(answers(model, batch, True, logits_only=True), wanted) < LIMIT
    if method != "prompt_tuning":  # whose hooks on the head need every position
        assert last == [len(batch["attention_mask"])]


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


@pytest.mark.parametrize(
    "place", ["transformer", "transformer.h.1", "transformer.ln_f", "score", "transformer.h.1.mlp"]
)
@pytest.mark.parametrize("before", [True, False], ids=["before it", "after it"])
def test_whoever_listens_there_gets_every_token(load_lively: Any, place: str, before: bool) -> None:
    loaded = lively(load_lively, "gpt2")
    batch, model = batch_of(loaded, texts()), loaded.model.eval()
    if before and place in ("transformer", "transformer.h.1"):
        pytest.skip("before the last feed-forward part every token is there")
    module = model.get_submodule(place)
    heard: list[torch.Tensor] = []
    if before:
        module.register_forward_pre_hook(lambda _, args: heard.append(args[0]))
    else:
        module.register_forward_hook(lambda _, args, output: heard.append(args[0] if args else output[0]))
    last = tokens_at(feed_forward(loaded, -1))
    logits = answered(model, batch)
    assert last == [int(batch["attention_mask"].sum())]
    assert (logits - answered(model, batch, logits_only=False)).abs().max() < LIMIT
    assert torch.equal(heard[0], heard[1])


def answered(model: Any, batch: dict[str, torch.Tensor], logits_only: bool = True) -> torch.Tensor:
    with torch.no_grad(), padding_free(model, logits_only):
        logits: torch.Tensor = model(**batch).logits
    return logits


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_outside_of_the_context_and_after_an_error_every_token_is_computed(
    load_lively: Any, error: type[BaseException]
) -> None:
    loaded = lively(load_lively, "gpt2")
    batch, model = batch_of(loaded, texts()), loaded.model.eval()
    alone = batch_of(loaded, texts((40,)))  # a batch without padding, longer than the others
    wanted = model(**batch).logits, model(**alone).logits

    @own_hook
    def fail(*_: Any) -> None:
        raise error

    with torch.no_grad(), padding_free(model, logits_only=True):
        breaking = feed_forward(loaded, -1).register_forward_pre_hook(fail)
        with pytest.raises(error):
            model(**batch)
        breaking.remove()
        last = tokens_at(feed_forward(loaded, -1))
        assert (model(**alone).logits - wanted[1]).abs().max() < LIMIT
    assert last == [alone["input_ids"].numel()]
    assert (model(**batch).logits - wanted[0]).abs().max() < LIMIT
    assert last[1:] == [batch["input_ids"].numel()]
    answered(model, batch, logits_only=False)  # whoever wants more than logits gets every token
    assert last[2:] == [int(batch["attention_mask"].sum())]


def test_a_copy_made_meanwhile_and_a_context_within_answer_alike(load_lively: Any) -> None:
    loaded = lively(load_lively, "gpt2")
    batch, model = batch_of(loaded, texts()), loaded.model.eval()
    wanted = model(**batch).logits
    with padding_free(model, logits_only=True):
        copied = copy.deepcopy(model)
        with padding_free(model, logits_only=False):
            inner = model(**batch).logits
        outer = model(**batch).logits
        found = copied(**batch).logits
    for logits in (inner, outer, found, copied(**batch).logits, answered(copied, batch)):
        assert (logits - wanted).abs().max() < LIMIT


def test_two_threads_want_different_things(load_lively: Any) -> None:
    loaded = lively(load_lively, "gpt2")
    batch, model = batch_of(loaded, texts()), loaded.model.eval()
    wanted, found = answered(model, batch, logits_only=False), []

    def answer(logits_only: bool) -> None:
        found.extend(answered(model, batch, logits_only) for _ in range(5))

    threads = [threading.Thread(target=answer, args=(at % 2 == 0,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    assert max(float((logits - wanted).abs().max()) for logits in found) < LIMIT


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
