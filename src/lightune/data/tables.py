"""Reading csv, tsv, jsonl and parquet into columns, with the place of every row; faults name file and line."""

from __future__ import annotations

import codecs
import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightune.errors import DataError

SEPARATORS = {".csv": ",", ".tsv": "\t"}
READERS = ("csv", "tsv", "jsonl", "parquet")
# Spreadsheets' default of 131,072 characters a cell would refuse long documents.
csv.field_size_limit(min(sys.maxsize, 2**31 - 1))


@dataclass
class Table:
    """Columns of equal length, the line each row stands on, and label names where the file carries them."""

    origin: str
    columns: dict[str, list[Any]]
    lines: list[int]
    class_names: dict[str, list[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lines)

    def place(self, row: int) -> str:
        """Return `file:line` of a row."""
        return f"{self.origin}:{self.lines[row]}"


def read_table(path: Path | str) -> Table:
    """Read one file; DataError names every broken row (the first ten) at once."""
    path = Path(path)
    kind = path.suffix.lower().lstrip(".")
    if not path.is_file():
        raise DataError("DATA-001", f"{path}: there is no such file.", "Check the path.")
    if kind not in READERS:
        raise DataError("DATA-002", f"{path}: .{kind} files are not read.", f"Valid: {', '.join(READERS)}.")
    if kind == "parquet":
        return _read_parquet(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            table = (
                _read_jsonl(path, stream)
                if kind == "jsonl"
                else _read_csv(path, stream, "\t" if kind == "tsv" else ",")
            )
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error
    if not len(table):
        raise DataError("DATA-004", f"{path}: there are no rows.")
    return table


def not_utf8(path: Path) -> DataError:
    """Return the error for a file that is not UTF-8, with the line: the decoder counts within its own chunk."""
    with path.open("rb") as stream:
        wide = stream.read(2) in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}
        stream.seek(0)
        line = next((number for number, data in enumerate(stream, 1) if not _is_utf8(data)), 1)
    hint = f"Save it as UTF-8 (for example: iconv -f {'utf-16' if wide else 'latin1'} -t utf-8)."
    return DataError("DATA-003", f"{path}:{line}: this line is not UTF-8.", hint)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def stream_csv(path: Path, stream: Iterable[str], separator: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yield (first line, cells) of each row, the header first; blank lines are skipped, broken quoting raises."""
    reader = csv.reader(stream, delimiter=separator, strict=True)
    line = 1
    try:
        for cells in reader:
            if cells:
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        hint = 'A text that holds the separator, a quote or a line break stands in double quotes; a quote inside is "".'
        raise DataError("DATA-005", f"{path}:{line}: broken quoting ({error}).", hint) from error


def wrong_separator(header: Sequence[str]) -> str:
    """Return a hint when a header of one column looks as if another separator had been meant, else nothing."""
    found = [name for mark, name in ((";", "semicolons"), ("\t", "tabs")) if len(header) == 1 and mark in header[0]]
    return (
        f"The columns seem to be separated by {found[0]}: save it with commas, or as .tsv with tabs." if found else ""
    )


def _read_csv(path: Path, stream: Iterable[str], separator: str) -> Table:
    rows = stream_csv(path, stream, separator)
    first, header = next(rows, (1, []))
    header = [name.strip() for name in header]
    if len(set(header)) != len(header) or not header:
        raise DataError("DATA-006", f"{path}:{first}: the column names must be there and differ: {header}.")
    columns: list[list[str]] = [[] for _ in header]
    lines, faults = [], []
    for line, cells in rows:
        if len(cells) != len(header):
            faults.append(f"{path}:{line}: {len(cells)} cells, {len(header)} columns")
            continue
        lines.append(line)
        for column, cell in zip(columns, cells, strict=True):
            column.append(cell)
    _raise_faults("DATA-007", faults, "Quote texts that hold the separator.")
    return Table(str(path), dict(zip(header, columns, strict=True)), lines)


def _read_jsonl(path: Path, stream: Iterable[str]) -> Table:
    records, lines, faults = [], [], []
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            faults.append(f"{path}:{number}: not JSON ({error})")
            continue
        if not isinstance(record, dict):
            faults.append(f"{path}:{number}: not a JSON object")
            continue
        records.append(record)
        lines.append(number)
    _raise_faults("DATA-008", faults, "Each line is one JSON object.")
    names = list(dict.fromkeys(name for record in records for name in record))
    return Table(str(path), {name: [record.get(name) for record in records] for name in names}, lines)


def _read_parquet(path: Path) -> Table:
    import pyarrow
    import pyarrow.parquet as parquet

    try:
        table = parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError("DATA-009", f"{path}: not a readable Parquet file ({error}).") from error
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    metadata = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}"))
    features = metadata.get("info", {}).get("features", {})
    names = {name: about["names"] for name, about in features.items() if isinstance(about, dict) and about.get("names")}
    if not table.num_rows:
        raise DataError("DATA-004", f"{path}: there are no rows.")
    return Table(str(path), columns, list(range(1, table.num_rows + 1)), names)


def _raise_faults(code: str, faults: list[str], hint: str) -> None:
    if faults:
        more = f"\n  and {len(faults) - 10} more" if len(faults) > 10 else ""
        listed = "\n  ".join(faults[:10])
        raise DataError(code, f"{len(faults)} broken row{'s' * (len(faults) > 1)}:\n  {listed}{more}", hint)
