"""Ridge regression against its closed form and scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lightune.tasks.linear import FOLDS
from lightune.tasks.regression import Regression
from lightune.tasks.ridge import fit_ridge

TEXTS, WIDTH, OUTPUTS = 60, 6, 2


def drawn(seed: int = 2) -> tuple[Any, Any]:
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(TEXTS, WIDTH)) * np.geomspace(0.2, 5, WIDTH) + draw.normal(size=WIDTH) * 3
    return features, features @ draw.normal(size=(WIDTH, OUTPUTS)) + draw.normal(size=(TEXTS, OUTPUTS)) + [7, -2]


@pytest.mark.parametrize("strength", [0.01, 1.0, 50.0])
def test_the_coefficients_follow_from_the_closed_form(strength: float):
    """W = (X^T X + I / strength)^-1 X^T Y of centred features and targets (Hoerl and Kennard 1970)."""
    features, targets = drawn()
    around, wanted = features - features.mean(axis=0), targets - targets.mean(axis=0)
    weight = np.linalg.solve(around.T @ around + np.eye(WIDTH) / strength, around.T @ wanted).T
    found = fit_ridge(features, targets, (strength,), scaled=False)
    np.testing.assert_allclose(found.weight, weight, rtol=1e-6)
    np.testing.assert_allclose(found.bias, targets.mean(axis=0) - weight @ features.mean(axis=0), rtol=1e-6)
    assert found.alpha == pytest.approx(1 / strength)


def test_without_an_intercept_nothing_is_centred():
    features, targets = drawn()
    weight = np.linalg.solve(features.T @ features + np.eye(WIDTH) / 0.5, features.T @ targets).T
    found = fit_ridge(features, targets, (0.5,), scaled=False, intercept=False)
    np.testing.assert_allclose(found.weight, weight, rtol=1e-6)
    assert found.bias.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("intercept", [True, False])
def test_scaled_features_are_standardised_and_the_coefficients_are_those_of_the_given(intercept: bool):
    features, targets = drawn()
    wanted = make_pipeline(StandardScaler(with_mean=intercept), Ridge(alpha=4.0, fit_intercept=intercept))
    found = fit_ridge(features, targets, (0.25,), scaled=True, intercept=intercept)
    np.testing.assert_allclose(found.answers(features), wanted.fit(features, targets).predict(features), rtol=1e-6)
    assert intercept or not found.bias.any()


@pytest.mark.parametrize("is_wide", [True, False])
def test_sparse_features(is_wide: bool):
    draw = np.random.default_rng(1)
    features = csr_matrix(draw.random((40, 90 if is_wide else 20)) * (draw.random((40, 90 if is_wide else 20)) < 0.2))
    targets = draw.normal(size=(40, 1))
    wanted = Ridge(alpha=0.1, solver="lsqr", tol=1e-10).fit(features, targets[:, 0])
    found = fit_ridge(features, targets, (10.0,), scaled=False)
    assert found.weight.shape == (1, features.shape[1])
    np.testing.assert_allclose(found.answers(features)[:, 0], wanted.predict(features), atol=1e-3)


@pytest.mark.parametrize("noise", [0.1, 20.0])
def test_alpha_is_the_one_with_the_least_squared_error_in_cross_validation(noise: float):
    draw = np.random.default_rng(5)
    features = draw.normal(size=(50, 30))
    targets = (features[:, 0] + noise * draw.normal(size=50))[:, None]
    strengths = (1e-4, 1e-2, 1.0, 100.0)
    errors = {
        1 / strength: -cross_val_score(
            make_pipeline(StandardScaler(), Ridge(alpha=1 / strength)), features, targets[:, 0],
            cv=KFold(FOLDS, shuffle=True, random_state=0), scoring="neg_mean_squared_error",
        ).mean()
        for strength in strengths
    }  # fmt: skip
    assert fit_ridge(features, targets, strengths).alpha == pytest.approx(min(errors, key=errors.__getitem__))


def test_noise_gets_the_strongest_penalty_as_with_leave_one_out():
    draw = np.random.default_rng(6)
    features, targets = draw.normal(size=(40, 30)), draw.normal(size=(40, 1))
    strengths = (10.0, 0.0001, 0.1)
    wanted = RidgeCV(alphas=[1 / strength for strength in strengths]).fit(features, targets)
    assert fit_ridge(features, targets, strengths).alpha == wanted.alpha_ == 1e4


@pytest.mark.parametrize("rate", [0.1, 0.5])
@pytest.mark.parametrize("intercept", [True, False])
def test_with_dropout_the_fit_is_the_best_for_features_that_are_dropped(rate: float, intercept: bool):
    """E |y - W (m x) / (1 - rate)|^2 = |y - W x|^2 + rate / (1 - rate) sum_j w_j^2 sum_i x_ij^2."""
    features, targets = drawn()
    mean = features.mean(axis=0) if intercept else np.zeros(WIDTH)
    middle = targets.mean(axis=0) if intercept else np.zeros(OUTPUTS)
    around, cost = features - mean, rate / (1 - rate) * (features**2).sum(axis=0)
    weight = np.linalg.solve(around.T @ around + np.diag(cost), around.T @ (targets - middle)).T
    found = fit_ridge(features, targets, (100.0, 1e6), intercept=intercept, dropout=rate)
    np.testing.assert_allclose(found.weight, weight, rtol=1e-6)
    np.testing.assert_allclose(found.bias, middle - weight @ mean, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("texts", [1, 2])
def test_few_texts_are_fitted(texts: int):
    features, targets = drawn()
    found = fit_ridge(features[:texts], targets[:texts], (0.1, 1.0))
    assert np.isfinite(found.weight).all()
    np.testing.assert_allclose(found.answers(features[:texts]).mean(axis=0), targets[:texts].mean(axis=0), rtol=1e-6)


def test_features_that_do_not_vary_have_no_part():
    features, targets = drawn()
    beside = np.hstack([features, np.full((TEXTS, 1), 4.0)])
    found, wanted = (fit_ridge(given, targets, (1.0,)) for given in (beside, features))
    np.testing.assert_allclose(found.weight[:, :WIDTH], wanted.weight, atol=1e-8)
    np.testing.assert_allclose(found.answers(beside), wanted.answers(features), atol=1e-8)


def test_the_slope_of_the_cosine_is_in_the_unit_of_the_targets():
    """Of targets 2 + 3 c it is 3."""
    cosines = np.linspace(-1, 1, 9)[:, None]
    task = Regression(columns=("score",)).for_training(2 + 3 * cosines)
    model = task.cosine(cosines, 2 + 3 * cosines)
    assert model is not None
    assert model.details["slope"] == pytest.approx([3])
