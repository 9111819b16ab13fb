"""What a task gets of the data: a file's label column, the targets of a split, and the choices of the recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Wishes:
    """What a recipe says about the task: its name or auto, whether rare labels weigh more, and how cells are read.

    `label_kind` "class" says that each number, and each a|b, is a label of its own; `label_separator` stands between
    the labels of a cell. With `merges_alike` labels that look alike are one; with `drops_rare` rows are left out whose
    label has too few.
    """

    task: str = "auto"
    class_weights: str = "none"
    head_start: str = "auto"
    label_kind: str = "auto"
    label_separator: str | None = None
    merges_alike: bool = False
    drops_rare: bool = False


ANY_TASK = Wishes()


class Beside(tuple[Any, ...]):
    """The cells of one row in several label columns, in the order of the columns: they are one target together."""

    __slots__ = ()


@dataclass(frozen=True)
class LabelColumn:
    """The label column of a file as it was read, before its cells are interpreted.

    `values` can be iterated more than once; `class_names` are the file's own names for class indices. `parts` names
    the columns where several together are the target; each value is then a `Beside`. `place` says where a row is.
    """

    name: str
    origin: str
    values: Iterable[Any]
    rows: int
    class_names: Sequence[str] = ()
    parts: tuple[str, ...] = ()
    place: Callable[[int], str] | None = None

    def first_place(self, chosen: Callable[[Any], bool]) -> str:
        """Return `file:line` of the first cell that is chosen, the file where the rows have no places."""
        row = next((row for row, value in enumerate(self.values) if chosen(value)), None)
        return self.origin if row is None or self.place is None else self.place(row)

    @property
    def named(self) -> str:
        """The column for the start of a sentence: "column stars", "columns anger, joy"."""
        return f"column{'s' if self.parts else ''} {self.name}"


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
        return self.first_of(self.values[self.usable] == label)

    def first_of(self, chosen: NDArray[np.bool_]) -> str:
        """Return `file:line` of the first of the usable rows that are chosen, the file where none is."""
        rows = self.usable[chosen]
        return self.place(int(rows[0])) if len(rows) else self.origin
