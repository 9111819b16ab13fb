"""Planted faults, each in files of its own: `check` and `run` both name file and row, and nothing is left behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lightune.cli.main import main
from planted import NAMES, ROWS, Plant, Row, csv, jsonl, parquet, records

pytestmark = pytest.mark.usefixtures("hashed_once")

OTHERS = [(f"another review, the {number}th", NAMES[number % 2]) for number in range(1, 9)]


def with_row(line: int, *row: Any) -> list[Row]:
    """Return the good rows with another one on a line of a csv file."""
    return [*ROWS[: line - 2], row, *ROWS[line - 1 :]]


def in_test(*rows: Row) -> dict[str, Any]:
    return {"test.csv": csv(*OTHERS, *rows)}


SINGLE = ("--task", "classification")
PAIR = ("--set", "data.text_column=[premise,hypothesis]")
PLANTS = [
    # Files
    Plant("another kind of file", "DATA-002", "train.doc", "csv, tsv, txt, jsonl", b"PK", kind="doc"),
    Plant("a damaged workbook", "DATA-078", "train.xlsx", "CSV UTF-8", b"PK", kind="xlsx"),
    Plant("latin-1", "DATA-003", "train.csv:3", "UTF-8", csv(*ROWS[:1], ("caf@", "positive")).replace(b"@", b"\xe9")),
    Plant("utf-16 without its mark", "DATA-003", "train.csv:1", "--encoding utf-16le",
          csv(*ROWS).decode().encode("utf-16-le")),
    Plant("header only", "DATA-004", "train.csv", "no rows", b"text,label\n"),
    Plant("a test file with a header only", "DATA-004", "test.csv", "no rows", more={"test.csv": b"text,label\n"}),
    Plant("an open quote", "DATA-005", "train.csv:4", "quot", csv(*ROWS[:2]) + b'"never closed,positive\n'),
    Plant("an empty file", "DATA-006", "train.csv:1", "column names", b""),
    Plant("a column twice", "DATA-006", "train.csv:1", "2 columns", csv(("a", "b", "c"), header="text,label,text")),
    Plant("a row too long", "DATA-007", "train.csv:7", "3 cells", csv(*with_row(7, "a", "positive", "b"))),
    Plant("a row too short", "DATA-007", "train.csv:9", "1 cell", csv(*with_row(9, "alone"))),
    Plant("a short row in the test file", "DATA-007", "test.csv:10", "1 cell", more=in_test(("alone",))),
    Plant("a broken JSON line", "DATA-008", "train.jsonl:3", "JSON", jsonl(*records(*ROWS[:2])) + b"{", kind="jsonl"),
    Plant("a JSON line of another kind", "DATA-008", "train.jsonl:2", "object", b'{"text":"a"}\n[1]\n', kind="jsonl"),
    Plant("a Parquet file that is none", "DATA-009", "train.parquet", "Parquet", b"PAR1 not", kind="parquet"),
    # Columns
    Plant("semicolons in the header alone", "DATA-069", "train.csv:1", "--separator", csv(*ROWS, header="text;label")),
    Plant("no such text column", "DATA-024", "train.csv", '"text"', arguments=("--text-column", "texd")),
    Plant("no such label column", "DATA-024", "train.csv", '"label"', arguments=("--label-column", "lable")),
    Plant("no telling the label", "DATA-025", "train.csv", "--label-column", csv(("a", "b", "c"), header="text,x,y")),
    Plant("no text at all", "DATA-025", "train.jsonl", "--text-column", jsonl({"a": 1, "label": 2}), kind="jsonl"),
    Plant("a test file without the column", "DATA-024", "test.csv", '"text"',
          more={"test.csv": csv(*OTHERS, header="texts,label")}),
    Plant("text and label the same", "DATA-026", "train.csv", "both",
          arguments=("--text-column", "text", "--label-column", "text")),
    Plant("words in a list", "DATA-027", "train.jsonl", "token",
          jsonl(*[{"text": ["a", "b"], "label": [0, 1]}] * 4), kind="jsonl"),
    # Labels
    Plant("scores with fractions", "DATA-020", "train.csv", "regression",
          csv(*[(text, number / 8) for number, (text, _) in enumerate(ROWS)]), arguments=SINGLE),
    Plant("scores as JSON numbers", "DATA-020", "train.jsonl", "regression",
          jsonl(*records(*[(text, number / 8) for number, (text, _) in enumerate(ROWS)])), kind="jsonl",
          arguments=SINGLE),
    Plant("several labels a row", "DATA-021", "train.jsonl", "multi_label",
          jsonl(*records(*[(text, [label, "both"]) for text, label in ROWS])), kind="jsonl", arguments=SINGLE),
    Plant("labels as objects", "DATA-021", "train.jsonl", "objects",
          jsonl(*records(*[(text, {label: 1}) for text, label in ROWS])), kind="jsonl"),
    Plant("one label only", "DATA-022", "train.csv", "1 label", csv(*[(text, "same") for text, _ in ROWS])),
    Plant("no label anywhere", "DATA-022", "train.csv", "0 label", csv(*[(text, "") for text, _ in ROWS])),
    Plant("ids for labels", "DATA-023", "train.csv", "ids", csv(*[(text, n) for n, (text, _) in enumerate(ROWS)])),
    Plant("texts for labels", "DATA-023", "train.csv", "20 different",
          csv(*[(f"short {n}", text) for n, (text, _) in enumerate(ROWS)])),
    Plant("an unseen label", "DATA-014", "test.csv:10", "not among", more=in_test(("so so", "neutral"))),
    Plant("a misspelt label in test", "DATA-014", "test.csv:10", '"positive"?', more=in_test(("so so", "Postive"))),
    Plant("a label in capitals", "DATA-014", "validation.csv:10", '"negative"?',
          more={"validation.csv": csv(*OTHERS, ("so so", "NEGATIVE"))}),
    Plant("a missing label", "DATA-013", "train.csv:5", "label is missing", csv(*with_row(5, "so so", ""))),
    Plant("a label of null", "DATA-013", "train.jsonl:21", "label is missing",
          jsonl(*records(*ROWS, ("so so", None))), kind="jsonl"),
    Plant("a missing label in test", "DATA-013", "test.csv:10", "label is missing", more=in_test(("so so", " "))),
    Plant("a NUL byte in a label", "DATA-013", "train.jsonl:21", "NUL",
          jsonl(*records(*ROWS, ("so so", "x\0"))), kind="jsonl"),
    Plant("labels that differ by case", "DATA-033", "train.csv:5", '"positive" and "Positive"',
          csv(*with_row(5, "so so", "Positive"))),
    Plant("labels that differ by quotes", "DATA-033", "train.csv:5", "everywhere",
          csv(*with_row(5, "so so", "'positive'"))),
    Plant("labels that differ by spaces", "DATA-033", "train.csv:6", "spaces",
          csv(*[(text, f"very {label}") for text, label in ROWS[:4]], ("so so", "very  negative"),
              *[(text, f"very {label}") for text, label in ROWS[4:]])),
    Plant("a class of one", "DATA-034", "train.csv:22", "2 or more", csv(*ROWS, ("so so", "neutral"))),
    Plant("a misspelt label in training", "DATA-034", "train.csv:22", '"positive"?', csv(*ROWS, ("so so", "postive"))),
    Plant("a class whose rows all stand in test", "DATA-032", "train.csv", "rare",
          csv(*ROWS, ("so so", "rare"), ("la la", "rare")),
          more=in_test(("So so.", "rare"), ("la la", "rare"))),
    Plant("a class name without rows", "DATA-032", "train.parquet", "owl",
          parquet([text for text, _ in ROWS], [0, 1] * 10, ["ape", "bee", "owl"]), kind="parquet"),
    Plant("hidden test labels", "DATA-014", "test.parquet:1", "hide",
          parquet([text for text, _ in ROWS], [0, 1] * 10, ["ape", "bee"]), kind="parquet",
          more={"test.parquet": parquet(["so so"], [-1], ["ape", "bee"])}),
    # Texts
    Plant("an empty text", "DATA-013", "train.csv:5", "text is empty", csv(*with_row(5, "", "positive"))),
    Plant("a blank text", "DATA-013", "test.csv:10", "text is empty", more=in_test(("   ", "positive"))),
    Plant("a text of null", "DATA-013", "train.jsonl:21", "text is empty",
          jsonl(*records(*ROWS, (None, "positive"))), kind="jsonl"),
    Plant("a row without the text", "DATA-013", "train.jsonl:21", "text is empty",
          jsonl(*records(*ROWS), {"label": "positive"}), kind="jsonl"),
    Plant("a NUL byte", "DATA-013", "train.jsonl:21", "NUL",
          jsonl(*records(*ROWS, ("so\0so", "positive"))), kind="jsonl"),
    Plant("half a character", "DATA-013", "train.jsonl:21", "surrogate",
          jsonl(*records(*ROWS, ("so \ud83d so", "positive"))), kind="jsonl"),
    Plant("half a pair", "DATA-013", "train.csv:22", "hypothesis is empty",
          csv(*[(text, text, label) for text, label in ROWS], ("so so", "", "positive"),
              header="premise,hypothesis,label"), arguments=PAIR),
    # Splits
    Plant("duplicates that are not wanted", "DATA-031", "train.csv", "1 repeated", csv(*ROWS, ROWS[0]),
          arguments=("--set", "data.on_duplicate=error")),
    Plant("a test file of which nothing is left", "DATA-030", "test.csv", "empty",
          more={"test.csv": csv(("so so", "x"), ("la la", "y"))}, arguments=("--set", "data.on_unseen_label=drop")),
    Plant("validation and test the same", "DATA-030", "validation.csv", "later split",
          more={"test.csv": csv(*OTHERS), "validation.csv": csv(*OTHERS)}),
    Plant("only contradictions", "DATA-030", "train.csv", "two ways",
          csv(*[(text, label) for text, _ in ROWS for label in NAMES])),
    Plant("too few rows to set any aside", "DATA-030", "train.csv", "validation split is empty", csv(*ROWS[:4]),
          arguments=("--set", "data.train_examples=2")),
    Plant("too few labels for every class", "DATA-032", "train.csv", "rare",
          csv(*ROWS, ("so 1", "rare"), ("so 2", "rare")),
          more={"test.csv": csv(*OTHERS)}, arguments=("--set", "data.train_examples=4")),
]  # fmt: skip


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Plant], list[str]]:
    """Return a function that writes a plant's files and returns the arguments that name them."""
    monkeypatch.chdir(tmp_path)
    return lambda plant: plant.written(tmp_path)


def test_there_are_forty_plants_and_more():
    assert len({plant.name for plant in PLANTS}) == len(PLANTS) >= 40


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_check_names_the_planted_fault(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    plant.is_named_by_check(tmp_path, capsys)


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_run_refuses_the_planted_fault_before_it_reads_a_model(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """There is no such model: the data is looked at first."""
    monkeypatch.chdir(tmp_path)
    plant.is_refused_by_run(tmp_path, capsys)


def test_the_faults_of_all_files_are_named_at_once(arguments: Callable[[Plant], list[str]], capsys: Any):
    more = {
        "validation.csv": csv(*OTHERS, ("so so", "Postive"), ("", "negative")),
        "test.csv": csv(*OTHERS) + b"caf\xe9,positive\n",
    }
    plant = Plant("all", "", "", "", csv(*with_row(5, "", "positive"), ("so so", "x")), more)
    assert main(["check", *arguments(plant), "--json"]) == 3
    found = {(fault["code"], fault["place"]) for fault in json.loads(capsys.readouterr().out)["faults"]}
    assert found == {
        ("DATA-013", "train.csv:5"),
        ("DATA-014", "validation.csv:10"),
        ("DATA-013", "validation.csv:11"),
        ("DATA-003", "test.csv:10"),
    }


def test_a_file_that_is_not_there(tmp_path: Path, capsys: Any):
    missing = str(tmp_path / "none.csv")
    assert main(["check", missing]) == 3
    assert "DATA-001" in capsys.readouterr().out
    assert main(["run", "--train", missing, "--model", "./no-such-model"]) == 3
    assert f"DATA-001 {missing}: there is no such file." in capsys.readouterr().err


def test_of_many_faults_the_terminal_shows_ten_of_a_kind(arguments: Callable[[Plant], list[str]], capsys: Any):
    plant = Plant("many", "", "", "", csv(*ROWS, *[("", "positive")] * 14))
    given = arguments(plant)
    assert main(["check", *given]) == 3
    printed = capsys.readouterr().out
    assert printed.startswith("train.csv: 14 faults, no warnings. The data cannot be used yet.")
    assert printed.count("text is empty") == 10
    assert "and 4 more" in printed
    assert "Traceback" not in printed
