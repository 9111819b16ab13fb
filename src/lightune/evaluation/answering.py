"""From a trained model to one that answers: its scale is folded into the output layer, its task is fitted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from lightune.models.live_layer import live_layer
from lightune.tasks.base import Task
from lightune.tasks.coverage import Coverage

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Answering:
    """The task as a trained model answers, notes on what was fitted, and the coverage on the validation texts."""

    task: Task
    notes: list[str]
    coverage: Coverage | None


def answering_task(
    task: Task,
    model: nn.Module,
    output_layer: str,
    validation: Callable[[], tuple[NDArray[Any], NDArray[Any]]],
    calibration: str = "auto",
) -> Answering:
    """Return how the model answers, which is changed in place: calibrated first, unless that is "none", then fitted.

    `output_layer` is its path in the stock model. `validation` gives (logits, targets) of the validation texts.
    """
    once = cache(validation)
    answers = task.into_answers(lambda: live_layer(model, output_layer))
    answers, calibrated = (answers, []) if calibration == "none" else answers.calibrated(once)
    answers, fitted = answers.fitted(once)
    return Answering(answers, [*calibrated, *fitted], Coverage.of(answers, once))
