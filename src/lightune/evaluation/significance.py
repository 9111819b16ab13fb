"""Is a difference in accuracy real? Paired tests on the same test examples."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightune.sections import Verdict

RESAMPLES = 9999
LEVEL = 0.95


@dataclass(frozen=True)
class Difference:
    """Accuracy of one classifier minus another's, with its 95% interval, McNemar's p-value and the verdict."""

    gain: float
    ci95: tuple[float, float]
    p_value: float
    verdict: Verdict


def compare(correct: NDArray[Any], other_correct: NDArray[Any], seed: int = 0) -> Difference:
    """Compare two classifiers' right answers (booleans, one per test example, in the same order).

    The interval is the percentile bootstrap over examples (Efron 1979), the p-value McNemar's exact binomial test on
    the examples where just one is right. The verdict is "better" or "worse" only when the interval excludes zero and
    p < 0.05, else "no clear difference".
    """
    from scipy.stats import bootstrap

    difference = correct.astype(float) - other_correct.astype(float)
    p_value = mcnemar(int((correct & ~other_correct).sum()), int((~correct & other_correct).sum()))
    gain = float(difference.mean())
    if np.ptp(difference) == 0:  # a resample of equal values cannot vary
        low = high = gain
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            interval = bootstrap(
                (difference,), np.mean, n_resamples=RESAMPLES, confidence_level=LEVEL, method="percentile",
                batch=max(1, 2_000_000 // len(difference)), rng=np.random.default_rng(seed),
            ).confidence_interval  # fmt: skip
        low, high = float(interval.low), float(interval.high)
    return Difference(gain, (low, high), p_value, _verdict(low, high, p_value))


def mcnemar(only_first: int, only_second: int) -> float:
    """Return McNemar's exact two-sided p-value from how many examples only one of two classifiers got right.

    Were both equally good, either would be the right one of such an example with probability 1/2 (McNemar 1947).
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
