"""What the reports show about predicted numbers: figures of each, errors by range, plots, the largest errors.

A record has them if its details have figures per target, whatever its task is called.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel

from lightune.measured import Measured
from lightune.record import RunRecord
from lightune.report import tables, words
from lightune.report.details_view import Part, View
from lightune.report.number_plots import error_plot, scatter_plot
from lightune.report.tables import NOTHING, Table
from lightune.sections import TaskRecord
from lightune.tasks.answers import aligned_number, short_number
from lightune.tasks.number_column import JOIN

MOST_WRONG = 20
# Targets that get plots and a table of ranges; the others have a row in the other tables.
MOST_TARGETS = 6
# Points of one plot, and of all plots of one kind: the page has to stay small.
MOST_POINTS, MOST_POINTS_OF_ALL = 2_000, 6_000
# Beyond this an axis cannot be drawn.
LARGEST = 1e150


class TargetScores(BaseModel):
    """Figures of one target: metrics, the ends of true values and of answers, the standard deviation of the former."""

    r2: float | None
    rmse: float
    mae: float
    spearman: float | None
    pearson: float | None
    low: float
    high: float
    answer_low: float
    answer_high: float
    deviation: float


class Range(BaseModel):
    """Figures of the texts whose true value is in a range; `bias` is the mean of answer - true value."""

    target: str
    low: float
    high: float
    examples: int
    target_mean: float
    answer_mean: float
    mae: float
    bias: float


class NumberDetails(BaseModel):
    """The details of an evaluation that are shown here; `scale` has the ends of each target in training."""

    per_target: dict[str, TargetScores] = {}
    by_range: list[Range] = []
    scale: dict[str, tuple[float, float]] = {}


@dataclass(frozen=True)
class Points:
    """One target of the test texts: its true values and the answers."""

    name: str
    true: list[float]
    answers: list[float]

    def thinned(self, most: int) -> Points:
        """Return at most that many of the points that can be drawn, spread evenly over the rows."""
        pairs = [
            pair for pair in zip(self.true, self.answers, strict=True) if all(abs(value) < LARGEST for value in pair)
        ]
        step = max(1, -(-len(pairs) // most))
        return Points(self.name, [true for true, _ in pairs[::step]], [answer for _, answer in pairs[::step]])


@dataclass(frozen=True)
class Drawn:
    """What is shown of one target: plots of so many points, and the errors by range."""

    name: str
    points: int
    plots: list[str]
    ranges: list[Table]


@dataclass(frozen=True)
class Miss:
    """One error; `row` has the text, `size` is how much it counts beside those of other targets."""

    row: dict[str, str]
    target: str
    true: float
    answer: float
    size: float

    def cells(self) -> list[str]:
        """Return the true value, the answer and the error as text."""
        return [aligned_number(self.true), aligned_number(self.answer), _signed(self.answer - self.true)]


@dataclass(frozen=True)
class NumbersView(View):
    """What is shown about numbers; an evaluation without figures per target shows none."""

    details: NumberDetails

    @classmethod
    def of(cls, found: Measured, task: TaskRecord) -> Self:
        """Return the view of an evaluation. Raises ValueError where its details do not have the expected form."""
        return cls(NumberDetails.model_validate(found.details))

    def brief(self) -> list[Table]:
        """Return the figures of each target where there are several, and the ends of their values."""
        several = self.per_target("Per target") if len(self.details.per_target) > 1 else []
        return [*several, *self.ends()]

    def others(self) -> list[Table]:
        """Return the errors by range."""
        named = [(name, table) for name in self.drawn for table in self.by_range(name)]
        return [Table(table.caption, [f"true {name}", *table.columns[1:]], table.rows) for name, table in named]

    @property
    def drawn(self) -> list[str]:
        """The targets that get plots and a table of ranges."""
        return list(self.details.per_target)[:MOST_TARGETS]

    @classmethod
    def figures(cls, record: RunRecord) -> dict[str, int]:
        """Return the columns of true values and answers."""
        count = len(cls.of(record.after, record.task).details.per_target)
        return dict.fromkeys((record.task.target_column, record.task.answer_columns[0]), count) if count else {}

    @classmethod
    def parts(cls, record: RunRecord, predictions: list[dict[str, str]]) -> list[Part]:
        """Return the figures of each target with its plots and ranges, and the largest errors."""
        before, after = (cls.of(found, record.task) for found in (record.before, record.after))
        if not after.details.per_target:
            return []
        named = {f"After: {tables.method_name(record)}": after, f"Before: the {words.before_head(record)}": before}
        first, *others = [table for caption, view in named.items() for table in view.per_target(caption)]
        points = after.points(predictions, record.task)
        shown = {"tables": [first, *after.ends()], "others": others, "drawn": after.shown(points), "all": len(points)}
        missed = {"misses": after.largest(points, predictions), "several": len(points) > 1}
        found = [Part("results", "numbers.html.j2", {**shown, "rows": len(predictions)})]
        return found + ([Part("cost", "errors.html.j2", missed)] if predictions else [])

    def per_target(self, caption: str) -> list[Table]:
        """Return the metrics of each target; a dash means that all true values, or all answers, are the same."""
        rows = [[name, *_figures(found)] for name, found in self.details.per_target.items()]
        return [Table(caption, ["target", "R2", "RMSE", "MAE", "Spearman", "Pearson"], rows)] if rows else []

    def ends(self) -> list[Table]:
        """Return from where to where each target goes: in training, in the test texts, and in the answers to them."""
        rows = []
        for name, found in self.details.per_target.items():
            trained = _ends(*self.details.scale[name]) if name in self.details.scale else NOTHING
            rows.append([name, trained, _ends(found.low, found.high), _ends(found.answer_low, found.answer_high)])
        return [Table("Range of values", ["target", "in training", "true values", "answers"], rows)] if rows else []

    def by_range(self, name: str) -> list[Table]:
        """Return the errors of one target by range of the true value."""
        rows = [
            [
                _ends(found.low, found.high),
                words.count(found.examples),
                *map(aligned_number, (found.target_mean, found.answer_mean, found.mae)),
                _signed(found.bias),
            ]
            for found in self.details.by_range
            if found.target == name
        ]
        columns = ["range", "texts", "mean", "mean answer", "MAE", "bias"]
        return [Table(f"By range of the true {name}", columns, rows)] if rows else []

    def points(self, predictions: list[dict[str, str]], task: TaskRecord) -> list[Points]:
        """Return the true values and the answers of each target, as predictions have them."""
        columns = task.target_column, task.answer_columns[0]
        true, answers = ([[*map(float, row[column].split(JOIN))] for row in predictions] for column in columns)
        return [
            Points(name, [values[place] for values in true], [values[place] for values in answers])
            for place, name in enumerate(self.details.per_target)
        ]

    def shown(self, points: Sequence[Points]) -> list[Drawn]:
        """Return the plots and the ranges of the targets that get them."""
        most = min(MOST_POINTS, MOST_POINTS_OF_ALL // max(len(self.drawn), 1))
        found = []
        for place, target in enumerate(points[: len(self.drawn)]):
            few = target.thinned(most)
            draw = (scatter_plot, error_plot) if few.true else ()
            plots = [plot(place, few.name, few.true, few.answers) for plot in draw]
            found.append(Drawn(few.name, len(few.true), plots, self.by_range(few.name)))
        return found

    def largest(self, points: Sequence[Points], predictions: list[dict[str, str]]) -> list[Miss]:
        """Return the largest errors; those of several targets are compared in deviations of their true values."""
        units = [self.details.per_target[target.name].deviation or 1.0 for target in points]
        return heapq.nlargest(MOST_WRONG, _misses(points, units, predictions), key=lambda miss: miss.size)


def _misses(points: Sequence[Points], units: Sequence[float], predictions: list[dict[str, str]]) -> Iterator[Miss]:
    for target, unit in zip(points, units, strict=True):
        for row, true, answer in zip(predictions, target.true, target.answers, strict=True):
            if answer != true:
                yield Miss(row, target.name, true, answer, abs(answer - true) / unit)


def _figures(found: TargetScores) -> list[str]:
    correlations = [_score(found.spearman), _score(found.pearson)]
    return [_score(found.r2), aligned_number(found.rmse), aligned_number(found.mae), *correlations]


def _score(value: float | None) -> str:
    return NOTHING if value is None else words.score(value)


def _ends(low: float, high: float) -> str:
    return f"{short_number(low)} to {short_number(high)}"


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{aligned_number(value)}"
