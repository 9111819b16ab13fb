"""Linear models whose penalty is chosen by cross-validation."""

from __future__ import annotations

import numpy as np

from lightune.tasks.linear import fit_logistic


def test_noise_gets_the_strongest_penalty():
    draw = np.random.default_rng(4)
    features, labels = draw.normal(size=(60, 40)), draw.integers(0, 2, 60).tolist()
    assert fit_logistic(features, labels, (10.0, 0.0001, 0.1))[-1].C == 0.0001


def test_a_class_of_one_example_is_fitted_without_cross_validation():
    assert fit_logistic(np.eye(5), [0, 0, 0, 0, 1], (0.1, 1.0))[-1].C == 0.1
