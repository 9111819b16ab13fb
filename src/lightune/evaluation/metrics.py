"""Metrics of a set of answers, by scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def accuracy_by_group(predicted: Array, labels: Array, groups: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
    """Return {column: {value: {"examples", "accuracy"}}} for each column of group names."""
    correct = predicted == labels
    result: dict[str, dict[str, Any]] = {}
    for column, values in groups.items():
        names = np.asarray(values)
        result[column] = {
            name: {"examples": int((names == name).sum()), "accuracy": float(correct[names == name].mean())}
            for name in sorted(set(values))
        }
    return result
