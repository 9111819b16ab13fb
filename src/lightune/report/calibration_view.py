"""What the reports show about probabilities: whether they come true, and ROC and precision-recall curves.

A record has them if its details have a calibration or curves, whatever its task is called.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from lightune.measured import Measured
from lightune.record import RunRecord
from lightune.report import words
from lightune.report.calibration_plots import Line, drawable, precision_recall_plot, reliability_plot, roc_plot
from lightune.report.details_view import Part, View
from lightune.report.tables import NOTHING, Table
from lightune.sections import TaskRecord

ALL_LABELS = "all labels"
FALSE_RATES = (0.01, 0.05, 0.1, 0.2, 0.5)
RECALLS = (0.25, 0.5, 0.75, 0.9, 0.95)
# What has a probability: the names of both axes, and what is counted.
AXES = {
    "answers": ("confidence", "share of answers that are right", "answers"),
    "decisions on a label": ("probability of a label", "share of texts that have it", "decisions"),
}


class _Figures(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False)


class Bin(_Figures):
    """Probabilities in a range: how many, their mean, and the share that came true."""

    low: float
    high: float
    examples: int
    confidence: float
    accuracy: float


class Calibration(_Figures):
    """Loss, expected calibration error and bins of probabilities, with the temperature and without."""

    temperature: float
    of: Literal["answers", "decisions on a label"]
    loss: float
    loss_uncalibrated: float
    ece: float
    ece_uncalibrated: float
    bins: list[Bin]
    bins_uncalibrated: list[Bin]

    @property
    def is_fitted(self) -> bool:
        """Whether there is a temperature."""
        return self.temperature != 1


class Curve(_Figures):
    """The curves of a label, or of all: their areas, and [x, ...], [y, ...] of each."""

    label: str | None
    roc_auc: float
    average_precision: float
    roc: tuple[list[float], list[float]]
    precision_recall: tuple[list[float], list[float]]

    @model_validator(mode="after")
    def _points(self) -> Self:
        """Refuse points of which a number is missing."""
        if any(len(across) != len(up) for across, up in (self.roc, self.precision_recall)):
            raise ValueError("a curve does not have as many x as y")
        return self


class ProbabilityDetails(BaseModel):
    """The details of an evaluation that are shown here; there may be others, or none."""

    calibration: Calibration | None = None
    curves: list[Curve] = []


@dataclass(frozen=True)
class CalibrationView(View):
    """What is shown about probabilities; an evaluation without a calibration shows none."""

    details: ProbabilityDetails

    @classmethod
    def of(cls, found: Measured, task: TaskRecord) -> Self:
        """Return the view of an evaluation. Raises ValueError where its details do not have the expected form."""
        return cls(ProbabilityDetails.model_validate(found.details))

    def lines(self) -> list[tuple[str, str]]:
        """Return the calibration error and the loss, from as trained to calibrated, on one line."""
        found = self.details.calibration
        if found is None:
            return []
        error, before = words.percent(found.ece), words.percent(found.ece_uncalibrated)
        if not found.is_fitted:
            return [("calibration", f"error {error}, as trained (T = 1)")]
        loss = f"loss {words.score(found.loss_uncalibrated)} to {words.score(found.loss)}"
        return [("calibration", f"error {before} to {error}, {loss} (T = {found.temperature:.3g})")]

    def sentences(self) -> list[str]:
        """Say what the temperature came to on the test texts."""
        found = self.details.calibration
        if found is None:
            return []
        error, before = words.percent(found.ece), words.percent(found.ece_uncalibrated)
        if not found.is_fitted:
            return [f"Probabilities are as the model was trained (temperature 1): the calibration error is {error}."]
        losses = f"{words.score(found.loss_uncalibrated)} to {words.score(found.loss)} nats"
        return [
            f"Logits are divided by a temperature of {found.temperature:.3g}, fitted on validation texts: on the test "
            f"texts the calibration error goes from {before} to {error}, the loss from {losses}."
        ]

    @classmethod
    def parts(cls, record: RunRecord, predictions: list[dict[str, str]]) -> list[Part]:
        """Return the section on probabilities, with its plots and their numbers."""
        view = cls.of(record.after, record.task)
        found = view.details.calibration
        if found is None:
            return []
        values = {
            "sentences": view.sentences(),
            "plots": [view.reliability_plot(found), *view.curve_plots()],
            "tables": [*view.reliability(found), *view.curve_tables()],
            "of": AXES[found.of],
            "has_curves": bool(view.details.curves),
            "command": f"lightune predict {shlex.quote(record.run_folder)} --file texts.csv --abstain-below 0.8",
        }
        return [Part("learning", "calibration.html.j2", values)]

    def reliability_plot(self, found: Calibration) -> str:
        """Return the reliability plot: with the temperature, and without where there is one."""
        across, up, _ = AXES[found.of]
        lines = [_line("as trained", found.ece_uncalibrated, found.bins_uncalibrated)]
        if found.is_fitted:
            lines.insert(0, _line("calibrated", found.ece, found.bins))
        return reliability_plot(lines, across, up)

    def reliability(self, found: Calibration) -> list[Table]:
        """Return the numbers of the reliability plot."""
        across, up, counted = AXES[found.of]
        drawn = {"Calibrated": found.bins, "As trained": found.bins_uncalibrated}
        columns = [across, counted, "mean", up]
        return [
            Table(f"{name}: how often a {across} comes true", columns, list(map(_bin, bins)))
            for name, bins in drawn.items()
            if found.is_fitted or name == "As trained"
        ]

    def curve_plots(self) -> list[str]:
        """Return the ROC and the precision-recall plot."""
        names = self.names()
        if not names:
            return []
        curves = list(zip(names, self.details.curves, strict=True))
        roc = [Line(name, f"AUC {words.score(found.roc_auc)}", *found.roc) for name, found in curves]
        recall = [
            Line(name, f"AP {words.score(found.average_precision)}", *found.precision_recall) for name, found in curves
        ]
        return [roc_plot(roc), precision_recall_plot(recall)]

    def names(self) -> list[str]:
        """Return the name of each curve in a plot: the label's, or its number where the name cannot be drawn."""
        found = [curve.label for curve in self.details.curves]
        return [ALL_LABELS if name is None else drawable(name, f"label {place}") for place, name in enumerate(found, 1)]

    def curve_tables(self) -> list[Table]:
        """Return the areas under the curves, and points of them."""
        rows: tuple[list[list[str]], list[list[str]]] = ([], [])
        for name, curve in zip(self.names(), self.details.curves, strict=True):
            label = curve.label or ALL_LABELS
            shown = label if name == label else f"{label} ({name})"
            hits = [_best(curve.roc, rate, is_below=True) for rate in FALSE_RATES]
            precisions = [_best(curve.precision_recall, recall, is_below=False) for recall in RECALLS]
            rows[0].append([shown, words.score(curve.roc_auc), *hits])
            rows[1].append([shown, words.score(curve.average_precision), *precisions])
        if not self.details.curves:
            return []
        roc, recall = ["label", "AUC", *map(_at, FALSE_RATES)], ["label", "AP", *map(_at, RECALLS)]
        return [
            Table("ROC: the true positive rate at a false positive rate", roc, rows[0]),
            Table("Precision at a recall", recall, rows[1]),
        ]


def _line(name: str, error: float, bins: Sequence[Bin]) -> Line:
    across, up = [found.confidence for found in bins], [found.accuracy for found in bins]
    total = sum(found.examples for found in bins)
    shares = [found.examples / max(total, 1) for found in bins]
    return Line(name, f"error {words.percent(error)}", across, up, shares)


def _bin(found: Bin) -> list[str]:
    ends = f"{words.number(found.low, 2)} to {words.number(found.high, 2)}"
    return [ends, words.count(found.examples), words.score(found.confidence), words.score(found.accuracy)]


def _at(rate: float) -> str:
    return f"at {rate:g}"


def _best(points: tuple[Sequence[float], Sequence[float]], bound: float, is_below: bool) -> str:
    """Return the highest y of the points whose x is at most the bound, or at least; a dash where there is none."""
    found = [y for x, y in zip(*points, strict=True) if (x <= bound if is_below else x >= bound)]
    return words.score(max(found)) if found else NOTHING
