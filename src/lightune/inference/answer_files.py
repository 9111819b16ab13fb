"""Writing rows with answers as csv, tsv, jsonl, Parquet or xlsx, completely or not at all."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from importlib.util import find_spec
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import IO, Any

from lightune.errors import DataError, RecipeError, ResourceError
from lightune.extras import install_command
from lightune.inference.excel_answers import write_sheet

KINDS = ("csv", "tsv", "jsonl", "parquet", "xlsx")
BATCH_ROWS = 4096

Row = Sequence[Any]


def require_writable(target: Path) -> None:
    """Raise RecipeError for a file that exists already, lies in no folder, or is of a kind that is not written.

    Raises ResourceError where no file can be made: before anything is answered.
    """
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
    partial = target.with_name(target.name + ".partial")
    with _opened(partial):
        partial.unlink()


def write_rows(rows: Iterator[Row], target: Path, numbers: Collection[str] = ()) -> int:
    """Write rows, the header first, and return how many came after it; the kind of file is in the target's name.

    Nothing is opened before the header exists. Texts under the names in `numbers` are JSON, and become its values where
    the kind of file has numbers, true and false. Raises RecipeError as `require_writable` does, DataError for a text
    that a tsv or a sheet cannot hold.
    """
    require_writable(target)
    header = list(next(rows))
    partial = target.with_name(target.name + ".partial")
    write = _WRITERS[_kind(target)]
    try:
        with _opened(partial) as sink:
            written = write(sink, header, rows, numbers)
        partial.replace(target)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return written


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # its name is too long
        return False


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("wb")
    except OSError as error:
        message = f"{path.parent}: no file can be made there ({error.strerror})."
        raise ResourceError("DISK-005", message, "Choose another folder, or a shorter name.") from error


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


def _csv(sink: IO[bytes], header: Row, rows: Iterator[Row], numbers: Collection[str]) -> int:
    text = TextIOWrapper(sink, encoding="utf-8", errors="surrogatepass", newline="")
    writer, written = csv.writer(text, lineterminator="\n"), 0
    writer.writerow(header)
    for cells in rows:
        writer.writerow([as_text(cell) for cell in cells])
        written += 1
    text.flush()
    text.detach()
    return written


def _tsv(sink: IO[bytes], header: Row, rows: Iterator[Row], numbers: Collection[str]) -> int:
    sink.write(_tsv_line("the header", header))
    written = 0
    for written, cells in enumerate(rows, 1):
        sink.write(_tsv_line(f"row {written}", cells))
    return written


def _tsv_line(place: str, cells: Row) -> bytes:
    texts = [as_text(cell) for cell in cells]
    if any(mark in text for text in texts for mark in "\t\r\n"):
        message = f"{place} holds a tab or a line break, which a .tsv cannot hold."
        raise DataError("DATA-076", message, "Write .csv, .jsonl or .parquet.")
    return ("\t".join(texts) + "\n").encode("utf-8", "surrogatepass")


def _jsonl(sink: IO[bytes], header: Row, rows: Iterator[Row], numbers: Collection[str]) -> int:
    written = 0
    for cells in rows:
        record = dict(zip(header, _typed(header, cells, numbers), strict=True))
        sink.write(_json(record).encode("utf-8", "backslashreplace") + b"\n")
        written += 1
    return written


def _xlsx(sink: IO[bytes], header: Row, rows: Iterator[Row], numbers: Collection[str]) -> int:
    """Write one sheet; lists and objects are written as JSON."""

    def plain(value: Any) -> Any:
        return _json(value) if isinstance(value, list | dict) else value

    return write_sheet(sink, header, (list(map(plain, _typed(header, cells, numbers))) for cells in rows))


def _parquet(sink: IO[bytes], header: Row, rows: Iterator[Row], numbers: Collection[str]) -> int:
    """Write one table; a column whose values have no common type is written as JSON."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    parts: list[list[pa.Array]] = [[] for _ in header]
    while batch := list(islice(rows, BATCH_ROWS)):
        typed = zip(*(_typed(header, cells, numbers) for cells in batch), strict=True)
        for column, values in zip(parts, typed, strict=True):
            column.append(_array(list(values)))
    table = pa.table(dict(zip(header, map(_column, parts), strict=True)))
    parquet.write_table(table, sink)
    return int(table.num_rows)


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


_WRITERS: dict[str, Callable[[IO[bytes], Row, Iterator[Row], Collection[str]], int]] = {
    "csv": _csv, "tsv": _tsv, "jsonl": _jsonl, "parquet": _parquet, "xlsx": _xlsx,
}  # fmt: skip


def _typed(header: Row, cells: Row, numbers: Collection[str]) -> list[Any]:
    """Return the cells with those of `numbers` as numbers; an answer that is missing is None there."""
    return [
        cell if name not in numbers else json.loads(cell) if cell else None
        for name, cell in zip(header, cells, strict=True)
    ]
