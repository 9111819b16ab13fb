"""The base class of views: what the reports show of one kind of details, such as those of labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal, Self

from lightune.measured import Measured
from lightune.record import RunRecord
from lightune.report.tables import Table
from lightune.sections import TaskRecord


@dataclass(frozen=True)
class Part:
    """A section of the HTML page: its template, the values that the template draws, and the section it comes after."""

    after: Literal["results", "learning", "cost"]
    template: str
    values: dict[str, Any]


class View(ABC):
    """What is shown of the details of one evaluation; nothing where they are not of this kind."""

    @classmethod
    @abstractmethod
    def of(cls, found: Measured, task: TaskRecord) -> Self:
        """Return the view of an evaluation. Raises ValueError where details do not have the expected form."""

    def brief(self) -> list[Table]:
        """Return the tables for the model card, the summary of a run and an evaluation on the terminal."""
        return []

    def lines(self) -> list[tuple[str, str]]:
        """Return figures for a line each, with a name, for the summary of a run and an evaluation on the terminal."""
        return []

    def sentences(self) -> list[str]:
        """Return the same as sentences for the model card."""
        return []

    def others(self) -> list[Table]:
        """Return the further tables for an evaluation on the terminal."""
        return []

    @classmethod
    def figures(cls, record: RunRecord) -> dict[str, int]:
        """Return the columns of predictions that the sections take numbers from, and how many numbers a cell has."""
        return {}

    @classmethod
    def parts(cls, record: RunRecord, predictions: list[dict[str, str]]) -> list[Part]:
        """Return the sections of the page."""
        return []
