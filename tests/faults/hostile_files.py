"""Data files, folders and recipes that were made to do harm: each writes itself and gives the command to run on it."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from mutations import ROWS, VALID

MB = 1_000_000
CASES: dict[str, tuple[Callable[[Path, Path], list[str]], tuple[int, ...], str]] = {}

Build = Callable[[Path, Path], list[str]]


def case(name: str, *statuses: int, says: str = "") -> Callable[[Build], Build]:
    """Note a case: a function of a folder to write into, and of a path at which code would leave a file if it ran."""

    def noted(build: Build) -> Build:
        CASES[name] = (build, statuses, says)
        return build

    return noted


def put(path: Path, content: bytes | str) -> list[str]:
    """Write a file, and return the command that checks it."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return ["recipes" if path.suffix == ".yaml" else "check", str(path)]


def simple(name: str, file: str, *statuses: int, content: Callable[[], bytes | str], says: str = "") -> None:
    """Note a case of one file with this content."""
    CASES[name] = (lambda folder, canary: put(folder / file, content()), statuses, says)


def bomb(levels: int, last: str) -> str:
    """Return YAML in which each line stands for nine times what the line above it stands for."""
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * 9)}]" for level in range(1, levels)]
    return "\n".join([*lines, last]) + "\n"


class Runs:
    """Runs a command when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.canary}",)


# Recipes.
LAUGHS = bomb(30, "training: {seed: *a29}")
simple("a recipe of nested aliases", "a.yaml", 2, content=lambda: LAUGHS, says="RECIPE-115")
LAUGHS_WITHIN = bomb(12, "training: {lr_scheduler_kwargs: {x: *a11}}")
simple("a recipe of nested aliases in free options", "a.yaml", 2, content=lambda: LAUGHS_WITHIN, says="RECIPE-115")
simple("a recipe that is inside itself", "a.yaml", 2, content=lambda: "data: &a {source: *a}", says="RECIPE-004")
simple("a recipe 100,000 levels deep", "a.yaml", 2, content=lambda: "data: " + "[" * 100_000, says="RECIPE-004")
DIGITS = "training: {seed: 0x" + "f" * 100_000 + "}"
simple("a number of 120,000 digits in a recipe", "a.yaml", 2, content=lambda: DIGITS, says="RECIPE-117")
KEYS = "".join(f"k{number}: 1\n" for number in range(20_000))
simple("a recipe of 20,000 unknown keys", "a.yaml", 2, content=lambda: KEYS, says="20,000 faults")


@case("a recipe of 100 MB", 2, says="RECIPE-116")
def large_recipe(folder: Path, canary: Path) -> list[str]:
    """Write a sparse file."""
    arguments = put(folder / "a.yaml", "name: a\n")
    os.truncate(folder / "a.yaml", 100 * MB)
    return arguments


@case("a recipe that runs code by a tag", 2, says="RECIPE-004")
def tagged_recipe(folder: Path, canary: Path) -> list[str]:
    """Write the tag with which an unsafe reader of YAML runs a command."""
    return put(folder / "a.yaml", f'name: !!python/object/apply:os.system ["touch {canary}"]\n')


@case("a setting of nested aliases", 2, says="RECIPE-115")
def large_setting(folder: Path, canary: Path) -> list[str]:
    """State the aliases on the command line."""
    inline = "[&a [x,x,x,x,x,x,x,x,x], &b [*a,*a,*a,*a,*a,*a,*a,*a,*a], &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]"
    inline += ", &d [*c,*c,*c,*c,*c,*c,*c,*c,*c], [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]]"
    return [*put(folder / "a.csv", VALID[0][1]), "--set", f"training.seed={inline}"]


# Text files.
simple("JSON 100,000 levels deep", "a.json", 3, content=lambda: "[" * 100_000, says="DATA-008")
simple("a line of jsonl 100,000 levels deep", "a.jsonl", 3, content=lambda: '{"a":' * 100_000 + "\n", says="DATA-008")
DEEP = json.dumps({"text": "a", "label": "x"})[:-1] + ', "more": ' + "[" * 900 + "]" * 900 + "}\n"
simple("lines of jsonl 900 levels deep", "a.jsonl", 3, content=lambda: DEEP * 20, says="nested more than 100")
simple("JSON 900 levels deep", "a.json", 3, content=lambda: f"[{DEEP}]", says="nested more than 100")
simple("a number of 50 million digits", "a.json", 3, content=lambda: f'[{{"text": {"9" * 50 * MB}}}]', says="digits")
TEXT = f'[{{"text": "{"a" * 50 * MB}", "label": "x"}}, {{"text": "b", "label": "y"}}]'
simple("a text of 50 million letters in JSON", "a.json", 3, content=lambda: TEXT, says="at most 5,000,000")
simple("JSON of a million empty lists", "a.json", 3, content=lambda: f"[{'[],' * MB}[]]", says="DATA-071")
simple("JSON of a million keys", "a.json", 3, content=lambda: f"[{_object()}]", says="DATA-068")
simple("a line of jsonl with a million keys", "a.jsonl", 3, content=lambda: f"{_object()}\n", says="DATA-068")
simple("a csv of a million columns", "a.csv", 3, content=lambda: f"{_names()}\n{_names()}\n", says="DATA-068")
simple("a csv of one line of 64 MB", "a.csv", 3, content=lambda: "text,label" + "x" * 64 * MB, says="DATA-086")
simple("a jsonl of one line of 64 MB", "a.jsonl", 3, content=lambda: '{"a": "' + "x" * 64 * MB, says="DATA-086")
simple(
    "a quote that is never closed over 40 MB", "a.csv", 3, content=lambda: 'text,label\n"' + f"{'a' * 997},b\n" * 40_000
)
LONG_CELLS = "text,label\n" + "".join(f"text {number},{'9' * 100_000}x{number % 2}\n" for number in range(20))
simple("labels of 100,000 digits", "a.csv", 0, 3, content=lambda: LONG_CELLS)
simple("labels of quotes that do not end", "a.csv", 0, 3, content=lambda: _quotes())
simple(
    "a label of 100,000 spaces", "a.csv", 0, 3, content=lambda: LONG_CELLS.replace("9" * 100_000, "a" + " " * 100_000)
)
simple("a csv of formulas and escapes", "a.csv", 0, 3, content=lambda: _formulas())


def _object() -> str:
    return json.dumps(dict.fromkeys(map(str, range(MB)), 1))


def _names() -> str:
    return ",".join(f"c{number}" for number in range(MB))


def _quotes() -> str:
    cell = "['" + "\\'" * 100_000 + "]"
    return "text,label\n" + "".join(f'text {number},"{cell}"\n' for number in range(20))


def _formulas() -> str:
    cells = ["=cmd|' /C calc'!A0", "\x1b]0;owned\x07", "+1+1", "@SUM(1)"]
    return "text,label\n" + "".join(f"a text {number},{cells[number % 4]}\n" for number in range(20))


# Packed files.
def zeros(megabytes: int, unit: bytes = b"\0") -> bytes:
    """Return gzip members that unpack to so many megabytes."""
    member = gzip.compress(unit * (10 * MB // len(unit)), 9, mtime=0)
    return member * (megabytes // 10)


simple("a gzip bomb as csv", "a.csv.gz", 3, content=lambda: zeros(1000), says="DATA-074")
simple("a gzip bomb as jsonl", "a.jsonl.gz", 3, content=lambda: zeros(1000, b"{}\n"), says="DATA-074")
simple("a gzip bomb as json", "a.json.gz", 3, content=lambda: zeros(1000, b"[1]"), says="DATA-074")
simple("a gzip bomb of rows", "a.tsv.gz", 3, content=lambda: zeros(1000, b"a\tb\n"), says="DATA-074")


def workbook(**members: bytes) -> bytes:
    """Return a workbook of which members are replaced or added: sheet, shared, others by their whole name."""
    short = {"sheet": "xl/worksheets/sheet1.xml", "shared": "xl/sharedStrings.xml", "book": "xl/workbook.xml"}
    new = {short.get(name, name): content for name, content in members.items()}
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(VALID[9][1])) as old,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as made,
    ):
        for name in [*old.namelist(), *(name for name in new if name not in old.namelist())]:
            made.writestr(name, new.get(name) or old.read(name))
    return packed.getvalue()


def sheet(rows: str, before: str = "", dimension: str = "A1:B3") -> bytes:
    """Return the XML of a sheet with these rows."""
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    told = f'<dimension ref="{dimension}"/><sheetData>{rows}</sheetData>'
    return f'<?xml version="1.0"?>{before}<worksheet xmlns="{space}">{told}</worksheet>'.encode()


def row(number: int, *cells: str, first: str = "A") -> str:
    """Return the XML of a row of texts."""
    made = "".join(
        f'<c r="{chr(ord(first) + place)}{number}" t="inlineStr"><is><t>{cell}</t></is></c>'
        for place, cell in enumerate(cells)
    )
    return f'<row r="{number}">{made}</row>'


HEADER = row(1, "text", "label")
ENTITIES = '<!DOCTYPE l [<!ENTITY a0 "aaaaaaaaaa">' + "".join(
    f'<!ENTITY a{level} "{f"&a{level - 1};" * 10}">' for level in range(1, 12)
)
LAUGHING = sheet(HEADER + row(2, "&a11;", "x"), ENTITIES + "]>")
OUTSIDE = sheet(HEADER + row(2, "&f;", "x"), '<!DOCTYPE l [<!ENTITY f SYSTEM "file:///etc/passwd">]>')
FAR = sheet(HEADER + row(1_048_576, "a", "x"), dimension="A1:XFD1048576")
BEYOND = sheet(HEADER + row(2_000_000_000, "a", "x"))
simple("a workbook of nested entities", "a.xlsx", 3, content=lambda: workbook(sheet=LAUGHING), says="DATA-078")
simple("a workbook with an entity that names a file", "a.xlsx", 3, content=lambda: workbook(sheet=OUTSIDE))
simple("a workbook whose sheet unpacks to 300 MB", "a.xlsx", 3, content=lambda: _blank_sheet(), says="DATA-074")
simple("a workbook whose texts unpack to 300 MB", "a.xlsx", 3, content=lambda: _texts(), says="DATA-074")
simple("a workbook with a row at the end of the sheet", "a.xlsx", 0, 3, content=lambda: workbook(sheet=FAR))
simple("a workbook with a row far beyond a sheet", "a.xlsx", 3, content=lambda: workbook(sheet=BEYOND), says="DATA-078")


def _blank_sheet() -> bytes:
    return workbook(sheet=sheet(HEADER + " " * 300 * MB))


def _texts() -> bytes:
    return workbook(shared=b"<sst><si><t>" + b"a" * 300 * MB + b"</t></si></sst>")


@case("a workbook with names that lead outside", 0, says="")
def outside_names(folder: Path, canary: Path) -> list[str]:
    """Add members that a careless unpacker would write elsewhere."""
    return put(folder / "a.xlsx", workbook(**{f"../../{canary.name}": b"x", str(canary): b"x"}))


# Parquet.
def table(**columns: Any) -> bytes:
    """Return a Parquet file."""
    sink = io.BytesIO()
    parquet.write_table(pa.table(columns), sink, compression="zstd")
    return sink.getvalue()


TEXTS, LABELS = (list(column) for column in zip(*ROWS, strict=True))
PLAIN = table(text=TEXTS, label=LABELS)
simple("Parquet whose footer claims 4 GB", "a.parquet", 3, content=lambda: PLAIN[:-8] + b"\xff" * 4 + PLAIN[-4:])
simple("Parquet cut off", "a.parquet", 3, content=lambda: PLAIN[: len(PLAIN) // 2], says="DATA-009")
simple("Parquet cut off, with an end", "a.parquet", 3, content=lambda: PLAIN[:200] + PLAIN[-8:], says="DATA-009")
simple("Parquet whose texts unpack to 200 MB", "a.parquet", 3, content=lambda: _large_texts(), says="DATA-074")
simple("Parquet that hides a page of 600 MB", "a.parquet", 3, content=lambda: _hidden_page(), says="DATA-074")
simple("Parquet of one text of 20 MB in 4,096 rows", "a.parquet", 3, content=lambda: _repeated(), says="DATA-074")
simple("Parquet of 40 million rows in a few bytes", "a.parquet", 3, content=lambda: _many_rows(), says="DATA-074")
simple("Parquet that claims 2 to the 40 values", "a.parquet", 0, 3, content=lambda: _claimed(1 << 40))
simple("Parquet with label names that are none", "a.parquet", 0, 3, content=lambda: _odd_names())


def _large_texts() -> bytes:
    return table(text=["a" * 2 * MB + str(number) for number in range(100)], label=["x", "y"] * 50)


def _repeated() -> bytes:
    codes = pa.array([0] * 4096, pa.int32())
    return table(text=pa.DictionaryArray.from_arrays(codes, ["a" * 20 * MB]), label=["x", "y"] * 2048)


def _many_rows() -> bytes:
    sink, part = io.BytesIO(), pa.table({"text": pa.nulls(20 * MB, pa.string()), "label": pa.nulls(20 * MB, pa.int8())})
    with parquet.ParquetWriter(sink, part.schema, compression="zstd") as writer:
        for _ in range(2):
            writer.write_table(part, row_group_size=20 * MB)
    return sink.getvalue()


def _footer_with(data: bytes, *told: tuple[int, int]) -> bytes:
    """Return a file in whose footer other numbers stand: (that which is there, that which is claimed)."""
    size = int.from_bytes(data[-8:-4], "little")
    footer = data[-8 - size : -8]
    for true, claimed in told:
        assert b"\x16" + _varint(true) in footer
        footer = footer.replace(b"\x16" + _varint(true), b"\x16" + _varint(claimed))
    return data[: -8 - size] + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def _hidden_page() -> bytes:
    """Return a file with a page of 600 MB, of which the footer says that it has a thousand bytes."""
    sink, texts = io.BytesIO(), ["a" * 30 * MB] * 20
    made = pa.table({"text": texts, "label": ["x", "y"] * 10})
    parquet.write_table(
        made, sink, compression="zstd", use_dictionary=False, data_page_size=2**31 - 1, write_statistics=False
    )
    part = parquet.read_metadata(sink).row_group(0)
    sizes = {part.total_byte_size, part.column(0).total_uncompressed_size}
    return _footer_with(sink.getvalue(), *((size, 1000) for size in sizes))


def _varint(number: int) -> bytes:
    """Return a number as Thrift's compact protocol writes it: zigzag, seven bits a byte."""
    number, found = number << 1, bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def _claimed(count: int) -> bytes:
    """Return a file whose footer says that it has this many rows, in the place of twelve."""
    return _footer_with(PLAIN, (len(ROWS), count))


def _odd_names() -> bytes:
    sink, told = io.BytesIO(), {"info": {"features": {"label": {"names": [1, None, ["a"]], "_type": "ClassLabel"}}}}
    made = pa.table({"text": TEXTS, "label": [number % 2 for number in range(12)]})
    parquet.write_table(made.replace_schema_metadata({"huggingface": json.dumps(told)}), sink)
    return sink.getvalue()


# Files of other kinds.
@case("an Arrow file", 3, says="DATA-062")
def arrow(folder: Path, canary: Path) -> list[str]:
    """Write Arrow's own format under the name of a csv."""
    made = pa.table({"text": TEXTS, "label": LABELS})
    with pa.OSFile(str(folder / "a.csv"), "wb") as sink, pa.ipc.new_file(sink, made.schema) as writer:
        writer.write_table(made)
    return ["check", str(folder / "a.csv")]


def _pickles() -> Iterator[tuple[str, Callable[[Path], bytes]]]:
    def array(canary: Path) -> bytes:
        sink = io.BytesIO()
        np.save(sink, np.array([Runs(canary)], dtype=object), allow_pickle=True)
        return sink.getvalue()

    def torch_file(canary: Path) -> bytes:
        sink = io.BytesIO()
        with zipfile.ZipFile(sink, "w") as packed:
            packed.writestr("archive/data.pkl", pickle.dumps(Runs(canary)))
            packed.writestr("archive/version", "3\n")
        return sink.getvalue()

    yield from (("pkl", lambda canary: pickle.dumps(Runs(canary))), ("npy", array), ("pt", torch_file))


for _ending, _content in _pickles():
    for _name in (f"a.{_ending}", f"{_ending}.csv", f"{_ending}.parquet", f"{_ending}.jsonl"):
        CASES[f"a pickle as {_name}"] = (
            lambda folder, canary, name=_name, content=_content: put(folder / name, content(canary)), (3, 2), ""
        )  # fmt: skip


# Folders, links and devices.
@case("a data set with a script", 2, 3, 7)
def scripted(folder: Path, canary: Path) -> list[str]:
    """Write a folder as the datasets library once ran it."""
    inside = folder / "set"
    inside.mkdir()
    (inside / "set.py").write_text(f"open({str(canary)!r}, 'w')\n", encoding="utf-8")
    (inside / "dataset_infos.json").write_text("{}", encoding="utf-8")
    return ["check", str(inside)]


@case("a data set with a script beside data", 0)
def scripted_beside(folder: Path, canary: Path) -> list[str]:
    """Write a script beside a csv."""
    scripted(folder, canary)
    put(folder / "set" / "train.csv", VALID[0][1])
    return ["check", str(folder / "set")]


@case("a folder called x.csv", 3)
def called_csv(folder: Path, canary: Path) -> list[str]:
    """Make a folder with the name of a file."""
    (folder / "x.csv").mkdir()
    return ["check", "--train", str(folder / "x.csv")]


@case("a named pipe", 3, says="pipe")
def pipe(folder: Path, canary: Path) -> list[str]:
    """Make a pipe that nobody writes to."""
    os.mkfifo(folder / "a.csv")
    return ["check", str(folder / "a.csv")]


@case("a named pipe as a recipe", 2)
def pipe_as_recipe(folder: Path, canary: Path) -> list[str]:
    """Make a pipe that nobody writes to."""
    os.mkfifo(folder / "a.yaml")
    return ["recipes", str(folder / "a.yaml")]


@case("a link to /dev/zero", 3, says="device")
def device(folder: Path, canary: Path) -> list[str]:
    """Give a device the name of a file."""
    (folder / "a.csv").symlink_to("/dev/zero")
    return ["check", str(folder / "a.csv")]


def labelled(folder: Path, *names: str) -> Path:
    """Make a folder of texts for each label."""
    for name in names:
        inside = folder / "set" / name
        inside.mkdir(parents=True)
        for number in range(6):
            (inside / f"{number}.txt").write_text(f"{name} text {number}", encoding="utf-8")
    return folder / "set"


@case("labels with escapes and newlines in their folders' names", 0, 3)
def odd_labels(folder: Path, canary: Path) -> list[str]:
    """Name folders so that a terminal or a path would obey."""
    return ["check", str(labelled(folder, "\x1b]0;owned\x07", "..\\..\\etc", "a\nb", "....", "%2e%2e%2f"))]


@case("a folder of texts with loops, links, pipes and devices", 0, 3)
def linked(folder: Path, canary: Path) -> list[str]:
    """Link folders to themselves, and texts to what is no text."""
    place = labelled(folder, "good", "bad")
    (place / "good" / "loop").symlink_to(place)
    (place / "loop").symlink_to(place)
    (place / "good" / "self.txt").symlink_to(place / "good" / "self.txt")
    (place / "bad" / "zero.txt").symlink_to("/dev/zero")
    os.mkfifo(place / "bad" / "pipe.txt")
    return ["check", str(place)]


@case("a pattern over folders that link to each other", 0)
def linked_folders(folder: Path, canary: Path) -> list[str]:
    """Link folders so that there are 2 to the 40 ways through them."""
    for name in ("a", "b"):
        (folder / name).symlink_to(folder)
    put(folder / "a.csv", VALID[0][1])
    return ["check", str(folder / "**" / "*.csv")]


@case("a text of a gigabyte in a folder of texts", 3, says="at most|more than")
def large_text(folder: Path, canary: Path) -> list[str]:
    """Make a sparse text."""
    place = labelled(folder, "good", "bad")
    os.truncate(place / "good" / "0.txt", 1000 * MB)
    return ["check", str(place)]


@case("files with newlines and escapes in their names", 0)
def odd_names(folder: Path, canary: Path) -> list[str]:
    """Name files so that a terminal would obey."""
    (folder / "set").mkdir()
    put(folder / "set" / "train\n\x1b[2J.csv", VALID[0][1])
    put(folder / "set" / "test\x1b]0;x\x07.csv", VALID[0][1].replace(b"review", b"story"))
    return ["check", str(folder / "set")]


@case("annotations that name files and addresses", 0)
def references(folder: Path, canary: Path) -> list[str]:
    """Write Label Studio's tasks whose data names files and addresses: these are texts, and nothing is fetched."""
    places = ["file:///etc/passwd", "http://127.0.0.1:9/a", "s3://bucket/key", "\\\\host\\share"]
    tasks = [
        {
            "data": {"text": f"{places[number % 4]} {number}", "image": places[number % 4]},
            "annotations": [{"result": [{"from_name": "tone", "value": {"choices": [["a"], ["b"]][number % 2]}}]}],
        }
        for number in range(24)
    ]
    return [*put(folder / "a.json", json.dumps(tasks)), "--label-column", "tone"]


@case("annotations of another form", 3, says="Label Studio")
def odd_annotations(folder: Path, canary: Path) -> list[str]:
    """Write results that are no results."""
    tasks = [{"data": {"text": "a"}, "annotations": [wrong]} for wrong in (3, {"result": 3}, {"result": [None]})]
    return put(folder / "a.json", json.dumps(tasks))


for _place in ("http://127.0.0.1:9/a.csv", "s3://bucket/a.csv", "file:///etc/passwd", "hdfs://host/a.parquet"):
    CASES[f"the address {_place} as data"] = (lambda folder, canary, place=_place: ["check", place], (2, 3, 7), "")
