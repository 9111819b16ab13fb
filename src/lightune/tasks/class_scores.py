"""Metrics of single-label answers by scikit-learn, the confusion matrix, and the figures of each label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightune.tasks.label_cautions import counts_by_label

Array = NDArray[Any]


def probabilities(logits: Array) -> Array:
    """Return softmax over the last axis: (texts, labels)."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


def class_metrics(log_probabilities: Array, labels: Array) -> dict[str, float | None]:
    """Return accuracy, macro-averaged F1 over all labels and mean cross-entropy (nats).

    `log_probabilities` (or logits) are (texts, labels), `labels` the numbers of the true ones.
    """
    from sklearn.metrics import accuracy_score, f1_score

    classes = list(range(log_probabilities.shape[1]))
    predicted = log_probabilities.argmax(axis=1)
    return {
        "accuracy": float(accuracy_score(labels, predicted)),
        "f1_macro": float(f1_score(labels, predicted, labels=classes, average="macro", zero_division=0)),
        "loss": cross_entropy(log_probabilities, labels),
    }


def cross_entropy(logits: Array, labels: Array) -> float:
    """Return the mean of -log softmax(logits)[label], in nats."""
    from scipy.special import log_softmax

    return float(-log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(labels)), labels].mean())


def outcomes(logits: Array, labels: Array) -> tuple[Array, Array]:
    """Return (the probability of each text's likeliest label, whether that is its label)."""
    return probabilities(logits).max(axis=1), logits.argmax(axis=1) == labels


def f1_of_occurring(log_probabilities: Array, labels: Array) -> float:
    """Return macro F1 over the labels that occur in a part of the texts or among its answers.

    A label that the part lacks says nothing about it.
    """
    from sklearn.metrics import f1_score

    return float(f1_score(labels, log_probabilities.argmax(axis=1), average="macro", zero_division=0))


def confusion_matrix(predicted: Array, labels: Array, count: int) -> list[list[int]]:
    """Return the counts of answers, rows true labels, columns answers; `count` is the number of labels."""
    from sklearn import metrics

    matrix: list[list[int]] = metrics.confusion_matrix(labels, predicted, labels=list(range(count))).tolist()
    return matrix


def per_label(matrix: Sequence[Sequence[int]], labels: Sequence[str]) -> dict[str, dict[str, float | int]]:
    """Return the figures of each label by its name, from a matrix (rows true, columns answered).

    Precision is right / answered, recall right / examples, F1 their harmonic mean, 2 right / (examples + answered);
    each is 0 where the divisor is 0, as in the macro F1, which is the mean of these F1.
    """
    return {
        found.label: {
            "precision": found.right / max(found.answered, 1),
            "recall": found.right / max(found.examples, 1),
            "f1": found.f1,
            "examples": found.examples,
            "answered": found.answered,
        }
        for found in counts_by_label(labels, matrix)
    }
