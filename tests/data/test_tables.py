"""Reading files: what was written comes back, and every fault is a DataError that names the file and the line."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from lightune.data.tables import read_table
from lightune.errors import DataError

ROWS = {"text": ["good, and how", 'he said "no"', "two\nlines", "ümlaut — 字"], "label": ["pos", "neg", "pos", "neg"]}
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), max_size=30)


def fault_in(path: Path) -> str:
    """Read a file that cannot be read and return what the user is told, beginning with the code."""
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert caught.value.exit_code == 3
    return str(caught.value)


def put(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


ON_ONE_LINE = {**ROWS, "text": ["good, and how", '"he said', 'no"', "ümlaut — 字"]}


def write_csv(path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as sink:
        csv.writer(sink).writerows([list(ROWS), *zip(*ROWS.values(), strict=True)])


def write_tsv(path: Path) -> None:
    rows = [list(ROWS), *zip(*ON_ONE_LINE.values(), strict=True)]
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")


def write_jsonl(path: Path) -> None:
    rows = [dict(zip(ROWS, row, strict=True)) for row in zip(*ROWS.values(), strict=True)]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.csv", write_csv),
        ("a.CSV", write_csv),
        ("a.tsv", write_tsv),
        ("a.jsonl", write_jsonl),
        ("a.parquet", lambda path: parquet.write_table(pa.table(ROWS), path)),
    ],
)
def test_what_was_written_is_read(tmp_path: Path, name: str, write: Callable[[Path], None]):
    write(tmp_path / name)
    table = read_table(tmp_path / name)
    assert table.columns == (ON_ONE_LINE if name == "a.tsv" else ROWS)
    assert len(table) == 4


@given(
    texts=st.lists(st.tuples(ANY_TEXT, ANY_TEXT).filter(lambda row: any(map(str.strip, row))), min_size=1, max_size=8)
)
def test_any_text_survives_a_csv_and_its_row_stands_on_the_line_where_it_begins(
    tmp_path_factory: pytest.TempPathFactory, texts: list[tuple[str, str]]
):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with path.open("w", encoding="utf-8", newline="") as sink:
        csv.writer(sink).writerows([("text", "label"), *texts])
    table = read_table(path)
    assert list(zip(*table.columns.values(), strict=True)) == texts
    line = 2
    for row, cells in enumerate(texts):
        assert table.place(row) == f"{path}:{line}"
        line += 1 + sum(len(re.findall(r"\r\n|\r|\n", cell)) for cell in cells)


@pytest.mark.parametrize(("name", "content"), [("a.csv", "text,label\nx,y\n"), ("a.jsonl", '{"text":"x","label":"y"}')])
def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path, name: str, content: str):
    path = put(tmp_path / name, b"\xef\xbb\xbf" + content.encode())
    assert read_table(path).columns == {"text": ["x"], "label": ["y"]}


def test_blank_lines_are_skipped_and_counted(tmp_path: Path):
    table = read_table(put(tmp_path / "a.csv", "\ntext,label\n\nx,y\n\n\nz,w\n"))
    assert table.columns["text"] == ["x", "z"]
    assert list(table.lines) == [4, 7]


def test_a_cell_may_be_longer_than_the_csv_module_allows_by_itself(tmp_path: Path):
    path = put(tmp_path / "a.csv", f"text,label\n{'x' * 200_000},y\n")
    assert len(read_table(path).columns["text"][0]) == 200_000


def test_every_ragged_row_is_named_with_its_line(tmp_path: Path):
    fault = fault_in(put(tmp_path / "a.csv", 'text,label\nx,y\na,b,c\n"two\nlines",y\nalone\n'))
    assert fault.startswith("DATA-007 2 faults:")
    assert f"{tmp_path}/a.csv:3: 3 cells, 2 columns\n" in fault
    assert f"{tmp_path}/a.csv:6: 1 cells, 2 columns\n" in fault


def test_of_many_broken_rows_ten_are_listed_and_the_rest_counted(tmp_path: Path):
    fault = fault_in(put(tmp_path / "a.csv", "text,label\n" + "alone\n" * 13))
    assert fault.count("1 cells, 2 columns") == 10
    assert "13 faults" in fault
    assert "and 3 more" in fault


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('text,label\nx,y\n"never closed,y\nz,w\nz,w\n', 3),
        ('text,label\n"closed" too early,y\nz,w\n', 2),
        ('"text,label\nx,y\n', 1),
    ],
)
def test_broken_quoting_names_the_line_where_the_row_begins(tmp_path: Path, content: str, line: int):
    assert fault_in(put(tmp_path / "a.csv", content)).startswith(f"DATA-005 {tmp_path}/a.csv:{line}: broken quoting")


@pytest.mark.parametrize("rows_before", [1, 5000])
def test_another_encoding_is_refused_with_its_line(tmp_path: Path, rows_before: int):
    """Far into the file too, beyond the decoder's first chunk."""
    path = put(tmp_path / "a.csv", b"text,label\n" + b"x,y\n" * rows_before + "café,y\n".encode("latin-1"))
    fault = fault_in(path)
    assert fault.startswith(f"DATA-003 {path}:{rows_before + 2}:")
    assert "pass --encoding cp1252" in fault


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.csv", "", "DATA-006"),
        ("a.csv", "text,label\n", "DATA-004"),
        ("a.jsonl", "", "DATA-004"),
        ("a.jsonl", "\n \n", "DATA-004"),
        ("a.doc", "x", "DATA-002"),
        ("a", "x", "DATA-002"),
    ],
)
def test_a_file_without_rows_or_of_an_unknown_kind_is_refused(tmp_path: Path, name: str, content: str, code: str):
    assert fault_in(put(tmp_path / name, content)).startswith(f"{code} {tmp_path}/{name}")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path):
    assert fault_in(tmp_path / "none.csv").startswith(f"DATA-001 {tmp_path}/none.csv")
    assert fault_in(tmp_path).startswith("DATA-001")


@pytest.mark.parametrize("header", ["text,label,text", "text, text", ",,label"])
def test_column_names_that_repeat_are_refused(tmp_path: Path, header: str):
    assert fault_in(put(tmp_path / "a.csv", f"\n{header}\nx,y,z\n")).startswith(f"DATA-006 {tmp_path}/a.csv:2:")


def test_every_broken_json_line_is_named(tmp_path: Path):
    lines = ['{"text": "x"}', '{"text": "x"', "[1, 2]", "", "[" * 100_000, "null", '{"text": "y"}']
    fault = fault_in(put(tmp_path / "a.jsonl", "\n".join(lines)))
    assert fault.startswith("DATA-008 4 faults:")
    for line, what in ((2, "not JSON"), (3, "not a JSON object"), (5, "not JSON"), (6, "not a JSON object")):
        assert f"{tmp_path}/a.jsonl:{line}: {what}" in fault


def test_a_key_that_a_json_line_lacks_is_missing_there(tmp_path: Path):
    table = read_table(put(tmp_path / "a.jsonl", '{"text": "x"}\n\n{"label": "y", "text": "z"}\n'))
    assert table.columns == {"text": ["x", "z"], "label": [None, "y"]}
    assert list(table.lines) == [1, 3]


@pytest.mark.parametrize("damage", ["cut", "flipped footer", "empty", "other file"])
def test_a_damaged_parquet_file_is_refused(tmp_path: Path, damage: str):
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"text": ["x"] * 100, "label": ["y"] * 100}), path)
    whole = path.read_bytes()
    broken = {
        "cut": whole[: len(whole) // 2],
        "flipped footer": whole[:-40] + bytes(byte ^ 255 for byte in whole[-40:-8]) + whole[-8:],
        "empty": b"",
        "other file": b"text,label\nx,y\n",
    }
    assert fault_in(put(path, broken[damage])).startswith(f"DATA-009 {path}:")


def test_a_parquet_file_without_rows_is_refused(tmp_path: Path):
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"text": pa.array([], pa.string())}), path)
    assert fault_in(path).startswith(f"DATA-004 {path}")


def test_class_names_that_datasets_wrote_into_a_parquet_file_are_read(tmp_path: Path):
    import datasets

    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    rows = datasets.Dataset.from_dict({"text": ["x", "y"], "label": [1, 0]}, features=features)
    rows.to_parquet(str(tmp_path / "a.parquet"))
    table = read_table(tmp_path / "a.parquet")
    assert table.class_names == {"label": ["neg", "pos"]}
    assert table.columns["label"] == [1, 0]
