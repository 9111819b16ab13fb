"""BOFT without dense rotations, against PEFT's own layers and against the formula."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import BOFTConfig, get_peft_model
from peft.tuners.boft.layer import Linear
from torch import nn

from lightune.execution.block_boft import BlockBoft, rotated, share_permutations
from lightune.models.class_swap import swap_classes


def adapted(width=24, block=4, layer=None, **options):
    """A pair: the same adapted layer as PEFT computes it, and as BlockBoft does, both away from their start."""
    torch.manual_seed(0)
    model = nn.Sequential(layer or nn.Linear(width, 10))
    made = get_peft_model(model, BOFTConfig(target_modules=["0"], boft_block_size=block, **options))
    with torch.no_grad():
        for value in made.parameters():
            if value.requires_grad:
                value += torch.randn_like(value) / 3
    quick = copy.deepcopy(made)
    swap_classes(quick, {Linear: BlockBoft})
    assert any(type(module) is BlockBoft for module in quick.modules())
    return made, quick


def gradients(model, x):
    x = x.clone().requires_grad_()
    found = model(x)
    (found.square().sum()).backward()
    return found, x.grad, *(value.grad for value in model.parameters() if value.requires_grad)


@pytest.mark.parametrize(
    ("width", "block", "layer"),
    [
        (24, 4, None),  # six blocks in one group
        (96, 4, None),  # three groups of eight
        (28, 4, None),  # seven blocks, a prime
        (80, 40, None),  # blocks wider than a group
        (18, 3, None),
        (24, 4, nn.Linear(24, 10, bias=False)),
    ],
)
def test_outputs_and_gradients_are_those_of_peft(width, block, layer):
    made, quick = adapted(width, block, layer)
    x = torch.randn(2, 5, width)
    for own, theirs in zip(gradients(quick, x), gradients(made, x), strict=True):
        assert torch.allclose(own, theirs, atol=1e-5, rtol=1e-4)


def test_a_quarter_turn_by_hand():
    turn = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    # x R: (1, 2) becomes (2, -1); the second block is the identity
    assert torch.equal(rotated(x, torch.stack([turn, torch.eye(2)])), torch.tensor([[2.0, -1.0, 3.0, 4.0]]))


def test_disabled_merged_and_several_adapters_are_left_to_peft():
    made, quick = adapted()
    x = torch.randn(3, 24)
    with quick.disable_adapter(), made.disable_adapter():
        assert torch.equal(quick(x), made(x))
    for model in (made, quick):
        model.add_adapter("other", BOFTConfig(target_modules=["0"], boft_block_size=4, init_weights=False))
    quick.load_state_dict(made.state_dict())
    for model in (made, quick):
        model.base_model.set_adapter(["default", "other"])
    assert torch.allclose(quick(x), made(x), atol=1e-6)
    for model in (made, quick):
        model.base_model.set_adapter("default")
    before = made(x)
    assert torch.allclose(quick.merge_and_unload()(x), before, atol=1e-5)


def test_a_layer_in_bf16_is_given_back_in_bf16_close_to_fp32():
    made, quick = adapted(96)
    x = torch.randn(7, 96)
    exact = made(x)
    frozen = quick.base_model.model[0].base_layer
    for value in frozen.parameters():
        value.data = value.data.to(torch.bfloat16)
    found = quick(x.to(torch.bfloat16))
    assert found.dtype == torch.bfloat16
    assert (found.float() - exact).abs().max() < 0.05 * exact.abs().max()


def test_dropout_turns_blocks_into_the_identity():
    made, quick = adapted(96, boft_dropout=0.5)
    x = torch.randn(2, 96)
    torch.manual_seed(1)
    theirs = made.train()(x)
    torch.manual_seed(1)
    assert torch.allclose(quick.train()(x), theirs, atol=1e-5)
    assert not torch.allclose(quick.eval()(x), theirs, atol=1e-2)


def test_layers_of_one_width_have_one_permutation():
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 12), nn.Linear(12, 4))
    made = get_peft_model(model, BOFTConfig(target_modules=["0", "1", "2"], boft_block_size=4))
    share_permutations(made)
    places = [module.boft_P.data_ptr() for module in made.modules() if isinstance(module, Linear)]
    assert places[0] == places[1] != places[2]
    assert torch.equal(made.base_model.model[2].boft_P[0], torch.eye(12))
