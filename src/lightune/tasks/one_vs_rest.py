"""Logistic regression for each of many labels, fitted together, with answers of texts that a fit has not seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightune.tasks.linear import FOLDS, shift_and_scale

Array = NDArray[Any]
MOST_ITERATIONS = 300
QUICK, THOROUGH = 2e-5, 1e-9  # the parts of the objective by which a step has to lower it
MOST_TURNED = 3000  # directions; the time to find them grows with their cube
MOST_COLUMNS = 10_000  # of more texts than that


@dataclass(frozen=True)
class OneVsRest:
    """Coefficients of given features, (labels, width), intercepts, (labels,), and the strength C that was chosen.

    `unseen` are logits of the texts it was fitted to, (texts, labels), each from a fit without that text.
    """

    weight: Array
    bias: Array
    strength: float
    unseen: Array

    def logits(self, features: Any) -> Array:
        """Return the log odds of each label: (texts, labels)."""
        return np.asarray(features @ self.weight.T) + self.bias


def fit_one_vs_rest(
    features: Any,
    targets: Array,
    strengths: Sequence[float],
    *,
    scaled: bool = True,
    intercept: bool = True,
    dropout: float = 0.0,
) -> OneVsRest:
    """Fit a logistic regression for each label, all with one penalty.

    It minimises sum_l (|w_l|^2 / 2 + C sum_i log(1 + exp(-s_il (w_l x_i + b_l)))), s_il = +-1, which is scikit-learn's
    LogisticRegression for each label, by L-BFGS over all labels at once. C is the one with the least log loss in 5-fold
    cross-validation. `features` are (texts, width), dense or sparse, `targets` (texts, labels) of 0 and 1. `scaled`
    divides dense features by their standard deviations, and centres them where there is an intercept; the returned
    coefficients are those of the features as they were given.

    With a rate of `dropout` the features are divided by the root of their mean square, and 1 / C is raised by
    n v rate / (1 - rate), with n texts and v the mean of p (1 - p) over the labels' shares p: near the base rates that
    is what features cost which are dropped at that rate (Wager et al. 2013, arXiv:1307.1493).
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # several threads lose more time by waiting for each other than they save
        scaling = _standardised(features, intercept, dropout) if scaled else Turned(features, _unchanged)
        turned = _turned(scaling.features)
        rates = targets.mean(axis=0, dtype=float)
        cost = len(targets) * float((rates * (1 - rates)).mean()) * dropout / (1 - dropout)
        candidates, folds = sorted({1 / (1 / strength + cost) for strength in strengths}), _folds(len(targets))
        unseen = {strength: np.zeros(targets.shape, np.float32) for strength in candidates}
        for fold in np.unique(folds):
            rest, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            start = None
            for strength in candidates if len(rest) else ():  # each fit starts from the one before
                start = _fit(turned.features[rest], targets[rest], strength, intercept, QUICK, start)
                unseen[strength][held] = _logits(turned.features[held], *start)
        strength = min(candidates, key=lambda one: log_loss(unseen[one], targets))
        weight, bias = _fit(turned.features, targets, strength, intercept, THOROUGH)
        weight, bias = scaling.undo(*turned.undo(weight, bias))
    return OneVsRest(weight, bias, float(strength), unseen[strength])


def log_loss(logits: Array, targets: Array) -> float:
    """Return the mean of -log P(y) over texts and labels, in nats, with P(1) = 1 / (1 + exp(-logit))."""
    return float(np.logaddexp(0, np.where(targets > 0, -logits, logits)).mean())


def _folds(texts: int) -> Array:
    """Return the number of the fold of each text, drawn with a fixed seed; one text each where there are few."""
    return np.random.default_rng(0).permutation(texts) % min(FOLDS, max(texts, 1))


def _logits(features: Any, weight: Array, bias: Array) -> Array:
    found: Array = np.asarray(features @ weight.T) + bias
    return found


def _fit(
    features: Any,
    targets: Array,
    strength: float,
    intercept: bool,
    tolerance: float,
    start: tuple[Array, Array] | None = None,
) -> tuple[Array, Array]:
    """Return weight and bias; it stops when a step lowers the objective by less than this part of it."""
    from scipy.optimize import minimize

    labels, width = targets.shape[1], features.shape[1]
    signs = np.where(targets > 0, 1.0, -1.0)

    def objective(flat: Array) -> tuple[float, Array]:
        weight, bias = flat[: labels * width].reshape(labels, width), flat[labels * width :]
        margins = signs * _logits(features, weight, bias)
        slope = -signs * np.exp(-np.logaddexp(0, margins))  # the derivative of each loss by its logit
        value = 0.5 * (weight**2).sum() + strength * np.logaddexp(0, -margins).sum()
        step = weight + strength * np.asarray(features.T @ slope).T
        return float(value), np.concatenate([step.ravel(), strength * slope.sum(axis=0) * intercept])

    if start is None:
        start = np.zeros((labels, width)), _log_odds(targets) if intercept else np.zeros(labels)
    options = {"maxiter": MOST_ITERATIONS, "ftol": tolerance}
    first = np.concatenate([start[0].ravel(), start[1]])
    found = minimize(objective, first, jac=True, method="L-BFGS-B", options=options).x
    return found[: labels * width].reshape(labels, width), found[labels * width :]


def _log_odds(targets: Array) -> Array:
    """Return the log odds of each label, as if one more text had it and one more lacked it."""
    counts = targets.sum(axis=0, dtype=float)
    found: Array = np.log((counts + 1) / (len(targets) - counts + 1))
    return found


@dataclass(frozen=True)
class Turned:
    """Features in other coordinates, and a function that turns coefficients of these into those of the given ones."""

    features: Any
    undo: Callable[[Array, Array], tuple[Array, Array]]


def _unchanged(weight: Array, bias: Array) -> tuple[Array, Array]:
    return weight, bias


def _turned(features: Any) -> Turned:
    """Return features in their principal directions, in which all fits are the same and need few steps.

    With X X^T = U S^2 U^T the coordinates are U S: products of rows do not change. TF-IDF has many more columns than
    there are texts, and so many fewer coordinates; of very many texts only its most used columns are kept.
    """
    texts, width = features.shape
    if min(texts, width) > MOST_TURNED:
        return _most_used(features)
    product = features @ features.T if texts < width else features.T @ features
    values, vectors = np.linalg.eigh(product.toarray() if hasattr(product, "toarray") else product)
    kept = values > values[-1] * 1e-10
    vectors = vectors[:, kept]
    if texts >= width:
        return Turned(np.asarray(features @ vectors), lambda weight, bias: (weight @ vectors.T, bias))
    lengths = np.sqrt(values[kept])

    def undo(weight: Array, bias: Array) -> tuple[Array, Array]:
        return np.asarray(features.T @ ((vectors / lengths) @ weight.T)).T, bias

    return Turned(vectors * lengths, undo)


def _most_used(features: Any) -> Turned:
    """Return only the columns with the largest squares, so that the fits of many texts stay affordable."""
    squares = np.asarray(features.power(2).sum(axis=0) if hasattr(features, "power") else (features**2).sum(axis=0))
    kept = np.sort(np.argsort(-squares.ravel(), kind="stable")[:MOST_COLUMNS])

    def undo(weight: Array, bias: Array) -> tuple[Array, Array]:
        whole = np.zeros((len(weight), features.shape[1]))
        whole[:, kept] = weight
        return whole, bias

    return Turned(features[:, kept], undo)


def _standardised(features: Array, centred: bool, dropout: float) -> Turned:
    """Return features that are shifted and scaled."""
    mean, scale = shift_and_scale(features, centred, dropout)

    def undo(weight: Array, bias: Array) -> tuple[Array, Array]:
        return weight / scale, bias - (weight / scale) @ mean

    return Turned((features - mean) / scale, undo)
