"""The validation after an epoch."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lightune.evaluation.evaluate import Around, figures, predict_logits
from lightune.tasks.base import CHUNK, Array, Task
from lightune.training.batch_loss import Examples
from lightune.training.distributed import Ranks

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Validated:
    """The task's metrics and the mean loss on the validation texts."""

    metrics: dict[str, float | None]
    loss: float


@dataclass(frozen=True)
class Validation:
    """The texts that a model is validated on while it is trained."""

    model: Any
    tokenizer: PreTrainedTokenizerBase
    task: Task
    examples: Examples
    batch_size: int
    ranks: Ranks

    def measure(self, around: Around | None = None) -> Validated:
        """Return metrics and loss of the model as it is; the first rank measures, and the others use its figures.

        `around` makes a context for each call of the model, as in `predict_logits`.
        """
        if not self.ranks.is_first:
            return Validated(**json.loads(self.ranks.broadcast_text()))
        logits = predict_logits(self.model, self.tokenizer, self.examples.encoded, self.batch_size, around=around)
        found = validated(self.task, logits, self.examples.targets)
        self.ranks.broadcast_text(json.dumps(asdict(found)))
        return found


def validated(task: Task, logits: Array, targets: Array) -> Validated:
    """Return the metrics of logits, and their loss: the metric of that name, or else the mean of the task's losses.

    The task is fitted to these texts first, as it is after training, so that the best epoch is the best with what is
    fitted, with thresholds for example.
    Logits that are not finite are not measured: their loss is NaN, and the metrics are None.
    """
    if not np.isfinite(logits).all():
        return Validated(dict.fromkeys(metric.name for metric in task.metrics), math.nan)
    fitted, _ = task.fitted(lambda: (logits, targets))
    metrics = figures(fitted.measure(logits, targets))
    loss = metrics.get("loss")
    return Validated(metrics, mean_loss(task, logits, targets) if loss is None else loss)


def mean_loss(task: Task, logits: Array, targets: Array) -> float:
    """Return the mean of the task's losses of texts, computed on the CPU from logits (texts, ...)."""
    import torch

    total, count = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(logits), CHUNK):
            part = torch.from_numpy(logits[start : start + CHUNK])
            wanted = task.collate(targets[start : start + CHUNK], part.shape[1])
            losses = task.losses(part, wanted).double()
            total, count = total + losses.sum().item(), count + losses.numel()
    return total / count
