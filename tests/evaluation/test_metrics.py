"""Metrics against hand calculations and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import log_loss

from lightune.evaluation.metrics import accuracy_by_group, measure, probabilities

# Four texts, three labels; the third text is answered wrongly: true label 2, answer 0.
SHARES = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.1, 0.4], [0.6, 0.3, 0.1]])
LABELS = np.array([0, 1, 2, 0])


def test_metrics_of_four_answers_by_hand():
    found = measure(np.log(SHARES), LABELS)
    assert found.accuracy == 3 / 4
    assert found.loss == pytest.approx(-(math.log(0.7) + math.log(0.8) + math.log(0.4) + math.log(0.6)) / 4)
    # Label 0: precision 2/3, recall 1, F1 0.8; label 1: F1 1; label 2: never answered, F1 0.
    assert found.f1_macro == pytest.approx((0.8 + 1 + 0) / 3)
    assert found.confusion_matrix == [[2, 0, 0], [0, 1, 0], [1, 0, 0]]


def test_logits_and_their_log_probabilities_measure_the_same():
    logits = np.log(SHARES) + np.array([[5.0], [-3.0], [100.0], [0.0]])
    assert measure(logits, LABELS).loss == pytest.approx(measure(np.log(SHARES), LABELS).loss)


def test_loss_equals_scikit_learns_on_random_logits():
    draw = np.random.default_rng(0)
    logits, labels = draw.normal(size=(50, 4)).astype(np.float32) * 3, draw.integers(0, 4, 50)
    assert measure(logits, labels).loss == pytest.approx(log_loss(labels, probabilities(logits)), abs=1e-6)


def test_a_label_that_neither_occurs_nor_is_answered_counts_as_zero():
    found = measure(np.log(SHARES[:2]), LABELS[:2])
    assert found.f1_macro == pytest.approx(2 / 3)
    assert found.confusion_matrix == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_probabilities_of_known_logits_and_of_huge_ones():
    found = probabilities(np.array([[0.0, math.log(3.0)], [1000.0, 0.0], [-1000.0, -1000.0]]))
    np.testing.assert_allclose(found, [[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]])


def test_accuracy_by_group_by_hand():
    groups = {"kind": ["plain", "irony", "plain", "irony"], "length": ["long", "long", "long", "short"]}
    assert accuracy_by_group(np.array([0, 1, 0, 0]), np.array([0, 0, 0, 0]), groups) == {
        "kind": {"plain": {"examples": 2, "accuracy": 1.0}, "irony": {"examples": 2, "accuracy": 0.5}},
        "length": {"long": {"examples": 3, "accuracy": 2 / 3}, "short": {"examples": 1, "accuracy": 1.0}},
    }
