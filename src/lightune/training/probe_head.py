"""A head start: the output layer is initialized with a linear model of its inputs, instead of at random."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from lightune.errors import RecipeError

if TYPE_CHECKING:
    from torch import nn

    from lightune.models.load import LoadedModel
    from lightune.tasks.base import Task


def usual_head_start(loaded: LoadedModel, texts: int) -> str:
    """Return what `training.head_start: auto` means: the task's choice, unless the checkpoint has a head."""
    return loaded.task.usual_head_start(texts) if loaded.head == "new" else "random"


def start_from_probe(output_layer: nn.Module, inputs: NDArray[Any], targets: NDArray[Any], task: Task) -> str:
    """Fit the task's linear model to the output layer's inputs, copy it into the layer, and return a note on the fit.

    Raises RecipeError if the task has no such model.
    """
    import torch

    has_bias = output_layer.bias is not None
    start = task.head_start(inputs, targets, has_bias)
    if start is None:
        text = f"training.head_start: the task {task.name} has no linear model for a head to start from."
        raise RecipeError("RECIPE-016", text, "Leave it out.")
    with torch.no_grad():
        output_layer.weight.copy_(torch.from_numpy(start.weight))  # type: ignore[operator]
        if has_bias:
            output_layer.bias.copy_(torch.from_numpy(start.bias))  # type: ignore[operator]
    return start.note
