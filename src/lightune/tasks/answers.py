"""A model's answers to texts."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer(ABC):
    """A model's answer to a text; the fields are what --json prints, the first is the answer itself.

    Answers that have probabilities have a `confidence`, the one that the answer is right.
    """

    @abstractmethod
    def cells(self) -> tuple[str, ...]:
        """Return it as cells of a file, one for each of the task's `answer_columns`; the first is the answer itself."""

    @abstractmethod
    def line(self) -> str:
        """Return it as it is printed before its text on the terminal."""


def confidence_of(answer: Answer) -> float:
    """Return an answer's confidence, NaN where it has none."""
    return float(getattr(answer, "confidence", math.nan))


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


@dataclass(frozen=True, repr=False)
class LabelSet(Answer):
    """The labels that are likely enough, and the probability of every label."""

    labels: tuple[str, ...]
    probabilities: dict[str, float]

    @property
    def confidence(self) -> float:
        """The probability that the least certain decision on a label is right: p if answered, else 1 - p."""
        labels = set(self.labels)
        return min(share if label in labels else 1 - share for label, share in self.probabilities.items())

    def __repr__(self) -> str:
        """Show the answer: `LabelSet(food 0.97, price 0.61)`."""
        return f"LabelSet({self.line()})"

    def cells(self) -> tuple[str, ...]:
        """Return the labels, joined by "|" and empty where there are none, and the probability of every label."""
        return "|".join(self.labels), *(f"{share:.6f}" for share in self.probabilities.values())

    def line(self) -> str:
        """Return the labels with their probabilities, the likeliest first."""
        ranked = sorted(self.labels, key=lambda label: -self.probabilities[label])
        return ", ".join(f"{label} {self.probabilities[label]:.3f}" for label in ranked) or "(no label)"


@dataclass(frozen=True, repr=False)
class Numbers(Answer):
    """The predicted numbers by name; `value` is the only one, or None where there are several."""

    value: float | None
    values: dict[str, float]

    def __repr__(self) -> str:
        """Show the answer: `Numbers(score 3.812)`."""
        return f"Numbers({self.line()})"

    def cells(self) -> tuple[str, ...]:
        """Return the number; of several, all joined by "|", then each by itself."""
        written = tuple(written_number(value) for value in self.values.values())
        return written if len(written) == 1 else ("|".join(written), *written)

    def line(self) -> str:
        """Return the number; of several, each with its name."""
        if self.value is not None:
            return short_number(self.value)
        return ", ".join(f"{name} {short_number(value)}" for name, value in self.values.items())


def written_number(value: float) -> str:
    """Return a number with nine significant digits: a model computes about seven."""
    return f"{value:.9g}"


def aligned_number(value: float) -> str:
    """Return a number with four significant digits, three decimals at most, for a column: 3.812, 2.500, 1,204."""
    if not value or abs(value) >= 1e6 or abs(value) < 1e-3:
        return f"{value:.4g}"
    return f"{value:,.{max(0, min(3, 4 - len(str(int(abs(value))))))}f}"


def short_number(value: float) -> str:
    """Return the same for a sentence, without zeros at the end: 3.812, 2.5, 1,204."""
    shown = aligned_number(value)
    return shown.rstrip("0").rstrip(".") if "." in shown and "e" not in shown else shown
