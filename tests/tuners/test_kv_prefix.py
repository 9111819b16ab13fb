"""Prefix tuning: where the prefix comes from, that it is folded away, and that it is at work where it says."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from lightune.errors import RecipeError
from lightune.methods import make_method
from lightune.tuners.kv_prefix import KVPrefixLayer
from lightune.tuners.prefix_shapes import Heads
from method_cases import SEED, Load, batch_of, logits_of, train_three_steps, trainable, wrong_answers_in_threads


def layers_of(model: torch.nn.Module) -> list[KVPrefixLayer]:
    return [module for module in model.modules() if isinstance(module, KVPrefixLayer)]


@pytest.mark.parametrize(
    ("architecture", "heads"),
    [
        ("distilbert", (4, 4, 8)),
        ("gpt2", (4, 4, 8)),
        ("modernbert", (4, 4, 8)),
        ("llama", (4, 2, 8)),
        ("gemma", (4, 2, 8)),
    ],
)
def test_the_shape_of_the_attention_is_read_from_the_configuration(
    load_tiny: Load, architecture: str, heads: tuple[int, int, int]
) -> None:
    found = Heads.of(load_tiny(architecture).model.config)
    assert (found.query, found.key_value, found.width) == heads


def test_the_start_from_tokens_is_what_the_first_layer_makes_of_them(load_lively: Load) -> None:
    """DistilBERT's first layer: K = W_k embedding + b_k; the words are found again among all words."""
    loaded = load_lively("distilbert")
    model: Any = make_method("prefix", {"num_virtual_tokens": 3}).attach(loaded.model, loaded.anatomy, SEED).model
    keys = layers_of(model)[0].states("default")[0].permute(1, 0, 2).reshape(3, 32)
    stock = loaded.model.distilbert
    words = torch.arange(stock.config.vocab_size)
    projection = stock.transformer.layer[0].attention.base_layer.k_lin
    with torch.no_grad():
        for place in range(3):
            embedded = stock.embeddings.word_embeddings(words) + stock.embeddings.position_embeddings.weight[place]
            every = projection(stock.embeddings.LayerNorm(embedded))
            assert float((every - keys[place]).abs().max(dim=1).values.min()) < 1e-5


def test_the_same_seed_draws_the_same_words_and_another_draws_others(load_lively: Load) -> None:
    def start(seed: int) -> torch.Tensor:
        loaded = load_lively("bert")
        return layers_of(make_method("prefix").attach(loaded.model, loaded.anatomy, seed).model)[1].states("default")

    assert torch.equal(start(1), start(1))
    assert not torch.equal(start(1), start(2))


def test_more_tokens_than_positions_are_refused(load_lively: Load) -> None:
    loaded = load_lively("distilbert")
    with pytest.raises(RecipeError, match="65 virtual tokens"):
        make_method("prefix", {"num_virtual_tokens": 65}).attach(loaded.model, loaded.anatomy, SEED)


@pytest.mark.parametrize("attended", ["apart", "gated", "prepended"])
def test_the_network_is_folded_away_when_saved(load_lively: Load, attended: str) -> None:
    """W_2 tanh(W_1 E + b_1) + b_2, computed here."""
    loaded = load_lively("llama")
    method = make_method("prefix", {"projection": 8, "attended": attended, "num_virtual_tokens": 5})
    model = method.attach(loaded.model, loaded.anatomy, SEED).model
    train_three_steps(model, batch_of(loaded))
    saved = method.state_to_save(model)
    assert not any("projection" in name for name in saved)
    assert any("projection" in name for name in method.state(model))
    name = "model.layers.1.self_attn"
    net = dict(loaded.model.get_submodule(name).kv_prefix_projection["default"].named_parameters())
    flat = (
        torch.tanh(net["embedding"] @ net["hidden.weight"].T + net["hidden.bias"]) @ net["out.weight"].T
        + net["out.bias"]
    )
    wanted = torch.stack([flat[:, :16].reshape(5, 2, 8).transpose(0, 1), flat[:, 16:].reshape(5, 2, 8).transpose(0, 1)])
    torch.testing.assert_close(saved[f"base_model.model.{name}.kv_prefix_states"], wanted, rtol=0, atol=1e-6)


def test_two_threads_and_a_copy_get_their_own_answers(load_lively: Load) -> None:
    loaded = load_lively("distilbert")
    model = make_method("prefix", {"attended": "prepended"}).attach(loaded.model, loaded.anatomy, SEED).model
    batches = [dict(loaded.tokenizer([text], return_tensors="pt")) for text in ("a lovely film", "the soup was cold")]
    wanted = [logits_of(model, batch) for batch in batches]
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for layer in layers_of(twin):
            layer.kv_prefix_states["default"].mul_(5)
    assert wrong_answers_in_threads(model, batches) == []
    assert not torch.equal(logits_of(twin, batches[0]), wanted[0]), "the copy still reads the first one's prefix"


@pytest.mark.parametrize("architecture", ["distilbert", "llama"])
@pytest.mark.parametrize("attended", ["apart", "gated", "prepended"])
def test_with_gradient_checkpointing_the_gradients_are_the_same(
    load_lively: Load, architecture: str, attended: str
) -> None:
    found = []
    for checkpointing in (False, True):
        loaded = load_lively(architecture)
        model: Any = make_method("prefix", {"attended": attended}).attach(loaded.model, loaded.anatomy, SEED).model
        with torch.no_grad():
            for layer in layers_of(model):
                for gate in layer.kv_prefix_gate.values():
                    gate.fill_(0.3)
                layer.kv_prefix_states["default"] += 0.1
        if checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            if hasattr(module, "dropout") and not isinstance(module.dropout, torch.nn.Module):
                module.dropout = 0.0
        model(**batch_of(loaded), labels=torch.tensor([1, 0, 1, 0])).loss.backward()
        found.append({name: value.grad.clone() for name, value in trainable(model).items()})
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"num_virtual_tokens": 0}, "method.num_virtual_tokens"),
        ({"start": "words"}, "method.start"),
        ({"projection": 0}, "method.projection"),
    ],
)
def test_a_wrong_value_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make_method("prefix", options)
    assert said in str(caught.value)


@pytest.mark.parametrize("spec", [("prefix", {}), ("bottleneck", {}), ("bottleneck", {"preset": "par_bn"})])
def test_taken_off_by_peft_with_a_second_one_the_stock_model_is_left(load_lively: Load, spec: Any) -> None:
    loaded = load_lively("distilbert")
    batch = batch_of(loaded)
    model: Any = make_method(*spec).attach(loaded.model, loaded.anatomy, SEED).model
    train_three_steps(model, batch)
    model.add_adapter("second", model.peft_config["default"])
    stock = model.unload().eval()
    assert not layers_of(stock)
    assert not any(module._forward_pre_hooks for module in stock.modules())
    body = stock.distilbert(**batch).last_hidden_state
    assert torch.equal(body, load_lively("distilbert").model.eval().distilbert(**batch).last_hidden_state)
