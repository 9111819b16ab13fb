"""Metrics that are no mean of right and wrong answers: bootstrap and permutation test, each against scipy's."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

import numpy as np
import pytest
from scipy.stats import bootstrap, permutation_test

from lightune.evaluation.significance import RESAMPLES, compare
from lightune.measured import Metric
from lightune.sections import Gain
from lightune.tasks import TASKS

Classification: Any = TASKS["classification"]


@dataclass(frozen=True)
class Score(Classification):
    """A mean of numbers that are not all 0 or 1; higher is better."""

    metrics: ClassVar[tuple[Metric, ...]] = (Metric(name="score", title="score"),)


@dataclass(frozen=True)
class Error(Classification):
    """A mean of absolute errors; lower is better."""

    metrics: ClassVar[tuple[Metric, ...]] = (Metric(name="mae", title="MAE", higher_is_better=False),)


@dataclass(frozen=True)
class RootError(Classification):
    """The root of a mean of squared errors, which is no mean; lower is better."""

    metrics: ClassVar[tuple[Metric, ...]] = (Metric(name="rmse", title="RMSE", higher_is_better=False),)

    def headline(self, sums: Any, texts: int) -> Any:
        """Return sqrt(sum / texts)."""
        return np.sqrt(sums[..., 0] / texts)


@dataclass(frozen=True)
class F1(Classification):
    """2 right / (wanted + answered), over all texts together."""

    metrics: ClassVar[tuple[Metric, ...]] = (Metric(name="f1", title="F1", unit="share"),)

    def headline(self, sums: Any, texts: int) -> Any:
        """Return it from the sums (right, wanted, answered)."""
        return 2 * sums[..., 0] / (sums[..., 1] + sums[..., 2])


@dataclass(frozen=True)
class Pearson(Classification):
    """Pearson's r of answers and truths, from the sums of x, y, x^2, y^2, x y; undefined for equal answers."""

    metrics: ClassVar[tuple[Metric, ...]] = (Metric(name="pearson", title="Pearson's r"),)

    def headline(self, sums: Any, texts: int) -> Any:
        """Return n S_xy - S_x S_y over the root of the product of n S_xx - S_x^2 and the same of y."""
        x, y, xx, yy, xy = np.moveaxis(np.asarray(sums), -1, 0)
        return (texts * xy - x * y) / np.sqrt((texts * xx - x * x) * (texts * yy - y * y))


def of_pearson(answers: Any, truths: Any) -> np.ndarray:
    """What each answer adds to the sums."""
    x, y = np.asarray(answers, float), np.asarray(truths, float)
    return np.stack([x, y, x * x, y * y, x * y], axis=1)


def by_hand(task: Any, counts: np.ndarray) -> float:
    """The metric, written once more, from the counts of all texts."""
    if isinstance(task, F1):
        right, wanted, answered = (sum(row[column] for row in counts) for column in range(3))
        return 2 * right / (wanted + answered)
    mean = sum(row[0] for row in counts) / len(counts)
    return mean**0.5 if isinstance(task, RootError) else mean


def made(task: Any, texts: int, ahead: float, seed: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return the counts of two models, of which the first is so far ahead (or behind); both find some texts hard."""
    draw = np.random.default_rng(seed)
    if isinstance(task, F1):
        wanted = draw.integers(0, 5, texts)
        found = []
        for share in (0.5 + ahead, 0.5):
            right = draw.binomial(wanted, share)
            found.append(np.stack([right, wanted, right + draw.integers(0, 3, texts)], axis=1).astype(float))
        return found[0], found[1]
    hard = draw.gamma(2.0, 1.0, texts)
    first, second = (hard + draw.normal(shift, 0.8, texts) for shift in (ahead, 0.0))
    power = 2 if isinstance(task, RootError) else 1
    return np.abs(first)[:, None] ** power, np.abs(second)[:, None] ** power


def reference(task: Any, ours: np.ndarray, theirs: np.ndarray, resamples: int) -> tuple[np.ndarray, Any, float]:
    """Return scipy's (bootstrap distribution, its interval, permutation p-value) of the raw difference.

    It is given the numbers of the texts: 0 to n - 1 are the first model's counts, n to 2n - 1 the second's.
    """
    texts, counts = len(ours), np.concatenate([ours, theirs])

    def difference(first: Any, second: Any, axis: int = -1) -> Any:
        sums = (np.moveaxis(counts[np.asarray(rows)], axis - 1, -2).sum(axis=-2) for rows in (first, second))
        of_first, of_second = (task.headline(each, texts) for each in sums)
        return of_first - of_second

    numbers = np.arange(texts), np.arange(texts) + texts
    drawn = bootstrap(
        numbers, difference, paired=True, vectorized=True, n_resamples=resamples, method="percentile", batch=200,
        rng=np.random.default_rng(77),
    )  # fmt: skip
    exchanged = permutation_test(
        numbers, difference, permutation_type="samples", vectorized=True, n_resamples=resamples, batch=200,
        rng=np.random.default_rng(78),
    )  # fmt: skip
    return drawn.bootstrap_distribution, drawn.confidence_interval, float(exchanged.pvalue)


CASES = [
    (Score(), 0.15), (Score(), -0.3), (Error(), 0.2), (Error(), -0.15), (RootError(), 0.15), (RootError(), -0.3),
    (F1(), 0.05), (F1(), -0.12), (F1(), 0.0),
]  # fmt: skip


@pytest.mark.parametrize(("task", "ahead"), CASES, ids=lambda value: getattr(type(value), "__name__", value))
def test_interval_and_p_value_are_scipys_within_monte_carlo_error(task: Any, ahead: float):
    """A 2.5% quantile of R draws is off by sqrt(.025 * .975 / R) / density: 0.027 deviations of a normal for 9,999."""
    ours, theirs = made(task, 90, ahead)
    found = compare(task, ours, theirs)
    sign = 1 if task.metrics[0].higher_is_better else -1
    assert found.test == "permutation test"
    assert found.gain == pytest.approx(sign * (by_hand(task, ours) - by_hand(task, theirs)), abs=1e-12)
    drawn, interval, p_value = reference(task, ours, theirs, RESAMPLES)
    ends = sorted((sign * interval.low, sign * interval.high))
    assert found.ci95 == pytest.approx(ends, abs=4 * np.sqrt(2) * 0.027 * drawn.std())
    assert found.ci95[0] < found.gain < found.ci95[1]
    assert found.p_value == pytest.approx(p_value, abs=4 * np.sqrt(2 * p_value * (1 - p_value) / RESAMPLES) + 2e-4)


@pytest.mark.parametrize("task", [Score(), Error(), RootError(), F1()], ids=lambda task: type(task).__name__)
def test_the_p_value_of_a_few_texts_is_that_of_all_exchanges(task: Any):
    """Ten texts can be exchanged in 1,024 ways: the share of them that differ at least as much, counted one by one."""
    ours, theirs = made(task, 10, 0.2, seed=8)
    gain = abs(by_hand(task, ours) - by_hand(task, theirs))
    as_far = 0
    for kept in product([True, False], repeat=10):
        first = [ours[row] if kept[row] else theirs[row] for row in range(10)]
        second = [theirs[row] if kept[row] else ours[row] for row in range(10)]
        as_far += abs(by_hand(task, first) - by_hand(task, second)) >= gain - 1e-12
    exact = as_far / 2**10
    assert 0.01 < exact < 1, "such a p-value would show little"
    assert compare(task, ours, theirs).p_value == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / RESAMPLES))


def test_the_interval_of_a_ratio_is_that_of_texts_drawn_one_by_one():
    """A loop over resamples, in which F1 is counted anew each time; 2,000 of them are off by 0.06 deviations."""
    task, draw = F1(), np.random.default_rng(5)
    ours, theirs = made(task, 60, 0.1)
    gains = []
    for _ in range(2000):
        rows = [int(draw.integers(60)) for _ in range(60)]
        gains.append(by_hand(task, ours[rows]) - by_hand(task, theirs[rows]))
    found = compare(task, ours, theirs)
    assert found.ci95 == pytest.approx(np.quantile(gains, [0.025, 0.975]), abs=4 * 0.066 * np.std(gains))


@pytest.mark.parametrize(
    ("task", "ahead", "verdict"),
    [
        (Score(), 1.0, "better"), (Score(), -1.0, "worse"), (Error(), -1.0, "better"), (Error(), 1.0, "worse"),
        (RootError(), -1.0, "better"), (RootError(), 1.0, "worse"), (F1(), 0.3, "better"), (F1(), -0.3, "worse"),
        (F1(), 0.0, "no clear difference"), (Error(), 0.01, "no clear difference"),
    ],
)  # fmt: skip
def test_above_zero_is_better_whichever_way_the_metric_goes(task: Any, ahead: float, verdict: str):
    found = compare(task, *made(task, 80, ahead))
    assert found.verdict == verdict
    if verdict != "no clear difference":
        assert (found.gain > 0) == (found.ci95[0] > 0) == (verdict == "better")
        assert found.p_value == 1 / (RESAMPLES + 1), "no exchange comes near so large a difference"


@pytest.mark.parametrize("task", [Score(), Error(), RootError(), F1()], ids=lambda task: type(task).__name__)
def test_equal_answers_are_no_difference(task: Any):
    counts, _ = made(task, 40, 0.0)
    found = compare(task, counts, counts.copy())
    assert (found.gain, found.ci95, found.p_value, found.verdict) == (0.0, (0.0, 0.0), 1.0, "no clear difference")
    shown = Gain(
        metric="x", unit="", value=found.gain, ci95=found.ci95, p_value=found.p_value, test=found.test,
        verdict=found.verdict,
    )  # fmt: skip
    assert str(shown) == "+0.000 (95%: 0.000 to 0.000): no clear difference"


@pytest.mark.parametrize("task", [Score(), Error(), RootError(), F1()], ids=lambda task: type(task).__name__)
def test_swapping_the_two_mirrors_everything(task: Any):
    ours, theirs = made(task, 50, 0.2)
    found, swapped = compare(task, ours, theirs), compare(task, theirs, ours)
    assert swapped.gain == pytest.approx(-found.gain)
    assert swapped.ci95 == pytest.approx((-found.ci95[1], -found.ci95[0]))
    assert swapped.p_value == pytest.approx(found.p_value, abs=4 * np.sqrt(0.5 / RESAMPLES))


def test_the_same_answers_give_the_same_interval_again_and_another_seed_another_one():
    ours, theirs = made(F1(), 50, 0.1)
    assert compare(F1(), ours, theirs) == compare(F1(), ours, theirs)
    assert compare(F1(), ours, theirs).ci95 != compare(F1(), ours, theirs, seed=1).ci95


def test_errors_that_are_all_0_or_1_are_no_right_and_wrong_answers_unless_the_metric_is_their_mean():
    """The root of a share is not the share: 9 of 25 texts are off by one, and 4 of 25, so 0.6 and 0.4."""
    ours, theirs = np.zeros((25, 1)), np.zeros((25, 1))
    ours[:9], theirs[-4:] = 1.0, 1.0
    found = compare(RootError(), ours, theirs)
    assert (found.gain, found.test) == (pytest.approx(0.4 - 0.6), "permutation test")
    mean = compare(Error(), ours, theirs)
    assert (mean.gain, mean.test) == (pytest.approx(4 / 25 - 9 / 25), "McNemar's test")


def test_a_model_without_the_metric_cannot_be_compared():
    """A constant answer has no correlation, whichever of the two gives it: no number, no p-value, no NaN."""
    draw = np.random.default_rng(4)
    truths = draw.integers(1, 6, 40)
    good, constant = of_pearson(truths + draw.normal(0, 0.5, 40), truths), of_pearson([3] * 40, truths)
    for ours, theirs in ((good, constant), (constant, good), (constant, constant)):
        found = compare(Pearson(), ours, theirs)
        assert (found.gain, found.ci95, found.p_value, found.verdict) == (None, None, None, "no clear difference")


@pytest.mark.parametrize(("others", "has_interval"), [(2, False), (5, True)])
def test_too_many_resamples_without_the_metric_leave_no_interval(others: int, has_interval: bool):
    """All but some of 40 answers are the same: a resample lacks k certain texts with (1 - k / 40)^40: 13% for 2."""
    draw = np.random.default_rng(6)
    truths = draw.integers(1, 6, 40)
    answers = np.full(40, 3)
    answers[:others] = truths[:others] = np.arange(others) * 2
    share = (1 - others / 40) ** 40
    assert (share > 0.05) == (not has_interval)
    ours = of_pearson(answers, truths)
    found = compare(Pearson(), ours, of_pearson(truths + draw.normal(0, 0.5, 40), truths))
    assert found.gain is not None
    assert 0 < found.p_value <= 1
    assert found.verdict in ("no clear difference", "worse")
    assert (found.ci95 is not None) == has_interval


def test_exchanges_without_the_metric_count_as_different():
    """Each model is right on one of two texts: two of the four exchanges leave both with equal answers."""
    truths = [1, 2]
    found = compare(Pearson(), of_pearson([1, 2], truths), of_pearson([2, 1], truths))
    assert found.gain == 2
    # Both kept and both exchanged differ by 2; the other two leave a model with two equal answers.
    assert found.p_value == 1


def test_many_sums_take_no_more_memory_than_few():
    """All resamples at once of 40 texts, each with 100 sums for either model, would be 640 MB."""
    draw = np.random.default_rng(0)
    ours, theirs = draw.random((40, 100)), draw.random((40, 100))
    tracemalloc.start()
    try:
        compare(Score(), ours, theirs)
        assert tracemalloc.get_traced_memory()[1] < 100e6
    finally:
        tracemalloc.stop()
