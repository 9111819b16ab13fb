"""How a label is written, whatever kind of cell holds it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lightune.values.numerals import WHOLE, whole


def only_item(value: Any) -> Any:
    """Return the item of a list of one, as tools for annotation write a single label, and any other value unchanged."""
    is_single = isinstance(value, list | tuple) and len(value) == 1 and not isinstance(value[0], list | tuple | dict)
    return value[0] if is_single else value


def label_text(value: Any) -> str:
    """Return a label as it is shown: words stripped, true for True, and 1 for 1.0, "1.0", 1e+00 or Decimal("1.0")."""
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    text = str(value).strip()
    return whole(text) if text[:1] in "+-0123456789" and WHOLE.fullmatch(text) else text


def class_index(value: Any, names: int) -> int | None:
    """Return the class index in a cell of any numeric type, where the file has `names` class names; else None."""
    if isinstance(value, str | bool | np.bool_):
        return None
    found = number(value)
    return int(found) if found is not None and found.is_integer() and 0 <= found < names else None


def number(value: Any) -> float | None:
    """Return a finite number, or None for anything else."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None
