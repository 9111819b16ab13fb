"""docs/results.md: the table of the seed's experiment, from its saved figures. Nothing is measured."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from textwrap import fill
from typing import Any

from scipy.stats import t

from benchmarks.measuring import conditions
from lightune.evaluation.significance import mcnemar

# An arm's name in the table: its method, and who trains.
ARMS = {
    "LoRA": ("lora", "lightune"),
    "prefix tuning": ("prefix", "lightune"),
    "adapter layers": ("bottleneck", "lightune"),
    "full fine-tuning": ("full", "lightune"),
    "LoRA, Trainer": ("lora", "Trainer"),
    "full fine-tuning, Trainer": ("full", "Trainer"),
}
PAIRS = (("LoRA", "LoRA, Trainer"), ("full fine-tuning", "full fine-tuning, Trainer"))
TITLE = "# Results"
ABOUT = (
    "The experiment that the project began with: {examples} texts of {train} to train on and {examples} of {test} to"
    " test on, with {model}, {epochs} epochs, batches of 16. Each seed draws other texts, another head and another"
    " order; all arms of a seed have the same texts. Of the {examples} labels lightune sets a fifth aside to choose the"
    " epoch and to calibrate; the Trainer (fp32, padded to the longest of a batch, a random head) trains on all of"
    " them. Lightune's precision is `auto`, which is fp32 where a processor has no bf16. Rates are each"
    " method's default in lightune, on both sides."
)
BELOW = """
Accuracy and loss are of the test texts: the mean over the seeds, and the lowest and highest in brackets. Seconds,
samples/s and memory are of training alone, in a process for each arm; memory is the peak above what the imports take.
"Trained" is the number of trained parameters.
"""
DIFFERENCES = """## Beside the Trainer

Paired by seed, with 95% intervals (Student's t over the seeds). Of speed and memory it is how many times faster or
smaller, their interval taken on the logarithms. An interval of so few seeds is wide. The p-value is that of McNemar's
test over the test texts of all seeds. Two accuracies count as separated when the interval excludes zero and p < 0.05.
"""
HOW = "Measured by `python -m benchmarks.seed_experiment MODEL --train FILE --test FILE`."
METRICS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("accuracy", "accuracy", "{:.3f}".format),
    ("loss", "loss", "{:.3f}".format),
    ("runtime", "seconds", "{:.0f}".format),
    ("samples_per_second", "samples/s", "{:.1f}".format),
    ("memory_mb", "memory, MB", "{:.0f}".format),
)
Figures = Mapping[str, Mapping[str, Any]]  # by seed


def results(kept: Mapping[str, Any]) -> str:
    """Return the page."""
    arms: dict[str, Figures] = {name: kept["arms"][name] for name in ARMS if kept["arms"].get(name)}
    about = fill(ABOUT.format(**kept["setup"]), 120, break_long_words=False, break_on_hyphens=False)
    lines = [TITLE, "", about, "", *table(arms), BELOW, DIFFERENCES, *beside(arms), "", *words(arms)]
    lacking = [name for name in ARMS if name not in arms]
    if lacking:
        lines += ["", f"Not measured: {'; '.join(lacking)}."]
    return "\n".join([*lines, "", HOW, "", conditions(kept["machine"]), ""])


def table(arms: Mapping[str, Figures]) -> list[str]:
    """Return a line for each arm: each figure's mean over the seeds, with the lowest and highest."""
    titles = ["arm", "seeds", "trained", *(title for _, title, _ in METRICS)]
    lines = [f"| {' | '.join(titles)} |", "| --- " * len(titles) + "|"]
    for name, seeds in arms.items():
        trained = next(iter(seeds.values()))["trainable"]
        cells = [spread([one[metric] for one in seeds.values()], shown) for metric, _, shown in METRICS]
        lines.append(f"| {name} | {len(seeds)} | {trained:,} | {' | '.join(cells)} |")
    return lines


def spread(values: Sequence[float], shown: Callable[[float], str]) -> str:
    """Return a mean, and the lowest and highest value where there are several."""
    middle = shown(statistics.mean(values))
    return f"{middle} ({shown(min(values))} to {shown(max(values))})" if len(values) > 1 else middle


def beside(arms: Mapping[str, Figures]) -> list[str]:
    """Return a line for each method that the Trainer has too."""
    lines = ["| method | accuracy, points | p | loss | speed, times | memory, times less |", "| --- " * 6 + "|"]
    for ours, theirs in PAIRS:
        if both := common(arms, ours, theirs):
            cells = [
                shown_interval(interval([100 * (a["accuracy"] - b["accuracy"]) for a, b in both]), "{:+.1f}"),
                f"{p_value(both):.2g}",
                shown_interval(interval([a["loss"] - b["loss"] for a, b in both]), "{:+.3f}"),
                shown_interval(
                    of_ratios([a["samples_per_second"] / b["samples_per_second"] for a, b in both]), "{:.2f}"
                ),
                shown_interval(of_ratios([b["memory_mb"] / a["memory_mb"] for a, b in both]), "{:.2f}"),
            ]
            lines.append(f"| {ours} | {' | '.join(cells)} |")
    return lines


def common(arms: Mapping[str, Figures], ours: str, theirs: str) -> list[tuple[Any, Any]]:
    """Return the pairs of figures of the seeds that both arms have."""
    mine, others = arms.get(ours, {}), arms.get(theirs, {})
    return [(mine[seed], others[seed]) for seed in mine if seed in others]


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean and the ends of its 95% interval; of one value the ends are unknown."""
    middle = statistics.mean(values)
    if len(values) < 2:
        return middle, math.nan, math.nan
    half = float(t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / len(values) ** 0.5
    return middle, middle - half, middle + half


def p_value(both: Sequence[tuple[Any, Any]]) -> float:
    """Return the p-value of McNemar's test over the test texts of all seeds."""
    pairs = [pair for a, b in both for pair in zip(a["right"], b["right"], strict=True)]
    return mcnemar(pairs.count(("1", "0")), pairs.count(("0", "1")))


def of_ratios(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the geometric mean of ratios and the ends of its interval."""
    middle, low, high = (math.exp(value) for value in interval([math.log(value) for value in values]))
    return middle, low, high


def shown_interval(found: tuple[float, float, float], form: str) -> str:
    """Return a mean with its interval, where there is one."""
    middle, low, high = (form.format(value) for value in found)
    return middle if math.isnan(found[1]) else f"{middle} ({low} to {high})"


def words(arms: Mapping[str, Figures]) -> list[str]:
    """Return in plain words what the table shows: the most accurate arm, and each method beside the Trainer's."""
    means = {name: statistics.mean(one["accuracy"] for one in seeds.values()) for name, seeds in arms.items()}
    best = max(means, key=means.__getitem__)
    lines = [f"The most accurate on average is {best}, with {means[best]:.3f}."]
    for ours, theirs in PAIRS:
        if both := common(arms, ours, theirs):
            gain, low, high = interval([100 * (a["accuracy"] - b["accuracy"]) for a, b in both])
            speed = of_ratios([a["samples_per_second"] / b["samples_per_second"] for a, b in both])[0]
            lines.append(
                f"{_named(ours)} trains {speed:.2f} times as fast as the Trainer's, and "
                f"{_verdict(gain, low, high, p_value(both))}."
            )
    return lines


def _verdict(gain: float, low: float, high: float, p: float) -> str:
    if (low > 0 or high < 0) and p < 0.05:
        return f"is {'more' if gain > 0 else 'less'} accurate by {abs(gain):.1f} points"
    return f"their accuracies, {abs(gain):.1f} points apart, are not separated"


def _named(arm: str) -> str:
    return f"{arm[0].upper()}{arm[1:]}"
