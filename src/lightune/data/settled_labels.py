"""Alike labels written in one way, and rows of rare labels left out, where that is asked for; both are said."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lightune.data.arrow_columns import LazySequence
from lightune.data.cells import cells, target_cells
from lightune.data.fingerprints import fingerprint, folded_words, normal_form
from lightune.data.split import Picked
from lightune.data.tables import Table
from lightune.errors import shortlist
from lightune.tasks.base import Task
from lightune.tasks.columns import Wishes
from lightune.values.label_text import label_text, only_item
from lightune.values.missing import is_missing

RARE = "label with one text"
# The texts of a label with more rows are not compared: there are enough of them.
MOST_COMPARED = 8
MOST_NAMED = 5

Names = Mapping[str, str | None]  # what a label is written as instead; None: its rows are left out


def settle_labels(tables: Sequence[Table], texts: Sequence[str], label: str, task: Task, wishes: Wishes) -> list[str]:
    """Change the label column of all tables as the first, the training table, asks for; return notes on it."""
    if label in tables[0].class_names:
        return []
    names = task.settled_labels(_counts(tables[0], texts, label), wishes)
    if names is None:
        return [f"Alike and rare labels are settled where a row has one label; here the task is {task.name}."]
    merged = {old: new for old, new in names.items() if new is not None}
    notes = [
        f'{tables[0].origin}: {_quoted(merged)} written as "{new}".' for new, merged in sorted(_by_new(merged).items())
    ]
    for table in tables if names else ():
        if label in table.columns:
            notes += _settle(table, label, names)
    return notes


def _counts(table: Table, texts: Sequence[str], label: str) -> dict[str, int]:
    """Return how many different texts each label has; of labels with more than a few rows, how many rows."""
    rows = Counter(name for name in _names(table, label) if name is not None)
    few = {name: set[int]() for name, count in rows.items() if count <= MOST_COMPARED}
    if texts and few:
        written = zip(*(cells(table, column) for column in texts), strict=True)
        for name, parts in zip(_names(table, label), written, strict=True):
            if name in few:
                few[name].add(fingerprint([normal_form(folded_words(str(part))) for part in parts]))
    return {name: len(few[name]) if texts and name in few else count for name, count in rows.items()}


def _names(table: Table, label: str) -> Iterator[str | None]:
    """Yield the label of each row as a text; None where it is missing, or is several."""
    return map(_name, target_cells(table, [label]))


def _name(cell: Any) -> str | None:
    value = only_item(cell)
    return None if isinstance(value, list | tuple | dict) or is_missing(value) else label_text(value)


def _settle(table: Table, label: str, names: Names) -> list[str]:
    """Change one table; return a note on the rows that were left out."""
    table.columns = {**table.columns, label: _Renamed(table.columns[label], names)}
    rare = {name for name, new in names.items() if new is None}
    rows = [row for row, name in enumerate(_names(table, label)) if name not in rare]
    lost = len(table) - len(rows)
    if not lost:
        return []
    starts = [(bisect_left(rows, start), origin) for start, origin in table.parts]
    table.columns = {name: Picked(values, rows) for name, values in table.columns.items()}
    table.lines, table.parts = Picked(table.lines, rows), starts
    table.nameless = None if table.nameless is None else Picked(table.nameless, rows)
    table.skipped = {**table.skipped, RARE: lost}
    count = "1 row" if lost == 1 else f"{lost:,} rows"
    return [f"{table.origin}: {count} left out for labels with one training text: {_quoted(rare)}."]


def _by_new(merged: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for old, new in merged.items():
        found.setdefault(new, []).append(old)
    return found


def _quoted(names: Iterator[str] | Sequence[str] | set[str]) -> str:
    return shortlist([f'"{name}"' for name in sorted(names)], MOST_NAMED)


class _Renamed(LazySequence):
    """A column in which labels are written in another way."""

    def __init__(self, column: Sequence[Any], names: Names) -> None:
        self._column = column
        self._names = {old: new for old, new in names.items() if new is not None}

    def __len__(self) -> int:
        return len(self._column)

    def _items(self, start: int, stop: int) -> list[Any]:
        return [self._names.get(_name(cell) or "", cell) for cell in self._column[start:stop]]
