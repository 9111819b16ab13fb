"""The validation after an epoch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightune.evaluation.evaluate import Around, validate
from lightune.evaluation.metrics import Metrics
from lightune.training.batch_loss import Examples
from lightune.training.distributed import Ranks

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Validation:
    """The texts that a model is validated on while it is trained."""

    model: Any
    tokenizer: PreTrainedTokenizerBase
    examples: Examples
    batch_size: int
    ranks: Ranks

    def metrics(self, around: Around | None = None) -> Metrics:
        """Return the metrics of the model as it is; the first rank measures, and the others decide by its figures.

        `around` makes a context for each call of the model, as in `predict_logits`.
        """
        if not self.ranks.is_first:
            return Metrics(**json.loads(self.ranks.broadcast_text()))
        texts, labels = self.examples.encoded, self.examples.labels
        found = validate(self.model, self.tokenizer, texts, labels, self.batch_size, around)
        self.ranks.broadcast_text(json.dumps(vars(found)))
        return found
