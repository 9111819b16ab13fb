"""The cells of a table, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lightune.data.tables import Table

CHUNK = 4096


def cells(table: Table, column: str) -> Iterator[Any]:
    """Yield the values of a column, a chunk at a time: it may lie on disk."""
    values = table.columns[column]
    for start in range(0, len(table), CHUNK):
        yield from values[start : start + CHUNK]
