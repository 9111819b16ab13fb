"""Averaged weights against numpy's mean of the weights that each step left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from lightune.evaluation.evaluate import predict_logits
from lightune.training.weight_averaging import WeightAverage


def walk(share: float, total: int = 8) -> tuple[torch.Tensor, WeightAverage, list[np.ndarray]]:
    """Return a weight after `total` made-up steps, its average, and the weight after every step."""
    weight = torch.zeros(3)
    average, seen = WeightAverage([weight], share, total), []
    for step in range(1, total + 1):
        weight += torch.tensor([1.0, -2.0, 0.5]) * step**2
        average.update(step)
        seen.append(weight.numpy().copy())
    return weight, average, seen


@pytest.mark.parametrize(("share", "steps"), [(0.5, 4), (1.0, 8), (0.125, 1), (0.3, 3)])
def test_the_average_is_the_mean_over_the_last_steps(share: float, steps: int) -> None:
    weight, average, seen = walk(share)
    assert average.steps == steps
    average.keep()
    np.testing.assert_allclose(weight.numpy(), np.mean(seen[-steps:], axis=0), rtol=1e-6)


def test_without_a_share_the_weights_stay_as_they_are() -> None:
    weight, average, seen = walk(0.0)
    with average.applied():
        np.testing.assert_array_equal(weight.numpy(), seen[-1])
    average.keep()
    np.testing.assert_array_equal(weight.numpy(), seen[-1])


def test_averaged_for_a_while_then_the_latest_weights_are_back_even_after_an_error() -> None:
    weight, average, seen = walk(0.5)
    with average.applied():
        np.testing.assert_allclose(weight.numpy(), np.mean(seen[-4:], axis=0), rtol=1e-6)
    np.testing.assert_array_equal(weight.numpy(), seen[-1])

    def fail() -> None:
        with average.applied():
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    np.testing.assert_array_equal(weight.numpy(), seen[-1])


@pytest.mark.parametrize("keep_best", [True, False])
def test_the_loop_keeps_and_validates_the_averaged_weights(make_loop: Callable[..., Any], keep_best: bool) -> None:
    """With every step in the average, the kept weights are the mean of what each step left."""
    seen: list[dict[str, np.ndarray]] = []
    loop = make_loop(
        num_train_epochs=1, weight_averaging=1.0, load_best_model_at_end=keep_best, lr_scheduler_type="constant"
    )
    step = loop.loop.step
    take = step.take

    def taken(*arguments: Any) -> Any:
        found = take(*arguments)
        seen.append({name: value.numpy().copy() for name, value in loop.method.state(loop.model).items()})
        return found

    step.take = taken
    fitted = loop.fit()
    assert len(seen) == fitted.steps > 1
    for name, value in loop.method.state(loop.model).items():
        np.testing.assert_allclose(value.numpy(), np.mean([state[name] for state in seen], axis=0), atol=1e-6)
    logits = predict_logits(loop.model, loop.tokenizer, loop.validation.encoded, 64)
    again = loop.loaded.task.measure(logits, loop.validation.targets)
    assert fitted.epochs[-1].validation_loss == pytest.approx(again["loss"], abs=1e-6)
