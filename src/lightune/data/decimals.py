"""Numbers with a comma before their fraction: decided for a whole column, said, and never where 1,204 may be meant."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from lightune.data.arrow_columns import LazySequence
from lightune.data.cells import cells
from lightune.data.tables import Table
from lightune.faults import data_error
from lightune.values.numerals import NUMBER

SPACES = " \u00a0\u202f"
# The parts of a number: thousands in groups of three, then the fraction. 0.125 is a fraction: no group begins with 0.
FORMS = {
    "comma": re.compile(rf"\s*[+-]?(?:[1-9][0-9]{{0,2}}(?:[.{SPACES}][0-9]{{3}})+|[0-9]+)(?:,[0-9]+)?\s*"),
    "point": re.compile(rf"\s*[+-]?(?:[1-9][0-9]{{0,2}}(?:[,{SPACES}][0-9]{{3}})+|[0-9]+)(?:\.[0-9]+)?\s*"),
}
REMOVED = {mark: str.maketrans("", "", f"{other}{SPACES}") for mark, other in (("comma", "."), ("point", ","))}
ELSE = "If two labels stand in such a cell: --task multi_label."
MOST_POINTS = 0.1  # of the fractions of a column whose commas are stated
PLAIN = re.compile(r"\s*[+-]?[0-9]+(?:,[0-9]+)?\s*")
SHORT = re.compile(r"\s*(0|[1-9][0-9]?)(?:,(0|[1-9][0-9]?))?\s*")
THOUSANDS = re.compile(r"\s*[+-]?[1-9][0-9]{0,2},[0-9]{3}\s*")


class WithPoints(LazySequence):
    """A column whose numbers are written as programs read them: 1204.5 for 1.204,5; other cells are as they were."""

    def __init__(self, column: Sequence[Any], decimal: str) -> None:
        self._column, self._decimal = column, decimal

    def __len__(self) -> int:
        return len(self._column)

    def _items(self, start: int, stop: int) -> list[Any]:
        return [with_point(cell, self._decimal) for cell in self._column[start:stop]]


def with_point(cell: Any, decimal: str) -> Any:
    """Return a number as programs read it, 1204.5 for 1.204,5 with "comma"; another cell as it is."""
    if not isinstance(cell, str) or not decimal or not FORMS[decimal].fullmatch(cell):
        return cell
    return cell.translate(REMOVED[decimal]).replace(",", ".")


def decimal_of(table: Table, name: str, stated: str | None) -> str:
    """Return what stands before the fractions of a column: "comma" or "point" as stated, "comma" as found, or ""."""
    return stated or ("comma" if _has_commas(table, name, is_open=False) else "")


def write_with_points(table: Table, names: Sequence[str], stated: str | None, is_open: bool = False) -> list[str]:
    """Write the numbers of these columns with points; return notes that say so, where a cell was changed.

    Unless it is stated, a column is taken if some of its numbers have a comma, all others are whole, and none may have
    the comma between thousands; where the task is open, none between two labels either. Raises DataError for a number
    that a statement would change.
    """
    notes = []
    for name in names:
        decimal = stated or ("comma" if _has_commas(table, name, is_open) else "")
        if not decimal or name not in table.columns or isinstance(table.columns[name], WithPoints):
            continue
        if stated == "comma":
            notes += _points_among(table, name)
        written = WithPoints(table.columns[name], decimal)
        if not any(isinstance(old, str) and new != old for new, old in zip(written, cells(table, name), strict=True)):
            continue
        table.columns = {**table.columns, name: written}
        told = f"{table.origin}: in column {name} a {decimal} stands before the fraction of a number"
        notes.append(f"{told}." if stated else f"{told} (3,5 is 3.5). {ELSE}")
    return notes


def _has_commas(table: Table, name: str, is_open: bool) -> bool:
    """Say whether a comma stands before fractions; cells without a digit have no say."""
    found = set[str]()
    for cell in cells(table, name) if name in table.columns else ():
        if not isinstance(cell, str) or not any(map(str.isdecimal, cell)):
            continue
        if not PLAIN.fullmatch(cell) or THOUSANDS.fullmatch(cell):
            return False
        found.add(cell)
    return any("," in cell for cell in found) and not (is_open and _may_be_labels(found))


def _may_be_labels(written: Iterable[str]) -> bool:
    """Say whether 1,2 may be the labels 1 and 2: short whole numbers, all of which occur first or alone as well.

    No text has a label twice: 5,5 is a number. Neither is a scale in halves: 5 behind every comma.
    """
    parts = [found.groups() if (found := SHORT.fullmatch(cell)) else None for cell in written]
    known = [part for part in parts if part is not None]
    firsts, seconds = ({part[place] for part in known} - {None} for place in (0, 1))
    is_halves = seconds == {"5"}
    are_labels = all(second is None or second in firsts - {first} for first, second in known)
    return len(known) == len(parts) and are_labels and not is_halves


def _points_among(table: Table, name: str) -> list[str]:
    """Return notes on numbers with a point, such as 3.5, where commas are stated: no comma can be meant.

    DataError where they are more than a tenth of the fractions: then it is the statement that does not fit.
    """
    points, commas, first = 0, 0, (0, "")
    for row, cell in enumerate(cells(table, name) if name in table.columns else ()):
        if not isinstance(cell, str):
            continue
        commas += "," in cell
        if "." in cell and NUMBER.fullmatch(cell) and not FORMS["comma"].fullmatch(cell):
            first = first if points else (row, cell.strip())
            points += 1
    if not points:
        return []
    row, cell = first
    if points > MOST_POINTS * (points + commas):
        text = f'column {name} holds "{cell}", which has no comma before its fraction.'
        raise data_error("DATA-082", table.place(row), text, "Leave --decimal out, or write all numbers alike.")
    more = f" and {points - 1:,} more" if points > 1 else ""
    return [f'{table.place(row)}: column {name} holds "{cell}"{more}, read as it is, although commas are stated.']
