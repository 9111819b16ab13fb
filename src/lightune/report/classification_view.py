"""What the reports show about labels: confusion matrices, figures per label, the most confident mistakes.

Whether a record has them depends on the details of its evaluations and the columns of its predictions, not on the name
of its task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from lightune.measured import Measured
from lightune.record import RunRecord
from lightune.report import tables, words
from lightune.report.tables import NOTHING, Table

MOST_WRONG = 20
# With more labels than this the column names are vertical, and the matrices are below each other.
FEW_LABELS = 5
# A table with more labels than this is collapsed; it still contains all of them.
LONG_LIST = 20


class LabelScores(BaseModel):
    """Figures of one label: how many examples it has, how often it was predicted, and how often that was right."""

    precision: float
    recall: float
    f1: float
    examples: int
    answered: int


class LabelDetails(BaseModel):
    """The details of an evaluation that are shown here; there may be others, or none."""

    confusion_matrix: list[list[int]] | None = None
    per_label: dict[str, LabelScores] | None = None

    @classmethod
    def of(cls, found: Measured, labels: Sequence[str]) -> LabelDetails:
        """Return those of an evaluation. Raises ValueError where they do not have the expected form."""
        details, side = cls.model_validate(found.details), len(labels)
        if details.confusion_matrix is not None and [*map(len, details.confusion_matrix)] != [side] * side:
            raise ValueError(f"confusion_matrix: not {side} by {side}, as the labels are")
        return details


@dataclass(frozen=True)
class Cell:
    """One count of a confusion matrix, and its share of the row."""

    count: int
    share: float
    is_right: bool


@dataclass(frozen=True)
class MatrixRow:
    """One true label: the predictions of its examples, and the share that was right."""

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
    """The wrong predictions, most confident first, and how many there are; `target` is the column of the true label."""

    target: str
    rows: list[dict[str, str]]
    total: int


def one_label_each(record: RunRecord) -> bool:
    """Say whether each prediction is one of several labels: only then is there a confusion matrix."""
    return LabelDetails.of(record.after, record.task.labels).confusion_matrix is not None


def view(record: RunRecord, predictions: list[dict[str, str]]) -> dict[str, Any]:
    """Return what the page shows about labels; missing parts are empty."""
    labels = record.task.labels
    shown = {
        f"Before: the {words.before_head(record)}": record.before,
        f"After: {tables.method_name(record)}": record.after,
    }
    details = {caption: LabelDetails.of(found, labels) for caption, found in shown.items()}
    matrices = {caption: found.confusion_matrix for caption, found in details.items()}
    each = [per_label(shown[caption], labels, caption) for caption in reversed(shown)]
    return {
        "matrices": [confusion(counts, labels, caption) for caption, counts in matrices.items() if counts is not None],
        "many_labels": len(labels) > FEW_LABELS,
        "long_list": len(labels) > LONG_LIST,
        "per_label": [table for table in each if table is not None],
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
    counts = LabelDetails.of(found, labels).confusion_matrix
    if counts is None:
        return None
    rows = [[label, *map(words.count, row)] for label, row in zip(labels, counts, strict=True)]
    return Table("Confusion matrix", ["label / answered", *labels], rows)


def per_label(found: Measured, labels: Sequence[str], caption: str = "Per label") -> Table | None:
    """Return precision, recall, F1, examples and predictions of every label, or None where there are no such figures.

    A dash means that the label was never predicted or has no examples.
    """
    scores = LabelDetails.of(found, labels).per_label
    if scores is None:
        return None
    rows = [
        [
            name,
            words.score(label.precision) if label.answered else NOTHING,
            words.score(label.recall) if label.examples else NOTHING,
            words.score(label.f1) if label.answered or label.examples else NOTHING,
            words.count(label.examples),
            words.count(label.answered),
        ]
        for name, label in scores.items()
    ]
    return Table(caption, ["label", "precision", "recall", "F1", "examples", "answered"], rows)


def most_wrong(predictions: list[dict[str, str]], target: str) -> Wrong | None:
    """Return the wrong predictions with the highest confidence; None where predictions have no confidence."""
    if not predictions or "confidence" not in predictions[0]:
        return None
    wrong = [row for row in predictions if row["prediction"] != row[target]]
    return Wrong(target, sorted(wrong, key=lambda row: -float(row["confidence"]))[:MOST_WRONG], len(wrong))
