"""Frozen layers in bf16: nearly the same logits and gradients, for every architecture and method, and nothing left."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from lightune.errors import RecipeError
from lightune.execution.attention import NAME
from lightune.execution.bf16 import HalfConv1D, HalfLinear, frozen_in_bf16
from lightune.execution.fast_modules import lean
from lightune.execution.unpadding import padding_free
from lightune.methods import METHODS, make_method
from padded_and_ragged import DEVICE, adapted, answers, batch_of, largest_difference, texts
from tiny import ARCHITECTURES


def errors(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> tuple[float, float]:
    """Return two relative errors: of the logits, and of all gradients as one vector."""
    assert found.keys() == wanted.keys()
    names = sorted(name for name in wanted if name != "logits")
    gradient, expected = (torch.cat([answer[name].flatten() for name in names]) for answer in (found, wanted))
    spread = wanted["logits"] - wanted["logits"].mean()
    logits = (found["logits"].float() - wanted["logits"]).norm() / spread.norm()
    return float(logits), float((gradient - expected).norm() / expected.norm())


def assert_near(model: Any, batch: dict[str, torch.Tensor]) -> None:
    """Compare with fp32. torch's own autocast is off by up to 0.05 and 0.45 in these cases.

    A rectifier that is near zero turns for one text, which is a tenth of the batch: so far apart are gradients.
    """
    wanted = answers(model, batch, is_ragged=True)
    with padding_free(model, logits_only=True), lean(model), frozen_in_bf16(model):
        found = answers(model, batch, is_ragged=False)
    assert all(value.dtype == torch.float32 for value in found.values())
    logits, gradients = errors(found, wanted)
    assert 0 < logits < 0.06
    assert 0 < gradients < 0.5


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture(load_lively: Any, architecture: str) -> None:
    model, batch = adapted(make_method("lora"), load_lively(architecture))
    wanted = answers(model, batch, is_ragged=True)
    before = {name: (value.data_ptr(), value.dtype) for name, value in model.named_parameters()}
    with padding_free(model, logits_only=True), lean(model), frozen_in_bf16(model):
        types = {value.dtype for value in model.parameters() if value.requires_grad}
        assert types == {torch.float32}
        assert {type(module) for module in model.modules()} & {HalfLinear, HalfConv1D}
    assert {name: (value.data_ptr(), value.dtype) for name, value in model.named_parameters()} == before
    assert_near(model, batch)
    again = answers(model, batch, is_ragged=True)
    assert largest_difference(again, wanted) <= (0 if DEVICE == "cpu" else 1e-5)  # a GPU adds up in any order


@pytest.mark.parametrize("architecture", ["distilbert", "gpt2", "llama"])
@pytest.mark.parametrize("name", sorted(set(METHODS) - {"full"}))
def test_every_method(load_lively: Any, name: str, architecture: str) -> None:
    try:
        model, batch = adapted(make_method(name), load_lively(architecture))
    except RecipeError:
        pytest.skip("this method does not fit this architecture")
    assert_near(model, batch)


@pytest.mark.parametrize("architecture", ["distilbert", "bert", "llama", "gpt2"])
def test_what_passes_between_the_layers_is_bf16_where_attention_can_take_it(
    load_lively: Any, architecture: str
) -> None:
    loaded = load_lively(architecture)
    model, batch = adapted(make_method("lora"), loaded)
    seen = []
    for name in loaded.anatomy.modules(("ffn_out",)):
        loaded.model.get_submodule(name).register_forward_pre_hook(lambda _, args: seen.append(args[0].dtype))
    with padding_free(model), frozen_in_bf16(model):
        assert loaded.model.config._attn_implementation == NAME
        answers(model, batch, is_ragged=False)
    assert set(seen) == {torch.bfloat16}


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gpt2"])
def test_a_batch_without_padding_stays_in_bf16_too(load_lively: Any, architecture: str) -> None:
    loaded = load_lively(architecture)
    model = make_method("lora").attach(loaded.model, loaded.anatomy, 3).model.to(DEVICE)
    batch, seen = batch_of(loaded, texts((7, 7))), []
    for name in loaded.anatomy.modules(("ffn_out",)):
        loaded.model.get_submodule(name).register_forward_pre_hook(lambda _, args: seen.append(args[0].dtype))
    with padding_free(model), frozen_in_bf16(model):
        answers(model, batch, is_ragged=False)
    assert set(seen) == {torch.bfloat16}


def test_a_frozen_weight_is_rounded_as_torch_rounds_it_and_a_trained_one_is_not() -> None:
    """The product by hand: both factors rounded, multiplied exactly, rounded once."""
    draw = torch.Generator().manual_seed(1)
    layer = nn.Linear(8, 3)
    x = torch.randn(5, 8, generator=draw)
    exact = x.bfloat16().double() @ layer.weight.bfloat16().double().t() + layer.bias.bfloat16().double()
    layer.requires_grad_(False)
    layer.weight.data, layer.bias.data = layer.weight.bfloat16(), layer.bias.bfloat16()
    layer.__class__ = HalfLinear
    torch.testing.assert_close(layer(x).double(), exact, rtol=2**-8, atol=1e-6)
    assert layer(x).dtype == torch.float32
    assert layer(x.bfloat16()).dtype == torch.bfloat16


def test_with_gradient_checkpointing_and_dropout_the_gradient_is_the_same(load_lively: Any) -> None:
    model, batch = adapted(make_method("lora", {"dropout": 0.3}), load_lively("bert"))
    found = []
    for checkpoints in (False, True):
        if checkpoints:
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        torch.manual_seed(4)
        with padding_free(model, logits_only=True), lean(model), frozen_in_bf16(model):
            found.append(answers(model, batch, is_ragged=False))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_a_failure_half_way_leaves_the_model_as_it_was(load_lively: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a GPU's memory is too small for the rounded weights."""
    from lightune.execution import bf16

    model = make_method("lora").attach(load_lively("bert").model, load_lively("bert").anatomy, 3).model
    kept = {
        name: (value.dtype, type(module)) for name, module in model.named_modules() for value in module.parameters()
    }
    count = 0

    rounded = []

    def fail(value: Any, released: bool) -> None:
        if len(rounded) == 3:
            raise torch.OutOfMemoryError
        value.data = value.data.to(torch.bfloat16)
        rounded.append(value)

    monkeypatch.setattr(bf16, "_round", fail)
    with pytest.raises(torch.OutOfMemoryError), padding_free(model), frozen_in_bf16(model):
        count += 1
    after = {
        name: (value.dtype, type(module)) for name, module in model.named_modules() for value in module.parameters()
    }
    assert (after, count, len(rounded)) == (kept, 0, 3)
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())
