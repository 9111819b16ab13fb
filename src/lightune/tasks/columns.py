"""What a task gets of the data: a file's label column, the targets of a split, and the choices of the recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Wishes:
    """What a recipe says about the task: its name or auto, whether rare labels weigh more, and what numbers are.

    `label_kind` "class" says that each number, and each a|b, is a label of its own.
    """

    task: str = "auto"
    class_weights: str = "none"
    head_start: str = "random"
    label_kind: str = "auto"


ANY_TASK = Wishes()


@dataclass(frozen=True)
class LabelColumn:
    """The label column of a file as it was read, before its cells are interpreted.

    `values` can be iterated more than once; `class_names` are the file's own names for class indices.
    """

    name: str
    origin: str
    values: Iterable[Any]
    rows: int
    class_names: Sequence[str] = ()


@dataclass(frozen=True)
class SplitTargets:
    """The targets of a split, one for each row, with the indices of the rows that are used.

    `usable` rows have a text and a target; `kept` rows are those that remain without duplicates; `place` says where a
    row is.
    """

    name: str
    origin: str
    values: NDArray[Any]
    usable: NDArray[np.int64]
    kept: NDArray[np.int64]
    place: Callable[[int], str]
    has_faults: bool = False
    has_class_names: bool = False

    def counts(self, labels: int, rows: NDArray[np.int64] | None = None) -> list[int]:
        """Return how many of the rows (default: all usable ones) have each label, where targets are label numbers."""
        found: list[int] = np.bincount(self.values[self.usable if rows is None else rows], minlength=labels).tolist()
        return found

    def place_of(self, label: int) -> str:
        """Return `file:line` of the first row with a label, where targets are label numbers."""
        rows = self.usable[self.values[self.usable] == label]
        return self.place(int(rows[0])) if len(rows) else self.origin
