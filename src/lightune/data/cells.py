"""The cells of a table, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lightune.data.tables import Table
from lightune.tasks.columns import LabelColumn

CHUNK = 4096


def cells(table: Table, column: str) -> Iterator[Any]:
    """Yield the values of a column, a chunk at a time: it may be on disk."""
    values = table.columns[column]
    for start in range(0, len(table), CHUNK):
        yield from values[start : start + CHUNK]


class Cells:
    """The values of a column, which can be iterated more than once."""

    def __init__(self, table: Table, column: str) -> None:
        self._table, self._column = table, column

    def __iter__(self) -> Iterator[Any]:
        return cells(self._table, self._column)


def label_cells(table: Table, column: str) -> LabelColumn:
    """Return a column of a table in the form that a task reads."""
    names = table.class_names.get(column, ())
    return LabelColumn(column, table.origin, Cells(table, column), len(table), names)
