"""What a task makes of a file: from cells to targets, and what is said about them before training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from lightune.errors import RecipeError, did_you_mean
from lightune.faults import Fault
from lightune.measured import Metric
from lightune.tasks.columns import LabelColumn, SplitTargets, Wishes
from lightune.tasks.label_table import label_table
from lightune.tasks.overview import Overview

Array = NDArray[Any]
# The code of a target that the training file lacks; data.on_unseen_label says what happens to such rows.
UNSEEN = "DATA-014"
# The code of labels that are joined by another mark than in training.
WRONG_MARK = "DATA-085"
FIX_OR_DROP_UNSEEN = "Fix the row, or pass --set data.on_unseen_label=drop."


@dataclass(frozen=True)
class Targets(ABC):
    """The part of a task that reads files; `tasks/base.py` has the rest.

    - `metrics`: the first is the headline, and chooses the best epoch unless a recipe says otherwise.
    - `label_columns`: the usual names of its column. `target_column`: its name in predictions.csv.
    """

    name: ClassVar[str]
    metrics: ClassVar[tuple[Metric, ...]]
    label_columns: ClassVar[tuple[str, ...]] = ()
    target_column: ClassVar[str] = "label"

    labels: tuple[str, ...] = ()

    @classmethod
    def metric(cls, name: str | None) -> Metric:
        """Return the metric of this name, the headline when none is named. Raises RecipeError for an unknown one."""
        found = {metric.name: metric for metric in cls.metrics}
        if name is None:
            return cls.metrics[0]
        if name not in found:
            text = f'training.metric_for_best_model: "{name}" is not a metric of the task {cls.name}.'
            raise RecipeError("RECIPE-015", text, f"{did_you_mean(name, found)} Valid: {', '.join(found)}.".strip())
        return found[name]

    @classmethod
    def claims(cls, column: LabelColumn, wishes: Wishes) -> str:
        """Return why `task: auto` takes the column for this task, for example "holds lists"; "" where it does not.

        The first task that claims a column gets it.
        """
        return ""

    @classmethod
    @abstractmethod
    def of(cls, column: LabelColumn, wishes: Wishes) -> Self:
        """Return the task of a training file's column. Raises DataError when its cells cannot be such targets."""

    @classmethod
    def of_checkpoint(cls, config: Mapping[str, Any]) -> Self | None:
        """Return the task of a finished model from its config.json, or None when it is not this one."""
        return None

    @abstractmethod
    def reader(self, class_names: Sequence[str]) -> Callable[[Any], Any]:
        """Return a function that turns a cell into a target, or into the Fault that says why it is not one.

        `class_names` are the file's own names for class indices. A target that training lacks has the code UNSEEN.
        """

    def in_words_of(self, column: LabelColumn) -> Self:
        """Return the same task with a file's names for its labels; for a model that was trained elsewhere."""
        return self

    def parted_by(self, separator: str) -> Self | None:
        """Return the task that reads labels joined by this mark, or None for a task whose cells hold none."""
        return None

    def instead_of_column(self, columns: Sequence[str]) -> Sequence[str]:
        """Return the columns of a file that hold the target in place of the label column, where it has such."""
        return ()

    def targets(self, rows: int) -> Array:
        """Return an array for the targets of this many rows; the first axis is the row."""
        return np.zeros(rows, np.int32)

    def shown(self, target: Any) -> str:
        """Return a target as people write it: the label of that number, or the number where there are no labels."""
        return self.labels[int(target)] if self.labels else str(target)

    def tally(self, targets: Array) -> dict[str, int]:
        """Return how often each label occurs, where targets are label numbers; nothing for a task without labels."""
        if not self.labels:
            return {}
        return dict(zip(self.labels, np.bincount(targets, minlength=len(self.labels)).tolist(), strict=True))

    def strata(self, targets: Array) -> NDArray[np.int64]:
        """Return a number for each target: rows are drawn so that each number keeps its proportion.

        By default the label's, and one for all where there are no labels.
        """
        return np.asarray(targets, np.int64) if self.labels else np.zeros(len(targets), np.int64)

    def contradict(self, targets: Array, others: Array) -> NDArray[np.bool_]:
        """Say for each target whether it contradicts the other one of the same text; by default where they differ."""
        differ = np.asarray(targets != others)
        return np.asarray(differ.any(axis=tuple(range(1, differ.ndim))))

    def check(self, splits: Mapping[str, SplitTargets], wishes: Wishes) -> tuple[list[Fault], list[Fault]]:
        """Return (faults, warnings) of the targets of all splits, of which "train" is one."""
        return [], []

    def without_rare(self, targets: Array, least: int) -> tuple[Self, Array] | None:
        """Return (the task without labels that fewer than `least` targets have, the new place of each label).

        The place of a label that is left out is -1. None where a row does not have one label.
        """
        return None

    def ignored(self, wishes: Wishes) -> list[str]:
        """Return notes on wishes that this task has no use for."""
        asked = [("on_alike_label", wishes.merges_alike), ("on_rare_label", wishes.drops_rare)]
        named = " and ".join(f"data.{name}" for name, is_wished in asked if is_wished)
        return [f"{named} is for one label a row; here the task is {self.name}."] if named else []

    def overview(self, splits: Mapping[str, Array]) -> list[Overview]:
        """Return tables that show what the targets of each split are; by default how many have each label, if any."""
        return [label_table(self.labels, splits)] if self.labels else []

    def drawn(self, targets: Array, origin: str) -> list[Fault]:
        """Return what is wrong with the targets that were drawn for training."""
        return []

    def for_training(self, targets: Array) -> Self:
        """Return the task as these training targets determine it, with their mean for example; by default itself."""
        return self
