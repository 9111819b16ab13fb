"""Writing rows as the sheet of an .xlsx workbook: texts stay texts, whatever they look like."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from typing import IO, Any

from lightune.errors import DataError

MOST_ROWS = 1_048_576  # of a sheet, with the header
MOST_CHARACTERS = 32_767  # of a cell, those beyond U+FFFF as two
# What XML 1.0 has no way to write; openpyxl would write some of it, and Excel find a damaged file.
NOT_XML = re.compile("[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\ud800-\\udfff\\ufffe\\uffff]")
MOST_DIGITS = 15  # of a number: Excel rounds longer ones
OTHERS = "Write .csv, .jsonl or .parquet."

Row = Sequence[Any]


def write_sheet(sink: IO[bytes], header: Row, rows: Iterator[Row]) -> int:
    """Write a header and rows as the only sheet of a workbook; return how many rows came after the header.

    Texts are written as texts: "=1+1" is no formula. Raises DataError for a row that a sheet cannot hold.
    """
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("answers")
    try:
        written = _append(sheet, header, rows)
    except BaseException:
        sheet.close()  # else openpyxl writes into a closed file when it is collected
        raise
    book.save(sink)
    return written


def _append(sheet: Any, header: Row, rows: Iterator[Row]) -> int:
    sheet.append([_cell(sheet, name, "the header") for name in header])
    written = 0
    for written, cells in enumerate(rows, 1):
        if written == MOST_ROWS:
            raise DataError("DATA-076", f"an .xlsx sheet holds {MOST_ROWS:,} rows, and there are more.", OTHERS)
        sheet.append([_cell(sheet, value, f"row {written}") for value in cells])
    return written


def _cell(sheet: Any, value: Any, place: str) -> Any:
    """Return what openpyxl writes as exactly this value."""
    from openpyxl.cell import WriteOnlyCell

    if value is None or isinstance(value, bool | date | time) or _is_short_number(value):
        return str(value) if isinstance(value, datetime | time) and value.tzinfo is not None else value
    text = str(value)
    if len(text) + sum(character > "\uffff" for character in text) > MOST_CHARACTERS:
        raise DataError("DATA-076", f"{place} holds more than {MOST_CHARACTERS:,} characters in a cell.", OTHERS)
    if NOT_XML.search(text):
        told = f"{place} holds a control character or half a character, which an .xlsx cannot hold."
        raise DataError("DATA-076", told, OTHERS)
    cell = WriteOnlyCell(sheet, text)
    cell.data_type = "s"
    return cell


def _is_short_number(value: Any) -> bool:
    if isinstance(value, int):
        return len(str(abs(value))) <= MOST_DIGITS
    return isinstance(value, float) and math.isfinite(value)
