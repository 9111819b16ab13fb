"""Writing rows with answers as csv, tsv, jsonl, Parquet or xlsx, completely or not at all."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from io import StringIO
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from lightune.data.arrow_columns import nameless_file
from lightune.durable import try_file, write_file
from lightune.errors import DataError, RecipeError, ResourceError
from lightune.extras import install_command
from lightune.inference.excel_answers import write_sheet
from lightune.links import is_link
from lightune.values.formulas import neutral

KINDS = ("csv", "tsv", "jsonl", "parquet", "xlsx")
BATCH_ROWS = 4096
PART = 1 << 24  # bytes that are copied at a time

Row = Sequence[Any]


def require_writable(target: Path) -> None:
    """Raise RecipeError for a file that exists already, lies in no folder, or is of a kind that is not written.

    Raises ResourceError where no file can be made: before anything is answered.
    """
    if is_link(target):
        hint = "Nothing is written through one. Give the file that it points to, or another name."
        raise RecipeError("RECIPE-111", f"{target} is a symbolic link.", hint)
    if _exists(target):
        raise RecipeError("RECIPE-100", f"{target} already exists; it is not overwritten.", "Choose another name.")
    if _kind(target) not in KINDS:
        valid = ", ".join(f".{kind}" for kind in KINDS)
        raise RecipeError("RECIPE-101", f"{target}: such files are not written.", f"Its name has to end in {valid}.")
    if _kind(target) == "xlsx" and find_spec("openpyxl") is None:
        hint = f"Install it: {install_command('excel')}; or write .csv."
        raise RecipeError("RECIPE-101", f"{target}: writing .xlsx needs a package that is not installed.", hint)
    if not target.parent.is_dir():
        raise RecipeError("RECIPE-062", f"{target}: there is no folder {target.parent}.", "Create it first.")
    try:
        try_file(target)
    except OSError as error:
        message = f"{target.parent}: no file can be made there ({error.strerror})."
        raise ResourceError("DISK-005", message, "Choose another folder, or a shorter name.") from error


def write_rows(rows: Iterator[Row], target: Path, numbers: Collection[str] = (), raw: bool = False) -> int:
    """Write rows, the header first, and return how many came after it; the kind of file is in the target's name.

    Nothing is opened before the header exists. Texts under the names in `numbers` are JSON, and become its values where
    the kind of file has numbers, true and false. Unless `raw`, no cell of a csv or tsv is left that a spreadsheet takes
    for a formula. Raises RecipeError as `require_writable` does, DataError for what a tsv or a sheet cannot hold.
    """
    require_writable(target)
    answers = Answered(list(next(rows)), rows, numbers, raw)
    write_file(target, _WRITERS[_kind(target)](answers), anywhere=True)
    return answers.count


@dataclass
class Answered:
    """Rows on their way into a file: the header, the rows, which are counted, and which columns hold JSON."""

    header: Row
    rows: Iterator[Row]
    numbers: Collection[str] = ()
    raw: bool = False
    count: int = 0

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows."""
        for cells in self.rows:
            self.count += 1
            yield cells

    def typed(self) -> Iterator[list[Any]]:
        """Yield the rows with the cells of `numbers` as numbers; an answer that is missing is None there."""
        for cells in self:
            yield [
                cell if name not in self.numbers else json.loads(cell) if cell else None
                for name, cell in zip(self.header, cells, strict=True)
            ]

    def lines(self) -> Iterator[list[str]]:
        """Yield the cells of header and rows as texts."""
        for cells in chain([self.header], self):
            yield text_cells(cells, self.raw)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # its name is too long
        return False


def text_cells(cells: Row, raw: bool = False) -> list[str]:
    """Return the cells of a csv or tsv; unless `raw`, texts that a spreadsheet would compute have an apostrophe."""
    return [cell if raw else neutral(cell) for cell in map(as_text, cells)]


def as_text(value: Any) -> str:
    """Return a cell of a csv or tsv: texts as they are, nothing for None, and other values as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    """Return a value on one line of JSON; what JSON does not have, such as a date, as its text."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _kind(target: Path) -> str:
    return target.suffix.lower().lstrip(".")


def _csv(answers: Answered) -> Iterator[bytes]:
    text = StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    for cells in answers.lines():
        writer.writerow(cells)
        yield text.getvalue().encode("utf-8", "surrogatepass")
        text.seek(0)
        text.truncate()


def _tsv(answers: Answered) -> Iterator[bytes]:
    for number, texts in enumerate(answers.lines()):
        if any(mark in text for text in texts for mark in "\t\r\n"):
            place = f"row {number}" if number else "the header"
            message = f"{place} holds a tab or a line break, which a .tsv cannot hold."
            raise DataError("DATA-076", message, "Write .csv, .jsonl or .parquet.")
        yield ("\t".join(texts) + "\n").encode("utf-8", "surrogatepass")


def _jsonl(answers: Answered) -> Iterator[bytes]:
    for cells in answers.typed():
        record = dict(zip(answers.header, cells, strict=True))
        yield _json(record).encode("utf-8", "backslashreplace") + b"\n"


def _xlsx(answers: Answered) -> Iterator[bytes]:
    """Write one sheet; lists and objects are written as JSON."""

    def plain(value: Any) -> Any:
        return _json(value) if isinstance(value, list | dict) else value

    with nameless_file() as sink:
        write_sheet(sink, answers.header, (list(map(plain, cells)) for cells in answers.typed()))
        yield from _read_again(sink)


def _parquet(answers: Answered) -> Iterator[bytes]:
    """Write one table; a column whose values have no common type is written as JSON."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    parts: list[list[pa.Array]] = [[] for _ in answers.header]
    rows = answers.typed()
    while batch := list(islice(rows, BATCH_ROWS)):
        for column, values in zip(parts, zip(*batch, strict=True), strict=True):
            column.append(_array(list(values)))
    table = pa.table(dict(zip(answers.header, map(_column, parts), strict=True)))
    with nameless_file() as sink:
        parquet.write_table(table, sink)
        yield from _read_again(sink)


def _read_again(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while part := file.read(PART):
        yield part


def _array(values: list[Any]) -> Any:
    import pyarrow as pa

    try:
        return pa.array(values)
    except pa.ArrowException:
        return pa.array([None if value is None else as_text(value) for value in values], pa.string())


def _column(parts: list[Any]) -> Any:
    import pyarrow as pa

    tables = [pa.table({"column": part}) for part in parts]
    try:
        return pa.concat_tables(tables, promote_options="permissive").column(0) if tables else pa.array([], pa.string())
    except pa.ArrowException:
        texts = [None if value is None else as_text(value) for part in parts for value in part.to_pylist()]
        return pa.array(texts, pa.string())


_WRITERS: dict[str, Callable[[Answered], Iterator[bytes]]] = {
    "csv": _csv, "tsv": _tsv, "jsonl": _jsonl, "parquet": _parquet, "xlsx": _xlsx,
}  # fmt: skip
