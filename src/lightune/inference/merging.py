"""Which module predicts: the model as it is or, after many texts, a copy with the adapter merged."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lightune.models.load import load_model
from lightune.models.quantize import round_weights

if TYPE_CHECKING:
    from torch import nn

    from lightune.artifact import AdaptedModel
    from lightune.tasks.base import Task

# With an adapter on all roles, merging has saved its own time after about 100 texts; docs/LOG.md has the figures.
MERGE_FROM = 256
# Model and merged copy must agree on this many texts; rounding errors grow with extreme weights.
COMPARED = 8
_MERGING = threading.Lock()


class Merging:
    """Counts the texts that an adapted model predicts, and merges its adapter into a copy once there are enough."""

    def __init__(self, adapted: AdaptedModel | None, task: Task) -> None:
        """Start without a copy; without an adapted model there is nothing to merge."""
        self._task = task
        self._adapted = adapted
        self._merged: nn.Module | None = None
        self._texts = self._calls = 0

    @contextmanager
    def answering(
        self, model: nn.Module, texts: int, logits: Callable[[nn.Module], NDArray[Any]]
    ) -> Iterator[nn.Module]:
        """Yield the module that predicts this many more texts: the copy, or the given model if there is no copy.

        `logits` computes those of a few of the texts; a copy whose logits differ from the model's is not used.
        """
        with _MERGING:
            self._texts += texts
            # Not while another thread uses the model: its hooks would be copied too.
            if self._adapted is not None and self._texts >= MERGE_FROM and not self._calls:
                self._merged, self._adapted = merged_copy(self._adapted), None
                if self._merged is not None and not agree(self._task, logits(model), logits(self._merged)):
                    self._merged = None
            self._calls += 1
            chosen = model if self._merged is None else self._merged
        try:
            yield chosen
        finally:
            with _MERGING:
                self._calls -= 1

    def stop(self) -> None:
        """Drop the copy and make no other: from now on, others may change the model."""
        with _MERGING:
            self._adapted = self._merged = None


def merged_model(adapted: AdaptedModel) -> nn.Module | None:
    """Return the stock fp32 model with the adapter merged, or None if impossible.

    The given model may be changed and must not be used again, unless it shares its base model: then a copy is merged.

    Weights stored in fewer bits cannot take an adapter without being rounded again. So a new fp32 model gets their
    dequantized values, and the adapter is merged into that model.
    """
    config, method, loaded = adapted.config, adapted.method, adapted.loaded
    if config.model_precision == "fp32":
        return method.merged(copy.deepcopy(adapted.model) if adapted.shares_base else adapted.model)
    if not method.mergeable:
        return None
    fresh = load_model(loaded.source, config.task, config.seed, config.max_length)
    round_weights(fresh.model, config.model_precision, fresh.anatomy.architecture)
    plain = method.saved_as()
    model = plain.attach(fresh.model, fresh.anatomy, config.seed).model
    plain.load_state(model, method.state_to_save(adapted.model))
    return plain.merged(model.eval().to(loaded.model.device))


def agree(task: Task, one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether logits, (texts, outputs), agree within the task's tolerance, and the predictions agree."""
    is_near = np.allclose(one, other, rtol=0, atol=task.tolerance)
    return is_near and task.agree(one, other)


def merged_copy(adapted: AdaptedModel) -> nn.Module | None:
    """Return a copy of the model with its adapter merged, or None where that is not possible, exact and useful.

    The copy has its own memory only for the adapted layers and shares all other tensors, so the model itself does not
    change. None for weights stored in fewer bits than fp32, which would be rounded; for a base model shared with
    others, which is meant to store every layer only once; and where no layer is adapted.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    if adapted.shares_base or adapted.config.model_precision != "fp32" or not adapted.method.mergeable:
        return None
    model = adapted.model
    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    if not layers:
        return None
    changed = {id(value) for layer in layers for value in layer.get_base_layer().parameters()}
    shared = {id(value): value for value in (*model.parameters(), *model.buffers()) if id(value) not in changed}
    merged = adapted.method.merged(copy.deepcopy(model, shared))
    return None if merged is None else merged.eval()
