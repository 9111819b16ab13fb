"""Tables: columns with the place of every row, read from files of several kinds."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

from lightune.data.annotations import are_on_one_label
from lightune.data.arrow_columns import BLANK, IN_MEMORY_BYTES, UNREADABLE, Chained, Reading
from lightune.data.csv_file import read_separated
from lightune.data.excel_file import read_excel
from lightune.data.fasttext_file import is_fasttext, read_fasttext
from lightune.data.file_signatures import HEAD_BYTES, disguised
from lightune.data.json_file import is_array, is_by_line, read_json
from lightune.data.jsonl_file import read_json_lines
from lightune.data.parquet_file import read_parquet
from lightune.data.text_file import (
    LongLineError,
    TextFile,
    TextFormat,
    kind_of,
    long_line,
    open_bytes,
    size_of,
    text_file,
    undecodable,
    wrong_encoding,
)
from lightune.errors import similar_path
from lightune.faults import Fault, raise_faults

READERS = ("csv", "tsv", "txt", "jsonl", "json", "parquet", "xlsx")
AS_IT_IS = TextFormat()
ODD_FORMS = {
    "jsonl": "it holds one object a line, and is read as .jsonl.",
    "json": "it holds one JSON array, and is read as .json.",
}
LONGEST_FIRST = 1_000_000  # of the lines that show what a file holds


@dataclass
class Table:
    """Columns of equal length, the line of each row, and label names where the file has them.

    `parts` is for a table of several files: the first row of each, and its name. `skipped` counts, by reason ("blank
    line", "cannot be read"), what the file has and the table does not. `warnings` are what reading found odd. `doubts`
    are faults that are ignored where the user has named the columns. `notes` say how it was read. `nameless` is a first
    column without a name, as pandas writes its index: it is no text and no label. `only_label` is that of Prodigy's
    answers which accept or reject one label.
    """

    origin: str
    columns: Mapping[str, Sequence[Any]]
    lines: Sequence[int]
    class_names: dict[str, list[str]] = field(default_factory=dict)
    parts: Sequence[tuple[int, str]] = ()
    skipped: dict[str, int] = field(default_factory=dict)
    warnings: list[Fault] = field(default_factory=list)
    doubts: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    nameless: Sequence[Any] | None = None
    only_label: str = ""

    def __len__(self) -> int:
        return len(self.lines)

    def place(self, row: int) -> str:
        """Return `file:line` of a row."""
        part = bisect_right(self.parts, row, key=lambda part: part[0]) - 1
        return f"{self.parts[part][1] if self.parts else self.origin}:{self.lines[row]}"


def read_table(path: Path | str, faults: list[Fault] | None = None, stated: TextFormat = AS_IT_IS) -> Table:
    """Read one file; faults go into `faults` and the rest is returned, or without that list they are raised."""
    found: list[Fault] = []
    table = _read(Path(path), found, stated)
    if not len(table) and not found:
        found.append(Fault("DATA-004", str(path), "there are no rows", "Give it rows, each with a text and its label."))
    report(found, faults)
    return table


def report(found: list[Fault], faults: list[Fault] | None) -> None:
    """Add faults to `faults`; without that list, raise a DataError that lists them."""
    if faults is None:
        raise_faults(found)
    else:
        faults += found


def join(tables: Sequence[Table], origin: str, faults: list[Fault] | None = None) -> Table:
    """Return tables with the same columns as one; other columns and other label names are faults."""
    readable = [table for table in tables if table.columns]
    if not readable:
        return Table(origin, {}, [])
    first = next((table for table in readable if table.class_names), readable[0])
    unlike = [(table, _unlike(readable[0], first, table)) for table in readable]
    report([fault for _, fault in unlike if fault], faults)
    kept = [table for table, fault in unlike if not fault]
    report(_of_other_answers(kept), faults)
    starts = accumulate((len(table) for table in kept[:-1]), initial=0)
    skipped = Counter[str]()
    for table in kept:
        skipped.update(table.skipped)
    return Table(
        origin,
        {name: Chained([table.columns[name] for table in kept]) for name in readable[0].columns},
        Chained([table.lines for table in kept]),
        first.class_names,
        list(zip(starts, (table.origin for table in kept), strict=True)),
        dict(skipped),
        [warning for table in kept for warning in table.warnings],
        [doubt for table in kept for doubt in table.doubts],
        [note for table in kept for note in table.notes],
    )


def reading_notes(table: Table) -> list[str]:
    """Return how a table was read, and how many blank lines were skipped; its warnings are told apart from these.

    Rows that cannot be read are reported as faults.
    """
    blank = table.skipped.get(BLANK, 0)
    skipped = [f"{table.origin}: {blank:,} blank line{' was' if blank == 1 else 's were'} skipped."] if blank else []
    left_out = {reason: count for reason, count in table.skipped.items() if reason not in (BLANK, UNREADABLE)}
    skipped += [f"{table.origin}: {count:,} left out: {reason}." for reason, count in left_out.items()]
    return [*table.notes, *skipped]


def _unlike(first: Table, named: Table, other: Table) -> Fault | None:
    """Compare a table with the first one, and its label names with those of the first one that has some."""
    if set(first.columns) != set(other.columns):
        text = f"the columns are {', '.join(other.columns)}; those of {first.origin} are {', '.join(first.columns)}"
        return Fault("DATA-064", other.origin, text, "Files that are read as one must have the same columns.")
    if other.class_names and named.class_names != other.class_names:
        text = f"the label names differ from those of {named.origin}"
        return Fault("DATA-065", other.origin, text, "Files that are read as one must have the same label names.")
    return None


def _of_other_answers(tables: Sequence[Table]) -> list[Fault]:
    """Return the fault of Prodigy's answers on one label beside others: "not x" says nothing of another label."""
    only = next((table for table in tables if table.only_label), None)
    if only is None:
        return []
    label = only.only_label
    other = next((one for one in tables if not are_on_one_label(label, one.columns.get("label", ()))), None)
    if other is None:
        return []
    text = (
        f'{only.origin} holds Prodigy\'s answers that accept or reject "{label}", and this file is about other labels'
    )
    hint = "Put all answers into one file: those that reject a label are then left out. Or read the files one by one."
    return [Fault("DATA-083", other.origin, text, hint)]


def _read(path: Path, faults: list[Fault], stated: TextFormat) -> Table:
    kind, empty, fault = kind_of(path), Table(str(path), {}, []), unfit(path)
    if fault is not None:
        faults.append(fault)
        return empty
    try:
        size, head = size_of(path), b""
        if not isinstance(size, Fault):
            with open_bytes(path) as stream:
                head = stream.read(HEAD_BYTES)
    except OSError as error:
        text = f"the file cannot be read ({error.strerror})."
        faults.append(Fault("DATA-001", str(path), text, "Check its permissions and its disk."))
        return empty
    if isinstance(size, Fault):
        faults.append(size)
        return empty
    if kind == "parquet":
        return _table(path, read_parquet(path, head, faults))
    if kind == "xlsx":
        return _table(path, read_excel(path, size > IN_MEMORY_BYTES, faults, stated))
    file = disguised(path, head) or text_file(path, head, stated)
    if isinstance(file, Fault):
        faults.append(file)
        return empty
    return _read_text(file, kind, size, faults)


def unfit(path: Path) -> Fault | None:
    """Return the fault of a path that is no file, or is of a kind that is not read."""
    if path.is_dir():
        return Fault("DATA-001", str(path), "this is a folder, and here one file is read.", "Name a file in it.")
    if path.exists() and not path.is_file():
        return Fault("DATA-001", str(path), "this is a device or a pipe, and not a file.", "Write it to a file first.")
    if not path.is_file():
        return Fault("DATA-001", str(path), "there is no such file.", similar_path(path) or "Check the path.")
    if kind_of(path) not in READERS:
        return Fault("DATA-002", str(path), f"{path.suffix} files are not read.", f"Valid: {', '.join(READERS)}.")
    return None


def _read_text(file: TextFile, kind: str, size: int, faults: list[Fault]) -> Table:
    """Read a text file; where its encoding is another one, that is its only fault, since all others follow from it."""
    found, on_disk = list[Fault](), size > IN_MEMORY_BYTES
    try:
        with file.stream() as stream:
            first = [stream.readline(LONGEST_FIRST) for _ in range(2)]
        form = _form_of(kind, first)
        if form == "json":
            reading = read_json(file, size, found)
        elif form == "jsonl":
            reading = read_json_lines(file, on_disk, found)
        else:
            reading = (read_fasttext if is_fasttext(first, file.stated) else read_separated)(file, on_disk, found)
    except UnicodeError as error:
        faults.append(undecodable(file, error))
        return Table(str(file.path), {}, [])
    except LongLineError as error:
        faults.append(long_line(file.path, error))
        return Table(str(file.path), {}, [])
    wrong = wrong_encoding(file) if any(fault.code == "DATA-003" for fault in found) else None
    if wrong:
        faults.append(wrong)
        return Table(str(file.path), {}, [])
    faults += found
    table = _table(file.path, reading)
    table.notes[:0] = [*file.notes, *([f"{file.path}: {ODD_FORMS[form]}"] if form != kind else [])]
    return table


def _form_of(kind: str, first: Sequence[str]) -> str:
    """Return how JSON is written, whatever the file's name says: "json" or "jsonl"; other kinds as they are."""
    if kind == "json" and is_by_line(first):
        return "jsonl"
    return "json" if kind == "jsonl" and is_array(first) else kind


def _table(path: Path, read: Reading) -> Table:
    seen = {"skipped": read.skipped, "warnings": read.warnings, "doubts": read.doubts, "notes": read.notes}
    table = Table(str(path), read.columns, read.lines, read.class_names, **seen)  # type: ignore[arg-type]
    table.nameless, table.only_label = read.nameless, read.only_label
    return table
