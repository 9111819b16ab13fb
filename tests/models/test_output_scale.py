"""The scale of answers in the output layer: y = scale * z + offset, computed by hand, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from peft.utils import ModulesToSaveWrapper

from lightune.methods import make_method
from lightune.models.live_layer import live_layer
from lightune.models.load import ModelSource, load_model
from lightune.tasks.output_scale import rescale
from lightune.tasks.output_scale import rescale as fold
from lightune.tasks.regression import Regression

SCALE, OFFSET = np.array([2.5, 300.0]), np.array([-4.0, 1000.0])
TASK = Regression(columns=("valence", "arousal")).for_training(np.array([[1.0, 900.0], [4.0, 1300.0], [2.0, 700.0]]))


def unfold(layer: Any, scale: Any, offset: Any) -> None:
    fold(layer, 1 / scale, -offset / scale)


def scale_of(task: Any) -> tuple[Any, Any]:
    return np.array(task.deviations), np.array(task.means or [0.0, 0.0])


def linear(bias: bool) -> torch.nn.Linear:
    torch.manual_seed(3)
    return torch.nn.Linear(5, 2, bias=bias)


@pytest.fixture
def inputs() -> torch.Tensor:
    return torch.randn(7, 5, generator=torch.Generator().manual_seed(1))


def test_a_folded_layer_gives_scale_times_z_plus_offset(inputs: torch.Tensor):
    layer = linear(bias=True)
    wanted = layer(inputs).detach().double().numpy() * SCALE + OFFSET
    rescale(layer, SCALE, OFFSET)
    np.testing.assert_allclose(layer(inputs).detach().numpy(), wanted, rtol=1e-5)
    assert layer.weight.dtype == layer.bias.dtype == torch.float32
    assert layer.weight.requires_grad


def test_unfolding_is_the_way_back(inputs: torch.Tensor):
    layer, wanted = linear(bias=True), linear(bias=True)
    rescale(layer, SCALE, OFFSET)
    rescale(layer, 1 / SCALE, -OFFSET / SCALE)
    torch.testing.assert_close(layer(inputs), wanted(inputs), rtol=1e-4, atol=1e-4)


def test_the_task_scales_a_layer_by_its_training_targets_and_back(inputs: torch.Tensor):
    layer = linear(bias=True)
    z = layer(inputs).detach().double().numpy()
    mean, deviation = np.array([7 / 3, 2900 / 3]), np.std([[1, 900], [4, 1300], [2, 700]], axis=0)
    answering = TASK.into_answers(lambda: layer)
    np.testing.assert_allclose(layer(inputs).detach().numpy(), z * deviation + mean, rtol=1e-5)
    np.testing.assert_allclose(answering.answers(layer(inputs).detach().numpy()), TASK.answers(z), rtol=1e-5)
    answering.into_targets(layer)
    np.testing.assert_allclose(layer(inputs).detach().numpy(), z * deviation + mean, rtol=1e-5)
    TASK.into_targets(layer)
    np.testing.assert_allclose(layer(inputs).detach().numpy(), z, atol=1e-4)


def test_a_layer_without_bias_is_scaled_and_has_no_place_for_an_offset(inputs: torch.Tensor):
    layer = linear(bias=False)
    wanted = layer(inputs).detach().double().numpy() * SCALE
    rescale(layer, SCALE, np.zeros(2))
    np.testing.assert_allclose(layer(inputs).detach().numpy(), wanted, rtol=1e-5)
    rescale(layer, 1 / SCALE, np.zeros(2))
    torch.testing.assert_close(layer(inputs), linear(bias=False)(inputs))
    with pytest.raises(AssertionError, match="no place for an offset"):
        rescale(layer, SCALE, OFFSET)


def test_a_layer_in_half_precision_is_scaled_in_double():
    layer = linear(bias=True).bfloat16()
    wanted = (layer.weight.detach().double().numpy() * SCALE[:, None]).astype(np.float32)
    rescale(layer, SCALE, OFFSET)
    assert layer.weight.dtype == torch.bfloat16
    torch.testing.assert_close(layer.weight.detach(), torch.from_numpy(wanted).bfloat16(), rtol=0, atol=0)


# distilbert: two layers, of which the second gives the logits; gpt2: one without a bias; roberta: a head of its own.
@pytest.mark.parametrize("method", ["lora", "full", "head", "bitfit", "prefix"])
@pytest.mark.parametrize("architecture", ["distilbert", "gpt2", "roberta"])
def test_in_an_adapted_model_the_trained_layer_is_the_one_that_is_scaled(
    tiny_models: dict[str, Any], architecture: str, method: str, monkeypatch: pytest.MonkeyPatch
):
    """PEFT keeps the stock layer and trains a copy of it: the answers of the whole model have to change."""
    loaded = load_model(ModelSource("it", tiny_models[architecture], None), TASK, 1)
    layer = loaded.anatomy.output_layer
    model = make_method(method, {}).attach(loaded.model, loaded.anatomy, 1).model.eval()
    batch = loaded.tokenizer(["a lovely film", "the soup was cold"], padding=True, return_tensors="pt")
    scale, offset = scale_of(loaded.task)
    assert offset.any() == (architecture != "gpt2")
    with torch.no_grad():
        wanted = model(**batch).logits.double().numpy() * scale + offset
        kept = {name: value.clone() for name, value in model.state_dict().items()}
        found = live_layer(model, layer)
        assert not isinstance(found, ModulesToSaveWrapper)
        answering = loaded.task.into_answers(lambda: found)
        assert answering.is_folded
        np.testing.assert_allclose(model(**batch).logits.numpy(), wanted, rtol=1e-4)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, kept[name])}
    assert {name.rpartition(".")[2] for name in changed} <= {"weight", "bias"}
    assert len(changed) == (1 if architecture == "gpt2" else 2), "the layer that answers and nothing beside it"


def test_the_scale_of_a_finished_head_is_taken_out_before_training(
    tiny_models: dict[str, Any], load_lively: Callable[..., Any], tmp_path: Any
):
    """A checkpoint that answers in the unit: loaded for training, it gives the same answers in standardised form."""
    theirs = load_model(ModelSource("it", tiny_models["bert"], None), TASK, 1)
    theirs.task.into_answers(lambda: theirs.model.classifier)
    theirs.model.save_pretrained(tmp_path)
    theirs.tokenizer.save_pretrained(tmp_path)
    ours = load_model(ModelSource("it", tmp_path, None), TASK, 2)
    batch = ours.tokenizer(["a lovely film", "the soup was cold"], padding=True, return_tensors="pt")
    with torch.no_grad():
        answers, logits = theirs.model(**batch).logits.numpy(), ours.model(**batch).logits.numpy()
    assert ours.head == "checkpoint"
    np.testing.assert_allclose(logits * TASK.deviations + TASK.means, answers, rtol=1e-4)
    assert ours.task == TASK
