"""Is a difference in accuracy real? Paired tests on the same test examples."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightune.record import Verdict

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
    from statsmodels.stats.contingency_tables import mcnemar

    difference = correct.astype(float) - other_correct.astype(float)
    table = [
        [int((correct & other_correct).sum()), int((correct & ~other_correct).sum())],
        [int((~correct & other_correct).sum()), int((~correct & ~other_correct).sum())],
    ]
    p_value = float(mcnemar(table, exact=True).pvalue)
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


def _verdict(low: float, high: float, p_value: float) -> Verdict:
    if p_value < 1 - LEVEL and low > 0:
        return "better"
    if p_value < 1 - LEVEL and high < 0:
        return "worse"
    return "no clear difference"
