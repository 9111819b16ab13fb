"""Abstention: how many texts are answered, and how many of the answers are right, where unsure answers are left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightune.errors import RecipeError
from lightune.tasks.base import Task

Array = NDArray[Any]
STEPS = 100  # bounds from 0 to 1


@dataclass(frozen=True)
class Covered:
    """Of so many validation texts the share that is answered with this bound, and the share of right ones among them.

    `accuracy` is None where none is answered.
    """

    below: float
    examples: int
    answered_share: float
    accuracy: float | None


@dataclass(frozen=True)
class Abstained:
    """What came of a bound: how many of some texts are answered, and the same of validation texts if known."""

    below: float
    texts: int
    answered: int
    answered_share: float | None
    validation: Covered | None


@dataclass(frozen=True)
class Coverage:
    """Of `examples` validation texts: how many answers have a confidence of i / 100 or more, and how many are right.

    `answered` and `right` have an entry for each i from 0 to 100.  Selective classification, El-Yaniv and Wiener 2010.
    """

    examples: int
    answered: tuple[int, ...]
    right: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse counts that are not of one set of texts. Raises ValueError."""
        counts = (self.answered, self.right)
        falling = all(list(found) == sorted(found, reverse=True) and len(found) == STEPS + 1 for found in counts)
        if not falling or self.answered[0] != self.examples or any(map(int.__gt__, self.right, self.answered)):
            raise ValueError("coverage: not the counts of answers and right answers at each bound")

    @classmethod
    def of(cls, task: Task, validation: Callable[[], tuple[Array, Array]]) -> Coverage | None:
        """Return the coverage on the validation texts, whose logits and targets are computed only where it exists.

        None for a task whose answers have no confidence.
        """
        if not has_confidence(task):
            return None
        logits, targets = validation()
        confidences, right = task.confidences(logits), task.are_right(logits, targets)
        if confidences is None:  # logits that are not finite
            return None
        above = [confidences >= step / STEPS for step in range(STEPS + 1)]
        answered, correct = ([int(found.sum()) for found in each] for each in (above, [right & one for one in above]))
        return cls(len(targets), tuple(answered), tuple(correct))

    def at(self, bound: float) -> Covered:
        """Return what is answered at a bound, which is rounded to two decimals."""
        step = round(bound * STEPS)
        answered = self.answered[step]
        accuracy = self.right[step] / answered if answered else None
        return Covered(step / STEPS, self.examples, answered / max(self.examples, 1), accuracy)


def has_confidence(task: Task) -> bool:
    """Say whether the task's answers have a confidence."""
    shape = (1, task.outputs) if task.reads == "text" else (1, 1, task.outputs)
    return task.confidences(np.zeros(shape, np.float32)) is not None


def require_bound(task: Task, bound: float) -> None:
    """Raise RecipeError unless answers can be left out below this confidence."""
    if not 0 <= bound <= 1:
        raise RecipeError("RECIPE-096", f"abstain_below: {bound:g} is not a probability.", "Give 0 to 1, e.g. 0.8.")
    if not has_confidence(task):
        text = f"abstain_below: answers of the task {task.name} have no confidence to compare with {bound:g}."
        raise RecipeError("RECIPE-096", text, "Leave it out: every text is answered.")
