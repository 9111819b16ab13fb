"""Is a difference in the headline metric real? Paired tests on the same test examples."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightune.sections import MCNEMAR, Verdict
from lightune.tasks.base import Task

Array = NDArray[Any]
PERMUTATION = "permutation test"
RESAMPLES = 9999
LEVEL = 0.95


@dataclass(frozen=True)
class Difference:
    """How much better one model is than another by a metric: 95% interval, p-value of the test, and the verdict."""

    gain: float
    ci95: tuple[float, float]
    p_value: float
    test: str
    verdict: Verdict


def compare(task: Task, counts: Array, others: Array, seed: int = 0) -> Difference:
    """Compare two models by the headline metric of the task, on the same texts in the same order.

    `counts` are what each prediction adds to the sums from which the metric is computed (Task.counts), (texts, sums).
    The interval is the percentile bootstrap over texts (Efron 1979). The p-value is that of McNemar's exact binomial
    test if predictions are right or wrong, else that of a permutation test which exchanges the two models' predictions
    text by text (Fisher 1935). Above zero is better. The verdict is "better" or "worse" only when the interval
    excludes zero and p < 0.05, else "no clear difference".
    """
    sign = 1.0 if task.metrics[0].higher_is_better else -1.0
    is_mean = counts.shape[1] == 1 and type(task).headline is Task.headline
    if is_mean and set(np.unique([counts, others])) <= {0.0, 1.0}:
        right, other_right = counts[:, 0] > 0, others[:, 0] > 0
        p_value = mcnemar(int((right & ~other_right).sum()), int((~right & other_right).sum()))
        gain, low, high, test = *_mean_gain(right, other_right, seed), MCNEMAR
    else:
        gain, low, high, p_value = _resampled(task, counts, others, seed)
        test = PERMUTATION
    gain, low, high = (sign * value + 0.0 for value in (gain, *sorted((low, high), key=lambda end: sign * end)))
    return Difference(gain, (low, high), p_value, test, _verdict(low, high, p_value))


def _mean_gain(right: Array, other_right: Array, seed: int) -> tuple[float, float, float]:
    """Return the mean difference and its interval."""
    from scipy.stats import bootstrap

    difference = right.astype(float) - other_right.astype(float)
    gain = float(difference.mean())
    if np.ptp(difference) == 0:  # a resample of equal values cannot vary
        return gain, gain, gain
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interval = bootstrap(
            (difference,), np.mean, n_resamples=RESAMPLES, confidence_level=LEVEL, method="percentile",
            batch=max(1, 2_000_000 // len(difference)), rng=np.random.default_rng(seed),
        ).confidence_interval  # fmt: skip
    return gain, float(interval.low), float(interval.high)


def _resampled(task: Task, counts: Array, others: Array, seed: int) -> tuple[float, float, float, float]:
    """Return (difference in the metric, both ends of its interval, p-value), from sums over texts."""
    texts, random = len(counts), np.random.default_rng(seed)
    both = np.concatenate([counts, others], axis=1)
    gain = float(_difference(task, both.sum(axis=0), texts))
    drawn, exchanged = [], []
    for size in _batches(both.size):
        rows = random.integers(0, texts, (size, texts))
        drawn.append(_difference(task, both[rows].sum(axis=1), texts))
        kept = random.integers(0, 2, (size, texts)).astype(float)
        ours, theirs = kept @ counts + (1 - kept) @ others, kept @ others + (1 - kept) @ counts
        exchanged.append(_difference(task, np.concatenate([ours, theirs], axis=1), texts))
    low, high = np.nanpercentile(np.concatenate(drawn), [100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2])
    as_far = int((np.abs(np.concatenate(exchanged)) >= abs(gain) - 1e-12).sum())
    return gain, float(low), float(high), (as_far + 1) / (RESAMPLES + 1)


def _difference(task: Task, sums: Array, texts: int) -> Array:
    """Return the metric of the first half of the sums minus that of the second: (..., 2 sums) to (...)."""
    ours, theirs = np.split(sums, 2, axis=-1)
    with np.errstate(all="ignore"):
        found: Array = np.asarray(task.headline(ours, texts)) - np.asarray(task.headline(theirs, texts))
    return found


def _batches(numbers: int) -> Iterator[int]:
    """Yield how many resamples of this many numbers are drawn at a time: about 2 million numbers together."""
    size = max(1, 2_000_000 // numbers)
    for start in range(0, RESAMPLES, size):
        yield min(size, RESAMPLES - start)


def mcnemar(only_first: int, only_second: int) -> float:
    """Return McNemar's exact two-sided p-value from how many examples only one of two classifiers got right.

    If both were equally good, each would be right on such an example with probability 1/2 (McNemar 1947).
    """
    from scipy.stats import binomtest

    both = only_first + only_second
    return float(binomtest(min(only_first, only_second), both).pvalue) if both else 1.0


def _verdict(low: float, high: float, p_value: float) -> Verdict:
    if p_value < 1 - LEVEL and low > 0:
        return "better"
    if p_value < 1 - LEVEL and high < 0:
        return "worse"
    return "no clear difference"
