"""LoHa, LoKr, FourierFT and RandLoRA without whole updates, against PEFT's own layers."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import FourierFTConfig, LoHaConfig, LoKrConfig, RandLoraConfig, get_peft_model
from peft.tuners.fourierft.layer import FourierFTLinear
from torch import nn

from lightune.execution.bf16 import HalfLinear
from lightune.execution.quick_deltas import QUICK
from lightune.models.class_swap import swap_classes

CONFIGS = {
    "loha": lambda **options: LoHaConfig(r=2, alpha=3, **options),
    "lokr": lambda **options: LoKrConfig(r=2, alpha=3, **options),
    "lokr, both factors low": lambda **options: LoKrConfig(r=1, alpha=3, decompose_both=True, **options),
    "lokr, both factors whole": lambda **options: LoKrConfig(r=16, alpha=3, **options),
    "fourierft": lambda **options: FourierFTConfig(n_frequency=12, scaling=20, **options),
    "randlora": lambda **options: RandLoraConfig(r=5, randlora_alpha=20, **options),
}
SHAPES = {"equal": (24, 24), "wide": (24, 42), "narrow": (42, 24), "odd": (21, 35)}


def adapted(name, shape=(24, 42), **options):
    """A pair: the adapted layer as PEFT computes it and as the quick class does, away from the start."""
    torch.manual_seed(0)
    made = get_peft_model(nn.Sequential(nn.Linear(*shape)), CONFIGS[name](target_modules=["0"], **options))
    with torch.no_grad():
        for value in made.parameters():
            if value.requires_grad:
                value += torch.randn_like(value)
    quick = copy.deepcopy(made)
    swap_classes(quick, QUICK)
    assert any(type(module) in QUICK.values() for module in quick.modules())
    return made, quick


def gradients(model, x):
    x = x.clone().requires_grad_()
    found = model(x)
    (found * torch.arange(found.numel()).view(found.shape).sin()).sum().backward()
    return found, x.grad, *(value.grad for value in model.parameters() if value.requires_grad)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", CONFIGS)
def test_outputs_and_gradients_are_those_of_peft(name, shape):
    made, quick = adapted(name, SHAPES[shape])
    x = torch.randn(3, 7, SHAPES[shape][0])
    theirs = gradients(made, x)
    assert not torch.allclose(theirs[0], made.base_model.model[0].base_layer(x), atol=1e-2)
    for own, wanted in zip(gradients(quick, x), theirs, strict=True):
        assert (own - wanted).abs().max() < 2e-5 * max(1.0, wanted.abs().max())


def test_a_basis_that_was_rounded_in_inference_is_good_for_training():
    """As after a checkpoint at the end of an epoch: its validation comes first."""
    _, quick = adapted("randlora")
    layer = quick.base_model.model[0].base_layer
    swap_classes(quick, {nn.Linear: HalfLinear})
    layer.weight.data, layer.bias.data = layer.weight.data.to(torch.bfloat16), layer.bias.data.to(torch.bfloat16)
    x = torch.randn(3, 7, 24)
    with torch.inference_mode():
        answered = quick(x)
    found = quick(x)
    assert torch.equal(found, answered)
    found.sum().backward()
    assert any(value.grad is not None and value.grad.abs().max() > 0 for value in quick.parameters())


@pytest.mark.parametrize(("tokens", "by_peft"), [(84, False), (85, True)])
@pytest.mark.parametrize("ways", [1, 2])
def test_many_frequencies_and_tokens_are_left_to_peft(tokens, by_peft, ways, monkeypatch):
    """12 frequencies for each of 84 tokens are as many numbers as the weight has: 24 * 42."""
    made, quick = adapted("fourierft")
    x = torch.randn(tokens, 24) if ways == 1 else torch.randn(1, tokens, 24)
    theirs = gradients(made, x)
    calls, own = [], FourierFTLinear.forward
    monkeypatch.setattr(FourierFTLinear, "forward", lambda layer, given: calls.append(1) or own(layer, given))
    for found, wanted in zip(gradients(quick, x), theirs, strict=True):
        assert (found - wanted).abs().max() < 2e-5 * max(1.0, wanted.abs().max())
    assert bool(calls) == by_peft


@pytest.mark.parametrize("name", CONFIGS)
def test_a_frozen_layer_in_bf16_gives_gradients_close_to_those_of_fp32(name):
    made, quick = adapted(name)
    layer = quick.base_model.model[0].base_layer
    swap_classes(quick, {nn.Linear: HalfLinear})
    layer.weight.data, layer.bias.data = layer.weight.data.to(torch.bfloat16), layer.bias.data.to(torch.bfloat16)
    x = torch.randn(50, 24)
    for own, wanted in zip(gradients(quick, x), gradients(made, x), strict=True):
        assert own.dtype == torch.float32
        assert (own - wanted).norm() < 0.03 * wanted.norm()


@pytest.mark.parametrize("change", ["assigned", "written"])
def test_another_frozen_basis_is_rounded_again(change):
    """Assigning `.data` leaves a tensor's version as it is, and writing into it leaves its place."""
    made, quick = adapted("randlora")
    layer = quick.base_model.model[0].base_layer
    swap_classes(quick, {nn.Linear: HalfLinear})
    layer.weight.data, layer.bias.data = layer.weight.data.to(torch.bfloat16), layer.bias.data.to(torch.bfloat16)
    x = torch.randn(50, 24)
    before = quick(x)
    for model in (made, quick):
        basis = model.base_model.model[0].randlora_B["default"]
        if change == "assigned":
            basis.data = -2 * basis
        else:
            basis.mul_(-2)
    wanted = made(x)
    assert (quick(x) - wanted).norm() < 0.03 * wanted.norm() < 0.3 * (before - wanted).norm()


@pytest.mark.parametrize("name", CONFIGS)
def test_disabled_and_merged_layers_are_left_to_peft(name):
    made, quick = adapted(name)
    x = torch.randn(3, 24)
    with quick.disable_adapter():
        assert torch.equal(quick(x), made.base_model.model[0].base_layer(x))
    wanted = made(x)
    assert torch.allclose(quick.merge_and_unload()(x), wanted, atol=1e-4)


@pytest.mark.parametrize("name", ["loha", "lokr", "fourierft"])
def test_two_active_adapters_are_left_to_peft(name):
    made, quick = adapted(name)
    for model in (made, quick):
        torch.manual_seed(5)
        model.add_adapter("other", CONFIGS[name](target_modules=["0"], init_weights=False))
        model.base_model.set_adapter(["default", "other"])
    x = torch.randn(3, 24)
    assert torch.equal(quick(x), made(x))


@pytest.mark.parametrize("name", ["loha", "lokr"])
def test_dropped_ranks_are_left_to_peft(name):
    made, quick = adapted(name, rank_dropout=0.5)
    x = torch.randn(3, 24)
    torch.manual_seed(1)
    theirs = made.train()(x)
    torch.manual_seed(1)
    assert torch.equal(quick.train()(x), theirs)
    assert torch.allclose(quick.eval()(x), made.eval()(x), atol=1e-5)


def test_dropout_of_inputs_is_that_of_peft():
    made, quick = adapted("randlora", randlora_dropout=0.5)
    x = torch.randn(3, 24)
    torch.manual_seed(1)
    theirs = made.train()(x)
    torch.manual_seed(1)
    assert torch.allclose(quick.train()(x), theirs, atol=1e-4)


@pytest.mark.parametrize("name", ["loha", "lokr", "fourierft", "randlora"])
def test_nothing_as_large_as_the_weight_is_kept_for_the_backward_pass(name):
    _, quick = adapted(name, (120, 120))
    kept = []

    def keep(value):
        kept.append(value)
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        quick(torch.randn(2, 120, requires_grad=True))
    # The frozen weight is kept, and RandLoRA's bases are, which all layers share.
    frozen = [quick.base_model.model[0].base_layer.weight, *(value for name, value in quick.named_buffers())]
    places = {value.untyped_storage().data_ptr() for value in frozen}
    own = [value for value in kept if value.untyped_storage().data_ptr() not in places]
    assert sum(value.numel() for value in own) < 120 * 120 / 2
