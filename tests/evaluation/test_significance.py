"""The bootstrap interval and McNemar's test, each against another way to the same figure."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from lightune.evaluation.significance import compare, mcnemar
from tiny import classes

TASK = classes(["no", "yes"])


def _answers(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two classifiers' counts of right answers: `both` right, only the `first`, the `second`, `neither`."""
    counts = [both, first, second, neither]
    correct = np.repeat([1.0, 1.0, 0.0, 0.0], counts)
    other = np.repeat([1.0, 0.0, 1.0, 0.0], counts)
    order = np.random.default_rng(1).permutation(len(correct))
    return correct[order][:, None], other[order][:, None]


@pytest.mark.parametrize("counts", [(300, 60, 40, 100), (80, 15, 4, 21), (900, 20, 35, 111)])
def test_the_interval_equals_a_simulation_of_resampled_counts(counts):
    """Resampling n examples with replacement is a multinomial draw of the counts of -1, 0 and +1."""
    total = sum(counts)
    shares = [counts[1] / total, counts[2] / total, (counts[0] + counts[3]) / total]
    drawn = np.random.default_rng(99).multinomial(total, shares, size=200_000)
    low, high = np.quantile((drawn[:, 0] - drawn[:, 1]) / total, [0.025, 0.975])
    found = compare(TASK, *_answers(*counts))
    assert found.gain == pytest.approx((counts[1] - counts[2]) / total)
    # A quantile of whole counts may fall on a neighbouring count.
    assert found.ci95 == pytest.approx((low, high), abs=1.01 / total)


def _binomial_sum(first: int, second: int) -> float:
    """Both tails of (1/2)^n: twice the chance of min(b, c) or fewer, and never more than one."""
    total = first + second
    return min(1.0, 2 * sum(math.comb(total, count) for count in range(min(first, second) + 1)) / 2**total)


@pytest.mark.parametrize(
    ("first", "second"),
    [(12, 3), (3, 12), (7, 7), (7, 8), (5, 0), (0, 6), (1, 0), (40, 61), (300, 251), (0, 0)],
)
def test_the_p_value_is_the_exact_binomial_one(first, second):
    found = compare(TASK, *_answers(50, first, second, 20))
    assert found.p_value == pytest.approx(_binomial_sum(first, second), rel=1e-9)
    assert found.p_value == mcnemar(first, second)
    assert found.test == "McNemar's test"


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    # 2 (1 + 15 + 105 + 455) / 2^15;  2 / 2^5;  2 / 2^6;  a single example: 2 / 2;  3 against 3: no more than 1.
    [(12, 3, 1152 / 32768), (5, 0, 1 / 16), (0, 6, 1 / 32), (1, 0, 1.0), (3, 3, 1.0), (0, 0, 1.0)],
)
def test_p_values_by_hand(first, second, expected):
    assert mcnemar(first, second) == pytest.approx(expected, rel=1e-12)


def test_comparing_needs_no_statsmodels():
    code = (
        "import sys, numpy\nsys.modules['statsmodels'] = None\n"
        "from lightune.evaluation.significance import compare\nfrom lightune.tasks import TASKS\n"
        "task = TASKS['classification'](('no', 'yes'))\n"
        "print(compare(task, numpy.ones((6, 1)), numpy.zeros((6, 1))).p_value)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) == 2 / 2**6


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ((60, 25, 5, 10), "better"),
        ((60, 5, 25, 10), "worse"),
        ((60, 16, 14, 10), "no clear difference"),
        # The interval excludes zero (no resample of 100 is likely to miss all five), yet p = 0.0625.
        ((85, 5, 0, 10), "no clear difference"),
        ((85, 0, 5, 10), "no clear difference"),
        ((84, 6, 0, 10), "better"),
    ],
)
def test_a_verdict_needs_both_the_interval_and_the_p_value(counts, verdict):
    found = compare(TASK, *_answers(*counts))
    assert found.verdict == verdict
    if counts[1] + counts[2] == 5:
        assert found.ci95[0] * found.ci95[1] > 0


def test_equal_answers_are_no_difference():
    correct, _ = _answers(30, 10, 0, 10)
    found = compare(TASK, correct, correct.copy())
    assert (found.gain, found.ci95, found.p_value) == (0.0, (0.0, 0.0), 1.0)
    assert found.verdict == "no clear difference"


def test_one_always_right_and_the_other_always_wrong():
    found = compare(TASK, np.ones((20, 1)), np.zeros((20, 1)))
    assert (found.gain, found.ci95, found.verdict) == (1.0, (1.0, 1.0), "better")


def test_swapping_the_two_mirrors_everything():
    correct, other = _answers(60, 25, 5, 10)
    found, swapped = compare(TASK, correct, other), compare(TASK, other, correct)
    assert swapped.gain == -found.gain
    assert swapped.p_value == found.p_value
    assert swapped.ci95 == pytest.approx((-found.ci95[1], -found.ci95[0]))


def test_the_same_answers_give_the_same_interval_again():
    correct, other = _answers(60, 25, 5, 10)
    assert compare(TASK, correct, other) == compare(TASK, correct, other)
