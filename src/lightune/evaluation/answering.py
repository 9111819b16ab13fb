"""From a trained model to one that answers: its scale is folded into the output layer, its task is fitted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from lightune.models.live_layer import live_layer
from lightune.tasks.base import Task

if TYPE_CHECKING:
    from torch import nn


def answering_task(
    task: Task, model: nn.Module, output_layer: str, validation: Callable[[], tuple[NDArray[Any], NDArray[Any]]]
) -> tuple[Task, list[str]]:
    """Return (the task as the model answers, notes on what was fitted); the model is changed in place.

    `output_layer` is its path in the stock model. `validation` gives (logits, targets) of the validation texts.
    """
    return task.into_answers(lambda: live_layer(model, output_layer)).fitted(validation)
