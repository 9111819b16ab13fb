"""Reading text tables as a stream of rows; a broken row is reported, and reading continues after it."""

from __future__ import annotations

import csv
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, dropwhile, islice
from pathlib import Path
from typing import TYPE_CHECKING

from lightune.data.arrow_columns import BLANK, UNREADABLE, Reading, Store
from lightune.data.csv_lines import Lines
from lightune.data.file_signatures import stray_characters
from lightune.data.header import STATED_NAMES, beyond_end, header_faults, missing_header
from lightune.data.header_proposals import title_fault, with_names_proposed
from lightune.data.names import clean_name
from lightune.data.quoting import BlankQuotes, LiteralQuotes, SwallowedRows, Watch
from lightune.data.separators import LOOKED_AT, MARKS, Layout, cells_of, layout_of
from lightune.data.survey_files import end_of_qualtrics, lines_of, names_of_surveymonkey
from lightune.data.text_file import TextFile, kind_of
from lightune.faults import Fault

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 8192
BATCH_LETTERS = 1_000_000
MOST_FAULTS = 10_000
MOST_COLUMNS = 20_000
WIDE = 1_000_000  # letters of a first line
QUOTING = 'Put a text that holds the separator, a quote or a line break in double quotes; write a quote inside as "".'
LITERAL = "Cells of a .tsv are literal, quotes too: remove tabs and line breaks from the texts, or write it as .csv."
QUALTRICS = "rows 2 and 3 are Qualtrics' questions and import ids, and were left out."
SURVEYMONKEY = "the column names are SurveyMonkey's two rows together: question, or question: option."
# Python's default of 131,072 characters a cell would refuse long documents.
csv.field_size_limit(min(sys.maxsize, 2**31 - 1))

Row = tuple[int, list[str]]


class Rows:
    """The rows of an open csv or tsv below its header, as (first line, cells); blank lines are skipped.

    Faults go into `faults`: broken quoting, NUL bytes, bytes that are not UTF-8, too many cells. `header` has the
    column names, and `is_usable` says that they have no fault; otherwise there are no rows. `skipped` counts, by
    reason, what was skipped so far.
    """

    def __init__(self, path: Path, stream: Iterable[str], layout: Layout, faults: list[Fault]) -> None:
        self.path, self.faults, self.skipped = path, faults, Counter[str]()
        self._layout = layout
        self._lines, self._blank, before = Lines(stream), 0, len(faults)
        self._has_begun = self._ends_in_newline = False
        self._limit = before + MOST_FAULTS
        above = sum(1 for _ in islice(self._lines, layout.lines_above))
        beyond = beyond_end(path, layout.lines_above + 1, above) if above < layout.lines_above else []
        self._rows = self._cut()
        self.header_line, cells = (1, [*layout.names]) if layout.names else next(self._rows, (1, []))
        self._written, self.header = cells, list(map(clean_name, cells))
        self._padding = _without_empty_end(self.header)
        if len(faults) == before:
            place = STATED_NAMES if layout.are_stated else f"{path}:{self.header_line}"
            faults += beyond or too_wide(place, len(self.header)) or header_faults(place, self.header, layout)
        self.is_usable = len(faults) == before
        self._blank = 0
        self.skipped.clear()
        self._watches: tuple[Watch, ...] = (LiteralQuotes(self.header),)
        if not layout.is_literal:
            self._watches = (SwallowedRows(len(self.header), layout.separator), BlankQuotes())

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows that have as many cells as the header."""
        for first, written in self._rows if self.is_usable else ():
            is_padded = len(written) == len(self.header) + self._padding and not any(written[len(self.header) :])
            cells = written[: len(self.header)] if is_padded else written
            fault = self._row_fault(first, cells)
            if fault:
                self._refuse(fault)
                continue
            if len(cells) > 1 and not any(map(str.strip, cells)):  # as spreadsheets leave them at the end
                self._blank += 1
                continue
            self._count_blank()
            for watch in self._watches:
                watch.look(first, self._lines.number, cells)
            yield first, cells

    def warnings(self) -> list[Fault]:
        """Return what looked odd in the rows that were read so far."""
        return [warning for watch in self._watches for warning in watch.warnings(str(self.path))]

    def _cut(self) -> Iterator[Row]:
        """Yield the rows that can be split into cells, the header first."""
        mark = self._layout.separator
        is_literal = self._layout.is_literal
        reader = _literal(self._lines) if is_literal else csv.reader(self._lines, strict=True, delimiter=mark)
        while True:
            first = self._lines.begin_row()
            if len(self.faults) >= self._limit:
                self.faults.append(too_many_faults(self.path, first))
                return
            try:
                cells = next(reader, None)
            except csv.Error as error:
                self._refuse(Fault("DATA-005", f"{self.path}:{first}", f"broken quoting ({error})", QUOTING))
                self._lines.read_again()
                continue
            if cells is None:
                return
            stray = stray_characters(self.path, first, self._lines.row) or self._cut_by_return(first)
            if stray:
                self._refuse(stray)
            elif cells:
                yield first, cells
            else:
                self._blank += 1

    def _cut_by_return(self, first: int) -> Fault | None:
        """Return a fault for a row that ends with a carriage return, where the header ended with a line feed."""
        end = self._lines.row[-1]
        self._ends_in_newline = self._ends_in_newline or (not self._has_begun and end.endswith("\n"))
        self._has_begun = True
        if not self._ends_in_newline or not end.endswith("\r"):
            return None
        text = "this line ends with a carriage return, and the others end with line feeds"
        return Fault("DATA-005", f"{self.path}:{first}", text, "Remove it from the text, or quote the text.")

    def _refuse(self, fault: Fault) -> None:
        self._count_blank()
        self.skipped[UNREADABLE] += 1
        self.faults.append(fault)

    def _count_blank(self) -> None:
        """Count the blank lines before a row; those at the end of the file do not count."""
        if self._blank:
            self.skipped[BLANK] += self._blank
            self._blank = 0

    def _row_fault(self, line: int, cells: list[str]) -> Fault | None:
        if len(cells) != len(self.header):
            hint = LITERAL if self._layout.is_literal else "Quote texts that hold the separator."
            if len(cells) < len(self.header) and not self._layout.is_literal:
                hint = "A cell is missing, or a text that continues on the next line is not quoted."
            return Fault("DATA-007", f"{self.path}:{line}", f"{len(cells)} cells, {len(self.header)} columns", hint)
        if len(cells) > 1 and cells in (self._written, self.header):
            hint = "Files seem to have been joined: remove this row."
            return Fault("DATA-070", f"{self.path}:{line}", "the column names are repeated here", hint)
        return None


def too_wide(place: str, columns: int) -> list[Fault]:
    """Return the fault of a table of more columns than any data has that was made by people."""
    text = f"{columns:,} columns, and at most {MOST_COLUMNS:,} are read"
    hint = "Leave out those that hold no text and no label."
    return [Fault("DATA-068", place, text, hint)] * (columns > MOST_COLUMNS)


def _without_empty_end(header: list[str]) -> int:
    """Remove the columns without a name at the end, as spreadsheets keep them, and return how many there were."""
    named = max((place for place, name in enumerate(header, 1) if name), default=len(header))
    padding = len(header) - named
    del header[named:]
    return padding


def _literal(lines: Iterable[str]) -> Iterator[list[str]]:
    """Yield the cells of each line of a tsv, unchanged; none for a blank line."""
    for line in lines:
        text = line.rstrip("\r\n")
        yield text.split("\t") if text else []


def read_separated(file: TextFile, on_disk: bool, faults: list[Fault]) -> Reading:
    """Return the columns as texts, with the line of each row; faults go into `faults`."""
    with file.stream() as stream:
        first = list(islice(stream, LOOKED_AT))
        marks = max(map(first[0].count, MARKS)) if first and len(first[0]) > WIDE else 0
        if marks > MOST_COLUMNS:  # taking a million names apart takes seconds
            faults += too_wide(f"{file.path}:1", marks + 1)
            return Reading()
        layout = _layout(file, first)
        is_stated = file.stated.header_row or layout.names
        title = None if is_stated else title_fault(str(file.path), first, layout.separator)
        if title:
            faults.append(title)
            return Reading()
        before = len(faults)
        rows = Rows(file.path, chain(first, stream), layout, faults)
        head = cells_of([line for line in first[layout.lines_above :] if line.strip()], layout.separator)
        faults[before:] = faults[before:] if is_stated else with_names_proposed(faults[before:], head)
        end = end_of_qualtrics(first[layout.lines_above :], layout.separator)
        below = layout.lines_above + end if end else 0
        reading = _columns(rows, below, Store(on_disk))
    reading.doubts = [] if layout.names else with_names_proposed(reading.doubts, head)
    reading.notes = [f"{file.path}: {note}" for note in _notes(file, layout, rows, below)]
    return reading


def _columns(rows: Rows, below: int, store: Store) -> Reading:
    """Return the columns of rows, without those up to the line `below`; a nameless first one stands apart."""
    lines: array[int] = array("q")
    doubts: list[Fault] = []
    is_nameless = rows.header[:1] == [""]
    for number, batch in enumerate(batches(dropwhile(lambda row: row[0] <= below, rows))):
        columns = by_name(rows.header, batch)
        if number == 0:
            doubts = missing_header(f"{rows.path}:{rows.header_line}", columns)
        lines.extend(line for line, _ in batch)
        nameless = {"": tuple(cells[0] for _, cells in batch)} if is_nameless else {}
        store.add(_record_batch({**nameless, **columns}))
    if rows.is_usable and not lines:
        store.add(_record_batch(by_name(rows.header, [])))
    found = store.columns()
    index = found.pop("", None)
    return Reading(found, lines, {}, dict(rows.skipped), rows.warnings(), doubts, nameless=index)


def _notes(file: TextFile, layout: Layout, rows: Rows, below: int) -> Iterator[str]:
    """Yield what is said of how a table was read."""
    if below:
        yield QUALTRICS
    if layout.names and not file.stated.column_names:
        yield SURVEYMONKEY
    if layout.is_found:
        yield f"the columns are separated by {layout.marks}."
    if file.stated.header_row:
        yield f"the column names are in line {rows.header_line}."
    if rows.header[:1] == [""]:
        yield "the first column has no name and is no text or label."


def _layout(file: TextFile, first: list[str]) -> Layout:
    """Return the layout of a file, whose first lines these are, with what is stated of its header."""
    above = (file.stated.header_row or 1) - 1
    layout = layout_of(kind_of(file.path), first[above:], file.stated.separator)
    head = cells_of(first[:LOOKED_AT], layout.separator)[:2]
    names = () if file.stated.header_row or file.stated.column_names else names_of_surveymonkey(head)
    if names:
        return replace(layout, lines_above=lines_of(head), names=names)
    stated = file.stated.column_names or ()
    return replace(layout, lines_above=layout.lines_above + above, names=stated, are_stated=bool(stated))


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield batches of thousands of rows, of fewer where they are long."""
    kept: list[Row] = []
    characters = 0
    for row in rows:
        kept.append(row)
        characters += sum(map(len, row[1]))
        if len(kept) == BATCH_ROWS or characters > BATCH_LETTERS:
            yield kept
            kept, characters = [], 0
    if kept:
        yield kept


def by_name(header: list[str], rows: list[Row]) -> dict[str, tuple[str, ...]]:
    """Return the cells of rows by column; a column without a name is left out."""
    columns = zip(*(cells for _, cells in rows), strict=True) if rows else [()] * len(header)
    return {name: values for name, values in zip(header, columns, strict=True) if name}


def too_many_faults(path: Path, line: int) -> Fault:
    """Return the fault with which reading stops: a file broken throughout would fill memory with faults."""
    return Fault("DATA-071", f"{path}:{line}", f"reading stopped here, after {MOST_FAULTS:,} faults")


def _record_batch(columns: dict[str, tuple[str, ...]]) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.record_batch({name: pa.array(values, pa.string()) for name, values in columns.items()})
