"""Reading the first sheet of an .xlsx workbook that has rows; cells keep their types."""

from __future__ import annotations

import json
import zipfile
from array import array
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from lightune.data.arrow_columns import BLANK, Reading, Store
from lightune.data.csv_file import BATCH_ROWS
from lightune.data.header import header_faults, missing_header
from lightune.data.names import clean_name
from lightune.data.separators import Layout
from lightune.data.text_file import MOST_UNPACKED
from lightune.extras import install_command
from lightune.faults import Fault

HINT = "Save it from the spreadsheet again, or as CSV UTF-8."

Row = tuple[int, tuple[Any, ...]]


def read_excel(path: Path, on_disk: bool, faults: list[Fault]) -> Reading:
    """Return the columns, the row of each; faults go into `faults`. The header is the first row that has a cell.

    Formulas have the values that the spreadsheet saved. Other sheets with rows are named in a note.
    """
    try:
        import openpyxl
    except ImportError:
        text = "reading .xlsx needs a package that is not installed."
        hint = f"Install it: {install_command('excel')}; or save the sheet as CSV UTF-8."
        faults.append(Fault("DATA-077", str(path), text, hint))
        return Reading()
    try:
        with zipfile.ZipFile(path) as packed:
            size = sum(entry.file_size for entry in packed.infolist())
        if size > MOST_UNPACKED:
            text = f"it unpacks to more than {MOST_UNPACKED / 1e9:.0f} GB."
            faults.append(Fault("DATA-074", str(path), text, "Save the sheet as csv if that is right."))
            return Reading()
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        return _read(path, book, on_disk, faults)
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, TypeError, AttributeError) as error:
        if isinstance(error, OSError) and error.errno in {28, 122}:  # the disk is full: not a fault of this file
            raise
        faults.append(Fault("DATA-078", str(path), f"it is not a readable workbook ({error})", HINT))
        return Reading()


def _read(path: Path, book: Any, on_disk: bool, faults: list[Fault]) -> Reading:
    with_rows = [sheet for sheet in book.worksheets if any(True for _ in _rows(sheet))]
    if not with_rows:
        faults.append(
            Fault("DATA-004", str(path), "there are no rows", "Give it rows, each with a text and its label.")
        )
        return Reading()
    sheet, *others = with_rows
    rows = _rows(sheet)
    first, header = next(rows)
    names = [clean_name("" if cell is None else str(cell)) for cell in header]
    while names and not names[-1]:  # spreadsheets keep empty columns at the end
        names.pop()
    found = header_faults(f"{path}:{first}", names, Layout())
    faults += found
    reading = Reading() if found else _columns(path, first, names, rows, Store(on_disk))
    if others:
        listed = ", ".join(found.title for found in others)
        reading.notes.append(f"{path}: the sheet {sheet.title} was read; others have rows too: {listed}.")
    return reading


def _columns(path: Path, header: int, names: Sequence[str], rows: Iterator[Row], store: Store) -> Reading:
    import pyarrow as pa

    lines, blank, last = array("q"), 0, header
    kept: list[tuple[Any, ...]] = []
    head: dict[str, tuple[str, ...]] = {}

    def put() -> None:
        values = list(zip(*kept, strict=True)) or [()] * len(names)
        columns = {name: cells for name, cells in zip(names, values, strict=True) if name}
        head.update({} if head else {name: tuple(map(_text, cells)) for name, cells in columns.items()})
        written = {name: pa.array([_json(cell) for cell in cells], pa.string()) for name, cells in columns.items()}
        store.add(pa.record_batch(written))
        kept.clear()

    for line, cells in rows:
        blank += line - last - 1
        last = line
        lines.append(line)
        kept.append((*cells, *[None] * len(names))[: len(names)])
        if len(kept) == BATCH_ROWS:
            put()
    put()
    doubts = missing_header(f"{path}:{header}", head)
    skipped = {BLANK: blank} if blank else {}
    return Reading(store.columns(decode=json.loads), lines, {}, skipped, [], doubts)


def _rows(sheet: Any) -> Iterator[Row]:
    """Yield (row, cells) of the rows that have a cell."""
    for number, cells in enumerate(sheet.iter_rows(values_only=True), 1):
        if any(cell is not None and cell != "" for cell in cells):
            yield number, cells


def _json(cell: Any) -> str | None:
    """Return a cell as JSON, None for an empty one; dates and times as ISO 8601 writes them."""
    if cell is None or cell == "":
        return None
    if isinstance(cell, datetime | date | time):
        return json.dumps(cell.isoformat())
    if isinstance(cell, timedelta):
        return json.dumps(str(cell))
    return json.dumps(cell, ensure_ascii=False)


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell)
