"""MPNet and DeBERTa-v2, whose attention lightune replaces for a time: the answers never depend on what came before."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import get_peft_model

from lightune.execution import own_attention
from lightune.execution.attention_switch import use_attention
from lightune.execution.unpadding import padding_free, supported
from lightune.tuners import register_all
from lightune.tuners.kv_prefix import KVPrefixConfig
from padded_and_ragged import batch_of, texts, without_dropout

register_all()
MODELS = {"mpnet": "attention.attn", "deberta-v2": "attention.self"}


def logits(model: Any, batch: dict[str, torch.Tensor], is_packed: bool) -> torch.Tensor:
    with torch.no_grad():
        if not is_packed:
            return model(**batch).logits
        with padding_free(model):
            return model(**batch).logits


def a_prefix_comes_and_goes(model: Any, target: str) -> Any:
    return get_peft_model(model, KVPrefixConfig(target_modules=[target], attended="prepended")).unload()


def a_prefix_is_refused(model: Any, target: str) -> Any:
    with pytest.raises(ValueError, match="never asks"):
        get_peft_model(model, KVPrefixConfig(target_modules=["dense"]))
    return model


def another_model_of_the_same_configuration(model: Any, target: str) -> Any:
    other = type(model)(model.config)
    other.load_state_dict(model.state_dict())
    return other.eval()


def a_copy(model: Any, target: str) -> Any:
    return copy.deepcopy(model)


@pytest.mark.parametrize("architecture", MODELS)
@pytest.mark.parametrize("is_used_before", [True, False])
@pytest.mark.parametrize(
    "change",
    [a_prefix_comes_and_goes, a_prefix_is_refused, another_model_of_the_same_configuration, a_copy],
)
def test_answers_are_those_of_the_untouched_model(
    load_lively: Any, architecture: str, is_used_before: bool, change: Callable[[Any, str], Any]
) -> None:
    loaded = load_lively(architecture)
    model: Any = without_dropout(loaded.model).eval()
    batch = batch_of(loaded, texts())
    wanted = logits(model, batch, is_packed=False)
    if is_used_before:
        logits(model, batch, is_packed=True)
    found = change(model, MODELS[architecture])
    for is_packed in (False, True, False):
        torch.testing.assert_close(logits(found, batch, is_packed), wanted, rtol=1e-5, atol=1e-5)
    assert found.config._attn_implementation == "eager", "a configuration that is saved names lightune"


@pytest.mark.parametrize("architecture", MODELS)
def test_somebody_s_own_subclass_keeps_its_attention_and_the_padding(load_lively: Any, architecture: str) -> None:
    loaded = load_lively(architecture)
    model: Any = loaded.model.eval()
    attention = own_attention.attention_modules(model)[0]
    attention.__class__ = type("Own", (type(attention),), {})
    assert not supported(model)
    batch = batch_of(loaded, texts())
    assert torch.equal(logits(model, batch, is_packed=True), logits(model, batch, is_packed=False))


@pytest.mark.parametrize("architecture", MODELS)
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float64])
def test_a_model_in_another_type(load_lively: Any, architecture: str, kind: torch.dtype) -> None:
    loaded = load_lively(architecture)
    model: Any = loaded.model.eval().to(kind)
    batch = batch_of(loaded, texts())
    wanted = logits(model, batch, is_packed=False)
    use_attention(model)
    for is_packed in (False, True):
        found = logits(model, batch, is_packed)
        assert found.dtype == kind
        assert float((found - wanted).norm() / wanted.norm()) < (
            0.05 if kind == torch.bfloat16 else 1e-7
        )  # a scale is fp32 in DeBERTa


def test_a_mask_that_lost_its_layout_is_an_error(load_lively: Any) -> None:
    """Reentrant checkpointing detaches the mask, and what it computes again would see all texts."""
    loaded = load_lively("deberta-v2")
    model: Any = without_dropout(loaded.model)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": True})
    model.enable_input_require_grads()
    with padding_free(model), pytest.raises(RuntimeError, match="use_reentrant=False"):
        model(**batch_of(loaded, texts())).logits.sum().backward()
