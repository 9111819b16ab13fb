"""Ridge regression whose penalty is chosen by cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightune.tasks.linear import FOLDS, shift_and_scale

Array = NDArray[Any]


@dataclass(frozen=True)
class RidgeModel:
    """Coefficients of the given features, (outputs, width), intercepts, (outputs,), and the penalty alpha."""

    weight: Array
    bias: Array
    alpha: float

    def answers(self, features: Any) -> Array:
        """Return the numbers: (texts, width) to (texts, outputs)."""
        return np.asarray(features @ self.weight.T) + self.bias


def fit_ridge(
    features: Any,
    targets: Array,
    strengths: Sequence[float],
    *,
    scaled: bool = True,
    intercept: bool = True,
    dropout: float = 0.0,
) -> RidgeModel:
    """Minimise sum_i |y_i - W x_i - b|^2 + alpha |W|^2 (Hoerl and Kennard 1970), alpha = 1 / strength.

    alpha is the one with the least squared error in 5-fold cross-validation. `scaled` divides dense features by their
    standard deviations, and centres them where there is an intercept; the coefficients are those of the features as
    they were given. With a rate of `dropout` the features are divided by the root of their mean square, and alpha is at
    least n rate / (1 - rate), n the number of texts: that is what features cost which are dropped at that rate
    (Srivastava et al. 2014, section 9.1).
    """
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV, KFold
    from threadpoolctl import threadpool_limits

    least = len(targets) * dropout / (1 - dropout)
    alphas = sorted({max(1 / strength, least) for strength in strengths})
    mean, scale = shift_and_scale(features, intercept, dropout) if scaled else (0.0, 1.0)
    prepared = (features - mean) / scale if scaled else features
    folds = min(FOLDS, len(targets))
    with threadpool_limits(1):
        ridge = Ridge(alpha=alphas[-1], fit_intercept=intercept)
        if len(alphas) > 1 and folds > 1:
            search = GridSearchCV(
                ridge, {"alpha": alphas}, scoring="neg_mean_squared_error",
                cv=KFold(folds, shuffle=True, random_state=0),
            )  # fmt: skip
            ridge = search.fit(prepared, targets).best_estimator_
        else:
            ridge.fit(prepared, targets)
    weight = np.atleast_2d(ridge.coef_) / scale
    bias = np.broadcast_to(np.asarray(ridge.intercept_, float), len(weight))
    bias = bias - weight @ mean if scaled else bias.copy()
    return RidgeModel(weight, bias, float(ridge.alpha))
