"""What the reports show about labels: confusion matrices, figures per label, the most confident mistakes.

Whether a record has them depends on the details of its evaluations and the columns of its predictions, not on the name
of its task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel

from lightune.measured import Measured
from lightune.record import RunRecord
from lightune.report import tables, words
from lightune.report.details_view import Part, View
from lightune.report.tables import NOTHING, Table
from lightune.sections import TaskRecord

MOST_WRONG = 20
CONFIDENCE = "confidence"
THRESHOLD = "threshold"
# With more labels than this the column names are vertical, and the matrices are below each other.
FEW_LABELS = 5
# A table with more labels than this is collapsed; it still contains all of them.
LONG_LIST = 20


class LabelScores(BaseModel):
    """Figures of one label: how many examples it has, how often it was predicted, and how often that was right.

    `threshold` is the probability from which on it is answered, where each label has one.
    """

    precision: float
    recall: float
    f1: float
    examples: int
    answered: int
    threshold: float | None = None


class LabelDetails(BaseModel):
    """The details of an evaluation that are shown here; there may be others, or none."""

    confusion_matrix: list[list[int]] | None = None
    per_label: dict[str, LabelScores] | None = None


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
    """The wrong predictions, most confident first, and how many there are.

    `answer` is the column of the answer, `target` that of the true label.
    """

    answer: str
    target: str
    rows: list[dict[str, str]]
    total: int


@dataclass(frozen=True)
class LabelView(View):
    """What is shown about labels; an evaluation without a confusion matrix or figures per label shows none."""

    labels: list[str]
    details: LabelDetails

    @classmethod
    def of(cls, found: Measured, task: TaskRecord) -> Self:
        """Return the view of an evaluation. Raises ValueError where its details do not fit the labels."""
        details, side = LabelDetails.model_validate(found.details), len(task.labels)
        if details.confusion_matrix is not None and [*map(len, details.confusion_matrix)] != [side] * side:
            raise ValueError(f"confusion_matrix: not {side} by {side}, as the labels are")
        return cls(task.labels, details)

    def brief(self) -> list[Table]:
        """Return the figures of every label."""
        return self.per_label("Per label")

    def others(self) -> list[Table]:
        """Return the confusion matrix."""
        counts = self.details.confusion_matrix
        if counts is None:
            return []
        rows = [[label, *map(words.count, row)] for label, row in zip(self.labels, counts, strict=True)]
        return [Table("Confusion matrix", ["label / answered", *self.labels], rows)]

    @classmethod
    def parts(cls, record: RunRecord, predictions: list[dict[str, str]]) -> list[Part]:
        """Return figures per label, confusion matrices, and the most confident mistakes, where there are any."""
        before, after = (cls.of(found, record.task) for found in (record.before, record.after))
        named = {f"Before: the {words.before_head(record)}": before, f"After: {tables.method_name(record)}": after}
        each = [table for caption in reversed(named) for table in named[caption].per_label(caption)]
        matrices = [matrix for caption, shown in named.items() for matrix in shown.matrices(caption)]
        wrong, count = most_wrong(predictions, record.task), len(record.task.labels)
        drawn = {"tables": each, "long_list": count > LONG_LIST}
        found = [Part("results", "labels.html.j2", drawn)] if each else []
        if matrices:
            found.append(Part("learning", "confusion.html.j2", {"matrices": matrices, "many": count > FEW_LABELS}))
        return found + ([Part("cost", "wrong.html.j2", {"wrong": wrong})] if wrong else [])

    @classmethod
    def figures(cls, record: RunRecord) -> dict[str, int]:
        """Return the column of the confidence, where answers have one."""
        return dict.fromkeys({CONFIDENCE} & set(record.task.answer_columns), 1)

    def matrices(self, caption: str) -> list[Matrix]:
        """Return the confusion matrix to draw, where there is one."""
        counts = self.details.confusion_matrix
        return [] if counts is None else [confusion(counts, self.labels, caption)]

    def per_label(self, caption: str) -> list[Table]:
        """Return precision, recall, F1, examples and predictions of every label, where there are such figures.

        A dash means that the label was never predicted or has no examples. Thresholds are shown where labels have them.
        """
        found = self.details.per_label or {}
        rows = [[name, *_figures(label)] for name, label in found.items()]
        columns = ["label", "precision", "recall", "F1", "examples", "answered"]
        if any(label.threshold is not None for label in found.values()):
            columns.append(THRESHOLD)
            for row, label in zip(rows, found.values(), strict=True):
                row.append(NOTHING if label.threshold is None else words.score(label.threshold))
        return [Table(caption, columns, rows)] if rows else []


def _figures(label: LabelScores) -> list[str]:
    return [
        words.score(label.precision) if label.answered else NOTHING,
        words.score(label.recall) if label.examples else NOTHING,
        words.score(label.f1) if label.answered or label.examples else NOTHING,
        words.count(label.examples),
        words.count(label.answered),
    ]


def confusion(counts: Sequence[Sequence[int]], labels: Sequence[str], caption: str) -> Matrix:
    """Return the matrix with each count's share of its true label."""
    rows = []
    for index, (label, found) in enumerate(zip(labels, counts, strict=True)):
        total = sum(found)
        shares = [count / total if total else 0.0 for count in found]
        cells = [Cell(count, shares[column], column == index) for column, count in enumerate(found)]
        rows.append(MatrixRow(label, cells, words.percent(shares[index], 0) if total else NOTHING))
    return Matrix(caption, rows)


def most_wrong(predictions: list[dict[str, str]], task: TaskRecord) -> Wrong | None:
    """Return the wrong predictions with the highest confidence; None where predictions have no confidence."""
    if CONFIDENCE not in task.answer_columns or not predictions or CONFIDENCE not in predictions[0]:
        return None
    answer, target = task.answer_columns[0], task.target_column
    wrong = [row for row in predictions if row[answer] != row[target]]
    return Wrong(answer, target, sorted(wrong, key=lambda row: -float(row[CONFIDENCE]))[:MOST_WRONG], len(wrong))
