"""Logistic regression for many labels at once, against scikit-learn's for each label."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss as reference_loss
from sklearn.preprocessing import StandardScaler

from lightune.tasks import one_vs_rest
from lightune.tasks.linear import FOLDS
from lightune.tasks.one_vs_rest import fit_one_vs_rest, log_loss

TEXTS, WIDTH, LABELS = 120, 7, 4


@pytest.fixture
def to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let fits run on: they stop where more would change no answer, which blurs a comparison of coefficients."""
    monkeypatch.setattr(one_vs_rest, "QUICK", 1e-11)
    monkeypatch.setattr(one_vs_rest, "THOROUGH", 1e-11)


def drawn(texts: int = TEXTS, width: int = WIDTH, seed: int = 5) -> tuple[Any, Any]:
    """Return features of unlike scales and means, and targets that depend on them, with noise."""
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(texts, width)) * np.geomspace(0.3, 4, width) + draw.normal(size=width)
    scores = (features - features.mean(axis=0)) @ draw.normal(size=(width, LABELS)) + draw.logistic(
        size=(texts, LABELS)
    )
    return features, (scores > np.array([0, 1, -1, 2])).astype(np.uint8)


def sparse_drawn(texts: int = 60, width: int = 150) -> tuple[Any, Any]:
    """Return rows of unit length with few entries, as TF-IDF has, and targets."""
    draw = np.random.default_rng(8)
    features = draw.random((texts, width)) * (draw.random((texts, width)) < 8 / width)
    features[:, 0] += 0.1  # no row is empty
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    scores = features @ draw.normal(size=(width, LABELS)) * 4
    return csr_matrix(features), (scores > np.quantile(scores, 0.6, axis=0)).astype(np.uint8)


def reference(features: Any, labels: Any, strength: float, intercept: bool) -> LogisticRegression:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LogisticRegression(C=strength, fit_intercept=intercept, tol=1e-8, max_iter=20_000).fit(features, labels)


def near(found: Any, wanted: Any, share: float = 1e-3) -> None:
    """Compare to a thousandth of the largest number, as far as both go."""
    np.testing.assert_allclose(found, wanted, rtol=0, atol=share * max(1.0, np.abs(wanted).max()))


@pytest.mark.usefixtures("to_the_end")
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("strength", [0.05, 1.0])
def test_the_coefficients_of_unscaled_features_are_those_of_scikit_learn(strength: float, intercept: bool):
    features, targets = drawn()
    found = fit_one_vs_rest(features, targets, (strength,), scaled=False, intercept=intercept)
    for label in range(LABELS):
        wanted = reference(features, targets[:, label], strength, intercept)
        near(found.weight[label], wanted.coef_[0])
        near(found.bias[label], wanted.intercept_[0] if intercept else 0.0)


@pytest.mark.usefixtures("to_the_end")
@pytest.mark.parametrize("intercept", [True, False])
def test_scaled_features_are_standardised_and_the_coefficients_are_those_of_the_given(intercept: bool):
    """Without an intercept they are divided by their deviations and not centred: a layer has no place for a mean."""
    features, targets = drawn()
    scaler = StandardScaler(with_mean=intercept).fit(features)
    found = fit_one_vs_rest(features, targets, (0.3,), scaled=True, intercept=intercept)
    for label in range(LABELS):
        wanted = reference(scaler.transform(features), targets[:, label], 0.3, intercept)
        near(found.weight[label] * scaler.scale_, wanted.coef_[0])
        np.testing.assert_allclose(
            found.logits(features)[:, label], wanted.decision_function(scaler.transform(features)), atol=2e-3
        )
    assert intercept or not found.bias.any()


@pytest.mark.usefixtures("to_the_end")
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize(("texts", "width"), [(60, 150), (60, 30)])
def test_the_coefficients_of_sparse_features_are_those_of_scikit_learn(texts: int, width: int, intercept: bool):
    """More columns than rows are fitted in the space of the rows, which must not be seen in the coefficients."""
    features, targets = sparse_drawn(texts, width)
    found = fit_one_vs_rest(features, targets, (5.0,), scaled=False, intercept=intercept)
    assert found.weight.shape == (LABELS, width)
    for label in range(LABELS):
        wanted = reference(features, targets[:, label], 5.0, intercept)
        near(found.weight[label], wanted.coef_[0])
        near(found.bias[label], wanted.intercept_[0] if intercept else 0.0)
    assert found.logits(features[:2]).shape == (2, LABELS)


def folds_of(texts: int) -> Any:
    """The documented folds: a permutation drawn with seed 0, dealt out in turn."""
    return np.random.default_rng(0).permutation(texts) % FOLDS


@pytest.mark.usefixtures("to_the_end")
@pytest.mark.parametrize("is_sparse", [False, True])
def test_unseen_logits_are_of_fits_on_the_other_folds(is_sparse: bool):
    features, targets = sparse_drawn() if is_sparse else drawn()
    found = fit_one_vs_rest(features, targets, (2.0,), scaled=False)
    folds = folds_of(len(targets))
    for fold in range(FOLDS):
        rest, held = folds != fold, folds == fold
        for label in range(LABELS):
            wanted = reference(features[rest], targets[rest, label], 2.0, True).decision_function(features[held])
            near(found.unseen[held, label], wanted)
    everywhere = reference(features, targets[:, 0], 2.0, True).decision_function(features)
    assert reference_loss(targets[:, 0], 1 / (1 + np.exp(-found.unseen[:, 0]))) > reference_loss(
        targets[:, 0], 1 / (1 + np.exp(-everywhere))
    ), "answers of texts that a fit has seen are better"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_strength_is_the_one_with_the_least_cross_validated_log_loss(seed: int):
    features, targets = drawn(texts=70, seed=seed)
    features = np.hstack([features, np.random.default_rng(seed).normal(size=(70, 25))])  # noise, to be held down
    strengths, folds = (0.001, 0.03, 1.0, 30.0), folds_of(70)
    losses = {}
    for strength in strengths:
        total = 0.0
        for fold in range(FOLDS):
            rest, held = folds != fold, folds == fold
            for label in range(LABELS):
                fit = reference(features[rest], targets[rest, label], strength, True)
                shares = fit.predict_proba(features[held])
                total += reference_loss(targets[held, label], shares, labels=[0, 1], normalize=False)
        losses[strength] = total / targets.size
    found = fit_one_vs_rest(features, targets, reversed(strengths), scaled=False)
    assert found.strength == min(losses, key=losses.__getitem__)
    assert log_loss(found.unseen, targets) == pytest.approx(min(losses.values()), rel=0.02)


@pytest.mark.parametrize("is_sparse", [False, True])
def test_where_fits_really_stop_the_probabilities_are_those_of_scikit_learn(is_sparse: bool):
    features, targets = sparse_drawn() if is_sparse else drawn()
    found = fit_one_vs_rest(features, targets, (1.0,), scaled=False).logits(features)
    for label in range(LABELS):
        wanted = reference(features, targets[:, label], 1.0, True).predict_proba(features)[:, 1]
        np.testing.assert_allclose(1 / (1 + np.exp(-found[:, label])), wanted, atol=2e-3)


def test_log_loss_is_that_of_scikit_learn():
    draw = np.random.default_rng(3)
    logits, targets = draw.normal(size=(30, 2)) * 3, draw.integers(0, 2, (30, 2))
    wanted = reference_loss(targets.ravel(), 1 / (1 + np.exp(-logits.ravel())))
    assert log_loss(logits, targets) == pytest.approx(wanted)
    assert np.isfinite(log_loss(np.array([[800.0], [-800.0]]), np.array([[0], [1]])))


def test_a_label_of_all_texts_or_of_none_is_fitted_too():
    features, targets = drawn(texts=40)
    targets[:, 0], targets[:, 1] = 1, 0
    found = fit_one_vs_rest(features, targets, (0.1, 1.0))
    assert np.isfinite(found.weight).all()
    assert (found.logits(features)[:, 0] > 0).all()
    assert (found.logits(features)[:, 1] < 0).all()


@pytest.mark.parametrize("texts", [1, 2, 3])
def test_few_texts_are_fitted(texts: int):
    features, targets = drawn(texts=40)
    found = fit_one_vs_rest(features[:texts], targets[:texts], (0.1, 1.0))
    assert np.isfinite(found.weight).all()
    assert found.unseen.shape == (texts, LABELS)


def test_features_that_do_not_vary_change_nothing():
    features, targets = drawn()
    beside = np.hstack([features, np.full((TEXTS, 1), 3.0), np.zeros((TEXTS, 1))])
    found, wanted = (fit_one_vs_rest(given, targets, (0.3,)) for given in (beside, features))
    np.testing.assert_allclose(found.weight[:, :WIDTH], wanted.weight, atol=1e-3)
    np.testing.assert_allclose(found.logits(beside), wanted.logits(features), atol=1e-3)
