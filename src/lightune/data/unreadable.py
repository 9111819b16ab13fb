"""Rows that cannot be read, and words for a missing value: left out where that is asked for, and counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from lightune.data.arrow_columns import UNREADABLE, LazySequence
from lightune.data.tables import Table
from lightune.faults import Fault, beside
from lightune.values.missing import MISSING

# Faults of one row, after which reading went on.
ROW_CODES = frozenset({"DATA-003", "DATA-005", "DATA-007", "DATA-008", "DATA-060", "DATA-070"})
MOST_SHARE = 0.1  # of the rows: beyond it, it is the file that is misread
MOST_NAMED = 5
REMEDY = "Or leave such rows out: --set data.on_unreadable=drop."


def settle_unreadable(faults: list[Fault], tables: Sequence[Table], drops: bool) -> list[str]:
    """Take the faults of rows out of `faults` and return notes on them, or without `drops` add the remedy to each.

    Neither where they are more than a tenth of the rows, or where not each is the fault of one row.
    """
    rows = [fault for fault in faults if fault.code in ROW_CODES and fault.place.rpartition(":")[2].isdecimal()]
    skipped = sum(table.skipped.get(UNREADABLE, 0) for table in tables)
    total = skipped + sum(map(len, tables))
    if not rows or len(rows) != skipped or skipped > MOST_SHARE * total:
        return []
    if not drops:
        faults[:] = [replace(one, hint=f"{one.hint} {REMEDY}".strip()) if one in rows else one for one in faults]
        return []
    faults[:] = [fault for fault in faults if fault not in rows]
    by_file: dict[str, list[Fault]] = {}
    for fault in rows:
        by_file.setdefault(fault.place.rpartition(":")[0], []).append(fault)
    return [_left_out(file, found) for file, found in by_file.items()]


def _left_out(file: str, rows: Sequence[Fault]) -> str:
    """Return the note on the rows of a file that were left out."""
    told = [f"{beside(fault.place, rows[0].place)} ({fault.text})" for fault in rows[:MOST_NAMED]]
    more = f" and {len(rows) - MOST_NAMED:,} more" if len(rows) > MOST_NAMED else ""
    count = "1 row that cannot be read was" if len(rows) == 1 else f"{len(rows):,} rows that cannot be read were"
    return f"{file}: {count} left out: {', '.join(told)}{more}."


class WithoutWords(LazySequence):
    """A column in which words for a missing value, such as NA and -, are no values."""

    def __init__(self, column: Sequence[Any]) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    def _items(self, start: int, stop: int) -> list[Any]:
        return [None if is_word_for_missing(cell) else cell for cell in self._column[start:stop]]


def is_word_for_missing(cell: Any) -> bool:
    """Say whether a cell holds a word that programs write for a missing value."""
    return isinstance(cell, str) and cell.strip().lower() in MISSING


def empty_words(table: Table, names: Iterable[str]) -> None:
    """Take words for a missing value in these columns for what they mean."""
    emptied = {name: WithoutWords(table.columns[name]) for name in names if name in table.columns}
    table.columns = {**table.columns, **emptied}
