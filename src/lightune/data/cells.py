"""The cells of a table, one after the other, and what a cell holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lightune.data.lookalikes import is_blank
from lightune.data.tables import Table

CHUNK = 4096


def cells(table: Table, column: str) -> Iterator[Any]:
    """Yield the values of a column, a chunk at a time: it may lie on disk."""
    values = table.columns[column]
    for start in range(0, len(table), CHUNK):
        yield from values[start : start + CHUNK]


def is_missing(value: Any) -> bool:
    """Say whether a cell holds nothing: None, NaN, pandas' NA, or a text of which nothing can be seen."""
    if isinstance(value, str):
        return is_blank(value)
    if value is None:
        return True
    try:
        return bool(value != value) or not str(value).strip()
    except (TypeError, ValueError):  # pandas' NA is neither true nor false; an array is several things
        return type(value).__name__ == "NAType"


def is_writable(text: str) -> bool:
    """Say whether a text can be written as UTF-8 (half a surrogate pair cannot)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
