"""What to state where the first row has no column names: which line has them, or names for a file without any."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace

from lightune.data.names import is_known_name
from lightune.data.separators import LOOKED_AT, MARKS, cells_of
from lightune.faults import Fault

MOST_ABOVE = 20
FEWEST_BELOW = 2
AS_LONG = 0.9  # of the rows below have as many cells as the names
MOST_NAMED = 6
TITLE = "DATA-080"

Cells = Sequence[str]


def title_fault(path: str, lines: Sequence[str], separator: str) -> Fault | None:
    """Return the fault of a text table whose first lines are a title; None where the first line has the names.

    The first line has one cell, no usual name of a column, with none before it: pandas writes its index without a name
    in front of the columns, of which there may be one. The column names are the first line of several cells,
    and the rows below have as many.
    """
    first = next((line for line in lines if line.strip()), "")
    if not first or len(_filled(first, separator)) > 1 or is_known_name(first.strip(f'{separator}" \r\n')):
        return None
    if first.lstrip('\ufeff" ')[:1] in (separator, *MARKS):
        return None
    for mark in dict.fromkeys((separator, *MARKS)):
        above = names_row([_filled(line, mark) for line in lines])
        rows = cells_of(lines[above : above + LOOKED_AT], mark)
        if above and len(rows) > FEWEST_BELOW and are_alike(rows):
            return named_in(path, above + 1, rows[0])
    return None


def names_row(rows: Sequence[Cells]) -> int:
    """Return how many rows stand above the column names; 0 where none of the first rows has them.

    `rows` are the cells of the first rows that hold something. The names are the first row with as many cells as most
    rows have, or one fewer where the rows below begin with an index that has no name.
    """
    counts = [len(cells) for cells in rows]
    several = [count for count in counts if count > 1]
    if not several:
        return 0
    usual = max(several, key=several.count)
    found = next((place for place, count in enumerate(counts[:MOST_ABOVE]) if count >= usual), 0)
    return found - 1 if found > 1 and counts[found - 1] == usual - 1 > 1 and _is_numbered(rows[found:]) else found


def _is_numbered(rows: Sequence[Cells]) -> bool:
    """Say whether rows begin with whole numbers, as pandas writes its index."""
    firsts = [cells[0].strip() for cells in rows if cells]
    return bool(firsts) and all(first.isdecimal() for first in firsts)


def named_in(path: str, line: int, names: Cells) -> Fault:
    """Return the fault of a file whose column names stand further down."""
    shown = ", ".join(name.strip() for name in names[:MOST_NAMED] if name.strip())
    text = f"the first row is a title; row {line} may have the column names ({shown})"
    return Fault(TITLE, f"{path}:1", text, f"If it has: --header-row {line}.")


def are_alike(rows: Sequence[Cells]) -> bool:
    """Say whether rows have as many cells as the first of them, nearly all."""
    return sum(len(cells) == len(rows[0]) for cells in rows) >= AS_LONG * len(rows)


def with_names_proposed(faults: Sequence[Fault], rows: Sequence[Cells]) -> list[Fault]:
    """Return faults of column names with the proposal of names, for a file whose first row is a row of data."""
    proposal = _names_for(rows)
    if not proposal or any(map(is_known_name, rows[0])):
        return list(faults)
    told = f"If the file has no column names: --column-names {shlex.quote(proposal)}."
    return [replace(fault, hint=f"{told} {fault.hint}") if fault.code == "DATA-006" else fault for fault in faults]


def _names_for(rows: Sequence[Cells]) -> str:
    """Return names for columns: text for the widest, label for that with the fewest values that repeat."""
    if len(rows) < FEWEST_BELOW or len(rows[0]) < FEWEST_BELOW:
        return ""
    columns = list(zip(*(cells for cells in rows if len(cells) == len(rows[0])), strict=True))
    widths = [sum(map(len, column)) for column in columns]
    text = widths.index(max(widths))
    kinds = {place: len(set(column)) for place, column in enumerate(columns) if place != text}
    repeated = {place: count for place, count in kinds.items() if 1 < count <= len(columns[place]) / 2}
    label = min(repeated, key=repeated.__getitem__) if repeated else min(kinds)
    names = {text: "text", label: "label"}
    return ",".join(names.get(place, f"column{place + 1}") for place in range(len(columns)))


def _filled(line: str, mark: str) -> list[str]:
    rows = cells_of([line], mark)
    return [cell for cell in (rows[0] if rows else [line]) if cell.strip()]
