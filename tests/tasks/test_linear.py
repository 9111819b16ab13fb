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


def test_a_class_of_one_example_does_not_decide_the_penalty():
    generator = np.random.default_rng(0)
    labels = [0] * 30 + [1] * 30
    features = generator.normal(size=(60, 4)) + 3 * np.array(labels)[:, None]
    chosen = fit_logistic(features, labels, (0.0001, 0.1, 1.0))[-1].C
    assert chosen > 0.0001, "two groups that are far apart need no strong penalty"
    further = np.vstack([features, generator.normal(size=4) - 9])
    model = fit_logistic(further, [*labels, 2], (0.0001, 0.1, 1.0))
    assert chosen == model[-1].C
    assert list(model.classes_) == [0, 1, 2], "it is trained on all the same"
