"""Quotes that may not be read as they were meant: rows swallowed by a csv text, and literal quotes of a tsv."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Protocol

from lightune.faults import Fault

MOST_SHOWN = 10
# A column with more distinct values than this does not hold labels, and a longer value is not a label.
MOST_VALUES = 1000
LONGEST_VALUE = 100
MOST_COLUMNS = 100  # the outermost ones of a very wide table
# Lines that may be rows are judged once this many rows were read, or this many lines are waiting.
ROWS_BEFORE_JUDGING = 1000
MOST_WAITING = 10_000
FEWEST_QUOTED = 5
LINE_END = re.compile(r"\r\n|\r|\n")
BLANK_QUOTED = re.compile(r'\s+".*"\s*', re.DOTALL)
DOUBLED = re.compile(r'"(?:[^"]|"")*""(?:[^"]|"")*"')


class Watch(Protocol):
    """An observer of the rows of a file as they are read, which reports at the end what was odd."""

    def look(self, first: int, last: int, cells: Sequence[str]) -> None:
        """Look at the next row, which is on the lines `first` to `last`."""

    def warnings(self, path: str) -> list[Fault]:
        """Return what was odd."""


class _Values:
    """The short values of a column and how often each occurs; when there are too many, counting stops."""

    def __init__(self) -> None:
        self.are_too_many = False
        self._counts: dict[str, int] = {}
        self._others = self._rows = 0

    def add(self, value: str) -> None:
        """Count a value."""
        self._rows += 1
        if len(value) > LONGEST_VALUE:
            self._others += 1
        else:
            self._counts[value] = self._counts.get(value, 0) + 1
        if len(self._counts) + self._others > MOST_VALUES:
            self.are_too_many, self._counts = True, {}

    def are_few(self) -> bool:
        """Say whether each occurs twice or more, on average."""
        return not self.are_too_many and 2 * (len(self._counts) + self._others) <= self._rows

    def come_again(self, value: str) -> bool:
        """Say whether a value occurs twice or more."""
        return self._counts.get(value, 0) > 1


Line = tuple[int, list[str], bool]  # the first column that may be judged, the cells, whether it continues the numbering


class SwallowedRows:
    """Quoted texts of a csv that hold whole rows: a quote at the beginning of a text was not doubled.

    A line of such a text reads as a row when it has as many cells as there are columns, and either a column of few
    distinct values has a value there that other rows have too, or a number continues the row's own: 7, 8. Only short
    values of the rows are kept.
    """

    def __init__(self, columns: int, separator: str) -> None:
        self._columns, self._separator = columns, separator
        outer = (column for column in range(columns) if min(column, columns - column) <= MOST_COLUMNS // 2)
        self._values = {column: _Values() for column in outer}
        self._waiting: list[tuple[int, int, list[Line]]] = []
        self._waiting_lines = self._rows = self._count = 0
        self._places: list[tuple[int, int, int]] = []

    def look(self, first: int, last: int, cells: Sequence[str]) -> None:
        """Note the values of a row, and which of its lines have as many cells as a row."""
        self._rows += 1
        for column, values in self._values.items():
            values.add(cells[column])
            if values.are_too_many:
                self._values = {column: values for column, values in self._values.items() if not values.are_too_many}
        if last == first or self._columns < 2:
            return
        lines = list(_like_rows(cells, self._separator))
        if lines:
            self._waiting.append((first, last, lines))
            self._waiting_lines += len(lines)
        if self._rows > ROWS_BEFORE_JUDGING or self._waiting_lines > MOST_WAITING:
            self._judge()

    def warnings(self, path: str) -> list[Fault]:
        """Return one warning on all such texts; the first of them are named."""
        self._judge()
        if not self._count:
            return []
        first, last, lines = self._places[0]
        reads = (
            "1 of its lines reads as a row of its own"
            if lines == 1
            else f"{lines} of its lines read as rows of their own"
        )
        text = f"a quoted text continues to line {last}, and {reads}"
        if self._count > 1:
            shown = "; ".join(f"lines {start} to {end} ({held})" for start, end, held in self._places)
            more = f"; and {self._count - MOST_SHOWN} more" if self._count > MOST_SHOWN else ""
            text = f"{self._count} quoted texts hold lines that read as rows of their own: {shown}{more}"
        hint = (
            'If they are rows, the cause is a quote that begins a text: write it as """, at the end of the text '
            "too, or let a program write the csv."
        )
        return [Fault("DATA-114", f"{path}:{first}", text, hint)]

    def _judge(self) -> None:
        for first, last, lines in self._waiting:
            found = sum(map(self._reads_as_row, lines))
            self._count += found > 0
            if found and len(self._places) < MOST_SHOWN:
                self._places.append((first, last, found))
        self._waiting, self._waiting_lines = [], 0

    def _reads_as_row(self, line: Line) -> bool:
        start, cells, is_numbered = line
        few = [column for column, values in self._values.items() if column >= start and values.are_few()]
        found = [self._values[column].come_again(cells[column]) for column in few if cells[column].strip()]
        return is_numbered or (any(found) and 2 * sum(found) >= len(found))


def _like_rows(cells: Sequence[str], separator: str) -> Iterator[Line]:
    """Yield the lines of a row's texts that have as many cells as the row.

    What is before the first of these texts, and after the last line, belongs to the row itself and is not evidence. A
    number that continues is evidence, in the last line too.
    """
    is_first = True
    for place, cell in enumerate(cells):
        if "\n" not in cell and "\r" not in cell:
            continue
        parts = LINE_END.split(cell, MOST_WAITING)
        for number, part in enumerate(parts):
            is_last = number == len(parts) - 1
            before, after = cells[:place] if number == 0 and is_first else (), cells[place + 1 :] if is_last else ()
            if len(before) + part.count(separator) + 1 + len(after) != len(cells):
                continue
            found = [*before, *part.replace('"', "").split(separator), *after]
            goes_on = number > 0 and any(map(_follows, cells[:place], found, repeat(number)))
            start = place + 1 if number == 0 else 0
            judged = [*found[: len(found) - len(after)], *("" for _ in after)]
            yield start, [value if len(value) <= LONGEST_VALUE else "" for value in judged], goes_on
        is_first = False


def _follows(value: str, later: str, distance: int) -> bool:
    """Say whether two values are whole numbers that differ by `distance`."""
    is_number = value.isdigit() and value.isascii() and len(value) < LONGEST_VALUE
    return is_number and later == str(int(value) + distance)


class BlankQuotes:
    """Cells of a csv whose quotes do not count, since a space is before them: they belong to the text."""

    def __init__(self) -> None:
        self._count = 0
        self._lines: list[int] = []

    def look(self, first: int, last: int, cells: Sequence[str]) -> None:
        """Count the rows with such a cell."""
        if any(cell[:1].isspace() and BLANK_QUOTED.fullmatch(cell) for cell in cells):
            self._count += 1
            if len(self._lines) < MOST_SHOWN:
                self._lines.append(first)

    def warnings(self, path: str) -> list[Fault]:
        """Return one warning on all such rows."""
        if not self._count:
            return []
        more = " and more" if self._count > len(self._lines) else ""
        rows = "1 row holds" if self._count == 1 else f"{self._count:,} rows hold"
        text = f"{rows} a cell with a space before its quotes: line {', '.join(map(str, self._lines))}{more}"
        hint = "The quotes are read as part of the text or label. Remove the space between comma and quote."
        return [Fault("DATA-115", f"{path}:{self._lines[0]}", text, hint)]


class LiteralQuotes:
    """Cells of a tsv that are quoted as in a csv: read literally, the quotes belong to the text."""

    def __init__(self, header: Sequence[str]) -> None:
        self._names = header
        self._quoted = [0] * len(header)
        self._rows = self._count = 0
        self._lines: list[int] = []

    def look(self, first: int, last: int, cells: Sequence[str]) -> None:
        """Count the cells in quotes, and those with doubled quotes inside."""
        self._rows += 1
        doubled = 0
        for column, cell in enumerate(cells):
            if cell.startswith('"') and cell.endswith('"') and len(cell) > 1:
                self._quoted[column] += 1
                doubled += bool(DOUBLED.fullmatch(cell))
        self._count += doubled
        if doubled and len(self._lines) < MOST_SHOWN:
            self._lines.append(first)

    def warnings(self, path: str) -> list[Fault]:
        """Return one warning on all such cells."""
        if self._count:
            more = " and more" if self._count > len(self._lines) else ""
            shown = f"line{'s' * (len(self._lines) > 1)} {', '.join(map(str, self._lines))}{more}"
            cells = "1 cell is" if self._count == 1 else f"{self._count:,} cells are"
            text = f'{cells} in quotes with "" inside, as a csv writes them, and cells of a .tsv are literal: {shown}'
            return [Fault("DATA-115", f"{path}:{self._lines[0]}", text, UNQUOTE)]
        whole = [name for name, count in zip(self._names, self._quoted, strict=True) if count == self._rows]
        if self._rows < FEWEST_QUOTED or not whole:
            return []
        text = f"every cell of {' and '.join(whole)} is in double quotes, and cells of a .tsv are literal"
        return [Fault("DATA-115", path, text, UNQUOTE)]


UNQUOTE = "The quotes are read as part of the text. Write the file without quoting, or with commas as .csv."
