"""Metrics of predicted numbers, the figures of each target and of the ranges of its values, and histograms."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightune.tasks.answers import aligned_number, short_number
from lightune.tasks.overview import Overview, by_split

Array = NDArray[Any]
NAMES = ("r2", "rmse", "mae", "spearman", "pearson")
RANGES, BINS, BAR, TENTHS = 5, 10, 24, 10
R2_BY_GROUP = (
    "R2 of a group is measured against the group's own mean: where its values hardly differ, R2 is far below zero "
    "though the errors may be small."
)
FLAT = 0.1  # answers that spread less than this share of the targets hardly vary


def number_metrics(answers: Array, targets: Array) -> dict[str, float | None]:
    """Return R2, RMSE, MAE and Spearman's and Pearson's correlation, each the mean over the outputs.

    Both are (texts, outputs), in the unit of the targets. R2 = 1 - sum (y - p)^2 / sum (y - mean y)^2 is None where all
    y are equal, a correlation also where all answers are.
    """
    each = [of_one(answers[:, place], targets[:, place]) for place in range(targets.shape[1])]
    return {name: _mean([found[name] for found in each]) for name in NAMES}


def of_one(answers: Array, targets: Array) -> dict[str, float | None]:
    """Return the same of one output: both are (texts,)."""
    from scipy.stats import spearmanr

    errors = answers - targets
    around, spread = targets - targets.mean(), answers - answers.mean()
    total = float((around**2).sum())
    vary = len(targets) > 1 and np.ptp(targets) > 0
    found: dict[str, float | None] = {
        "r2": 1 - float((errors**2).sum()) / total if vary and total > 0 else None,
        "rmse": float(np.sqrt((errors**2).mean())),
        "mae": float(np.abs(errors).mean()),
        "spearman": None,
        "pearson": None,
    }
    if vary and np.ptp(answers) > 0:
        norm = np.sqrt(total * (spread**2).sum())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found["spearman"] = _finite(spearmanr(answers, targets).statistic)
        found["pearson"] = _finite((around * spread).sum() / norm) if norm > 0 else None
    return found


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def r2_counts(answers: Array, targets: Array) -> Array:
    """Return what each text adds to the sums of R2: (y - p)^2, y and y^2 of each output: (texts, 3 outputs)."""
    return np.concatenate([(targets - answers) ** 2, targets, targets**2], axis=1)


def r2_of_sums(sums: Array, texts: int) -> Array:
    """Return R2, the mean over the outputs, from sums of `r2_counts`: (..., 3 outputs) to (...)."""
    errors, first, second = np.split(np.asarray(sums, float), 3, axis=-1)
    around = second - first**2 / texts
    # Rounding leaves a little where all targets are equal.
    around = np.where(around > 1e-12 * np.maximum(second, 1e-300), around, np.nan)
    found: Array = (1 - errors / around).mean(axis=-1)
    return found


def with_ends(names: Sequence[str], low: Sequence[float], high: Sequence[float]) -> list[str]:
    """Return each name with the ends of its targets in training, where these are known."""
    ends = zip(low, high, strict=True)
    shown = [f" ({short_number(one)} to {short_number(other)} in training)" for one, other in ends]
    return [name + end for name, end in zip(names, shown or [""] * len(names), strict=True)]


def tenths(targets: Array) -> NDArray[np.int64]:
    """Return which tenth of the targets, (texts, outputs), each is in, by the mean of its standardised numbers."""
    if not len(targets):
        return np.zeros(0, np.int64)
    deviations = targets.std(axis=0)
    level = ((targets - targets.mean(axis=0)) / np.where(deviations > 0, deviations, 1)).mean(axis=1)
    edges = np.quantile(level, np.linspace(0, 1, TENTHS + 1)[1:-1])
    return np.searchsorted(edges, level, side="right").astype(np.int64)


def per_target(names: Sequence[str], answers: Array, targets: Array) -> dict[str, dict[str, Any]]:
    """Return the metrics of each output by its name, the ends of both, and how far answers spread."""
    found = {}
    for place, name in enumerate(names):
        said, true = answers[:, place], targets[:, place]
        ends = {"low": true.min(), "high": true.max(), "answer_low": said.min(), "answer_high": said.max()}
        spread = {"deviation": true.std(), "answer_deviation": said.std()}
        figures = {key: float(value) for key, value in {**ends, **spread}.items()}
        found[name] = {**of_one(said, true), **figures, "examples": len(true)}
    return found


def by_range(names: Sequence[str], answers: Array, targets: Array) -> list[dict[str, Any]]:
    """Return figures of the texts of each fifth of a target's range: how many, the mean answer, and the errors."""
    found = []
    for place, name in enumerate(names):
        said, true = answers[:, place], targets[:, place]
        edges = np.linspace(true.min(), true.max(), RANGES + 1)
        number = np.clip(np.searchsorted(edges, true, side="right") - 1, 0, RANGES - 1)
        for part in np.unique(number).tolist():
            rows = number == part
            errors = said[rows] - true[rows]
            found.append(
                {
                    "target": name,
                    "low": float(edges[part]),
                    "high": float(edges[part + 1]),
                    "examples": int(rows.sum()),
                    "target_mean": float(true[rows].mean()),
                    "answer_mean": float(said[rows].mean()),
                    "mae": float(np.abs(errors).mean()),
                    "bias": float(errors.mean()),
                }
            )
    return found


def histograms(names: Sequence[str], splits: Mapping[str, Array]) -> list[Overview]:
    """Return a histogram in text for each target: counts and bars of ten equal ranges, mean and deviation."""
    return [_histogram(name, {split: found[:, place] for split, found in splits.items()}) for place, name in
            enumerate(names)]  # fmt: skip


def _histogram(name: str, splits: Mapping[str, Array]) -> Overview:
    low, high = min(map(np.min, splits.values())), max(map(np.max, splits.values()))
    edges = np.linspace(low, high, BINS + 1) if high > low else np.array([low - 0.5, high + 0.5])
    shown = [f"{short_number(one)} to {short_number(other)}" for one, other in itertools.pairwise(edges)]
    rows: dict[str, dict[str, list[str]]] = {}
    for split, found in splits.items():
        counts = np.histogram(found, edges)[0]
        bars = [_bar(count / max(counts.max(), 1)) for count in counts.tolist()]
        rows[split] = {at: [f"{count:,}", bar] for at, count, bar in zip(shown, counts.tolist(), bars, strict=True)}
        rows[split]["mean"] = [aligned_number(float(found.mean())), ""]
        rows[split]["deviation"] = [aligned_number(float(found.std())), ""]
    return by_split(name, rows, ["", " "])


def _bar(share: float) -> str:
    """Return a bar of blocks, padded to one width, so that all begin at one place."""
    eighths = round(share * BAR * 2)
    return ("█" * (eighths // 2) + "▌" * (eighths % 2)).ljust(BAR)


def cautions(details: Mapping[str, Any]) -> list[str]:
    """Return sentences on answers that hardly vary; `details` are those of Regression.details."""
    said = []
    for name, found in details["per_target"].items():
        if found["deviation"] > 0 and found["answer_deviation"] < FLAT * found["deviation"]:
            ends = f"{short_number(found['answer_low'])} to {short_number(found['answer_high'])}"
            true = f"{short_number(found['low'])} to {short_number(found['high'])}"
            said.append(f"Its answers for {name} hardly vary: {ends}, where the true ones are {true}.")
    return said
