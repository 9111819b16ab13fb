"""Which epoch was the best so far."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lightune.evaluation.metrics import Metrics


@dataclass
class Best:
    """The best epoch so far by the metric; of equals the one with the lower validation loss."""

    metric: str
    epoch: int = 0
    value: tuple[float, float] = (-math.inf, -math.inf)

    def improved(self, epoch: int, found: Metrics) -> bool:
        """Take the epoch if it is the best so far, and say so."""
        first = -found.loss if self.metric == "loss" else float(getattr(found, self.metric))
        value = (first, -found.loss)
        if value <= self.value:
            return False
        self.epoch, self.value = epoch, value
        return True
