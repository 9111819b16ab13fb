"""Reading the first sheet of an .xlsx workbook that has rows; cells keep their types."""

from __future__ import annotations

import json
import shlex
import zipfile
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from lightune.data.arrow_columns import BLANK, UNREADABLE, Reading, Store
from lightune.data.csv_file import BATCH_ROWS, MOST_FAULTS, too_many_faults, too_wide
from lightune.data.header import STATED_NAMES, beyond_end, header_faults, missing_header
from lightune.data.header_proposals import FEWEST_BELOW, are_alike, named_in, names_row, with_names_proposed
from lightune.data.names import clean_name, is_known_name
from lightune.data.separators import LOOKED_AT, Layout
from lightune.data.text_file import MOST_TIMES, MOST_UNPACKED, TextFormat, is_bomb
from lightune.errors import did_you_mean, is_full
from lightune.extras import install_command
from lightune.faults import Fault

HINT = "Save it from the spreadsheet again, or as CSV UTF-8."
MOST_ROWS = 1_048_576  # of a sheet, by Excel
NAME_ALL = "Name every column that has cells, in their order: --column-names."

Row = tuple[int, tuple[Any, ...]]


def read_excel(path: Path, on_disk: bool, faults: list[Fault], stated: TextFormat) -> Reading:
    """Return the columns, the row of each; faults go into `faults`.

    Unless they are stated, the first sheet with rows is read, and its first row with a cell is the header. Formulas
    have the values that the spreadsheet saved. Other sheets with rows are named in a note.
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
        if size > MOST_UNPACKED or is_bomb(size, path.stat().st_size):
            text = (
                f"it unpacks to {size:,} bytes, more than {MOST_UNPACKED / 1e9:.0f} GB or {MOST_TIMES} times its size."
            )
            faults.append(Fault("DATA-074", str(path), text, "Save the sheet as csv if that is right."))
            return Reading()
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        return _read(path, book, on_disk, faults, stated)
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, TypeError, AttributeError, SyntaxError) as error:
        if is_full(error):  # which is not a fault of this file
            raise
        faults.append(Fault("DATA-078", str(path), f"it is not a readable workbook ({error})", HINT))
        return Reading()


def _read(path: Path, book: Any, on_disk: bool, faults: list[Fault], stated: TextFormat) -> Reading:
    for sheet in book.worksheets:
        sheet.reset_dimensions()  # it may claim 16,384 columns, to which every row would be filled up
    with_rows = [sheet for sheet in book.worksheets if any(True for _ in _rows(sheet))]
    if not with_rows:
        faults.append(
            Fault("DATA-004", str(path), "there are no rows", "Give it rows, each with a text and its label.")
        )
        return Reading()
    titles = [sheet.title for sheet in with_rows]
    if stated.sheet is not None and stated.sheet not in titles:
        hint = f"{did_you_mean(stated.sheet, titles)} Sheets with rows: {', '.join(titles)}.".strip()
        faults.append(Fault("DATA-081", str(path), f'there is no sheet "{stated.sheet}" with rows.', hint))
        return Reading()
    sheet = with_rows[titles.index(stated.sheet) if stated.sheet is not None else 0]
    reading = _sheet(path, sheet, Store(on_disk), faults, stated)
    others = [title for title in titles if title != sheet.title]
    if others:
        flags = " or ".join(f"--sheet {shlex.quote(title)}" for title in others)
        reading.notes.append(f"{path}: the sheet {sheet.title} was read; others have rows too: {flags}.")
    return reading


def _sheet(path: Path, sheet: Any, store: Store, faults: list[Fault], stated: TextFormat) -> Reading:
    above = (stated.header_row or 1) - 1
    rows = _rows(sheet, above)
    first, names = 0, list(stated.column_names or ())
    if not names:
        row = next(rows, None)
        if row is None:
            faults += beyond_end(path, above + 1, max((number for number, _ in _rows(sheet)), default=0))
            return Reading()
        first, names = _header(row)
    found = [] if stated.header_row or stated.column_names else _title(path, sheet, names)
    place = f"{path}:{first}" if first else STATED_NAMES
    found = found or too_wide(place, len(names)) or header_faults(place, names, Layout())
    faults += found
    if found:
        return Reading()
    skipped = Counter[str]()
    rows = _counted(rows, first, skipped)
    if not stated.column_names:
        return _columns(path, first, names, rows, store, skipped)
    rows = _as_wide(path, names, rows, faults, skipped)
    return replace(_columns(path, first, names, rows, store, skipped), doubts=[])


def _counted(rows: Iterator[Row], last: int, skipped: Counter[str]) -> Iterator[Row]:
    """Yield rows below row `last`, and count the blank ones between them."""
    for line, cells in rows:
        skipped.update({BLANK: line - last - 1} if line > last + 1 else {})
        last = line
        yield line, cells


def _as_wide(
    path: Path, names: Sequence[str], rows: Iterator[Row], faults: list[Fault], skipped: Counter[str]
) -> Iterator[Row]:
    """Yield the rows that have no cell beyond the stated names; others are faults, and so are names beyond all rows."""
    widest = 0
    for line, cells in rows:
        width = max(place for place, cell in enumerate(cells, 1) if cell is not None and cell != "")
        widest = max(widest, width)
        if width <= len(names):
            yield line, cells
            continue
        skipped[UNREADABLE] += 1
        faults.append(Fault("DATA-007", f"{path}:{line}", f"{width} cells, {len(names)} columns", NAME_ALL))
        if skipped[UNREADABLE] >= MOST_FAULTS:
            faults.append(too_many_faults(path, line))
            return
    if widest < len(names):
        text = f"{len(names)} column names are stated, and no row has more than {widest} cells"
        faults.append(Fault("DATA-007", str(path), text, NAME_ALL))


def _header(row: Row) -> tuple[int, list[str]]:
    names = [clean_name(_text(cell)) for cell in row[1]]
    while names and not names[-1]:  # spreadsheets keep empty columns at the end
        names.pop()
    return row[0], names


def _title(path: Path, sheet: Any, names: Sequence[str]) -> list[Fault]:
    """Return the fault of a sheet whose first row is a title above the column names; a title has no cell before it."""
    if len(list(filter(None, names))) != 1 or not names[0] or is_known_name(names[0]):
        return []
    head = [(number, _header((number, cells))[1]) for number, cells in islice(_rows(sheet), LOOKED_AT)]
    above = names_row([list(filter(None, cells)) for _, cells in head])
    rows = [cells for _, cells in head[above:]]
    return [named_in(str(path), *head[above])] if above and len(rows) > FEWEST_BELOW and are_alike(rows) else []


def _columns(
    path: Path, header: int, names: Sequence[str], rows: Iterator[Row], store: Store, skipped: Counter[str]
) -> Reading:
    import pyarrow as pa

    lines = array("q")
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
        lines.append(line)
        kept.append((*cells, *[None] * len(names))[: len(names)])
        if len(kept) == BATCH_ROWS:
            put()
    put()
    doubts = _doubts(f"{path}:{header}", names, head)
    return Reading(store.columns(decode=json.loads), lines, {}, dict(skipped), [], doubts)


def _doubts(place: str, names: Sequence[str], head: dict[str, tuple[str, ...]]) -> list[Fault]:
    """Return the fault of a first row that is a row of data; `head` are the first cells of each column."""
    found = missing_header(place, head)
    rows = [names, *zip(*head.values(), strict=True)]
    return with_names_proposed(found, rows) if len(head) == len(names) else found


def _rows(sheet: Any, above: int = 0) -> Iterator[Row]:
    """Yield (row, cells) of the rows that have a cell; those `above` are left out."""
    for number, cells in enumerate(sheet.iter_rows(values_only=True), 1):
        if number > MOST_ROWS:
            raise ValueError(f"row {number:,}: a sheet has at most {MOST_ROWS:,}")
        if number > above and any(cell is not None and cell != "" for cell in cells):
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
