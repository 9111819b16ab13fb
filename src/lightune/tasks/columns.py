"""What a task is given of the data: a file's label column, the targets of a split, and what the recipe says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Wishes:
    """What a recipe says of the task: its name or auto, whether rare labels weigh more, and what numbers are.

    `label_kind` "class" says that each number, and each a|b, is a label of its own.
    """

    task: str = "auto"
    class_weights: str = "none"
    label_kind: str = "auto"


ANY_TASK = Wishes()


@dataclass(frozen=True)
class LabelColumn:
    """The label column of a file as it stands there, before anybody knows what its cells mean.

    `values` can be passed over again; `class_names` are the names that the file itself has for its numbers.
    """

    name: str
    origin: str
    values: Iterable[Any]
    rows: int
    class_names: Sequence[str] = ()


@dataclass(frozen=True)
class SplitTargets:
    """The targets of a split, to be looked over: of every row, with the numbers of those that are used.

    `usable` rows have a text and a target, `kept` ones are left when duplicates are gone; `place` says where a row
    stands.
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
