"""The first row, and the names of columns in every kind of file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from case_table import case
from lightune.data.check import check_data
from lightune.data.dataset import labelled_split
from lightune.data.names import clean_name, is_known_name
from lightune.data.tables import Table, read_table
from lightune.errors import DataError
from lightune.faults import Fault
from lightune.recipe import DataBlock
from tiny import classes

SHORT = [("book0", "neg"), ("chair1", "pos"), ("chair2", "neg"), ("film3", "pos"), ("soup4", "neg"), ("lamp5", "pos")]


def read(path: Path) -> tuple[Table, list[Fault]]:
    faults: list[Fault] = []
    return read_table(path, faults), faults


def put(path: Path, rows: list[tuple[str, ...]]) -> Path:
    separator = "," if path.suffix == ".csv" else "\t"
    path.write_text("".join(separator.join(row) + "\n" for row in rows), encoding="utf-8")
    return path


def no_header(given: str, before: str) -> pytest.MarkDecorator:
    return case(given, before, "DATA-006: the first row looks like data", "a row is lost, and names are nonsense")


HEADERLESS = [
    pytest.param(SHORT, id="words", marks=no_header(
        "a headerless file of short texts", "a row lost, text column \"book0\", no word")),
    pytest.param([(label, text) for text, label in SHORT], id="label first", marks=no_header(
        "the same with the label first", "a row lost, no word")),
    pytest.param([(text, str(number % 2)) for number, (text, _) in enumerate(SHORT)], id="0 and 1", marks=no_header(
        "a headerless file with labels 0 and 1", "a row lost, text column \"book0\", no word")),
    pytest.param([(text, f"0.{number}") for number, (text, _) in enumerate(SHORT)], id="scores", marks=no_header(
        "a headerless file with a score on each row, all different", "a row lost, no word")),
    pytest.param([(f"so {text}", f" {label}") for text, label in SHORT], id="blanks", marks=no_header(
        "a headerless file with blanks before the labels", "a row lost, no word")),
    pytest.param([(f"a{text}", ("question", "answer")[number % 2]) for number, (text, _) in enumerate(SHORT)],
                 id="a label like a name", marks=no_header(
        "a headerless file with the labels question and answer", "a row lost, no word")),
    pytest.param([("great film " + text, label) for text, label in SHORT], id="sentences"),
]  # fmt: skip


@pytest.mark.parametrize("rows", HEADERLESS)
@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_a_first_row_of_data_is_refused(tmp_path: Path, name: str, rows: list[tuple[str, ...]]):
    path = put(tmp_path / name, rows)
    faults = check_data(DataBlock(source=str(path))).faults
    assert [(fault.code, fault.place) for fault in faults[:1]] == [("DATA-006", f"{path}:1")]
    assert "looks like data" in faults[0].text
    assert "text,label" in faults[0].hint
    table, _ = read(path)
    with pytest.raises(DataError, match="looks like data"):
        labelled_split(table, DataBlock(), classes("ab"))


@case("columns called spam and msg, a label spam", "read as it is", "DATA-006, and read once both columns are named",
      "a fault has a way out for those who mean it")  # fmt: skip
def test_a_doubtful_header_can_be_confirmed(tmp_path: Path):
    rows = [("spam", "msg"), *((("spam", "ham")[n % 2], f"message number {n}") for n in range(20))]
    path = put(tmp_path / "a.csv", rows)
    (fault,) = check_data(DataBlock(source=str(path))).faults
    assert (fault.code, "--text-column" in fault.hint) == ("DATA-006", True)
    checked = check_data(DataBlock(source=str(path), text_column="msg", label_column="spam"))
    assert (checked.faults, checked.texts, checked.labels) == ([], ["msg"], ["spam"])
    assert checked.rows["train"].rows_in == 20


NAMED = {
    "a label called as its column": [("text", "spam"), ("buy now", "spam"), ("hello", "ham"), ("win", "spam")],
    "a text that says text": [("text", "spam"), ("text", "ham"), ("hello", "ham"), ("win", "spam"), ("x", "ham")],
    "names in two words": [("Review Text", "spam"), ("buy", "spam"), ("hello", "ham"), ("win", "spam"), ("x", "ham")],
    "names of a data frame without names": [("0", "1"), ("fine", "1"), ("dull", "0"), ("good", "1"), ("bad", "0")],
    "an index without a name": [("", "0", "1"), ("0", "fine", "1"), ("1", "dull", "0"), ("2", "good", "1")],
    "a year over words": [("text", "2020"), ("fine", "good"), ("dull", "bad")],
    "a number over words": [("answers", "7"), ("a", "yes"), ("b", "no")],
    "v1 and v2": [("v1", "v2"), ("ham", "v2"), ("spam", "v2"), ("ham", "v2"), ("ham", "v2")],
    "many different values": [("utterance", "reply"), ("a", "b"), ("c", "reply"), ("d", "e"), ("f", "g")],
    "names in another language": [("Kommentar", "Bewertung"), ("gut", "1"), ("schlecht", "0"), ("gut", "1")],
    "one row": [("utterance", "spam"), ("a", "spam")],
    "a sentence": [("How did you like the film?", "score"), ("a lot", "5"), ("not much", "1")],
}


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_a_first_row_of_names_is_none_of_data(tmp_path: Path, kind: str, name: str):
    table, faults = read(put(tmp_path / f"a.{kind}", NAMED[name]))
    assert faults == []
    assert len(table) == len(NAMED[name]) - 1


@pytest.mark.parametrize("name", ["text", "Text1", "review_text", "starRating", "LABEL", "sentence2", "text id", "Idx"])
def test_usual_names_are_known(name: str):
    assert is_known_name(name)


@pytest.mark.parametrize("name", ["", "book0", "a fine text", "neg", "0", "überlang", "text, please"])
def test_other_words_are_no_names(name: str):
    assert not is_known_name(name)


def write_csv(path: Path, names: list[str]) -> Path:
    return put(path.with_suffix(".csv"), [tuple(names), ("a", "b"), ("c", "d")])


def write_tsv(path: Path, names: list[str]) -> Path:
    return put(path.with_suffix(".tsv"), [tuple(names), ("a", "b"), ("c", "d")])


def write_jsonl(path: Path, names: list[str]) -> Path:
    rows = [f"{{{', '.join(f'{json.dumps(name)}: {json.dumps(v)}' for name, v in zip(names, row, strict=True))}}}\n"
            for row in ("ab", "cd")]  # fmt: skip
    path.with_suffix(".jsonl").write_text("".join(rows), encoding="utf-8")
    return path.with_suffix(".jsonl")


def write_parquet(path: Path, names: list[str]) -> Path:
    arrays = [pa.array(["a", "c"]), pa.array(["b", "d"])]
    parquet.write_table(pa.Table.from_arrays(arrays, names=names), path.with_suffix(".parquet"))
    return path.with_suffix(".parquet")


WRITERS = {"csv": write_csv, "tsv": write_tsv, "jsonl": write_jsonl, "parquet": write_parquet}
Writer = Callable[[Path, list[str]], Path]
EXACT = "only --text-column with the very character found it"
SEEN = "what cannot be seen cannot be typed"


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        pytest.param("Remark ", "Remark", marks=case(
            "a column name with a space outside", "found in csv and tsv; jsonl, Parquet: never",
            "read without it in every kind of file", SEEN)),
        pytest.param("\u200btext", "text", marks=case(
            "a zero-width space before a column name", EXACT, "read without it", SEEN)),
        pytest.param("text\u00ad", "text", marks=case(
            "a soft hyphen after a column name", EXACT, "read without it", SEEN)),
        pytest.param("\u200e\u00a0text \u2060", "text", marks=case(
            "direction marks and no-break spaces around a name", EXACT, "read without them", SEEN)),
        pytest.param("cafe\u0301", "café", marks=case(
            "a column name in decomposed Unicode", EXACT, "read as composed (NFC)", "both look the same")),
        pytest.param("soft\u00adware", "soft\u00adware", id="inside"),
    ],
)  # fmt: skip
def test_what_cannot_be_seen_outside_a_name_does_not_count(tmp_path: Path, write: Writer, written: str, read_as: str):
    table, faults = read(write(tmp_path / "a", [written, "label"]))
    assert faults == []
    assert table.columns == {read_as: ["a", "c"], "label": ["b", "d"]}


@pytest.mark.parametrize(
    ("kind", "code", "place"),
    [("csv", "DATA-006", ":1"), ("tsv", "DATA-006", ":1"), ("jsonl", "DATA-008", ":1"), ("parquet", "DATA-006", "")],
)
@pytest.mark.parametrize("twin", ["text", "text ", "\ufefftext", "te\u0301xt"])
def test_names_that_are_alike_then_are_refused(tmp_path: Path, kind: str, code: str, place: str, twin: str):
    names = ["t\u00e9xt", twin] if "\u0301" in twin else [twin, "text"]
    path = WRITERS[kind](tmp_path / "a", names)
    table, faults = read(path)
    assert (faults[0].code, faults[0].place) == (code, f"{path}{place}")
    assert f'"{clean_name(twin)}"' in faults[0].text
    assert len(table) == 0


@case("two columns of one name in a Parquet file", "DATA-009 damaged", "DATA-006: 2 columns are called \"text\"",
      "the file is whole; its names are wrong")  # fmt: skip
def test_twins_in_parquet_are_said_to_be_twins(tmp_path: Path):
    _, faults = read(write_parquet(tmp_path / "a", ["text", "text"]))
    assert [(fault.code, fault.text) for fault in faults] == [("DATA-006", '2 columns are called "text"')]


def test_keys_of_objects_inside_a_cell_are_left_alone(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text ": {"a ": 1, "a": 2}}\n', encoding="utf-8")
    assert read_table(path).columns == {"text": [{"a ": 1, "a": 2}]}


def test_keys_that_differ_by_a_space_from_line_to_line_are_one_column(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"text ": "a"}\n{"text": "b"}\n', encoding="utf-8")
    assert read_table(path).columns == {"text": ["a", "b"]}
