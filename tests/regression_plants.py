"""Wrong files of numbers to predict: with what is to be said of each."""

from __future__ import annotations

from typing import Any

import pytest

from planted import Plant, Row, csv, jsonl, parquet, records, tsv

pytestmark = pytest.mark.usefixtures("hashed_once")

TEXTS = [f"a review with number {number}" for number in range(30)]
OTHERS = [f"another review, the {number}th" for number in range(8)]
REGRESSION, BOTH = ("--task", "regression"), ("--label-columns", "valence,arousal")
HEADER = "text,valence,arousal"


def scores(texts: list[str]) -> list[Row]:
    return [(text, row % 12 / 4) for row, text in enumerate(texts)]


def pairs(texts: list[str]) -> list[Row]:
    return [(text, row % 12 / 4, 5 - row % 7) for row, text in enumerate(texts)]


def cell(value: Any) -> dict[str, Any]:
    """Return a tsv file with one more row, whose number is written so."""
    return {"train": tsv(*scores(TEXTS), ("one more", value)), "kind": "tsv"}


def value(given: Any, *arguments: str) -> dict[str, Any]:
    """Return a jsonl file with one more row, whose number is this value."""
    return {"train": jsonl(*records(*scores(TEXTS), ("one more", given))), "kind": "jsonl", "arguments": arguments}


def both(*more: Row, test: tuple[Row, ...] = (), header: str = HEADER) -> dict[str, Any]:
    """Return a csv file of two numbers a text with further rows at its end, and a test file."""
    found: dict[str, Any] = {"train": csv(*pairs(TEXTS), *more, header=HEADER), "arguments": BOTH}
    if test:
        found["more"] = {"test.csv": csv(*test, header=header)}
    return found


def every(values: list[Any], *arguments: str) -> dict[str, Any]:
    """Return a jsonl file with these values in turn."""
    rows = [(text, values[row % len(values)]) for row, text in enumerate(TEXTS)]
    return {"train": jsonl(*records(*rows)), "kind": "jsonl", "arguments": arguments}


IN_TSV, IN_JSONL, GOOD = "train.tsv:32", "train.jsonl:31", csv(*scores(TEXTS))
PLANTS = [
    # Cells
    Plant("a decimal comma", "DATA-013", IN_TSV, "a point in place of the comma: 3.5", **cell("3,5")),
    Plant("a comma between thousands", "DATA-013", IN_TSV, "1204", **cell("1,204")),
    Plant("both, as in German", "DATA-013", IN_TSV, "Write it as 1204.5", **cell("1.204,5")),
    Plant("a blank between thousands", "DATA-013", IN_TSV, "Write it as 1204", **cell("1 204")),
    Plant("a percentage", "DATA-013", IN_TSV, "without a unit", **cell("12%")),
    Plant("a currency", "DATA-013", IN_TSV, "without a unit", **cell("$5")),
    Plant("a unit", "DATA-013", IN_TSV, "without a unit", **cell("5 stars")),
    Plant("a date", "DATA-013", IN_TSV, "A date or time is no number", **cell("2026-01-02")),
    Plant("a time", "DATA-013", IN_TSV, "A date or time is no number", **cell("12:30")),
    Plant("a word", "DATA-013", IN_TSV, "leave it out", **cell("unknown")),
    Plant("a text nan", "DATA-013", IN_TSV, "not a finite number", **cell("nan")),
    Plant("a text inf", "DATA-013", IN_TSV, "not a finite number", **cell("inf")),
    Plant("a number that is too large", "DATA-013", IN_TSV, "a larger unit", **cell("1e31")),
    Plant("a number that no computer holds", "DATA-013", IN_TSV, "a larger unit", **cell("1e999")),
    Plant("a minus of another kind", "DATA-013", IN_TSV, "Write it as -5", **cell("\u22125")),
    Plant("nothing", "DATA-013", IN_TSV, "the target is missing", **cell(" ")),
    Plant("a null", "DATA-013", IN_JSONL, "the target is missing", **value(None)),
    Plant("a truth", "DATA-013", IN_JSONL, "1 for true", **value(True)),
    Plant("a list", "DATA-013", IN_JSONL, "--label-columns", **value([3.5], *REGRESSION)),
    Plant("an object", "DATA-013", IN_JSONL, "an object, not a number", **value({"score": 3.5}, *REGRESSION)),
    Plant("a NaN in a Parquet file", "DATA-013", "train.parquet:31", "the target is missing",
          parquet([*TEXTS, "one more"], [*(score for _, score in scores(TEXTS)), float("nan")]), kind="parquet"),
    Plant("a decimal comma in test", "DATA-013", "test.tsv:10", "a point in place of the comma",
          tsv(*scores(TEXTS)), more={"test.tsv": tsv(*scores(OTHERS), ("one more", "3,5"))}, kind="tsv"),
    # Whole columns
    Plant("commas between thousands everywhere", "DATA-013", "train.tsv:2", "--decimal point if it is",
          tsv(*[(text, f"{row % 5 + 1},{100 + row}") for row, text in enumerate(TEXTS)]), kind="tsv"),
    Plant("percentages everywhere", "DATA-013", "train.tsv:3", "without a unit", kind="tsv", arguments=REGRESSION,
          train=tsv(*[(text, f"{row}%") for row, text in enumerate(TEXTS)])),
    Plant("words", "DATA-021", "train.jsonl", "--task classification", **every(["good", "bad"], *REGRESSION)),
    Plant("true and false", "DATA-021", "train.jsonl", "--task classification", **every([True, False], *REGRESSION)),
    Plant("lists of labels", "DATA-021", "train.jsonl", "--task multi_label", **every([["a"], ["b"]], *REGRESSION)),
    Plant("lists of numbers", "DATA-020", "train.jsonl", "--label-columns", **every([[1.5, 2.5], [3.5, 4]])),
    Plant("class names", "DATA-021", "train.parquet", "--task classification",
          parquet(TEXTS, [0, 1] * 15, ["ape", "bee"]), kind="parquet", arguments=REGRESSION),
    Plant("no number in any row", "DATA-022", "train.jsonl", "--label-column", **every([None, ""], *REGRESSION)),
    Plant("one number everywhere", "DATA-022", "train.jsonl", "2.5 in every training row", **every([2.5])),
    Plant("numbers that fp32 cannot tell apart", "DATA-038", "train.csv", "Subtract 1e+08 from all",
          csv(*[(text, 100_000_000 + row / 10) for row, text in enumerate(TEXTS)])),
    Plant("numbers of the rows", "DATA-023", "train.csv", "ids", csv(*[(text, row) for row, text in enumerate(TEXTS)])),
    Plant("codes such as 007", "DATA-023", "train.csv", "ids",
          csv(*[(text, f"{row:03d}") for row, text in enumerate(TEXTS)])),
    Plant("numbers said to be classes", "DATA-020", "train.csv", "--task regression", GOOD,
          arguments=("--task", "classification")),
    # Several columns
    Plant("one of two is blank", "DATA-013", "train.csv:32", "arousal is missing", **both(("one more", 1.5, ""))),
    Plant("one of two is a word", "DATA-013", "train.csv:32", 'valence is "low"', **both(("one more", "low", 3))),
    Plant("one of two is a number with a comma", "DATA-013", "train.csv:32", "a point in place of the comma: 1.5",
          **both(("one more", "1,5", 3))),
    Plant("one of two is always the same", "DATA-022", "train.csv", "arousal is 3 in every",
          csv(*[(text, row / 4, 3) for row, text in enumerate(TEXTS)], header=HEADER), arguments=BOTH),
    Plant("a test file without one of them", "DATA-024", "test.csv", '"arousal"',
          **both(test=tuple(row[:2] for row in pairs(OTHERS)), header="text,valence")),
    Plant("a text column among them", "DATA-026", "train.csv", "both the text and the label",
          csv(*pairs(TEXTS), header=HEADER), arguments=("--label-columns", "valence,text")),
    Plant("a column twice", "DATA-026", "train.csv", "named twice", csv(*pairs(TEXTS), header=HEADER),
          arguments=("--label-columns", "valence,valence")),
    Plant("no such column", "DATA-024", "train.csv", '"valence"?', csv(*pairs(TEXTS), header=HEADER),
          arguments=("--label-column", "valense")),
    Plant("columns that are not named", "DATA-025", "train.csv", "--label-columns valence,arousal",
          csv(*pairs(TEXTS), header=HEADER)),
    # Rows
    Plant("an empty text", "DATA-013", "train.csv:32", "text is empty", GOOD + b",2.5\n"),
    Plant("no rows", "DATA-004", "train.csv", "no rows", b"text,score\n", arguments=REGRESSION),
    Plant("a test file without the numbers", "DATA-024", "test.csv", '"label"', GOOD,
          more={"test.csv": csv(*[(text, text) for text in OTHERS], header="text,other")}),
    Plant("too few rows to set any aside", "DATA-030", "train.csv", "Give more rows", csv(*scores(TEXTS[:2]))),
    Plant("only contradictions", "DATA-030", "train.csv", "two ways",
          csv(*[(text, number) for text in TEXTS for number in (0.5, 5.0)])),
]  # fmt: skip
