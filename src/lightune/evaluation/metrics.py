"""Metrics of a set of answers, by scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightune.sections import LabelScores, PartMetrics
from lightune.verdict import counts_by_label

Array = NDArray[Any]


@dataclass(frozen=True)
class Metrics:
    """Accuracy, mean cross-entropy (nats), macro-averaged F1, confusion matrix (rows true, columns predicted)."""

    accuracy: float
    loss: float
    f1_macro: float
    confusion_matrix: list[list[int]]


def probabilities(logits: Array) -> Array:
    """Return softmax over the last axis: (examples, labels)."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def measure(log_probabilities: Array, labels: Array) -> Metrics:
    """Return the metrics of log-probabilities (or logits), shape (examples, labels), against label indices."""
    from scipy.special import log_softmax
    from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

    classes = list(range(log_probabilities.shape[1]))
    predicted = log_probabilities.argmax(axis=1)
    chosen = log_softmax(log_probabilities.astype(np.float64), axis=1)[np.arange(len(labels)), labels]
    return Metrics(
        accuracy=float(accuracy_score(labels, predicted)),
        loss=float(-chosen.mean()),
        f1_macro=float(f1_score(labels, predicted, labels=classes, average="macro", zero_division=0)),
        confusion_matrix=confusion_matrix(labels, predicted, labels=classes).tolist(),
    )


def per_label(confusion_matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> dict[str, LabelScores]:
    """Return the figures of each label by its name, of a matrix (rows true, columns answered).

    Precision is right / answered, recall right / examples, F1 their harmonic mean, 2 right / (examples + answered);
    each is 0 where that divides nothing, as in the macro F1, which is the mean of these F1.
    """
    return {
        found.label: LabelScores(
            precision=found.right / max(found.answered, 1),
            recall=found.right / max(found.examples, 1),
            f1=found.f1,
            examples=found.examples,
            answered=found.answered,
        )
        for found in counts_by_label(labels, confusion_matrix)
    }


def measure_by_group(
    log_probabilities: Array, labels: Array, groups: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, PartMetrics]]:
    """Return {column: {value: metrics}} for each column of group names, each measured as `measure_part` says."""
    result: dict[str, dict[str, PartMetrics]] = {}
    for column, values in groups.items():
        names = np.asarray(list(values), dtype=object)
        result[column] = {
            name: measure_part(log_probabilities[names == name], labels[names == name]) for name in sorted(set(values))
        }
    return result


def measure_part(log_probabilities: Array, labels: Array) -> PartMetrics:
    """Return the metrics of a part of the examples.

    Macro F1 is over the labels that occur in the part or among its answers: a label it lacks says nothing about it.
    """
    from sklearn.metrics import f1_score

    found = measure(log_probabilities, labels)
    f1 = f1_score(labels, log_probabilities.argmax(axis=1), average="macro", zero_division=0)
    return PartMetrics(examples=len(labels), accuracy=found.accuracy, loss=found.loss, f1_macro=float(f1))
