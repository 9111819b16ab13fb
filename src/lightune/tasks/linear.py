"""Models that cost almost nothing: a constant answer, and linear models whose penalty is chosen by cross-validation."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
FOLDS = 5


@dataclass(frozen=True)
class Constant:
    """The one answer that is best for all texts: its scores, (outputs,), its name, its title, and details of it.

    `without` lists metrics that such scores do not have, such as the loss.
    """

    name: str
    title: str
    scores: Array
    details: Mapping[str, Any]
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class LinearModel:
    """A fitted linear model of given features: `scores` takes (texts, width) and gives (texts, outputs).

    `without` lists metrics that such scores do not have, such as the loss where they are shifted by a threshold.
    """

    scores: Callable[[Any], Array]
    details: Mapping[str, Any]
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class HeadStart:
    """What an output layer starts from: weight (outputs, width), bias (outputs,), and what the user is told."""

    weight: Array
    bias: Array
    note: str


def shift_and_scale(features: Array, centred: bool, dropout: float = 0.0) -> tuple[Array, Array]:
    """Return what is subtracted from each feature, its mean where `centred`, and what it is divided by.

    That is the standard deviation or, where features are dropped in training, the root of the mean square: then large
    weights on features that hardly vary cost the most.
    """
    given = np.asarray(features, np.float64)
    mean = given.mean(axis=0) if centred else np.zeros(given.shape[1])
    scale = np.sqrt((given**2).mean(axis=0)) if dropout else given.std(axis=0)
    return mean, np.where(scale > 0, scale, 1.0)


def fit_logistic(
    features: Any, labels: Sequence[int], strengths: Sequence[float], *, scaled: bool = True, intercept: bool = True
) -> Any:
    """Return a fitted scikit-learn pipeline that ends in a LogisticRegression.

    The strength C is the one with the least log loss in stratified 5-fold cross-validation (log loss, since on a few
    hundred labels accuracy is mostly noise); the final fit is on everything. `scaled` divides by the standard
    deviations, and centres where there is an intercept. A class of one example cannot be in both parts of a fold, and
    is left out of the validation; where fewer than two classes are left, the strongest penalty is taken.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    regression = LogisticRegression(C=min(strengths), fit_intercept=intercept, max_iter=2000)
    steps = [StandardScaler(with_mean=intercept), regression] if scaled else [regression]
    pipeline = make_pipeline(*steps)
    # The problems are small: several threads lose more time by waiting for each other than they save.
    with threadpool_limits(1), warnings.catch_warnings():
        # A weak penalty may not converge within the iterations; such a fit loses the comparison by itself.
        warnings.simplefilter("ignore")
        pipeline.set_params(**_best_strength(pipeline, features, labels, strengths))
        return pipeline.fit(features, labels)


def _best_strength(pipeline: Any, features: Any, labels: Sequence[int], strengths: Sequence[float]) -> dict[str, float]:
    """Return the parameter of the pipeline that cross-validation finds; empty where there is nothing to validate on."""
    from sklearn.model_selection import GridSearchCV, StratifiedKFold

    examples = Counter(labels)
    rows = np.flatnonzero([examples[label] > 1 for label in labels])
    often = [count for count in examples.values() if count > 1]
    if len(often) < 2:
        return {}
    folds = StratifiedKFold(min(FOLDS, *often), shuffle=True, random_state=0)
    choices = {"logisticregression__C": sorted(strengths)}
    search = GridSearchCV(pipeline, choices, scoring="neg_log_loss", cv=folds, refit=False)
    found: dict[str, float] = search.fit(features[rows], np.asarray(labels)[rows]).best_params_
    return found


def fit_shares(features: Any, targets: Array, labels: int, strengths: Sequence[float], scaled: bool) -> LinearModel:
    """Fit logistic regression to label numbers; scores are probabilities, 0 for a label that training lacked."""
    model = fit_logistic(features, targets.tolist(), strengths, scaled=scaled)

    def shares(given: Any) -> Array:
        found = np.zeros((given.shape[0], labels))
        found[:, model.classes_] = model.predict_proba(given)
        return found

    return LinearModel(shares, {"C": float(model[-1].C)})
