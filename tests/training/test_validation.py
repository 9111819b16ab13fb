"""The validation loss of any task, and what depends on it: the best epoch, divergence, the record, the loss plot."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from lightune.errors import TrainingDivergedError
from lightune.measured import Metric
from lightune.report.learning_plots import Curves
from lightune.sections import Epoch, Training
from lightune.tasks import TASKS
from lightune.tasks.base import CHUNK
from lightune.training.best import Best
from lightune.training.validation import mean_loss, validated
from tiny import classes

Classification: Any = TASKS["classification"]
HIGHER, LOWER = Metric(name="r", title="r"), Metric(name="r", title="r", higher_is_better=False)


@dataclass(frozen=True)
class WithoutLoss(Classification):
    """Classification that does not have the loss among its metrics."""

    metrics: ClassVar[tuple[Metric, ...]] = (Classification.metrics[0],)

    def measure(self, logits: Any, targets: Any) -> dict[str, float | None]:
        """Return accuracy; NaN is refused, as scikit-learn does."""
        assert np.isfinite(logits).all()
        return {"accuracy": float((logits.argmax(axis=1) == targets).mean())}


@pytest.mark.parametrize("better", [HIGHER, LOWER], ids=["higher", "lower"])
def test_a_metric_that_is_no_number_is_worse_than_any(better: Metric) -> None:
    best = Best(better)
    told = [(1, None), (2, math.nan), (3, -5.0), (4, math.nan), (5, None), (6, math.inf), (7, -math.inf)]
    assert [epoch for epoch, value in told if best.improved(epoch, {"r": value}, 1.0)] == [1, 3]
    assert best.epoch == 3
    assert best.improved(8, {"r": -4.0 if better is HIGHER else -6.0}, 9.0)


def test_ties_are_broken_by_the_loss_also_without_any_number() -> None:
    best = Best(HIGHER)
    told = [(1, math.nan, 0.5), (2, math.nan, 0.6), (3, None, 0.4), (4, 0.1, 0.9), (5, 0.1, 0.8), (6, 0.1, 0.85)]
    assert [epoch for epoch, value, loss in told if best.improved(epoch, {"r": value}, loss)] == [1, 3, 4, 5]


def test_the_mean_loss_is_the_cross_entropy_by_hand() -> None:
    """-log 0.7, -log 0.8 and -log 0.6, many times over, so that more than one chunk is needed."""
    logits = np.log(np.array([[0.7, 0.3], [0.2, 0.8], [0.6, 0.4]], np.float32))
    times = CHUNK // 3 + 5
    found = mean_loss(classes("ab"), np.tile(logits, (times, 1)), np.tile(np.array([0, 1, 0], np.int32), times))
    assert found == pytest.approx(-math.log(0.7 * 0.8 * 0.6) / 3, rel=1e-6)


def test_a_loss_that_is_a_metric_is_taken_as_it_is() -> None:
    task, draw = classes("abc"), np.random.default_rng(0)
    logits, targets = draw.normal(size=(50, 3)).astype(np.float32), draw.integers(0, 3, 50).astype(np.int32)
    found = validated(task, logits, targets)
    assert found.metrics == task.measure(logits, targets)
    assert found.loss == found.metrics["loss"]
    other = validated(WithoutLoss(task.labels), logits, targets)
    assert other.metrics.keys() == {"accuracy"}
    assert other.loss == pytest.approx(found.loss, rel=1e-6)


def test_logits_that_are_no_numbers_are_not_measured() -> None:
    found = validated(WithoutLoss(("no", "yes")), np.full((4, 2), np.nan, np.float32), np.zeros(4, np.int32))
    assert math.isnan(found.loss)
    assert found.metrics == {"accuracy": None}


def without_loss(trial: Any) -> Any:
    """Return the trial, now of a task that does not have the loss among its metrics."""
    trial.loaded = replace(trial.loaded, task=WithoutLoss(trial.loaded.task.labels))
    return trial


def test_a_task_without_the_metric_has_a_validation_loss_that_breaks_ties(make_loop: Callable[..., Any]) -> None:
    """At a rate near 0 no answer changes, while the loss still does."""
    settings = {"num_train_epochs": 4, "learning_rate": 1e-6, "dropout": False}
    fitted, usual = without_loss(make_loop(**settings)).fit(), make_loop(**settings).fit()
    losses = [epoch.validation_loss for epoch in fitted.epochs]
    assert losses == pytest.approx([epoch.validation_loss for epoch in usual.epochs], rel=1e-6)
    assert fitted.best_epoch == losses.index(min(losses)) + 1 == usual.best_epoch
    assert all(epoch.metrics.keys() == {"accuracy"} for epoch in fitted.epochs)
    cost = {"runtime": 1.0, "samples_per_second": 1.0, "steps_per_second": 1.0}
    training = Training(
        **cost, steps=16, best_epoch=fitted.best_epoch, learning_rate=1e-6, precision="fp32", epochs=fitted.epochs
    )
    assert re.search("validation loss from [0-9]", Curves(training).losses())


def test_divergence_is_seen_without_the_metric(make_loop: Callable[..., Any]) -> None:
    loop = make_loop(
        method="full", learning_rate=1e30, warmup_steps=0, per_device_train_batch_size=64, num_train_epochs=1
    )
    with pytest.raises(TrainingDivergedError, match="epoch 1: the validation loss is"):
        without_loss(loop).fit()


@pytest.mark.parametrize("metrics", [{"accuracy": 0.5}, {"accuracy": 0.5, "loss": 0.25}])
def test_the_loss_of_an_epoch_is_written_once_under_the_name_of_version_1(metrics: dict[str, float]) -> None:
    epoch = Epoch(epoch=1, train_loss=1.0, metrics=metrics, learning_rate=0.1, validation_loss=0.25)
    written = epoch.model_dump(mode="json")
    assert written == {
        "epoch": 1, "train_loss": 1.0, "metrics": metrics, "learning_rate": 0.1, "validation_accuracy": 0.5,
        "validation_loss": 0.25,
    }  # fmt: skip
    assert Epoch.model_validate(written) == epoch
    assert Epoch.model_validate_json(epoch.model_dump_json()) == epoch


def test_an_epoch_of_a_record_without_a_loss_has_none() -> None:
    epoch = Epoch(epoch=1, train_loss=1.0, metrics={"mae": 0.5}, learning_rate=0.1)
    assert epoch.validation_loss is None
    assert "validation_loss" not in epoch.model_dump()
