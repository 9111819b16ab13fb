"""What an independent writer wrote comes back row for row, and what does not is counted."""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from case_table import case
from lightune.data.tables import join, read_table
from lightune.faults import Fault

# A byte order mark at the beginning of a line of csv or tsv is a fault of its own (DATA-061).
ANY = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=20)
ONE_LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff\t\r\n"), max_size=20)
JSON_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
# Few letters, so that quotes, commas and line breaks stand side by side.
NASTY = st.text(st.sampled_from("\",\n\r'\\ a\u2028\x85"), max_size=8)
NASTY_LINE = st.text(st.sampled_from('",\'\\ a\u2028\x85"'), max_size=8)
Rows = list[tuple[str, str]]


def rows_of(cells: st.SearchStrategy[str]) -> st.SearchStrategy[Rows]:
    return st.lists(st.tuples(cells, cells), min_size=1, max_size=8)


def write_csv(path: Path, rows: Rows) -> None:
    with path.open("w", encoding="utf-8", newline="") as sink:
        csv.writer(sink).writerows([("text", "label"), *rows])


def write_quoted_csv(path: Path, rows: Rows) -> None:
    with path.open("w", encoding="utf-8", newline="") as sink:
        csv.writer(sink, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([("text", "label"), *rows])


def write_tsv(path: Path, rows: Rows) -> None:
    path.write_bytes("".join("\t".join(row) + "\n" for row in [("text", "label"), *rows]).encode())


def write_jsonl(path: Path, rows: Rows) -> None:
    lines = (json.dumps({"text": text, "label": label}, ensure_ascii=len(rows) % 2 == 0) for text, label in rows)
    path.write_bytes("".join(line + "\n" for line in lines).encode())


def write_parquet(path: Path, rows: Rows) -> None:
    texts, labels = zip(*rows, strict=True)
    columns = {"text": pa.array(texts, pa.large_string()), "label": pa.array(labels).dictionary_encode()}
    parquet.write_table(pa.table(columns), path, row_group_size=3)


KINDS = [
    pytest.param("a.csv", write_csv, rows_of(ANY), id="csv"),
    pytest.param("a.csv", write_csv, rows_of(NASTY), id="csv of quotes and line breaks"),
    pytest.param("a.csv", write_quoted_csv, rows_of(NASTY), id="csv quoted throughout"),
    pytest.param("a.tsv", write_tsv, rows_of(ONE_LINE), id="tsv"),
    pytest.param("a.tsv", write_tsv, rows_of(NASTY_LINE), id="tsv of quotes"),
    pytest.param("a.jsonl", write_jsonl, rows_of(JSON_TEXT), id="jsonl"),
    pytest.param("a.parquet", write_parquet, rows_of(JSON_TEXT), id="parquet"),
]


def comes_back(name: str, write: Callable[[Path, Rows], None], rows: st.SearchStrategy[Rows], examples: int) -> None:
    folder = Path(tempfile.mkdtemp())

    @settings(max_examples=examples)
    @given(rows)
    def check(written: Rows) -> None:
        faults: list[Fault] = []
        has_lines = name.endswith((".csv", ".tsv"))
        held = [not has_lines or any(map(str.strip, row)) for row in written]  # a row of blanks is a blank line
        assume(any(held))
        write(folder / name, written)
        table = read_table(folder / name, faults)
        assert faults == []
        expected = [row for row, is_held in zip(written, held, strict=True) if is_held]
        assert list(zip(table.columns["text"], table.columns["label"], strict=True)) == expected
        between = len(held) - held[::-1].index(True) - len(expected)
        assert sum(table.skipped.values()) == between

    try:
        check()
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize(("name", "write", "rows"), KINDS)
def test_every_row_comes_back_as_it_was_written(
    name: str, write: Callable[[Path, Rows], None], rows: st.SearchStrategy[Rows]
):
    comes_back(name, write, rows, 200)


@pytest.mark.long
@pytest.mark.parametrize(("name", "write", "rows"), KINDS)
def test_every_row_of_very_many_comes_back_as_it_was_written(
    name: str, write: Callable[[Path, Rows], None], rows: st.SearchStrategy[Rows]
):
    comes_back(name, write, rows, 2000)


def blank(given: str) -> pytest.MarkDecorator:
    return case(given, "skipped without a word", "skipped, and counted", "rows in = rows read + rows skipped")


SKIPPED = [
    pytest.param("a.csv", "text,label\na,b\n\n\nc,d\n\n", 2, {"blank line": 2}, id="csv", marks=blank(
        "blank lines inside a csv")),
    pytest.param("a.tsv", "text\tlabel\n\na\tb\n\r\nc\td\n", 2, {"blank line": 2}, id="tsv", marks=blank(
        "blank lines inside a tsv")),
    pytest.param("a.jsonl", '{"text": "a"}\n\n  \t\n{"text": "b"}\n\n', 2, {"blank line": 2}, id="jsonl", marks=blank(
        "blank lines inside a jsonl")),
    pytest.param("a.csv", "\n\ntext,label\na,b\n", 1, {}, id="before the names"),
    pytest.param("a.csv", "text,label\na,b\n\n\n\n", 1, {}, id="at the end"),
    pytest.param("a.csv", 'text,label\n"a\n\nb",c\n\nd,e\n', 2, {"blank line": 1}, id="inside a text"),
    pytest.param("a.csv", "text\na\n\"\"\n\nb\n", 3, {"blank line": 1}, id="one column"),
    pytest.param("a.csv", "text,label\na,b\n\nc\nd,e,f\nn\0,o\nok,ok\n", 2, {"blank line": 1, "cannot be read": 3},
                 id="broken rows"),
    pytest.param("a.csv", 'text,label\n"a" b,c\nd,e\ntext,label\n', 1, {"cannot be read": 2}, id="broken quotes"),
    pytest.param("a.tsv", "text\tlabel\na\n\ufeffb\tc\nd\te\n", 1, {"cannot be read": 2}, id="broken tsv"),
    pytest.param("a.jsonl", '{"text": "a"}\n\n{\n[1]\n{"text": "b"}\n', 2, {"blank line": 1, "cannot be read": 2},
                 id="broken jsonl"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "rows", "skipped"), SKIPPED)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_what_is_not_read_is_counted(
    tmp_path: Path, name: str, content: str, rows: int, skipped: dict[str, int], end: str
):
    if "\r" in content and end != "\n":
        pytest.skip("has line ends of its own")
    path = tmp_path / name
    path.write_bytes(content.replace("\n", end).encode())
    table = read_table(path, [])
    assert (len(table), table.skipped) == (rows, skipped)


def test_files_that_are_read_as_one_add_up_what_they_skipped_and_keep_their_warnings(tmp_path: Path):
    (tmp_path / "a.csv").write_text("text,label\na,b\n\nc,d\n")
    (tmp_path / "b.tsv").write_text('text\tlabel\n\n\n"a ""b"""\tb\nc\nc\td\n')
    faults: list[Fault] = []
    tables = [read_table(tmp_path / name, faults) for name in ("a.csv", "b.tsv")]
    joined = join(tables, "both", faults)
    assert len(joined) == 4
    assert joined.skipped == {"blank line": 3, "cannot be read": 1}
    assert [(warning.code, warning.place) for warning in joined.warnings] == [("DATA-115", f"{tmp_path}/b.tsv:4")]
