"""Answers that are left out because the model is not sure enough of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lightune.artifact import adapter_folder, read_config
from lightune.tasks.answers import Answer, confidence_of
from lightune.tasks.base import Task
from lightune.tasks.coverage import Abstained, Coverage, require_bound

CONFIDENCE, ABSTAINED = "confidence", "abstained"  # columns
LEFT_OUT, GIVEN = "true", "false"


@dataclass(frozen=True)
class Abstention:
    """Leaves out answers whose confidence is below a bound; without a bound every answer is given.

    Raises RecipeError for a bound where answers have no confidence.
    """

    task: Task
    below: float | None = None

    def __post_init__(self) -> None:
        """Refuse a bound that is no probability, and one for answers without a confidence."""
        if self.below is not None:
            require_bound(self.task, self.below)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of answers in a file; with a bound there is a confidence, and whether the answer is left out."""
        own = self.task.answer_columns
        if self.below is None:
            return own
        return (*own, ABSTAINED) if CONFIDENCE in own else (*own, CONFIDENCE, ABSTAINED)

    @property
    def json_columns(self) -> tuple[str, ...]:
        """Those of `columns` whose cells are JSON: numbers, and true or false."""
        return (*self.task.number_columns, *self.columns[len(self.task.answer_columns) :])

    def leaves_out(self, answer: Answer) -> bool:
        """Say whether the answer is left out."""
        return self.below is not None and confidence_of(answer) < self.below

    def as_json(self, answer: Answer) -> dict[str, Any]:
        """Return an answer as JSON values; with a bound its confidence is there, and whether it is left out."""
        found = asdict(answer)
        if self.below is None:
            return found
        return _marked({**found, CONFIDENCE: confidence_of(answer)}, self.leaves_out(answer))

    def cells(self, logits: NDArray[Any]) -> Iterable[tuple[str, ...]]:
        """Return the cells of each answer under `columns`; the answer itself is still there."""
        cells = self.task.cells(logits)
        confidences = None if self.below is None else self.task.confidences(logits)
        if confidences is None:
            return cells
        has_own = CONFIDENCE in self.task.answer_columns
        beside = (() if has_own else (f"{confidence:.6f}",) for confidence in confidences.tolist())
        left = [LEFT_OUT if is_low else GIVEN for is_low in confidences < self.below]
        return ((*answer, *own, said) for answer, own, said in zip(cells, beside, left, strict=True))

    def given(self, cells: Sequence[str]) -> Sequence[str] | None:
        """Return the task's cells of an answer from those under `columns`, None where it is left out."""
        is_left = self.below is not None and cells[-1] == LEFT_OUT
        return None if is_left else cells[: len(self.task.answer_columns)]

    def shown(self, cells: Sequence[str]) -> Sequence[str]:
        """Return the cells under `columns` as a file shows them: the answer itself is empty where it is left out."""
        return cells if self.given(cells) is not None else ("", *cells[1:])

    def answer_object(self, cells: Sequence[str]) -> dict[str, Any]:
        """Return an answer as JSON values from its cells under `columns`."""
        own = len(self.task.answer_columns)
        found = self.task.answer_object(cells[:own])
        if self.below is None:
            return found
        beside = dict.fromkeys(self.columns[own:-1], float(cells[own])) if len(cells) > own + 1 else {}
        return _marked({**found, **beside}, cells[-1] == LEFT_OUT)

    def summary(self, texts: int, answered: int, coverage: Coverage | None) -> Abstained | None:
        """Return what came of the bound on these texts, and on the run's validation texts; None without a bound."""
        if self.below is None:
            return None
        validation = None if coverage is None else coverage.at(self.below)
        return Abstained(self.below, texts, answered, answered / texts if texts else None, validation)


def _marked(answer: dict[str, Any], is_left_out: bool) -> dict[str, Any]:
    """Return an answer's JSON values with whether it is left out; then its first value, the answer itself, is None."""
    first, *_ = answer
    return {**answer, first: None if is_left_out else answer[first], ABSTAINED: is_left_out}


def coverage_of(run: Path | str) -> Coverage | None:
    """Return the coverage that a run folder or an adapter folder holds."""
    return read_config(adapter_folder(Path(run))).coverage
