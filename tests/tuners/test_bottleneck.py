"""Adapter layers against their formula, computed here from the saved tensors."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from lightune.artifact import ArtifactConfig, save_adapter
from lightune.errors import RecipeError
from lightune.methods import make_method
from method_cases import SEED, Load, batch_of, logits_of, train_three_steps, trainable, wrong_answers_in_threads

FFN_OUT = {"distilbert": "distilbert.transformer.layer.0.ffn.lin2", "gpt2": "transformer.h.0.mlp.c_proj"}
FFN_IN = {"distilbert": "distilbert.transformer.layer.0.ffn.lin1", "gpt2": "transformer.h.0.mlp.c_fc"}


def stirred(model: torch.nn.Module) -> torch.nn.Module:
    """Move every trained tensor, so that nothing is zero."""
    draw = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for value in trainable(model).values():
            value.add_(torch.randn(value.shape, generator=draw) * 0.3)
    return model.eval()


def passing(model: torch.nn.Module, name: str) -> tuple[Any, list[Any]]:
    """Note what goes into and out of a module."""
    seen: list[Any] = []
    module = model.get_submodule(name)
    module.register_forward_hook(lambda _, args, output: seen.append((args[0].detach(), output.detach())))
    return module, seen


@pytest.mark.parametrize("architecture", ["distilbert", "gpt2"])
@pytest.mark.parametrize(
    ("options", "function"),
    [
        ({"non_linearity": "relu", "reduction_factor": 4}, torch.relu),
        ({"non_linearity": "tanh", "reduction_factor": 4, "scaling": 0.5}, torch.tanh),
    ],
)
def test_it_adds_up_of_f_of_down(load_lively: Load, architecture: str, options: dict[str, Any], function: Any) -> None:
    loaded = load_lively(architecture)
    method = make_method("bottleneck", options)
    model = stirred(method.attach(loaded.model, loaded.anatomy, SEED).model)
    _, seen = passing(loaded.model, FFN_OUT[architecture])
    _, base = passing(loaded.model, f"{FFN_OUT[architecture]}.base_layer")
    logits_of(model, batch_of(loaded))
    state = method.state(model)
    part = {key: state[f"base_model.model.{FFN_OUT[architecture]}.bottleneck_{key}"] for key in
            ("down.weight", "down.bias", "up.weight", "up.bias")}  # fmt: skip
    assert part["down.weight"].shape == (8, 32)
    h = base[0][1]
    inner = function(h @ part["down.weight"].T + part["down.bias"])
    wanted = h + options.get("scaling", 1.0) * (inner @ part["up.weight"].T + part["up.bias"])
    torch.testing.assert_close(seen[0][1], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("architecture", ["distilbert", "gpt2"])
def test_a_parallel_one_reads_what_the_feed_forward_part_reads(load_lively: Load, architecture: str) -> None:
    """h + 4 W_up f(W_down x), x the input of the part's first layer."""
    loaded = load_lively(architecture)
    method = make_method("bottleneck", {"preset": "par_bn", "non_linearity": "relu"})
    model = stirred(method.attach(loaded.model, loaded.anatomy, SEED).model)
    _, seen = passing(loaded.model, FFN_OUT[architecture])
    _, base = passing(loaded.model, f"{FFN_OUT[architecture]}.base_layer")
    _, first = passing(loaded.model, FFN_IN[architecture])
    logits_of(model, batch_of(loaded))
    state = method.state(model)
    down, down_bias, up, up_bias = (state[f"base_model.model.{FFN_OUT[architecture]}.bottleneck_{key}"] for key in
                                    ("down.weight", "down.bias", "up.weight", "up.bias"))  # fmt: skip
    assert down.shape == (4, 32)
    inner = torch.relu(first[0][0] @ down.T + down_bias)
    torch.testing.assert_close(seen[0][1], base[0][1] + 4 * (inner @ up.T + up_bias), rtol=1e-5, atol=1e-4)


def test_the_presets_stand_where_their_papers_put_them(load_tiny: Load) -> None:
    places = {"seq_bn": {"output.dense"}, "par_bn": {"output.dense"},
              "double_seq_bn": {"output.dense", "attention.output.dense"}}  # fmt: skip
    for preset, ends in places.items():
        loaded = load_tiny("bert")
        changed = make_method("bottleneck", {"preset": preset}).attach(loaded.model, loaded.anatomy, SEED).changed
        layers = {f"bert.encoder.layer.{number}.{end}" for number in (0, 1) for end in ends}
        assert set(changed) == layers | {"classifier"}


def test_dropout_is_inside_and_only_in_training(load_lively: Load) -> None:
    loaded = load_lively("distilbert")
    model = stirred(make_method("bottleneck", {"dropout": 0.5}).attach(loaded.model, loaded.anatomy, SEED).model)
    layer = loaded.model.get_submodule(FFN_OUT["distilbert"])
    hidden = torch.randn(3, 5, 64)
    assert torch.equal(layer(hidden), layer(hidden))
    layer.train()
    assert not torch.equal(layer(hidden), layer(hidden))
    assert model is not None


@pytest.mark.parametrize("preset", ["seq_bn", "par_bn"])
def test_two_threads_and_a_copy_get_their_own_answers(load_lively: Load, preset: str) -> None:
    loaded = load_lively("distilbert")
    model = stirred(make_method("bottleneck", {"preset": preset}).attach(loaded.model, loaded.anatomy, SEED).model)
    batches = [dict(loaded.tokenizer([text], return_tensors="pt")) for text in ("a lovely film", "the soup was cold")]
    wanted = [logits_of(model, batch) for batch in batches]
    twin = copy.deepcopy(model)
    assert torch.equal(logits_of(twin, batches[0]), wanted[0])
    assert wrong_answers_in_threads(model, batches) == []


@pytest.mark.parametrize("preset", ["seq_bn", "par_bn"])
def test_with_gradient_checkpointing_the_gradients_are_the_same(load_lively: Load, preset: str) -> None:
    found = []
    for checkpointing in (False, True):
        loaded = load_lively("distilbert")
        model: Any = make_method("bottleneck", {"preset": preset}).attach(loaded.model, loaded.anatomy, SEED).model
        stirred(model)
        if checkpointing:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        model(**batch_of(loaded), labels=torch.tensor([1, 0, 1, 0])).loss.backward()
        found.append({name: value.grad.clone() for name, value in trainable(model).items()})
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("architecture", ["distilbert", "gpt2", "llama"])
@pytest.mark.parametrize("spec", [("bottleneck", {"preset": "par_bn"}), ("prefix", {"projection": 8})], ids=["b", "p"])
def test_peft_itself_reads_what_is_saved(
    load_tiny: Load, tiny_models: dict[str, Path], tmp_path: Path, architecture: str, spec: Any
) -> None:
    """With lightune's tuners registered, PEFT loads the folder onto a stock model."""
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    from lightune.tuners import register_all

    loaded, method = load_tiny(architecture), make_method(*spec)
    model = method.attach(loaded.model, loaded.anatomy, SEED).model
    batch = batch_of(loaded)
    train_three_steps(model, batch)
    config = ArtifactConfig(2, architecture, None, "", spec[0], {}, loaded.task, 64, ["text"], "label", 1)
    save_adapter(model, method, config, tmp_path / "adapter")
    register_all()
    base = AutoModelForSequenceClassification.from_pretrained(tiny_models[architecture], num_labels=2)
    base.config.pad_token_id = loaded.tokenizer.pad_token_id
    theirs = PeftModel.from_pretrained(base, str(tmp_path / "adapter"))
    torch.testing.assert_close(logits_of(theirs, batch), logits_of(model, batch), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"preset": "seq"}, "method.preset"),
        ({"reduction_factor": 0.5}, "method.reduction_factor"),
        ({"non_linearity": "wavy"}, "method.non_linearity"),
        ({"scaling": 0}, "method.scaling"),
        ({"dropout": 1}, "method.dropout"),
    ],
)
def test_a_wrong_value_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make_method("bottleneck", options)
    assert said in str(caught.value)
