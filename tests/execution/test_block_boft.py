"""BOFT without dense rotations, against PEFT's own layers and against the formula."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import BOFTConfig, get_peft_model
from peft.tuners.boft.layer import Linear
from torch import nn

from lightune.execution.block_boft import BlockBoft, rotate_in_blocks, rotated


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
    rotate_in_blocks(quick)
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


def three_layers(**options):
    """Layers of 8, 8 and 12 inputs as PEFT computes them, and as BlockBoft does."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 12), nn.Linear(12, 4))
    config = BOFTConfig(target_modules=["0", "1", "2"], boft_block_size=4, init_weights=False, **options)
    made = get_peft_model(model, config)
    quick = copy.deepcopy(made)
    rotate_in_blocks(quick)
    return made, quick


def held(model):
    """How many bytes the buffers of a model hold, each storage counted once."""
    found = {value.untyped_storage().data_ptr(): value.untyped_storage().nbytes() for value in model.buffers()}
    return sum(found.values())


def another_adapter(model):
    model.add_adapter("other", BOFTConfig(target_modules=["0", "1", "2"], boft_block_size=4))
    return model


@pytest.mark.parametrize(
    "change",
    [lambda model: model, lambda model: model.to(torch.float64), lambda model: copy.deepcopy(model).double(),
     another_adapter],
    ids=["attached", "float64", "copied", "another adapter"],
)  # fmt: skip
def test_no_more_than_one_identity_for_each_width_is_held(change):
    made, quick = map(change, three_layers())
    size = next(made.parameters()).element_size()
    assert held(made) >= size * (64 + 64 + 144)  # PEFT's own keeps one for each layer
    assert held(quick) <= size * (64 + 144)
    for module in quick.modules():
        if isinstance(module, Linear):
            assert torch.equal(module.boft_P[0], torch.eye(module.in_features))


@pytest.mark.parametrize("change", [lambda model: model.double(), lambda model: another_adapter(model).double()])
def test_after_a_change_of_type_outputs_and_merged_weights_are_those_of_peft(change):
    made, quick = map(change, three_layers())
    x = torch.randn(5, 8, dtype=torch.float64)
    wanted = made(x)
    assert torch.allclose(quick(x), wanted, atol=1e-6)
    quick.merge_adapter()
    assert torch.allclose(quick(x), wanted, atol=1e-6)
    quick.unmerge_adapter()
    assert torch.allclose(quick(x), wanted, atol=1e-6)


def test_a_saved_adapter_is_read_by_peft_alone_and_the_other_way(tmp_path):
    from peft import PeftModel

    made, quick = three_layers()
    x = torch.randn(5, 8)
    for saved, name in ((quick, "ours"), (made, "theirs")):
        assert saved.state_dict().keys() == made.state_dict().keys()
        saved.save_pretrained(tmp_path / name)
        base = copy.deepcopy(made).unload()
        read = PeftModel.from_pretrained(base, tmp_path / name)
        assert type(read.base_model.model[0]) is Linear
        assert torch.allclose(read(x), made(x), atol=1e-6)
        rotate_in_blocks(read)
        assert torch.allclose(read(x), made(x), atol=1e-6)
