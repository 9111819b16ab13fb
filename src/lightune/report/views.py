"""The views of details that reports show; a new one is a file with a class, and its name in VIEWS."""

from __future__ import annotations

from lightune.measured import Measured
from lightune.record import RunRecord
from lightune.report.calibration_view import CalibrationView
from lightune.report.classification_view import LabelView
from lightune.report.details_view import Part, View
from lightune.report.label_sets_view import LabelSetsView
from lightune.report.numbers_view import NumbersView
from lightune.report.tables import Table
from lightune.sections import TaskRecord

VIEWS: tuple[type[View], ...] = (LabelView, LabelSetsView, CalibrationView, NumbersView)


def views(found: Measured, task: TaskRecord) -> list[View]:
    """Return each view of an evaluation. Raises ValueError where details do not have the expected form."""
    return [kind.of(found, task) for kind in VIEWS]


def brief(found: Measured, task: TaskRecord) -> list[Table]:
    """Return the tables of details for the model card and the summary of a run."""
    return [table for view in views(found, task) for table in view.brief()]


def lines(found: Measured, task: TaskRecord) -> list[tuple[str, str]]:
    """Return figures of details that take a line each."""
    return [line for view in views(found, task) for line in view.lines()]


def sentences(found: Measured, task: TaskRecord) -> list[str]:
    """Return sentences on details."""
    return [sentence for view in views(found, task) for sentence in view.sentences()]


def parts(record: RunRecord, predictions: list[dict[str, str]]) -> list[Part]:
    """Return the sections of the page about details and single predictions."""
    return [part for kind in VIEWS for part in kind.parts(record, predictions)]


def figures(record: RunRecord) -> dict[str, int]:
    """Return the columns of predictions that hold numbers, and how many numbers each of their cells has."""
    return {name: count for kind in VIEWS for name, count in kind.figures(record).items()}
