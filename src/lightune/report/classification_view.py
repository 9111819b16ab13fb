"""What the reports show of labels: confusion matrices, figures per label, the surest mistakes.

Whether a record has any of it is seen from the details of its evaluations and the columns of its predictions; nobody
asks which task it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lightune.measured import Measured
from lightune.record import RunRecord
from lightune.report import tables, words
from lightune.report.tables import NOTHING, Table

MOST_WRONG = 20
# With more labels than this the column names stand upright, and the matrices below each other.
FEW_LABELS = 5
# A table of more labels than this is folded up; it still holds every one.
LONG_LIST = 20
CONFUSION, PER_LABEL = "confusion_matrix", "per_label"


@dataclass(frozen=True)
class Cell:
    """One count of a confusion matrix, and its share of the row."""

    count: int
    share: float
    is_right: bool


@dataclass(frozen=True)
class MatrixRow:
    """One true label: how its examples were labelled, and the share that was right."""

    label: str
    cells: list[Cell]
    recall: str


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix to draw."""

    caption: str
    rows: list[MatrixRow]


@dataclass(frozen=True)
class Wrong:
    """The wrong predictions, the surest first, and how many there are; `target` is the column of the true label."""

    target: str
    rows: list[dict[str, str]]
    total: int


def one_label_each(record: RunRecord) -> bool:
    """Say whether an answer is one label of several: only then can labels be confused."""
    return CONFUSION in record.after.details


def view(record: RunRecord, predictions: list[dict[str, str]]) -> dict[str, Any]:
    """Return what the page shows of labels; what there is nothing of is empty."""
    labels, each = record.task.labels, per_label(record.after)
    captions = f"Before: the {words.before_head(record)}", f"After: {tables.method_name(record)}"
    before, after = zip(captions, (record.before, record.after), strict=True)
    return {
        "matrices": [
            confusion(found.details[CONFUSION], labels, caption)
            for caption, found in (before, after)
            if CONFUSION in found.details
        ],
        "many_labels": len(labels) > FEW_LABELS,
        "long_list": each is not None and len(each.rows) > LONG_LIST,
        "per_label": [table for caption, found in (after, before) if (table := per_label(found, caption)) is not None],
        "wrong": most_wrong(predictions, record.task.target_column),
    }


def confusion(counts: Sequence[Sequence[int]], labels: Sequence[str], caption: str) -> Matrix:
    """Return the matrix with each count's share of its true label."""
    rows = []
    for index, (label, found) in enumerate(zip(labels, counts, strict=True)):
        total = sum(found)
        shares = [count / total if total else 0.0 for count in found]
        cells = [Cell(count, shares[column], column == index) for column, count in enumerate(found)]
        rows.append(MatrixRow(label, cells, words.percent(shares[index], 0) if total else NOTHING))
    return Matrix(caption, rows)


def confusion_table(found: Measured, labels: Sequence[str]) -> Table | None:
    """Return the confusion matrix of an evaluation as a table, or None where it has none."""
    if CONFUSION not in found.details:
        return None
    counts = zip(labels, found.details[CONFUSION], strict=True)
    rows = [[label, *map(words.count, row)] for label, row in counts]
    return Table("Confusion matrix", ["label / answered", *labels], rows)


def per_label(found: Measured, caption: str = "Per label") -> Table | None:
    """Return precision, recall, F1, examples and answers of every label, or None where there are no such figures.

    A dash stands where nothing was answered or to be found.
    """
    if PER_LABEL not in found.details:
        return None
    rows = []
    for name, label in found.details[PER_LABEL].items():
        examples, answered = label["examples"], label["answered"]
        scores = (("precision", answered), ("recall", examples), ("f1", answered or examples))
        shown = [words.score(label[score]) if divides else NOTHING for score, divides in scores]
        rows.append([name, *shown, words.count(examples), words.count(answered)])
    return Table(caption, ["label", "precision", "recall", "F1", "examples", "answered"], rows)


def most_wrong(predictions: list[dict[str, str]], target: str) -> Wrong | None:
    """Return the wrong predictions with the highest confidence; None where the answers have none."""
    if not predictions or "confidence" not in predictions[0]:
        return None
    wrong = [row for row in predictions if row["prediction"] != row[target]]
    return Wrong(target, sorted(wrong, key=lambda row: -float(row["confidence"]))[:MOST_WRONG], len(wrong))
