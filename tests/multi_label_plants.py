"""Wrong files of several labels a text: with what is to be said of each."""

from __future__ import annotations

from typing import Any

import pytest

from planted import Plant, Row, csv, jsonl, parquet, records

pytestmark = pytest.mark.usefixtures("hashed_once")

SETS = (["food"], ["food", "price"], [], ["staff", "food"])
NAMES = ("food", "price", "staff")
TEXTS = [f"a review with number {number}" for number in range(24)]
OTHERS = [f"another review, the {number}th" for number in range(8)]


def sets(texts: list[str]) -> list[Row]:
    return [(text, SETS[row % 4]) for row, text in enumerate(texts)]


def joined(texts: list[str], mark: str = "|") -> list[Row]:
    return [(text, mark.join(labels)) for text, labels in sets(texts)]


def flags(texts: list[str]) -> list[Row]:
    return [(text, *(int(name in labels) for name in NAMES)) for text, labels in sets(texts)]


LISTS, JOINED, FLAGS = jsonl(*records(*sets(TEXTS))), csv(*joined(TEXTS)), "text,food,price,staff"
COLUMNS = ("--label-columns", "food,price,staff")


def lists(*more: Any, test: tuple[Any, ...] = ()) -> dict[str, Any]:
    """Return a jsonl file of lists with further cells at its end, and the same in a test file."""
    found: dict[str, Any] = {"kind": "jsonl", "train": LISTS + jsonl(*records(*(("one more", cell) for cell in more)))}
    if test:
        rows = [*sets(OTHERS), *(("one more", cell) for cell in test)]
        found["more"] = {"test.jsonl": jsonl(*records(*rows))}
    return found


def columns(*more: Row, test: tuple[Row, ...] = (), header: str = FLAGS) -> dict[str, Any]:
    """Return a csv file of columns of 0 and 1 with further rows at its end, and the same in a test file."""
    found: dict[str, Any] = {"train": csv(*flags(TEXTS), *more, header=FLAGS), "arguments": COLUMNS}
    if test:
        found["more"] = {"test.csv": csv(*test, header=header)}
    return found


def vectors(*more: Any) -> dict[str, Any]:
    rows = [(text, list(cells)) for text, *cells in flags(TEXTS)]
    return {"kind": "jsonl", "train": jsonl(*records(*rows, *(("one more", cell) for cell in more)))}


MULTI = ("--task", "multi_label")
IN_TRAIN, IN_TEST = "train.jsonl:25", "test.jsonl:9"
PLANTS = [
    # Lists
    Plant("an unseen label in test", "DATA-014", IN_TEST, "not among the training labels", **lists(test=(["cost"],))),
    Plant("a misspelt label in test", "DATA-014", IN_TEST, '"price"?', **lists(test=(["food", "prise"],))),
    Plant("a label in capitals in test", "DATA-014", IN_TEST, '"food"?', **lists(test=(["FOOD"],))),
    Plant("a null for a list", "DATA-013", IN_TRAIN, "an empty list where no label applies", **lists(None)),
    Plant("a null for a list in test", "DATA-013", IN_TEST, "an empty list", **lists(test=(None,))),
    Plant("a null in a list", "DATA-013", IN_TRAIN, "label is missing", **lists(["food", None])),
    Plant("a blank in a list", "DATA-013", IN_TRAIN, "label is missing", **lists(["food", " "])),
    Plant("a list in a list", "DATA-013", IN_TRAIN, "a list inside a list", **lists(["food", ["price"]])),
    Plant("an object in a list", "DATA-013", IN_TRAIN, "an object inside a list", **lists([{"name": "food"}])),
    Plant("an object for a list", "DATA-013", IN_TRAIN, "as a list", **lists({"food": 1})),
    Plant("an object for a list in test", "DATA-013", IN_TEST, "as a list", **lists(test=({"food": 1},))),
    Plant("a NUL byte in a label", "DATA-013", IN_TRAIN, "NUL", **lists(["food", "a\0b"])),
    Plant("a label with a bar", "DATA-037", "train.jsonl:25", "without it", **lists(["food|price"])),
    Plant("labels that differ by case", "DATA-033", IN_TRAIN, '"food" and "Food"', **lists(["Food"])),
    Plant("labels that differ by spaces", "DATA-033", "train.jsonl:27", "everywhere",
          **lists(["very good"], ["very good"], ["very  good"])),
    Plant("one label only", "DATA-022", "train.jsonl", "two or more",
          jsonl(*records(*[(text, ["food"]) for text in TEXTS])), kind="jsonl"),
    Plant("no label anywhere", "DATA-022", "train.jsonl", "--label-column",
          jsonl(*records(*[(text, []) for text in TEXTS])), kind="jsonl"),
    Plant("lists of scores", "DATA-020", "train.jsonl", "--label-columns",
          jsonl(*records(*[(text, [row / 8, 1.5]) for row, text in enumerate(TEXTS)])), kind="jsonl"),
    Plant("scores as labels", "DATA-020", "train.csv", "--task regression",
          csv(*[(text, row % 3 + 0.5) for row, text in enumerate(TEXTS)]), arguments=MULTI),
    Plant("objects everywhere", "DATA-021", "train.jsonl", "a list of labels",
          jsonl(*records(*[(text, {"food": 1}) for text in TEXTS])), kind="jsonl", arguments=MULTI),
    Plant("lists said to be classes", "DATA-021", "train.jsonl", "--task multi_label", LISTS, kind="jsonl",
          arguments=("--label-kind", "class")),
    Plant("lists said to be single labels", "DATA-021", "train.jsonl", "--task multi_label", LISTS, kind="jsonl",
          arguments=("--task", "classification")),
    Plant("texts for labels", "DATA-023", "train.jsonl", "the right column",
          jsonl(*records(*[(f"x{n}", [f"text {n} {m}" for m in range(60)]) for n in range(24)])), kind="jsonl"),
    Plant("a null in a Parquet file", "DATA-013", "train.parquet:25", "an empty list",
          parquet([*TEXTS, "one more"], [*(labels for _, labels in sets(TEXTS)), None]), kind="parquet"),
    # Written out
    Plant("a list that is not closed", "DATA-013", "train.csv:26", "not closed",
          csv(*[(text, str(labels)) for text, labels in sets(TEXTS)], ("one more", "['food', 'price'"))),
    Plant("another separator than the stated one", "DATA-036", "train.csv", "State what stands between labels",
          csv(*joined(TEXTS, ";")), arguments=("--set", 'data.label_separator=","')),
    Plant("two separators, of which one is stated", "DATA-036", "train.csv:4", "State the one that stands between",
          csv(*joined(TEXTS[:2], "#"), *[(text, "price;food") for text in TEXTS[2:9]], *joined(TEXTS[9:], "#")),
          arguments=("--set", 'data.label_separator="#"')),
    Plant("a separator that is stated beside bars", "DATA-037", "train.csv:3", "--label-separator", JOINED,
          arguments=("--set", "data.label_separator=;")),
    Plant("joined labels said to be single ones", "DATA-036", "train.csv:3", "--task multi_label", JOINED,
          arguments=("--task", "classification")),
    Plant("another separator in test", "DATA-085", "test.csv:3", 'joined by ";" ("food;price"), and by "|" in training',
          csv(*joined(TEXTS)), more={"test.csv": csv(*joined(OTHERS, ";"))}),
    # Lists of 0 and 1
    Plant("a number too few", "DATA-013", IN_TRAIN, "2 numbers for 3 labels", **vectors([1, 0])),
    Plant("a 2 in a list of 0 and 1", "DATA-013", IN_TRAIN, 'LABEL_1 is "2", neither 0 nor 1', **vectors([1, 2, 0])),
    # Columns of 0 and 1
    Plant("a 2 in a column of 0 and 1", "DATA-013", "train.csv:26", 'price is "2"', **columns(("so so", 1, 2, 0))),
    Plant("a blank in a column of 0 and 1", "DATA-013", "train.csv:26", "Write 0", **columns(("so so", 1, "", 0))),
    Plant("a yes in a column of 0 and 1", "DATA-013", "train.csv:26", "Write 1", **columns(("so so", 1, "yes", 0))),
    Plant("a share in a column of 0 and 1", "DATA-013", "train.csv:26", '"0.5"', **columns(("so so", 1, 0.5, 0))),
    Plant("a 2 in a test file", "DATA-013", "test.csv:10", "neither 0 nor 1",
          **columns(test=(*flags(OTHERS), ("so so", 2, 0, 0)))),
    Plant("a text column among the label columns", "DATA-026", "train.csv", "both the text and the label",
          csv(*flags(TEXTS), header=FLAGS), arguments=("--label-columns", "food,text")),
    Plant("a label column twice", "DATA-026", "train.csv", "named twice", csv(*flags(TEXTS), header=FLAGS),
          arguments=("--label-columns", "food,food")),
    Plant("no such label column", "DATA-024", "train.csv", '"price"?', csv(*flags(TEXTS), header=FLAGS),
          arguments=("--label-columns", "food,prise")),
    Plant("a test file without one of the columns", "DATA-024", "test.csv", '"staff"',
          **columns(test=tuple(row[:3] for row in flags(OTHERS)), header="text,food,price")),
    Plant("a test file without any label", "DATA-024", "test.csv", '"food"',
          **columns(test=tuple(row[:1] for row in flags(OTHERS)), header="text")),
    Plant("zeros everywhere", "DATA-032", "train.csv", "Give rows with labels",
          csv(*[(text, 0, 0, 0) for text in TEXTS], header=FLAGS), arguments=COLUMNS),
    # Rows
    Plant("an empty text", "DATA-013", "train.csv:26", "text is empty", JOINED + b",food\n"),
    Plant("a test file without the labels", "DATA-024", "test.jsonl", '"label"', LISTS, kind="jsonl",
          more={"test.jsonl": jsonl(*[{"text": text} for text in OTHERS])}),
    Plant("a test file of which nothing is left", "DATA-030", "test.jsonl", "empty", LISTS, kind="jsonl",
          more={"test.jsonl": jsonl(*records(*[(text, ["cost"]) for text in OTHERS]))},
          arguments=("--set", "data.on_unseen_label=drop")),
    Plant("only contradictions", "DATA-030", "train.jsonl", "two ways",
          jsonl(*records(*[(text, labels) for text in TEXTS for labels in (["food"], ["price"])])), kind="jsonl"),
]  # fmt: skip
