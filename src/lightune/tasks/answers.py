"""A model's answers to texts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer(ABC):
    """A model's answer to a text; the fields are what --json prints."""

    @abstractmethod
    def cells(self) -> tuple[str, ...]:
        """Return it as cells of a file, one for each of the task's `answer_columns`; the first is the answer itself."""

    @abstractmethod
    def line(self) -> str:
        """Return it as it is printed before its text on the terminal."""


@dataclass(frozen=True, repr=False)
class Prediction(Answer):
    """The likeliest label, its probability, and the probability of every label."""

    label: str
    confidence: float
    probabilities: dict[str, float]

    def __repr__(self) -> str:
        """Show the answer: `Prediction(positive, 0.983)`; a notebook prints many of them."""
        return f"Prediction({self.label}, {self.confidence:.3f})"

    def cells(self) -> tuple[str, ...]:
        """Return the label and its probability."""
        return self.label, f"{self.confidence:.6f}"

    def line(self) -> str:
        """Return both; labels are padded to the widest of them."""
        return f"{self.label:<{max(map(len, self.probabilities))}}  {self.confidence:.3f}"
