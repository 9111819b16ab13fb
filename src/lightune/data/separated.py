"""Reading csv and tsv: rows stream through the csv module; a broken one is named and reading goes on after it."""

from __future__ import annotations

import csv
import sys
from array import array
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lightune.data.disguise import stray_characters
from lightune.data.faults import Fault, as_error
from lightune.data.storage import Column, Store

if TYPE_CHECKING:
    import pyarrow as pa

SEPARATORS = {".csv": ",", ".tsv": "\t"}
BATCH_ROWS = 8192
BATCH_LETTERS = 1_000_000
# A row of several lines that is longer than this has a quote that was never closed.
LONGEST_ROW = 32_000_000
LINE_OVERHEAD = 64
MOST_RETRIES = 20
MOST_FAULTS = 10_000
QUOTING = 'A text that holds the separator, a quote or a line break stands in double quotes; a quote inside is "".'
# Spreadsheets' default of 131,072 characters a cell would refuse long documents.
csv.field_size_limit(min(sys.maxsize, 2**31 - 1))


class _Lines:
    """The lines of a stream, numbered from 1. Those of a broken row, but its first, can be read again."""

    def __init__(self, stream: Iterable[str]) -> None:
        self._stream = iter(stream)
        self._again: deque[str] = deque()
        self._size = 0
        self._retries = 0
        self.number = 0
        self.row: list[str] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self._size > LONGEST_ROW and self.row:
            raise StopIteration
        line = self._again.popleft() if self._again else next(self._stream)
        self.row.append(line)
        self.number += 1
        self._size += len(line) + LINE_OVERHEAD
        return line

    def begin_row(self) -> int:
        """Forget the row before, and return the line on which the next one begins."""
        self.row, self._size = [], 0
        return self.number + 1

    def read_again(self) -> None:
        """Go back to the second line of the row: its quote may have swallowed whole rows."""
        if self._retries < MOST_RETRIES:
            self._retries += len(self.row) > 1
            self._again.extendleft(reversed(self.row[1:]))
            self.number -= len(self.row) - 1


def stream_csv(
    path: Path, stream: Iterable[str], separator: str = ",", faults: list[Fault] | None = None
) -> Iterator[tuple[int, list[str]]]:
    """Yield (first line, cells) of each row, the header first; blank lines are skipped.

    A broken row (quoting, NUL bytes, bytes that are no UTF-8) goes into `faults`; without that list it raises.
    """
    lines = _Lines(stream)
    reader = csv.reader(lines, delimiter=separator, strict=True)
    limit = len(faults or ()) + MOST_FAULTS
    while True:
        first = lines.begin_row()
        if faults and len(faults) >= limit:
            faults.append(too_many_faults(path, first))
            return
        try:
            cells = next(reader, None)
        except csv.Error as error:
            _report(Fault("DATA-005", f"{path}:{first}", f"broken quoting ({error})", QUOTING), faults)
            lines.read_again()
            continue
        if cells is None:
            return
        stray = stray_characters(path, first, lines.row)
        if stray:
            _report(stray, faults)
        elif cells:
            yield first, cells


def _report(fault: Fault, faults: list[Fault] | None) -> None:
    if faults is None:
        raise as_error([fault])
    faults.append(fault)


def wrong_separator(header: Sequence[str]) -> str:
    """Return a hint when a header of one column looks as if another separator had been meant, else nothing."""
    found = [name for mark, name in ((";", "semicolons"), ("\t", "tabs")) if len(header) == 1 and mark in header[0]]
    return (
        f"The columns seem to be separated by {found[0]}: save it with commas, or as .tsv with tabs." if found else ""
    )


def read_separated(path: Path, separator: str, on_disk: bool, faults: list[Fault]) -> tuple[dict[str, Column], array]:
    """Return (columns of texts, the line of each row); what is broken goes into `faults`."""
    lines: array[int] = array("q")
    store, before = Store(on_disk), len(faults)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
        rows = stream_csv(path, stream, separator, faults)
        first, header = next(rows, (1, []))
        header = [name.strip() for name in header]
        if len(faults) == before:
            faults += _header_faults(path, first, header, separator)
        if len(faults) > before:
            return {}, lines
        for number, batch in enumerate(_batches(path, rows, header, lines, faults)):
            if number == 0:
                faults += _missing_header(path, first, header, batch)
            store.add(batch)
    return store.columns(), lines


def _batches(
    path: Path, rows: Iterable[tuple[int, list[str]]], header: list[str], lines: array, faults: list[Fault]
) -> Iterator[pa.RecordBatch]:
    """Yield the good rows in record batches, and their lines into `lines`."""
    kept: list[list[str]] = []
    letters = 0
    for line, cells in rows:
        fault = _row_fault(path, line, cells, header)
        if fault:
            faults.append(fault)
            continue
        lines.append(line)
        kept.append(cells)
        letters += sum(map(len, cells))
        if len(kept) == BATCH_ROWS or letters > BATCH_LETTERS:
            yield _batch(header, kept)
            kept, letters = [], 0
    if kept:
        yield _batch(header, kept)


def too_many_faults(path: Path, line: int) -> Fault:
    """Return the fault with which reading stops: a file broken throughout would fill the memory with faults."""
    return Fault("DATA-071", f"{path}:{line}", f"reading stopped here, after {MOST_FAULTS:,} faults")


def _batch(header: list[str], rows: list[list[str]]) -> pa.RecordBatch:
    import pyarrow as pa

    named = {name: values for name, values in zip(header, zip(*rows, strict=True), strict=True) if name}
    return pa.record_batch({name: pa.array(values, pa.string()) for name, values in named.items()})


def _row_fault(path: Path, line: int, cells: list[str], header: list[str]) -> Fault | None:
    if len(cells) != len(header):
        hint = "Quote texts that hold the separator."
        return Fault("DATA-007", f"{path}:{line}", f"{len(cells)} cells, {len(header)} columns", hint)
    if cells == header and len(header) > 1:
        hint = "Files were joined, it seems: remove it."
        return Fault("DATA-070", f"{path}:{line}", "the column names stand here again", hint)
    return None


def _header_faults(path: Path, line: int, header: list[str], separator: str) -> list[Fault]:
    place = f"{path}:{line}"
    if not any(header):
        return [Fault("DATA-006", place, "there are no column names", "The first row names the columns: text,label.")]
    advice = wrong_separator(header)
    if advice and separator not in header[0]:
        return [Fault("DATA-069", place, f'there is one column only, called "{header[0]}"', advice)]
    # pandas writes its index as a first column without a name; it is left out.
    nameless = [number for number, name in enumerate(header, 1) if not name and number > 1]
    twice = dict.fromkeys(name for name in header if name and header.count(name) > 1)
    found = [f"column {number} has no name" for number in nameless]
    found += [f'{header.count(name)} columns are called "{name}"' for name in twice]
    hint = "The names of the columns must be there, in the first row, and differ."
    return [Fault("DATA-006", place, text, hint) for text in found]


def _missing_header(path: Path, line: int, header: list[str], batch: pa.RecordBatch) -> list[Fault]:
    """A first row with a sentence in one cell, and in another a value of its own column, is a row of data."""
    sentences = {name for name in header if len(name.split()) >= 3}
    repeated = {name for name in header if name and name in set(batch.column(name).to_pylist())}
    if not sentences or not repeated - sentences:
        return []
    text = "the first row looks like data, not like column names"
    return [Fault("DATA-006", f"{path}:{line}", text, "Put a row of column names first: text,label.")]
