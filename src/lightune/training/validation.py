"""The validation after an epoch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightune.evaluation.evaluate import Around, predict_logits
from lightune.tasks.base import Task
from lightune.training.batch_loss import Examples
from lightune.training.distributed import Ranks

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Validation:
    """The texts that a model is validated on while it is trained."""

    model: Any
    tokenizer: PreTrainedTokenizerBase
    task: Task
    examples: Examples
    batch_size: int
    ranks: Ranks

    def metrics(self, around: Around | None = None) -> dict[str, float | None]:
        """Return the metrics of the model as it is; the first rank measures, and the others use its figures.

        `around` makes a context for each call of the model, as in `predict_logits`.
        """
        if not self.ranks.is_first:
            told: dict[str, float | None] = json.loads(self.ranks.broadcast_text())
            return told
        logits = predict_logits(self.model, self.tokenizer, self.examples.encoded, self.batch_size, around=around)
        found = self.task.measure(logits, self.examples.targets)
        self.ranks.broadcast_text(json.dumps(found))
        return found
