"""Files of answers: csv, tsv, jsonl, Parquet and xlsx in and out; rows that cannot be answered, and why."""

from __future__ import annotations

import csv
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

import lightune
from lightune.durable import Disk
from lightune.errors import DataError, RecipeError, ResourceError
from lightune.inference.answer_files import require_writable, write_rows
from lightune.inference.bulk import FileWishes, Tally, answered_rows
from tiny import sentences

TEXTS = [text for text, _ in sentences(4, seed=31)]
ROWS: list[dict[str, Any]] = [
    {"id": 7, "text": TEXTS[0], "tags": ["a", "b"]},
    {"id": 8, "text": TEXTS[1], "tags": []},
    {"id": None, "text": TEXTS[2], "tags": ["c"]},
]


@pytest.fixture(scope="module")
def classifier(tiny_run):
    return lightune.load(tiny_run.folder)


def put(folder: Path, kind: str) -> Path:
    """Write the rows as a file of this kind; a csv or tsv holds lists as JSON."""
    path = folder / f"in.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    elif kind == "parquet":
        parquet.write_table(pa.Table.from_pylist(ROWS), path)
    elif kind == "xlsx":
        book = openpyxl.Workbook()
        for cells in [list(ROWS[0]), *([row["id"], row["text"], "|".join(row["tags"])] for row in ROWS)]:
            book.active.append(cells)
        book.save(path)
    else:
        with path.open("w", encoding="utf-8", newline="") as sink:
            mark = "," if kind == "csv" else "\t"
            quoting = csv.QUOTE_MINIMAL if kind == "csv" else csv.QUOTE_NONE
            writer = csv.writer(sink, delimiter=mark, quoting=quoting, quotechar='"' if kind == "csv" else None)
            writer.writerow(["id", "text", "tags"])
            for row in ROWS:
                writer.writerow([row["id"] or "", row["text"], "|".join(row["tags"])])
    return path


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if path.suffix == ".parquet":
        return parquet.read_table(path).to_pylist()
    if path.suffix == ".xlsx":
        names, *rows = openpyxl.load_workbook(path).active.iter_rows(values_only=True)
        return [dict(zip(names, row, strict=True)) for row in rows]
    with path.open(encoding="utf-8", newline="") as file:
        mark = "," if path.suffix == ".csv" else "\t"
        return list(csv.DictReader(file, delimiter=mark, quoting=csv.QUOTE_MINIMAL if mark == "," else csv.QUOTE_NONE))


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet", "xlsx"])
@pytest.mark.parametrize("given", ["csv", "tsv", "jsonl", "parquet", "xlsx"])
def test_every_kind_of_file_comes_back_as_every_kind(classifier, tmp_path: Path, given: str, kind: str):
    rows = answered_rows(classifier, put(tmp_path, given))
    target = tmp_path / f"out.{kind}"
    assert write_rows(rows, target, classifier.task.number_columns) == 3
    found, answers = read(target), classifier.predict(TEXTS[:3])
    assert [row["text"] for row in found] == TEXTS[:3]
    assert [row["prediction"] for row in found] == [answer.label for answer in answers]
    assert [float(row["confidence"]) for row in found] == pytest.approx([one.confidence for one in answers], abs=1e-5)
    if {given, kind} <= {"jsonl", "parquet"}:
        assert [{name: row[name] for name in ROWS[0]} for row in found] == ROWS
        assert all(isinstance(row["confidence"], float) for row in found)
    if kind == "xlsx":
        assert all(isinstance(row["confidence"], float) for row in found)
    if kind == "csv" and given == "jsonl":
        assert [row["tags"] for row in found] == ['["a", "b"]', "[]", '["c"]']


def test_rows_that_cannot_be_answered_stay_without_an_answer_and_say_why(classifier, tmp_path: Path):
    path = tmp_path / "in.csv"
    path.write_text(f"id,text\n1,{TEXTS[0]}\n2,\n3,{TEXTS[1]}\n4,too,many\n", encoding="utf-8")
    with pytest.raises(DataError, match="2 faults"):
        list(answered_rows(classifier, path))
    tally, told = Tally(), []

    class Listener(lightune.progress.Silent):
        def note(self, text: str) -> None:
            told.append(text)

    header, *rows = answered_rows(classifier, path, FileWishes(skips_faults=True), Listener(), tally)
    assert header == ["id", "text", "prediction", "confidence", "reason"]
    assert [(row[0], bool(row[2]), row[4]) for row in rows] == [
        ("1", True, ""), ("2", False, "the text is empty"), ("3", True, ""),
    ]  # fmt: skip
    assert tally == Tally(4, 2, {"cannot be read": 1, "not answered": 1})
    assert told == [f"{path}:5: 3 cells, 2 columns"]


def test_many_rows_that_cannot_be_read_are_one_note(classifier, tmp_path: Path):
    path, told = tmp_path / "in.csv", []

    class Listener(lightune.progress.Silent):
        def note(self, text: str) -> None:
            told.append(text)

    path.write_text("id,text\n" + "1,too,many\n" * 500 + f"2,{TEXTS[0]}\n", encoding="utf-8")
    _, row = answered_rows(classifier, path, FileWishes(skips_faults=True), Listener())
    assert row[0] == "2"
    assert len(told) == 1
    assert told[0].startswith("500 faults:")
    assert told[0].count(str(path)) == 10


@pytest.mark.parametrize(
    ("value", "code", "reason"),
    [
        (["two", "words"], "DATA-027", "text holds a list"),
        ({"a": 1}, "DATA-027", "text holds a dict"),
        ("half \ud800", "DATA-013", "text holds half a character"),
        (None, "DATA-040", "the text is empty"),
    ],
)
def test_what_a_check_would_not_take_for_a_text_is_not_answered(
    classifier, tmp_path: Path, value: Any, code: str, reason: str
):
    """A list in one row was answered as its written form, "['two', 'words']"."""
    path = tmp_path / "in.jsonl"
    rows = [{"text": text} for text in TEXTS] * 30 + [{"text": value}]  # a list in the first rows refuses the column
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        list(answered_rows(classifier, path))
    assert caught.value.code == code
    _, *found = answered_rows(classifier, path, FileWishes(skips_faults=True))
    assert [bool(row[1]) for row in found] == [True] * 120 + [False]
    assert found[-1][-1].startswith(reason)


def test_texts_that_the_tokenizer_does_not_know_are_skipped_too(classifier, tmp_path: Path):
    path = tmp_path / "in.jsonl"
    bare = "\u200b\u200b"
    rows = [{"text": TEXTS[0]}, {"text": bare}, {"text": TEXTS[1]}, {"text": bare}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    _, *found = answered_rows(classifier, path, FileWishes(skips_faults=True))
    assert [bool(row[1]) for row in found] == [True, False, True, False]
    assert all(row[-1] for row in (found[1], found[3]))


def test_an_answer_that_is_missing_is_null_where_numbers_are_numbers(classifier, tmp_path: Path):
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps({"text": TEXTS[0]}) + '\n{"text": ""}\n', encoding="utf-8")
    for kind in ("jsonl", "parquet"):
        target = tmp_path / f"out.{kind}"
        write_rows(answered_rows(classifier, path, FileWishes(skips_faults=True)), target, ["confidence"])
        first, second = read(target)
        assert isinstance(first["confidence"], float)
        assert second["confidence"] is None


@pytest.mark.parametrize(
    ("name", "code"),
    [("out.xml", "RECIPE-101"), ("nowhere/out.csv", "RECIPE-062"), ("there.csv", "RECIPE-100"), ("out", "RECIPE-101")],
)
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path: Path, name: str, code: str):
    (tmp_path / "there.csv").write_text("kept")
    with pytest.raises(RecipeError) as caught:
        require_writable(tmp_path / name)
    assert caught.value.code == code
    assert (tmp_path / "there.csv").read_text() == "kept"


def test_nothing_is_left_where_writing_fails(classifier, tmp_path: Path):
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps({"text": "two\nlines of film"}) + "\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        write_rows(answered_rows(classifier, path), tmp_path / "out.tsv")
    assert caught.value.code == "DATA-076"
    assert [found.name for found in tmp_path.iterdir()] == ["in.jsonl"]


def test_a_column_of_several_types_is_written_as_json_in_parquet(tmp_path: Path):
    rows: list[list[Any]] = [["odd", "whole"], [1, 1], ["one", 2], [[1, 2], None]]
    assert write_rows(iter(rows), tmp_path / "out.parquet") == 3
    assert read(tmp_path / "out.parquet") == [
        {"odd": "1", "whole": 1}, {"odd": "one", "whole": 2}, {"odd": "[1, 2]", "whole": None},
    ]  # fmt: skip


def test_a_sheet_holds_texts_as_texts_and_numbers_as_numbers(tmp_path: Path):
    day = datetime(2026, 3, 1, 12, 30)
    cells = ["=1+1", "#N/A", "007", 7, 2.5, True, None, day, 12345678901234567890, ["a", 1], float("nan"), " "]
    target = tmp_path / "out.xlsx"
    assert write_rows(iter([[f"c{n}" for n in range(len(cells))], cells]), target) == 1
    sheet = openpyxl.load_workbook(target).active
    row = [cell.value for cell in sheet[2]]
    assert row == ["=1+1", "#N/A", "007", 7, 2.5, True, None, day, "12345678901234567890", '["a", 1]', "nan", " "]
    assert [cell.data_type for cell in sheet[2]][:3] == ["s", "s", "s"]


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("x" * 32_768, "more than 32,767 characters"),
        ("\U0001f600" * 16_384, "more than 32,767 characters"),
        ("a\x01b", "control character"),
        ("a\ufffeb", "control character"),
        ("a\ud800b", "half a character"),
    ],
)
def test_what_a_sheet_cannot_hold_is_refused_and_nothing_is_left(tmp_path: Path, cell: str, why: str):
    with pytest.raises(DataError, match=why) as caught:
        write_rows(iter([["text"], ["fine"], [cell]]), tmp_path / "out.xlsx")
    assert (caught.value.code, "row 2" in caught.value.message) == ("DATA-076", True)
    assert not list(tmp_path.iterdir())


def test_a_sheet_without_its_package_is_refused_before_anything_is_answered(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("lightune.inference.answer_files.find_spec", lambda name: None)
    with pytest.raises(RecipeError, match="RECIPE-101") as caught:
        require_writable(tmp_path / "out.xlsx")
    assert "pip install" in caught.value.hint


@pytest.mark.parametrize("name", ["out.csv", f"{'x' * 250}.csv"])
def test_a_place_where_no_file_can_be_made_is_said_before_anything_is_answered(tmp_path: Path, monkeypatch, name: str):
    if len(name) < 100:
        monkeypatch.setattr(Disk, "write", lambda *a: (_ for _ in ()).throw(OSError(30, "Read-only file system")))
    with pytest.raises(ResourceError, match="DISK-005") as caught:
        require_writable(tmp_path / name)
    assert caught.value.exit_code == 6
    assert not list(tmp_path.iterdir())
