"""The best epoch so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from lightune.measured import Metric


@dataclass
class Best:
    """The best epoch so far by the metric; ties are broken by the lower validation loss, where there is one."""

    metric: Metric
    epoch: int = 0
    value: tuple[float, float] = (-math.inf, -math.inf)

    def improved(self, epoch: int, found: Mapping[str, float | None]) -> bool:
        """Record the epoch if it is the best so far, and return whether it is."""
        first, loss = found[self.metric.name], found.get("loss")
        signed = -math.inf if first is None else first if self.metric.higher_is_better else -first
        value = (signed, 0.0 if loss is None else -loss)
        if value <= self.value:
            return False
        self.epoch, self.value = epoch, value
        return True
