"""Metrics of answers with several labels by scikit-learn, the figures of each label, and which labels go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightune.sections import Baseline, Evaluation
from lightune.tasks.label_cautions import Counts, Reached, all_alike, behind_in_f1, never_found
from lightune.tasks.label_table import share
from lightune.tasks.overview import Overview, by_split

Array = NDArray[Any]
MOST_TOGETHER = 12
MOST_LABELS = 30


def sigmoid(logits: Array) -> Array:
    """Return 1 / (1 + exp(-z)) in fp64."""
    found: Array = np.exp(-np.logaddexp(0, -np.asarray(logits, np.float64)))
    return found


def set_metrics(logits: Array, answered: Array, targets: Array) -> dict[str, float | None]:
    """Return micro F1, macro F1, exact match, macro-averaged average precision, mean binary cross-entropy (nats).

    All are (texts, labels). F1 is 2 TP / (answers + labels); micro F1 has the sums over all labels and is None where
    there is neither an answer nor a label; macro F1 is the mean over labels, 0 for one that has neither. Exact match is
    the share of texts whose every label is right. Average precision is the mean over the labels that occur.
    """
    from sklearn.metrics import average_precision_score

    true, right = targets > 0, (answered & (targets > 0)).sum(axis=0)
    both = answered.sum(axis=0) + true.sum(axis=0)
    occurring = np.flatnonzero(true.any(axis=0))
    precisions = [average_precision_score(true[:, label], logits[:, label]) for label in occurring]
    return {
        "f1_micro": float(2 * right.sum() / both.sum()) if both.sum() else None,
        "f1_macro": macro_f1(answered, targets),
        "exact_match": float((answered == true).all(axis=1).mean()),
        "average_precision": float(np.mean(precisions)) if precisions else None,
        "loss": cross_entropy(logits, targets),
    }


def cross_entropy(logits: Array, targets: Array) -> float:
    """Return the mean binary cross-entropy of all labels of all texts, in nats."""
    given = np.asarray(logits, np.float64)
    return float(np.logaddexp(0, np.where(targets > 0, -given, given)).mean())


def outcomes(logits: Array, targets: Array) -> tuple[Array, Array]:
    """Return (the probability of each label of each text, whether the text has it), (texts * labels,) both."""
    return sigmoid(logits).ravel(), (targets > 0).ravel()


def macro_f1(answered: Array, targets: Array) -> float:
    """Return the mean over the labels of 2 TP / (answers + labels), 0 for one that has neither."""
    true = targets > 0
    both = answered.sum(axis=0) + true.sum(axis=0)
    return float((2 * (answered & true).sum(axis=0) / np.maximum(both, 1)).mean())


def details(labels: Sequence[str], answered: Array, targets: Array, cuts: Array) -> dict[str, Any]:
    """Return the figures of each label with its threshold, the labels that go together, and how many a text has."""
    return {
        "per_label": per_label(labels, answered, targets, cuts),
        "together": together(labels, answered, targets),
        "labels_per_text": sizes(answered, targets),
    }


def per_label(labels: Sequence[str], answered: Array, targets: Array, cuts: Array) -> dict[str, dict[str, float | int]]:
    """Return the figures of each label by its name, with its threshold; precision, recall and F1 are 0 for 0 / 0."""
    found = {}
    for counts, cut in zip(counts_by_label(labels, answered, targets), cuts.tolist(), strict=True):
        found[counts.label] = {
            "precision": counts.right / max(counts.answered, 1),
            "recall": counts.right / max(counts.examples, 1),
            "f1": counts.f1,
            "examples": counts.examples,
            "answered": counts.answered,
            "threshold": cut,
        }
    return found


def counts_by_label(labels: Sequence[str], answered: Array, targets: Array) -> list[Counts]:
    """Return how many texts have each label, get it as an answer, and both."""
    true = targets > 0
    figures = zip(
        labels, true.sum(axis=0).tolist(), answered.sum(axis=0).tolist(), (true & answered).sum(axis=0).tolist(),
        strict=True,
    )  # fmt: skip
    return [Counts(*each) for each in figures]


def together(labels: Sequence[str], answered: Array, targets: Array) -> list[dict[str, Any]]:
    """Return the pairs of labels that most texts have both of, and how many texts get both as an answer."""
    true, said = (each.astype(np.float64) for each in (targets > 0, answered))  # whole numbers have no BLAS
    having, getting = true.T @ true, said.T @ said
    first, second = np.triu_indices(len(labels), 1)
    counts = having[first, second]
    order = np.argsort(-counts, kind="stable")[:MOST_TOGETHER]
    return [
        {
            "labels": [labels[first[place]], labels[second[place]]],
            "examples": int(counts[place]),
            "answered": int(getting[first[place], second[place]]),
        }
        for place in order
        if counts[place]
    ]


def sizes(answered: Array, targets: Array) -> list[dict[str, int]]:
    """Return how many texts have each number of labels, and get each number as an answer."""
    having, getting = (np.bincount(each.sum(axis=1)) for each in (targets > 0, answered))
    most = max(len(having), len(getting))
    padded = (np.pad(each, (0, most - len(each))).tolist() for each in (having, getting))
    return [
        {"labels": size, "examples": one, "answered": other}
        for size, (one, other) in enumerate(zip(*padded, strict=True))
    ]


def overviews(labels: Sequence[str], splits: Mapping[str, Array]) -> list[Overview]:
    """Return how many texts of each split have each label, and how many labels a text has."""
    most = max(splits.values(), key=len)
    names = list(labels)
    if len(names) > MOST_LABELS:
        order = np.argsort(-most.sum(axis=0, dtype=int), kind="stable")
        names = [labels[place] for place in order[:MOST_LABELS]]
    left = f" ({len(names)} of {len(labels)})" if len(names) < len(labels) else ""
    having = {
        split: {name: _figures(int(targets[:, labels.index(name)].sum()), len(targets)) for name in names}
        for split, targets in splits.items()
    }
    sized = {split: np.bincount(targets.sum(axis=1, dtype=int)) for split, targets in splits.items()}
    most_labels = max(map(len, sized.values()))
    numbers = {
        split: {
            _sized(size): _figures(int(counts[size]) if size < len(counts) else 0, int(counts.sum()))
            for size in range(most_labels)
        }
        for split, counts in sized.items()
    }
    return [
        by_split(f"label{left}", having, ["", "of texts"]),
        by_split("labels in a text", numbers, ["", "share"]),
    ]


def _sized(size: int) -> str:
    return "none" if size == 0 else str(size)


def _figures(count: int, total: int) -> list[str]:
    return [f"{count:,}", share(count, total)]


def cautions(after: Evaluation, baselines: Mapping[str, Baseline]) -> list[str]:
    """Return sentences on answers all alike, labels that are never found, and baselines that are ahead in macro F1."""
    counts = [
        Counts(name, found["examples"], found["answered"], round(found["recall"] * found["examples"]))
        for name, found in after.details["per_label"].items()
    ]
    reached = [_reached(found, found.named) for found in baselines.values()]
    said = all_alike(counts, after.examples) + never_found(counts)
    said += behind_in_f1(_reached(after, "this model"), reached, counts, "micro F1")
    return [sentence[0].upper() + sentence[1:] for sentence in said]


def _reached(found: Baseline | Evaluation, name: str) -> Reached:
    return Reached(name, float(found.metrics["f1_micro"] or 0), float(found.metrics["f1_macro"] or 0))
