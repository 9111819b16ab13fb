"""The training loss of each step, read from metrics.jsonl and thinned so that it can be drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from pydantic import BaseModel, FiniteFloat

from lightune.links import require_own_files
from lightune.record_file import damaged, first_fault

STEPS_FILE = "metrics.jsonl"
MOST_POINTS = 300
PART_BESIDE = 30  # a smoothed point is the mean of this part of the points, on either side of it


class Line(BaseModel):
    """A line of the file: the mean loss of a step, and where it was; other figures of the step are not used."""

    step: int
    epoch: int
    loss: FiniteFloat


@dataclass(frozen=True)
class StepLosses:
    """The training loss by step. Each point is the mean of `each` steps in a row, at the mean of their numbers.

    `ends` has the last step of each epoch, after which the validation was.
    """

    steps: list[float]
    losses: list[float]
    each: int
    ends: dict[int, int]

    @property
    def beside(self) -> int:
        """How many points on either side are in the mean of a smoothed one."""
        return max(1, len(self.losses) // PART_BESIDE)

    def smoothed(self) -> list[float]:
        """Return the mean of each loss and of those beside it; at the ends there are fewer of them."""
        reach = self.beside
        return [fmean(self.losses[max(0, at - reach) : at + reach + 1]) for at in range(len(self.losses))]


def read_step_losses(folder: Path) -> StepLosses | None:
    """Return the losses of a run folder; None where there are none, as in a folder of an early version.

    Raises ArtifactError where a line is not that of a step.
    """
    path = folder / STEPS_FILE
    require_own_files(folder, STEPS_FILE)
    if not path.is_file():
        return None
    lines: list[Line] = []
    try:
        for line in path.read_bytes().splitlines():
            lines.append(Line.model_validate_json(line))
    except ValueError as error:
        what = f"line {len(lines) + 1} is not that of a step: {first_fault(error)}"
        otherwise = f"Without {STEPS_FILE} the learning curves are drawn by epoch."
        raise damaged("ARTIFACT-044", path, what, otherwise) from error
    return thinned(lines) if lines else None


def thinned(lines: Sequence[Line]) -> StepLosses:
    """Return at most 300 points, each the mean of as many steps."""
    each = math.ceil(len(lines) / MOST_POINTS)
    parts = [lines[start : start + each] for start in range(0, len(lines), each)]
    steps = [fmean(line.step for line in part) for part in parts]
    losses = [fmean(line.loss for line in part) for part in parts]
    return StepLosses(steps, losses, each, {line.epoch: line.step for line in lines})
