"""Memory that does not suffice: training goes on in smaller micro-batches, to the weights of a run with enough of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from short_memory import Shortage, largest_difference, training

LIMIT = 1e-5
Load = Callable[..., Any]
WAYS: dict[str, dict[str, Any]] = {
    "one micro-batch": {"per_device_train_batch_size": 16},
    "accumulation": {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2},
    "class weights": {"per_device_train_batch_size": 16, "class_weights": "auto"},
    "weight averaging": {"per_device_train_batch_size": 16, "weight_averaging": 0.6},
    "uncached": {"per_device_train_batch_size": 16, "cache_frozen": "off"},
}


SHORTAGES = ((3, 0, "forward"), (7, 2, "backward"), (1, 5, "backward"))
TASKS = ("classification", "multi_label", "regression")
SHORT = [("classification", "accumulation", 1), ("multi_label", "one micro-batch", 0), ("regression", "uncached", 2)]


def require_same(enough: Any, first: Any, short: Any, second: Any) -> float:
    """Require the same steps on the same texts; return the largest difference of the final weights."""
    assert (second.steps, second.samples, second.best_epoch) == (first.steps, first.samples, first.best_epoch)
    for one, other in zip(short.lines, enough.lines, strict=True):
        assert one["samples"] == other["samples"]
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4, abs=1e-5)
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-3, abs=1e-5)
    return largest_difference(enough.weights, short.weights)


def require_as_with_enough(load: Load, folder: Path, task: str, way: str, shortages: Sequence[int]) -> float:
    """Require that each shortage changes nothing but the micro-batches; return the largest difference of a weight."""
    enough, worst = training(load(), folder / "enough", task, **WAYS[way]), 0.0
    first = enough.fit()
    for number in shortages:
        most, after, where = SHORTAGES[number]
        short, shortage = training(load(), folder / str(number), task, **WAYS[way]), Shortage(most, where, after)
        with shortage.applied():
            second = short.fit()
        worst = max(worst, require_same(enough, first, short, second))
        assert worst < LIMIT, (way, most)
        assert shortage.failed
        assert second.smaller[-1].texts <= most
        assert {one.note for one in second.smaller} <= set(short.notes.said)
    return worst


@pytest.mark.parametrize(("task", "way", "shortage"), SHORT)
def test_the_weights_are_those_of_a_run_with_enough_memory(
    load_lively: Load, tmp_path: Path, task: str, way: str, shortage: int
) -> None:
    require_as_with_enough(load_lively, tmp_path, task, way, [shortage])


@pytest.mark.guarantee("Out of memory while training: a smaller micro-batch, the same steps, the same weights to 1e-5")
@pytest.mark.faults
def test_every_task_and_setting_goes_on_to_the_same_weights(
    load_lively: Load, tmp_path: Path, record_property: Any
) -> None:
    cases = [(task, way) for task in TASKS for way in WAYS if (task, way) != ("regression", "class weights")]
    worst = 0.0
    for task, way in cases:
        place = tmp_path / f"{task}-{way}"
        place.mkdir()
        worst = max(worst, require_as_with_enough(load_lively, place, task, way, range(len(SHORTAGES))))
    count = len(cases) * len(SHORTAGES)
    record_property("figure", f"{count} trainings with shortages, largest difference of a weight {worst:.0e}")
