"""The best epoch so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lightune.measured import Metric


@dataclass
class Best:
    """The best epoch so far by the metric; ties are broken by the lower validation loss."""

    metric: Metric
    epoch: int = 0
    value: tuple[float, float] = (-math.inf, -math.inf)

    def as_json(self) -> dict[str, Any]:
        """Return the epoch and its figures as JSON values; those that are not finite as None."""
        return {"epoch": self.epoch, "value": [one if math.isfinite(one) else None for one in self.value]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        first, second = (-math.inf if one is None else one for one in state["value"])
        self.epoch, self.value = state["epoch"], (first, second)

    def improved(self, epoch: int, found: Mapping[str, float | None], loss: float) -> bool:
        """Record the epoch if it is the best so far, and return whether it is.

        A metric that is None or not finite is worse than any other: NaN would compare as neither better nor worse.
        """
        first = found[self.metric.name]
        sign = 1 if self.metric.higher_is_better else -1
        value = (-math.inf if first is None or not math.isfinite(first) else sign * first, -loss)
        if value <= self.value:
            return False
        self.epoch, self.value = epoch, value
        return True
