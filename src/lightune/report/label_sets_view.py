"""What the reports show about sets of labels: which go together, how many a text has, the answers that are most wrong.

A record has them if its details count pairs and sizes, and its answers have a probability for each of several labels.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel

from lightune.measured import Measured
from lightune.record import RunRecord
from lightune.report import words
from lightune.report.details_view import Part, View
from lightune.report.tables import Table
from lightune.sections import TaskRecord
from lightune.tasks.label_sets import JOIN

PROBABILITY = "probability_"
MOST_WRONG = 20
# The model card and the summary of a run show how many labels a text has where that takes no more rows.
FEW_ROWS = 10


class Pair(BaseModel):
    """Two labels: how many texts have both, and how many got both as an answer."""

    labels: tuple[str, str]
    examples: int
    answered: int


class Size(BaseModel):
    """A number of labels: how many texts have so many, and how many got so many as an answer."""

    labels: int
    examples: int
    answered: int


class SetDetails(BaseModel):
    """The details of an evaluation that are shown here; there may be others, or none."""

    together: list[Pair] = []
    labels_per_text: list[Size] = []


@dataclass(frozen=True)
class Named:
    """A label of a text or of an answer, its probability, and whether the other one lacks it."""

    label: str
    probability: float
    is_wrong: bool


@dataclass(frozen=True)
class WrongSet:
    """One wrong answer; `off` is the sum of |probability - truth| over the labels that are wrong."""

    row: dict[str, str]
    labels: list[Named]
    answers: list[Named]
    off: float


@dataclass(frozen=True)
class LabelSetsView(View):
    """What is shown about sets of labels; an evaluation that does not count them shows none."""

    details: SetDetails

    @classmethod
    def of(cls, found: Measured, task: TaskRecord) -> Self:
        """Return the view of an evaluation. Raises ValueError where its details do not have the expected form."""
        return cls(SetDetails.model_validate(found.details))

    def brief(self) -> list[Table]:
        """Return how many labels a text has, where that is a small table."""
        return [table for table in self.sizes() if len(table.rows) <= FEW_ROWS]

    def others(self) -> list[Table]:
        """Return the labels that go together, and how many a text has where that is a large table."""
        return [*self.pairs(), *(table for table in self.sizes() if len(table.rows) > FEW_ROWS)]

    @classmethod
    def figures(cls, record: RunRecord) -> dict[str, int]:
        """Return the columns of the probabilities."""
        return dict.fromkeys(probability_columns(record.task), 1)

    @classmethod
    def parts(cls, record: RunRecord, predictions: list[dict[str, str]]) -> list[Part]:
        """Return the labels that go together, how many a text has, and the answers that are most wrong."""
        after = cls.of(record.after, record.task)
        counted = [*after.pairs(), *after.sizes()]
        found = [Part("results", "label_sets.html.j2", {"tables": counted})] if counted else []
        columns = probability_columns(record.task)
        if not columns or not predictions or not set(columns) <= set(predictions[0]):
            return found
        target, answer = record.task.target_column, record.task.answer_columns[0]
        wrong = [row for row in predictions if _labels(row[target]) != _labels(row[answer])]
        most = most_wrong(wrong, target, answer)
        values = {"wrong": most, "total": len(wrong), "target": target, "answer": answer}
        return [*found, Part("cost", "wrong_sets.html.j2", values)]

    def pairs(self) -> list[Table]:
        """Return the labels that go together."""
        rows = [
            [" + ".join(pair.labels), words.count(pair.examples), words.count(pair.answered)]
            for pair in self.details.together
        ]
        return [Table("Labels that go together", ["labels together", "texts", "answers"], rows)] if rows else []

    def sizes(self) -> list[Table]:
        """Return how many texts have each number of labels, and how many got it as an answer."""
        rows = [
            [str(size.labels or "none"), words.count(size.examples), words.count(size.answered)]
            for size in self.details.labels_per_text
        ]
        return [Table("How many labels a text has", ["labels", "texts", "answers"], rows)] if rows else []


def probability_columns(task: TaskRecord) -> list[str]:
    """Return the columns of the probabilities of several labels; nothing for other answers."""
    found = [name for name in task.answer_columns if name.startswith(PROBABILITY)]
    return found if len(found) > 1 else []


def most_wrong(rows: list[dict[str, str]], target: str, answer: str) -> list[WrongSet]:
    """Return the answers that are most wrong: by the sum of |probability - truth| over labels that are wrong."""
    return heapq.nlargest(MOST_WRONG, _sets(rows, target, answer), key=lambda found: found.off)


def _sets(rows: list[dict[str, str]], target: str, answer: str) -> Iterator[WrongSet]:
    for row in rows:
        true, said = _labels(row[target]), _labels(row[answer])
        labels, answers = _named(row, true, said), _named(row, said, true)
        # A missed label is off by what its probability lacks, a wrongly answered one by its probability.
        off = sum(1 - found.probability for found in labels if found.is_wrong)
        off += sum(found.probability for found in answers if found.is_wrong)
        yield WrongSet(row, labels, answers, off)


def _labels(cell: str) -> dict[str, None]:
    """Return the labels in a cell, in their order; equal to those of another cell in whatever order."""
    return dict.fromkeys(cell.split(JOIN)) if cell else {}


def _named(row: dict[str, str], labels: dict[str, None], others: dict[str, None]) -> list[Named]:
    return [Named(name, float(row.get(f"{PROBABILITY}{name}", "0")), name not in others) for name in labels]
