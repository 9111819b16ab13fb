"""How many texts have each label, as a table for `lightune check`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightune.tasks.overview import Overview, by_split

MOST_LABELS = 20


def label_table(labels: Sequence[str], splits: Mapping[str, NDArray[Any]]) -> Overview:
    """Return the count and the share of each label in each split, and all; the largest of very many labels.

    Targets are label numbers, (texts,).
    """
    counts = {split: np.bincount(found, minlength=len(labels)).tolist() for split, found in splits.items()}
    order = list(range(len(labels)))
    if len(labels) > MOST_LABELS:
        largest = max(counts.values(), key=sum)
        order = sorted(order, key=lambda place: -largest[place])[:MOST_LABELS]
    left = f" ({MOST_LABELS} of {len(labels)})" if len(labels) > MOST_LABELS else ""
    rows = {}
    for split, found in counts.items():
        total = sum(found)
        rows[split] = {labels[place]: [f"{found[place]:,}", share(found[place], total)] for place in order}
        rows[split]["all"] = [f"{total:,}", ""]
    return by_split(f"label{left}", rows, ["", "share"])


def share(count: int, total: int) -> str:
    """Return a share as a percentage: "12.5%"."""
    return f"{100 * count / max(total, 1):.1f}%"
