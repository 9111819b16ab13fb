"""Calibration: a temperature that divides a model's logits, and how far probabilities are from what comes true.

The temperature, the error and its bins are those of Guo et al. 2017, arXiv:1706.04599.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lightune.tasks.thresholds import FEWEST_TEXTS

Array = NDArray[Any]
Temperature = Annotated[float, Field(gt=0, allow_inf_nan=False)]

UNCALIBRATED = 1.0
BINS = 15
LOWEST, HIGHEST = 0.01, 100.0  # temperatures that are tried
AS_TRAINED = "Probabilities are not calibrated (temperature 1)"


@dataclass(frozen=True)
class Probabilities:
    """What a task's logits say, all from logits (texts, outputs) and targets.

    `of` names what has a probability, `loss` is the mean cross-entropy in nats, `outcomes` gives the probabilities that
    are looked at and whether each came true, (n,) both.
    """

    of: Literal["answers", "decisions on a label"]
    loss: Callable[[Array, Array], float]
    outcomes: Callable[[Array, Array], tuple[Array, Array]]


def fit_temperature(kind: Probabilities, validation: Callable[[], tuple[Array, Array]]) -> tuple[float, list[str]]:
    """Return (the temperature T > 0 with the least loss of logits / T on the validation texts, notes).

    T is 1, and a note says why, with fewer than 100 texts, and where there is no least loss: if every answer is right,
    it only falls as T falls.
    """
    logits, targets = validation()
    if len(targets) < FEWEST_TEXTS:
        few = f"a temperature is fitted from {FEWEST_TEXTS} validation texts on, and there are {len(targets)}"
        return UNCALIBRATED, [f"{AS_TRAINED}: {few}."]
    plain = np.asarray(logits, np.float64)
    found = best_temperature(lambda temperature: kind.loss(plain / temperature, targets))
    if found is None:
        why = "on the validation texts the loss only falls as answers get surer, as where all of them are right"
        return UNCALIBRATED, [f"{AS_TRAINED}: {why}."]
    return found, []


def best_temperature(loss: Callable[[float], float]) -> float | None:
    """Return the T from 0.01 to 100 with the least loss, to four decimals; None where no T has less than the lowest.

    Cross-entropy is convex in 1 / T, so that a search over log T finds its only minimum.
    """
    from scipy.optimize import minimize_scalar

    def of_log(log: float) -> float:
        return loss(float(np.exp(log)))

    ends = np.log([LOWEST, HIGHEST])
    found = minimize_scalar(of_log, bounds=ends, method="bounded", options={"xatol": 1e-6})
    # Below some T a loss is 0 in fp64, and the search may stop anywhere there.
    return round(float(np.exp(found.x)), 4) if found.fun < loss(LOWEST) else None


def over(name: str, temperature: float) -> str:
    """Return Python for the named tensor divided by a temperature."""
    return name if temperature == UNCALIBRATED else f"({name} / {temperature})"


def reliability(probabilities: Array, came_true: Array) -> list[dict[str, float]]:
    """Return the bins that hold a probability: ends, how many, their mean, and the share that came true.

    Both are (n,). There are 15 bins of equal width; bin m has the probabilities p with (m - 1) / 15 < p <= m / 15, and
    the first one also 0.
    """
    edges = np.linspace(0, 1, BINS + 1)
    place = np.searchsorted(edges[1:-1], probabilities, side="left")
    counts = np.bincount(place, minlength=BINS)
    sums, true = (np.bincount(place, weights=each, minlength=BINS) for each in (probabilities, came_true))
    return [
        {
            "low": float(edges[m]),
            "high": float(edges[m + 1]),
            "examples": int(counts[m]),
            "confidence": float(sums[m] / counts[m]),
            "accuracy": float(true[m] / counts[m]),
        }
        for m in np.flatnonzero(counts)
    ]


def calibration_error(bins: list[dict[str, float]]) -> float:
    """Return the expected calibration error, sum_m n_m / n |accuracy_m - confidence_m|, of bins with n_m each."""
    total = sum(found["examples"] for found in bins)
    return float(sum(found["examples"] / total * abs(found["accuracy"] - found["confidence"]) for found in bins))


def calibration(kind: Probabilities, temperature: float, logits: Array, targets: Array) -> dict[str, Any]:
    """Return the detail "calibration": temperature, loss, calibration error and bins, and the same without temperature.

    Nothing for logits that are not finite.
    """
    plain = np.asarray(logits, np.float64)
    if not np.isfinite(plain).all():
        return {}
    warm = plain / temperature
    bins, uncalibrated = (reliability(*kind.outcomes(each, targets)) for each in (warm, plain))
    measured = {
        "temperature": temperature,
        "of": kind.of,
        "loss": kind.loss(warm, targets),
        "loss_uncalibrated": kind.loss(plain, targets),
        "ece": calibration_error(bins),
        "ece_uncalibrated": calibration_error(uncalibrated),
        "bins": bins,
        "bins_uncalibrated": uncalibrated,
    }
    return {"calibration": measured}
