"""A threshold for each label, chosen so that micro F1 is the best on given texts."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

Array = NDArray[Any]
Thresholds = tuple[Annotated[float, Field(ge=0, le=1)], ...]
USUAL = 0.5
FEWEST_TEXTS, FEWEST_POSITIVES = 100, 5
MOST_ROUNDS = 50


def choosable(targets: Array) -> NDArray[np.bool_]:
    """Say for which labels a threshold can be chosen on these targets, (texts, labels): others have too few texts."""
    enough: NDArray[np.bool_] = (targets.sum(axis=0) >= FEWEST_POSITIVES) & (len(targets) >= FEWEST_TEXTS)
    return enough


def best_thresholds(probabilities: Array, targets: Array) -> Array:
    """Return the threshold of each label, (labels,), with the best micro F1; 0.5 where there are too few texts.

    With F the best micro F1, the thresholds maximise sum_l (2 TP_l - F P_l), P_l the number of answers with label l:
    each label's sum can be maximised by itself, and F follows from the thresholds (Dinkelbach 1967; Lipton et al. 2014,
    arXiv:1402.1892). Both are repeated until F stays. A threshold is midway between two probabilities.
    """
    chosen, thresholds = choosable(targets), np.full(targets.shape[1], USUAL)
    ranked = {label: _ranked(probabilities[:, label], targets[:, label]) for label in np.flatnonzero(chosen)}
    reached = _micro_f1(probabilities, targets, thresholds)
    for _ in range(MOST_ROUNDS):
        found = thresholds.copy()
        for label, (cuts, right, answered) in ranked.items():
            worth = 2 * right - reached * answered
            near = np.flatnonzero(worth >= worth.max() - 1e-9)
            found[label] = cuts[near[np.abs(cuts[near] - USUAL).argmin()]]
        now = _micro_f1(probabilities, targets, found)
        if now <= reached + 1e-12:
            break
        reached, thresholds = now, found
    return thresholds


def _ranked(probabilities: Array, targets: Array) -> tuple[Array, Array, Array]:
    """Return (thresholds, the right answers at each, all answers at each), from no answer to an answer for each text.

    There is no threshold between equal probabilities.
    """
    order = np.argsort(-probabilities, kind="stable")
    values = probabilities[order]
    middles = np.concatenate([[(1 + values[0]) / 2], (values[:-1] + values[1:]) / 2, [values[-1] / 2]])
    is_between = np.concatenate([[True], values[:-1] > values[1:], [True]])
    right = np.concatenate([[0], np.cumsum(targets[order])])
    answered = np.arange(len(values) + 1)
    return middles[is_between], right[is_between], answered[is_between]


def _micro_f1(probabilities: Array, targets: Array, thresholds: Array) -> float:
    answers = probabilities >= thresholds
    both = answers.sum() + targets.sum()
    return float(2 * (answers & (targets > 0)).sum() / both) if both else 0.0
