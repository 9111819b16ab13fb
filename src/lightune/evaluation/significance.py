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
MOST_UNDEFINED = 0.05  # a larger part of undefined resamples gives no interval
BATCH = 250_000  # numbers that are drawn at a time


@dataclass(frozen=True)
class Difference:
    """How much better one model is than another by a metric: 95% interval, p-value of the test, and the verdict.

    The first three are None where the metric is undefined for a model; only the interval is where resamples lack it.
    """

    gain: float | None
    ci95: tuple[float, float] | None
    p_value: float | None
    test: str
    verdict: Verdict


def compare(task: Task, counts: Array, others: Array, seed: int = 0) -> Difference:
    """Compare two models by the headline metric of the task, on the same texts in the same order.

    `counts` are what each prediction adds to the sums from which the metric is computed (Task.counts), (texts, sums).
    The interval is the percentile bootstrap over texts (Efron 1979). The p-value is that of McNemar's exact binomial
    test if predictions are right or wrong, else that of a permutation test which exchanges the two models' predictions
    text by text (Fisher 1935). Above zero is better. The verdict is "better" or "worse" only when the interval
    excludes zero and p < 0.05, else "no clear difference". Where exchanges leave the metric undefined they count as
    differing as much; resamples without it are left out, and there is no interval if they are more than 5%.
    """
    sign = 1.0 if task.metrics[0].higher_is_better else -1.0
    is_mean = counts.shape[1] == 1 and type(task).headline is Task.headline
    if is_mean and set(np.unique([counts, others])) <= {0.0, 1.0}:
        right, other_right = counts[:, 0] > 0, others[:, 0] > 0
        p_value = mcnemar(int((right & ~other_right).sum()), int((~right & other_right).sum()))
        gain, *ends = _mean_gain(right, other_right, seed)
        return _found(sign, gain, (ends[0], ends[1]), p_value, MCNEMAR)
    gain = float(_difference(task, counts.sum(axis=0), others.sum(axis=0), len(counts)))
    if not np.isfinite(gain):
        return not_compared(PERMUTATION)
    random = np.random.default_rng(seed)
    interval = _interval(task, counts, others, random)
    return _found(sign, gain, interval, _permuted(task, counts, others, gain, random), PERMUTATION)


def not_compared(test: str = PERMUTATION) -> Difference:
    """Return what is known of two models of which one has no such metric: nothing."""
    return Difference(None, None, None, test, "no clear difference")


def _found(sign: float, gain: float, ends: tuple[float, float] | None, p_value: float, test: str) -> Difference:
    """Return the difference with above zero for better: both ends of the interval change places with the sign."""
    if ends is None:
        return Difference(sign * gain + 0.0, None, p_value, test, "no clear difference")
    low, high = (sign * end + 0.0 for end in sorted(ends, key=lambda end: sign * end))
    return Difference(sign * gain + 0.0, (low, high), p_value, test, _verdict(low, high, p_value))


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


def _interval(task: Task, counts: Array, others: Array, random: np.random.Generator) -> tuple[float, float] | None:
    """Return both ends of the bootstrap interval; None where too many resamples leave the metric undefined.

    The sums of a resample are how often it has each text, times the counts of the texts.
    """
    texts, drawn = len(counts), []
    for size in _batches(texts + 2 * counts.shape[1]):
        rows = random.integers(0, texts, (size, texts))
        rows += np.arange(size)[:, None] * texts
        times = np.bincount(rows.ravel(), minlength=size * texts).reshape(size, texts).astype(float)
        drawn.append(_difference(task, times @ counts, times @ others, texts))
    found = np.concatenate(drawn)
    defined = found[np.isfinite(found)]
    if len(defined) < (1 - MOST_UNDEFINED) * len(found):
        return None
    low, high = np.percentile(defined, [100 * (1 - LEVEL) / 2, 100 * (1 + LEVEL) / 2])
    return float(low), float(high)


def _permuted(task: Task, counts: Array, others: Array, gain: float, random: np.random.Generator) -> float:
    """Return the p-value: the share of exchanges that differ at least as much.

    With k in {0, 1} for each text that is not exchanged, the first model's sums are k (c - o) + sum(o).
    """
    texts, apart, rest = len(counts), counts - others, others.sum(axis=0)
    total, nearer = counts.sum(axis=0) + rest, 0
    for size in _batches(texts + 2 * counts.shape[1]):
        bits = random.integers(0, 256, (size, -(-texts // 8)), np.uint8)
        ours = np.unpackbits(bits, axis=1, count=texts).astype(float) @ apart + rest
        found = np.abs(_difference(task, ours, total - ours, texts))
        nearer += int((found < abs(gain) - 1e-12 * max(1.0, abs(gain))).sum())  # never true of an undefined one
    return (RESAMPLES - nearer + 1) / (RESAMPLES + 1)


def _difference(task: Task, ours: Array, theirs: Array, texts: int) -> Array:
    """Return the metric of our sums minus that of theirs: (..., sums) to (...)."""
    with np.errstate(all="ignore"):
        found: Array = np.asarray(task.headline(ours, texts)) - np.asarray(task.headline(theirs, texts))
    return found


def _batches(numbers: int) -> Iterator[int]:
    """Yield how many resamples are drawn at a time, each of this many numbers."""
    size = max(1, BATCH // numbers)
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
