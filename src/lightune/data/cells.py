"""The cells of a table, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lightune.data.annotations import choices_of
from lightune.data.tables import Table
from lightune.tasks.columns import Beside, LabelColumn

CHUNK = 4096


def cells(table: Table, column: str) -> Iterator[Any]:
    """Yield the values of a column, a chunk at a time: it may be on disk."""
    values = table.columns[column]
    for start in range(0, len(table), CHUNK):
        yield from values[start : start + CHUNK]


def target_cells(table: Table, names: Sequence[str]) -> Iterator[Any]:
    """Yield the cell of each row that holds its target; of several columns, their cells beside each other."""
    if len(names) == 1:
        yield from map(choices_of, cells(table, names[0]))
        return
    for values in zip(*(cells(table, name) for name in names), strict=True):
        yield Beside(values)


class Cells:
    """The values of one or more columns, which can be iterated more than once."""

    def __init__(self, table: Table, names: Sequence[str]) -> None:
        self._table, self._names = table, names

    def __iter__(self) -> Iterator[Any]:
        return target_cells(self._table, self._names)


def label_cells(table: Table, names: Sequence[str]) -> LabelColumn:
    """Return the label column of a table, or its label columns, in the form that a task reads."""
    parts = tuple(names) if len(names) > 1 else ()
    class_names = () if parts else table.class_names.get(names[0], ())
    return LabelColumn(", ".join(names), table.origin, Cells(table, names), len(table), class_names, parts, table.place)
