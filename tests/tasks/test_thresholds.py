"""The thresholds of several labels, against every combination of cuts."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from lightune.tasks.thresholds import FEWEST_POSITIVES, FEWEST_TEXTS, best_thresholds, choosable

Array = Any


def answers_of(shares: Array) -> list[Array]:
    """Return every set of answers that a threshold gives: the texts from each probability on, and none."""
    return [shares >= cut for cut in (*np.unique(shares), 2.0)]


def best_of_all(shares: Array, targets: Array) -> float:
    """Return the best micro F1 over all combinations of thresholds."""
    each = [answers_of(shares[:, label]) for label in range(targets.shape[1])]
    best = 0.0
    for answers in itertools.product(*each):
        right = sum((said & (targets[:, label] > 0)).sum() for label, said in enumerate(answers))
        both = sum(said.sum() for said in answers) + targets.sum()
        best = max(best, 2 * right / both if both else 0.0)
    return best


def drawn(seed: int, labels: int, ties: int) -> tuple[Array, Array]:
    """Return probabilities of few different values, which say something of the targets, and targets."""
    draw = np.random.default_rng(seed)
    targets = (draw.random((FEWEST_TEXTS, labels)) < draw.uniform(0.1, 0.5, labels)).astype(np.uint8)
    targets[:FEWEST_POSITIVES] = 1
    shares = np.clip(0.35 * draw.uniform(0, 1.2) * targets + draw.random(targets.shape) * 0.6, 0.01, 0.99)
    return np.round(shares * ties) / ties, targets


def reached(shares: Array, targets: Array, cuts: Array) -> float:
    if targets.shape[1] == 1:  # of one column scikit-learn counts both classes
        return f1_score(targets[:, 0], shares[:, 0] >= cuts[0], zero_division=0)
    return f1_score(targets, (shares >= cuts).astype(int), average="micro", zero_division=0)


@pytest.mark.parametrize("seed", range(12))
def test_micro_f1_is_the_best_of_all_combinations(seed: int):
    shares, targets = drawn(seed, labels=1 + seed % 3, ties=(8, 14, 20)[seed % 3])
    found = best_thresholds(shares, targets)
    assert reached(shares, targets, found) == pytest.approx(best_of_all(shares, targets), abs=1e-12)
    assert reached(shares, targets, found) >= reached(shares, targets, np.full(targets.shape[1], 0.5))


def test_one_label_by_hand():
    """Of 100 texts the likeliest 10 have the label: a cut between the tenth and the eleventh, midway."""
    shares = np.linspace(0.4, 0.01, FEWEST_TEXTS)[:, None]
    targets = (np.arange(FEWEST_TEXTS) < 10)[:, None].astype(np.uint8)
    (found,) = best_thresholds(shares, targets)
    assert found == pytest.approx((shares[9, 0] + shares[10, 0]) / 2)


def test_of_cuts_that_are_equally_good_the_one_nearest_to_a_half_is_taken():
    """Nothing lies between 0.2 and 0.8 but one text with the label and one without: both cuts give the same F1."""
    shares = np.array([0.9] * 50 + [0.1] * 50)[:, None]
    targets = np.array([1] * 50 + [0] * 50)[:, None]
    assert best_thresholds(shares, targets).tolist() == [0.5]


def test_equal_probabilities_get_one_answer():
    """A threshold never stands within a tie, where it would part what the model cannot tell apart."""
    shares = np.full((FEWEST_TEXTS, 1), 0.3)
    targets = (np.arange(FEWEST_TEXTS) < 40)[:, None].astype(np.uint8)
    (found,) = best_thresholds(shares, targets)
    answers = shares >= found
    assert answers.all(), "F1 of all texts is 80 / 140, of none 0"


@pytest.mark.parametrize(
    ("texts", "positives"), [(FEWEST_TEXTS - 1, 30), (FEWEST_TEXTS, FEWEST_POSITIVES - 1), (10, 5), (0, 0)]
)
def test_too_few_texts_or_positives_keep_a_half(texts: int, positives: int):
    targets = (np.arange(texts) < positives)[:, None].astype(np.uint8)
    shares = np.linspace(0.4, 0.1, texts)[:, None]
    assert not choosable(targets).any()
    assert best_thresholds(shares, targets).tolist() == [0.5]


def test_the_rare_label_beside_a_common_one_keeps_a_half():
    shares, targets = drawn(4, labels=2, ties=20)
    targets[:, 1] = np.arange(FEWEST_TEXTS) < FEWEST_POSITIVES - 1
    assert choosable(targets).tolist() == [True, False]
    found = best_thresholds(shares, targets)
    assert found[1] == 0.5
    best = max(reached(shares, targets, np.array([cut, 0.5])) for cut in (*np.unique(shares[:, 0]), 2.0))
    assert reached(shares, targets, found) == pytest.approx(best)


def test_answers_of_certain_probabilities_do_not_put_a_threshold_beyond_0_and_1():
    shares = np.array([1.0] * 50 + [0.0] * 50)[:, None]
    for targets in (np.ones((100, 1), np.uint8), (np.arange(100) >= 50)[:, None].astype(np.uint8)):
        (found,) = best_thresholds(shares, targets)
        assert 0 <= found <= 1
