"""Gains in words: the metric reached, how far it is above or below the comparison, and how certain that is."""

from __future__ import annotations

from lightune.measured import Metric, unit_name
from lightune.record import RunRecord
from lightune.report import words
from lightune.sections import Gain

BEFORE = "before"
SHARE = "share"


def headline(record: RunRecord) -> str:
    """Say in one sentence which metric was reached and how it compares with the best cheap baseline, or with before."""
    metric, rival = record.task.headline, record.comparison.rival
    gain = record.comparison.gains[rival]
    reached = f"{words.measured(record.after.metrics.get(metric.name), metric.unit)} {metric.title}"
    if gain.value is None:
        return f"{reached}; the gain over {compared_name(record, rival)} was {words.NOT_MEASURED}."
    found = f"{reached}, {position(gain.value, metric)} {_beaten(record, rival)}"
    low, high = gain.ci95 or (0, 0)
    is_split = gain.verdict == "no clear difference" and not low <= 0 <= high
    why = f", because {gain.test} gives {words.p_value(gain.p_value)}" if is_split else ""
    return f"{found} ({reached_interval(gain, metric)}): {gain.verdict}{why}."


def before_sentence(record: RunRecord) -> str:
    """Say what was gained over `before`, and which head that has; "" where the headline already says so."""
    if record.comparison.rival == BEFORE:
        return ""
    gain = record.comparison.gains[BEFORE]
    if gain.value is None:
        return f"The gain over {compared_name(record, BEFORE)} was {words.NOT_MEASURED}."
    place = words.capital(position(gain.value, record.task.headline))
    return f"{place} {_beaten(record, BEFORE)} ({reached_interval(gain, record.task.headline)}): {gain.verdict}."


def _beaten(record: RunRecord, rival: str) -> str:
    """Name the comparison for a sentence, with an explanation."""
    if rival == BEFORE:
        which_can = ", which can only guess" if record.model.head == "new" else ""
        return f"before, the {words.before_head(record)}{which_can}"
    found = record.baselines[rival]
    return f"a {found.title} of the untouched model" if found.article else found.title


def compared_name(record: RunRecord, rival: str) -> str:
    """Name the comparison as it is used after "over"."""
    return f"before ({words.before_head(record)})" if rival == BEFORE else record.baselines[rival].named


def position(gain: float, metric: Metric) -> str:
    """Return a gain as a position: "2.1 points above", "1.2 points below" or "level with".

    Where lower is better it describes the metric itself: "0.120 lower than" or "0.120 higher than".
    """
    if amount(gain, metric.unit).strip("-0.") == "":
        return "level with"
    better, worse = ("above", "below") if metric.higher_is_better else ("lower than", "higher than")
    return f"{difference(abs(gain), metric.unit)} {better if gain > 0 else worse}"


def reached_interval(gain: Gain, metric: Metric) -> str:
    """Return the 95% interval as it stands behind `position`: where lower is better, that of the metric's change.

    For example "95%: -0.190 to -0.050" behind "0.120 lower than".
    """
    if metric.higher_is_better or gain.ci95 is None:
        return interval(gain)
    low, high = (signed(-end, gain.unit) for end in reversed(gain.ci95))
    return f"95%: {low} to {high}"


def interval(gain: Gain) -> str:
    """Return the 95% interval of a gain in its unit, for example "95%: -0.3 to 4.5"."""
    if gain.ci95 is None:
        return f"95%: {words.NOT_MEASURED}"
    low, high = (amount(end, gain.unit) for end in gain.ci95)
    return f"95%: {low} to {high}"


def amount(value: float | None, unit: str) -> str:
    """Return a difference without its unit: shares in percentage points, others with three decimals."""
    return words.points(value) if unit == SHARE else words.score(value)


def difference(value: float | None, unit: str) -> str:
    """Return a difference with its unit: "2.1 points", "0.120 nats", "0.120"."""
    if value is None:
        return words.NOT_MEASURED
    return f"{amount(value, unit)} {'points' if unit == SHARE else unit_name(unit)}".rstrip()


def signed(change: float | None, unit: str) -> str:
    """Return a change with its sign, without its unit: "+4.1"."""
    shown = amount(change, unit)
    return f"+{shown}" if change is not None and change > 0 and shown.strip("0.") else shown


def gain_in(metric: Metric) -> str:
    """Name the gain in a metric: above zero is better, also where a lower metric is better."""
    return f"gain in {metric.title}" + ("" if metric.higher_is_better else " (how much lower it is)")


def gain_unit(metric: Metric) -> str:
    """Return the unit of a gain as a suffix to its name: ", percentage points", or nothing."""
    unit = "percentage points" if metric.unit == SHARE else unit_name(metric.unit)
    return f", {unit}" if unit else ""


def tests(record: RunRecord) -> str:
    """Name the tests that the p-values of the gains come from."""
    return " and ".join(dict.fromkeys(gain.test for gain in record.comparison.gains.values()))


def without_figures(record: RunRecord) -> str:
    """Say why a baseline lacks a metric, which the table of results shows as a dash; "" where none does."""
    baselines, metrics = record.baselines.values(), record.task.metrics
    missing = [found.title for found in metrics if any(found.name not in other.metrics for other in baselines)]
    if not missing:
        return ""
    return f"A dash means that there is no figure: a constant prediction has no {', '.join(missing)}."
