"""The label names that a checkpoint's config.json has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def label_names(raw: Mapping[str, Any]) -> list[str]:
    """Return the label names by row; a configuration leaves them out when they are LABEL_0 and LABEL_1."""
    named = raw.get("id2label")
    if not isinstance(named, dict) or not all(str(number).isdecimal() for number in named):
        count = raw.get("num_labels")
        return [f"LABEL_{number}" for number in range(count if isinstance(count, int) else 2)]
    return [str(named[number]) for number in sorted(named, key=int)]
