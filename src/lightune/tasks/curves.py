"""ROC and precision-recall curves by scikit-learn, thinned so that a record can hold them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
MOST_LABELS = 6  # with a curve of their own
MOST_POINTS = 100  # of a curve
DECIMALS = 4


def label_curves(labels: Sequence[str], probabilities: Array, true: Array, with_micro: bool) -> dict[str, Any]:
    """Return the detail "curves": those of each label against all others; of more than six labels a micro average.

    Both arrays are (texts, labels). The micro average, whose `label` is None, takes each label of each text as an
    example; `with_micro` says whether it also stands beside those of few labels. A label that no text has, or every
    text, has no curve. Nothing for probabilities that are not finite.
    """
    if not np.isfinite(probabilities).all():
        return {}
    is_few = len(labels) <= MOST_LABELS
    found: list[tuple[str | None, Array, Array]] = []
    if with_micro or not is_few:
        found.append((None, probabilities.ravel(), true.ravel()))
    if is_few:
        found += [(label, probabilities[:, place], true[:, place]) for place, label in enumerate(labels)]
    return {"curves": [curve(*each) for each in found if 0 < each[2].sum() < len(each[2])]}


def curve(label: str | None, scores: Array, true: Array) -> dict[str, Any]:
    """Return areas and points of both curves; each has [[x, ...], [y, ...]] with x from 0 to 1.

    `roc` has false over true positive rate, `precision_recall` recall over precision; `average_precision` is
    sum_n (R_n - R_(n-1)) P_n, scikit-learn's.
    """
    from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

    false_rate, true_rate, _ = roc_curve(true, scores)
    precision, recall, _ = precision_recall_curve(true, scores)
    precision, recall = precision[::-1], recall[::-1]
    return {
        "label": label,
        "roc_auc": float(roc_auc_score(true, scores)),
        "average_precision": float(average_precision_score(true, scores)),
        "roc": thinned(false_rate, true_rate, along=false_rate + true_rate),
        "precision_recall": thinned(recall, precision, along=recall),
    }


def thinned(across: Array, up: Array, along: Array) -> list[list[float]]:
    """Return the points, rounded; of more than 100 those about evenly spaced by `along`, which rises; ends stay."""
    wanted = np.linspace(along[0], along[-1], MOST_POINTS)
    few = np.unique([0, *np.searchsorted(along, wanted[1:-1]), len(along) - 1])
    chosen = few if len(along) > MOST_POINTS else np.arange(len(along))
    return [np.round(each[chosen], DECIMALS).tolist() for each in (across, up)]
