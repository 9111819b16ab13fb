"""MPNet and DeBERTa-v2, whose attention lightune replaces for a time: the answers never depend on what came before."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import get_peft_model

from lightune.errors import RecipeError
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


def prefixed(model: Any, target: str) -> Any:
    config = KVPrefixConfig(target_modules=[target], attended="prepended", init_weights=False)
    return get_peft_model(model, config).eval()


@pytest.mark.parametrize("architecture", MODELS)
def test_a_prefix_counts_also_where_weights_are_asked_for(load_lively: Any, architecture: str) -> None:
    loaded = load_lively(architecture)
    batch = batch_of(loaded, texts())
    without = logits(without_dropout(loaded.model).eval(), batch, is_packed=False)
    model = prefixed(loaded.model, MODELS[architecture])
    wanted = logits(model, batch, is_packed=False)
    assert float((wanted - without).abs().max()) > 1e-3
    with torch.no_grad():
        found = model(**batch, output_attentions=True)
    torch.testing.assert_close(found.logits, wanted, rtol=1e-5, atol=1e-5)
    assert set(found.attentions) == {None}  # as of transformers' models whose attention computes none
    model.config.output_attentions = True
    model(**batch).logits.sum().backward()
    grown = {name: value.grad for name, value in model.named_parameters() if "kv_prefix" in name}
    assert grown
    assert all(value is not None and value.any() for value in grown.values())


@pytest.mark.parametrize("architecture", [*MODELS, "bert"])
def test_a_copy_that_loses_its_prefix_leaves_the_original_alone(load_lively: Any, architecture: str) -> None:
    loaded = load_lively(architecture)
    batch = batch_of(loaded, texts())
    plain = logits(without_dropout(loaded.model).eval(), batch, is_packed=False)
    model = prefixed(loaded.model, MODELS.get(architecture, "attention.self"))
    wanted = logits(model, batch, is_packed=False)
    copied: Any = copy.deepcopy(model).unload()
    assert not any(map(own_attention.calls_the_one, copied.modules()))
    torch.testing.assert_close(logits(copied, batch, is_packed=False), plain, rtol=1e-5, atol=1e-5)
    assert torch.equal(logits(model, batch, is_packed=False), wanted)
    torch.testing.assert_close(logits(model.unload(), batch, is_packed=False), plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", [*MODELS, "bert"])
def test_a_model_with_a_prefix_passes_to_another_process(load_lively: Any, architecture: str) -> None:
    loaded = load_lively(architecture)
    batch = batch_of(loaded, texts())
    model = prefixed(without_dropout(loaded.model), MODELS.get(architecture, "attention.self"))
    again = pickle.loads(pickle.dumps(model))  # noqa: S301
    assert torch.equal(logits(again, batch, is_packed=False), logits(model, batch, is_packed=False))
    again.unload()
    assert not any(map(own_attention.calls_the_one, again.modules()))


@pytest.mark.parametrize("kind", [torch.uint8, torch.int16, torch.int32, torch.bool])
def test_a_mask_of_any_type_is_that_of_the_texts(load_lively: Any, kind: torch.dtype) -> None:
    loaded = load_lively("deberta-v2")
    model: Any = loaded.model.eval()
    batch = batch_of(loaded, texts())
    wanted = logits(model, batch, is_packed=False)
    narrow = {**batch, "attention_mask": batch["attention_mask"].to(kind)}
    for is_packed in (True, False):  # stock before, lightune's from now on
        torch.testing.assert_close(logits(model, narrow, is_packed), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_a_mask_of_bytes_without_padding(load_lively: Any, architecture: str) -> None:
    loaded = load_lively(architecture)
    model: Any = loaded.model.eval()
    batch = batch_of(loaded, ["a film"])
    wanted = logits(model, batch, is_packed=False)
    narrow = {**batch, "attention_mask": batch["attention_mask"].byte()}
    torch.testing.assert_close(logits(model, narrow, is_packed=True), wanted, rtol=1e-5, atol=1e-5)


def test_mpnets_layers_take_what_stock_ones_take(load_lively: Any) -> None:
    """No bias, one of each pair of tokens, and weights; a thread that calls a model meanwhile has a stock encoder's."""
    model: Any = load_lively("mpnet").model.eval()
    layer, encoder = model.mpnet.encoder.layer[0], model.mpnet.encoder
    hidden = torch.randn(2, 7, model.config.hidden_size, generator=torch.Generator().manual_seed(1))
    bias = encoder.compute_position_bias(hidden)
    calls = [{}, {"position_bias": bias}, {"position_bias": bias, "output_attentions": True}]
    wanted = [layer(hidden, **given) for given in calls]
    use_attention(model)
    for given, before in zip(calls, wanted, strict=True):
        for found, part in zip(layer(hidden, **given), before, strict=True):
            torch.testing.assert_close(found, part, rtol=1e-5, atol=1e-5)
    with_prefix = prefixed(model, MODELS["mpnet"])
    by_pair, by_distance = (
        layer(hidden, position_bias=one)[0] for one in (bias, encoder.compute_position_bias(hidden))
    )
    torch.testing.assert_close(by_pair, by_distance, rtol=1e-5, atol=1e-5)
    assert with_prefix.base_model.model is model


def test_debertas_encoder_takes_distances_of_the_callers(load_lively: Any) -> None:
    model: Any = load_lively("deberta-v2").model.eval()
    encoder = model.deberta.encoder
    draw = torch.Generator().manual_seed(1)
    hidden, mask = torch.randn(2, 7, model.config.hidden_size, generator=draw), torch.ones(2, 7)
    reversed_order = torch.arange(7)[None] - torch.arange(7)[:, None]
    calls = [{}, {"relative_pos": reversed_order[None]}, {"query_states": hidden.flip(1)}]
    wanted = [encoder(hidden, mask, **given).last_hidden_state for given in calls]
    assert float((wanted[0] - wanted[1]).abs().max()) > 1e-3
    use_attention(model)
    for given, before in zip(calls, wanted, strict=True):
        torch.testing.assert_close(encoder(hidden, mask, **given).last_hidden_state, before, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="neither query_states nor a relative_pos"):
        prefixed(model, MODELS["deberta-v2"]).base_model.model.deberta.encoder(hidden, mask, **calls[1])


@pytest.mark.parametrize("architecture", MODELS)
def test_somebody_s_own_encoder_keeps_its_attention_and_the_padding(load_lively: Any, architecture: str) -> None:
    loaded = load_lively(architecture)
    model: Any = loaded.model.eval()
    encoder = model.base_model.encoder
    encoder.__class__ = type("Own", (type(encoder),), {})
    assert not supported(model)
    batch = batch_of(loaded, texts())
    assert torch.equal(logits(model, batch, is_packed=True), logits(model, batch, is_packed=False))
    with pytest.raises(RecipeError, match="RECIPE-039"):
        prefixed(model, MODELS[architecture])
