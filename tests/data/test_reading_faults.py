"""Broken files, one fault each, and several at once: every fault is a DataError with code, file, line and remedy."""

from __future__ import annotations

import codecs
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from case_table import case
from lightune.data import csv_file as separated
from lightune.data import csv_lines
from lightune.data import jsonl_file as json_lines
from lightune.data.tables import read_table
from lightune.errors import DataError
from lightune.faults import Fault

GOOD = "text,label\nfine,pos\ndull,neg\n"


def zipped(*names: str) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name in names:
            archive.writestr(name, GOOD)
    return sink.getvalue()


def as_parquet(**columns: pa.Array) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(pa.table(columns), sink)
    return sink.getvalue()


def bytes_as_text(*cells: bytes) -> pa.Array:
    return pa.array(cells, pa.binary()).view(pa.string())


WHOLE = as_parquet(text=pa.array(["a film"] * 500), label=pa.array(["pos"] * 500))
NOT_TEXT = as_parquet(text=bytes_as_text(b"fine", b"caf\xe9", b"dull"), label=pa.array(["pos", "neg", "neg"]))
# (file, content, code, where the fault stands after the file's name, words of the reason, words of the remedy)
FAULTS: list[tuple[str, bytes | str, str, str, str, str]] = [
    ("a.csv", "text,label\ncafé,pos\n".encode("latin-1"), "DATA-003", ":2", "not UTF-8", "--encoding cp1252"),
    ("a.csv", GOOD.encode("utf-16-le"), "DATA-003", ":1", "utf-16le", "--encoding utf-16le"),
    ("a.csv", GOOD.encode("utf-16-be"), "DATA-003", ":1", "utf-16be", "--encoding utf-16be"),
    (
        "a.jsonl",
        '{"text": "fine"}\n{"text": "café"}\n'.encode("latin-1"),
        "DATA-003",
        ":2",
        "not UTF-8",
        "--encoding cp1252",
    ),
    ("a.csv", codecs.BOM_UTF8 * 2 + GOOD.encode(), "DATA-061", ":1", "byte order mark", "joined"),
    ("a.csv", GOOD + "\ufeffgood,pos\n", "DATA-061", ":4", "byte order mark", "remove the mark"),
    ("a.jsonl", '{"text": "x"}\n\ufeff{"text": "y"}\n', "DATA-061", ":2", "byte order mark", "joined"),
    ("a.csv", GOOD + "text,label\ngood,pos\n", "DATA-070", ":4", "column names are repeated here", "joined"),
    ("a.csv", GOOD + "one,two,three\n", "DATA-007", ":4", "3 cells, 2 columns", "Quote"),
    ("a.tsv", "text\tlabel\nx\ty\nalone\n", "DATA-007", ":3", "1 cells, 2 columns", "literal"),
    ("a.csv", "", "DATA-006", ":1", "no column names", "text,label"),
    ("a.csv", "\n\n\n", "DATA-006", ":1", "no column names", "text,label"),
    ("a.csv", "text,label\n", "DATA-004", "", "no rows", "rows"),
    ("a.csv", codecs.BOM_UTF8, "DATA-006", ":1", "no column names", "text,label"),
    ("a.csv", "text,,label\nx,y,z\n", "DATA-006", ":1", "column 2 has no name", "differ"),
    ("a.csv", "text,label,\nx,y,z\n", "DATA-007", ":2", "3 cells, 2 columns", "Quote"),
    ("a.csv", "text,label,text\nx,y,z\n", "DATA-006", ":1", '2 columns are called "text"', "differ"),
    ("a.csv", 'text,label\nx,y\n"open,y\nz,w\n', "DATA-005", ":3", "broken quoting", "double quotes"),
    ("a.csv", 'text,label\n"closed" early,y\nz,w\n', "DATA-005", ":2", "broken quoting", "double quotes"),
    ("a.csv", '"text,label\nx,y\n', "DATA-005", ":1", "broken quoting", "double quotes"),
    ("a.csv", "text,label\nx\0,y\nz,w\n", "DATA-060", ":2", "NUL byte", "Remove it"),
    ("a.jsonl", '{"text": "x"}\n{"text": "y\0"}\n', "DATA-060", ":2", "NUL byte", "Remove it"),
    ("a.csv", "text;label\nfine, really\n", "DATA-069", ":1", "only one column", "semicolons"),
    ("a.csv", zipped("[Content_Types].xml", "xl/workbook.xml"), "DATA-062", "", "Excel", ".xlsx"),
    ("a.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "DATA-062", "", "Excel", ".xlsx"),
    ("a.csv", zipped("a.csv"), "DATA-062", "", "zip", "Unpack"),
    ("a.jsonl", gzip.compress(b'{"text": "x"}\n'), "DATA-062", "", "gzip", ".gz"),
    ("a.csv", "\n<!DOCTYPE HTML>\n<html><body>Sign in</body></html>", "DATA-062", "", "HTML", "Download"),
    ("a.csv", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "DATA-062", "", "Git LFS", "git lfs pull"),
    ("a.csv", WHOLE, "DATA-062", "", "Parquet", ".parquet"),
    ("a.jsonl", '{"text": "x"}\n{"text": "y"\n', "DATA-008", ":2", "not JSON", "one JSON object"),
    ("a.jsonl", '{"text": "x"}\n\n["y", 1]\n', "DATA-008", ":3", "not a JSON object", "one JSON object"),
    ("a.jsonl", '["x", 1]\n', "DATA-008", ":1", "not a JSON object", "JSON array"),
    ("a.jsonl", '{"text": "x", "label": NaN}\n', "DATA-008", ":1", "NaN is not JSON", "one JSON object"),
    ("a.jsonl", '{"text": "x", "label": [-Infinity]}\n', "DATA-008", ":1", "-Infinity is not JSON", "JSON object"),
    ("a.jsonl", '{"text": "x", "text": "y"}\n', "DATA-008", ":1", 'key "text" occurs twice', "JSON object"),
    ("a.jsonl", f'{{"text": "x", "label": {"9" * 5000}}}\n', "DATA-008", ":1", "not JSON", "JSON object"),
    ("a.jsonl", "text,label\n", "DATA-008", ":1", "not JSON (Expecting value, column 1)", "one JSON object"),
    ("a.jsonl", "", "DATA-004", "", "no rows", "rows"),
    ("a.parquet", WHOLE[: len(WHOLE) // 2], "DATA-009", "", "not a readable Parquet", "damaged"),
    ("a.parquet", GOOD, "DATA-009", "", "not a readable Parquet", "damaged"),
    ("a.parquet", b"", "DATA-009", "", "not a readable Parquet", "damaged"),
    ("a.parquet", gzip.compress(WHOLE), "DATA-009", "", "gzip", "damaged"),
    ("a.parquet", NOT_TEXT, "DATA-003", ":2", "text is not UTF-8", "decoded"),
    ("a.parquet", as_parquet(text=pa.array([], pa.string())), "DATA-004", "", "no rows", "rows"),
    ("a.xlsx", "x", "DATA-078", "", "not a readable workbook", "CSV UTF-8"),
    ("a.doc", "x", "DATA-002", "", ".doc files are not read", "csv, tsv, txt, jsonl, json, parquet, xlsx"),
]


def put(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "code", "line", "reason", "remedy"), FAULTS, ids=[f"{row[2]} {row[4]}" for row in FAULTS]
)
def test_a_broken_file_is_refused_with_place_reason_and_remedy(
    tmp_path: Path, name: str, content: bytes | str, code: str, line: str, reason: str, remedy: str
):
    path, faults = put(tmp_path / name, content), list[Fault]()
    read_table(path, faults)
    assert [(fault.code, fault.place) for fault in faults[:1]] == [(code, f"{path}{line}")]
    assert len(faults) == 1
    assert reason in faults[0].text
    assert remedy in faults[0].hint
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert caught.value.exit_code == 3
    assert str(caught.value) == f"{code} {path}{line}: {faults[0].text}\n{faults[0].hint}"


def test_all_faults_of_a_file_are_told_at_once_and_the_rest_is_read(tmp_path: Path):
    rows = [
        "text,label",
        "fine,pos",
        "a,b,c",
        '"early" end,pos',
        "nul\0,neg",
        "caf\udce9,neg",
        "\ufeffmark,pos",
        "dull,neg",
    ]
    path = put(tmp_path / "a.csv", "\n".join(rows).encode("utf-8", "surrogateescape"))
    faults: list[Fault] = []
    table = read_table(path, faults)
    found = [(fault.code, fault.place.removeprefix(f"{path}:")) for fault in faults]
    assert found == [("DATA-007", "3"), ("DATA-005", "4"), ("DATA-060", "5"), ("DATA-003", "6"), ("DATA-061", "7")]
    assert table.columns == {"text": ["fine", "dull"], "label": ["pos", "neg"]}
    assert [table.place(row) for row in range(2)] == [f"{path}:2", f"{path}:8"]


def test_a_quote_that_is_never_closed_hides_no_later_row(tmp_path: Path):
    faults: list[Fault] = []
    path = put(tmp_path / "a.csv", 'text,label\n"open,pos\nfine,pos\na,b,c\n"a, b",neg\n')
    table = read_table(path, faults)
    assert [fault.place for fault in faults] == [f"{path}:2", f"{path}:4"]
    assert table.columns["text"] == ["fine", "a, b"]
    assert list(table.lines) == [3, 5]


def test_a_quote_that_is_never_closed_does_not_swallow_a_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without a limit on a row it would be read into memory whole, once for every such quote."""
    monkeypatch.setattr(csv_lines, "LONGEST_ROW", 10_000)
    faults: list[Fault] = []
    path = put(tmp_path / "a.csv", 'text,label\n"open,pos\n' + "fine,pos\n" * 5000)
    assert len(read_table(path, faults)) == 5000
    assert [fault.place for fault in faults] == [f"{path}:2"]


def test_lines_that_each_swallow_the_rest_are_not_read_again_for_ever(tmp_path: Path):
    """Each line opens a quote that the next one closes and opens anew: every retry would read to the end."""
    faults: list[Fault] = []
    read_table(put(tmp_path / "a.csv", "text,label\n" + 'b","c\n' * 30_000), faults)
    assert 0 < len(faults) <= csv_lines.MOST_RETRIES + 2


@pytest.mark.parametrize(
    ("module", "name", "header", "row"),
    [(separated, "a.csv", "text,label\n", "a,b,c\n"), (json_lines, "a.jsonl", '{"text": "x"}\n', "{\n")],
)
def test_a_file_that_is_broken_throughout_does_not_fill_the_memory_with_faults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: object, name: str, header: str, row: str
):
    monkeypatch.setattr(module, "MOST_FAULTS", 20)
    faults: list[Fault] = []
    read_table(put(tmp_path / name, header + row * 100), faults)
    assert len(faults) == 21
    assert (faults[-1].code, "stopped here" in faults[-1].text) == ("DATA-071", True)


@pytest.mark.parametrize("ends", ["\r", "\r\n", "\n"])
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_lines_may_end_as_they_do_anywhere(tmp_path: Path, name: str, ends: str):
    lines = (
        GOOD.split("\n")
        if name == "a.csv"
        else ['{"text": "fine", "label": "pos"}', '{"text": "dull", "label": "neg"}']
    )
    table = read_table(put(tmp_path / name, ends.join(lines)))
    assert table.columns == {"text": ["fine", "dull"], "label": ["pos", "neg"]}
    assert list(table.lines) == ([2, 3] if name == "a.csv" else [1, 2])


def test_the_index_that_pandas_writes_is_left_out(tmp_path: Path):
    assert read_table(put(tmp_path / "a.csv", ",text,label\n0,fine,pos\n1,dull,neg\n")).columns == {
        "text": ["fine", "dull"],
        "label": ["pos", "neg"],
    }


@pytest.mark.parametrize(
    "content",
    [
        "text,toxic\nhow rude of you,toxic\nthank you,fine\n",
        "How did you like the film?,score\na lot,5\nnot much,1\n",
        "0,1\nfine,1\ndull,0\n",
        "text\nfine; really\n",
    ],
)
def test_a_header_that_looks_odd_is_still_a_header(tmp_path: Path, content: str):
    assert len(read_table(put(tmp_path / "a.csv", content))) == content.count("\n") - 1


def test_too_many_different_keys_are_refused(tmp_path: Path):
    path = put(tmp_path / "a.jsonl", "".join(json.dumps({f"text{row}": "x"}) + "\n" for row in range(1002)))
    with pytest.raises(DataError, match=r"DATA-068 .*a\.jsonl:1001: more than 1,000"):
        read_table(path)


def test_every_bad_row_of_a_parquet_file_is_named_across_batches(tmp_path: Path):
    """Arrow reads such a file without complaint and fails when a cell is looked at."""
    cells = [b"fine"] * 9000
    cells[3] = cells[8999] = b"\xff"
    path = put(tmp_path / "a.parquet", as_parquet(text=bytes_as_text(*cells), label=pa.array(range(9000))))
    faults: list[Fault] = []
    table = read_table(path, faults)
    assert [fault.place for fault in faults] == [f"{path}:4", f"{path}:9000"]
    assert (len(table), table.columns["label"][3], table.place(3)) == (8998, 4, f"{path}:5")


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = put(tmp_path / "a.csv", GOOD)

    def refuse(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything, so file modes show nothing
    with pytest.raises(DataError, match=r"DATA-001 .*a\.csv: the file cannot be read \(Permission denied\)"):
        read_table(path)


def _mutated(draw: Callable[..., object], content: bytes) -> bytes:
    data = bytearray(content)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 6))] = draw(st.binary(max_size=6))
    return bytes(data)


@st.composite
def broken_files(draw: Callable[..., object]) -> tuple[str, bytes]:
    """A valid file of each kind with bytes put in, taken out and changed."""
    name, content = draw(
        st.sampled_from(
            [("a.csv", GOOD.encode()), ("a.jsonl", b'{"text": "x", "label": 1}\n' * 3), ("a.parquet", WHOLE)]
        )
    )
    return name, _mutated(draw, content)


@settings(max_examples=200)
@given(file=broken_files())
def test_whatever_the_bytes_reading_gives_a_table_or_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, file: tuple[str, bytes]
):
    name, content = file
    path, faults = put(tmp_path_factory.mktemp("any") / name, content), list[Fault]()
    table = read_table(path, faults)
    assert all(len(list(values)) == len(table) for values in table.columns.values())
    assert faults or len(table)
    if faults:
        with pytest.raises(DataError):
            read_table(path)


@case("a csv of one column with a carriage return inside a text", "one text became two rows, no word",
      "DATA-005 with its line", "the other lines end in line feeds")  # fmt: skip
@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_a_carriage_return_inside_a_text_is_no_end_of_a_row(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    path.write_bytes(b"text\nfirst text\nsecond\rhalf\nlast text\n")
    with pytest.raises(DataError, match=r":3: this line ends with a carriage return") as caught:
        read_table(path)
    assert caught.value.code == "DATA-005"


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_lines_may_end_in_any_one_way(tmp_path, end):
    path = tmp_path / "a.csv"
    path.write_bytes(end.join(["text,label", "one,a", '"two\r\nlines",b', "three,a", ""]).encode())
    assert list(read_table(path).columns["text"]) == ["one", "two\r\nlines", "three"]


@case("a jsonl key with half a character", "BUG-001", "DATA-008 with its line", "no file can hold such a name")
def test_a_key_with_half_a_character_is_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "x", "label": "y"}\n{"text": "z", "\\ud800label": "y"}\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"DATA-008 .*:2: a key holds half a character"):
        read_table(path)
