"""Figures in words: a number with its unit, "not measured" for a missing one, sentences about results."""

from __future__ import annotations

import math

from lightune.measured import Metric, written
from lightune.record import RunRecord
from lightune.sections import Evaluation, LabelledFile
from lightune.tasks.coverage import Abstained
from lightune.terminal import visible

NOT_MEASURED = "not measured"
NOT_PUBLISHED = "Fingerprints of the training texts, by which `lightune evaluate` knows them again, are not published."


def before_head(record: RunRecord) -> str:
    """Name the head that the model had before training."""
    return "untrained head" if record.model.head == "new" else "checkpoint's own head"


def reload_sentence(record: RunRecord) -> str:
    """Say whether a fresh process computed the same answers from the saved adapter."""
    check = record.reload_check
    difference = logit_difference(check.largest_logit_difference)
    figures = f"{count(check.examples)} examples, largest logit difference {difference}"
    if check.passed:
        return f"passed: a fresh process loaded the adapter and gave the same answers ({figures})."
    return f"FAILED: a fresh process did not get the same answers from the saved adapter ({figures}). Do not use it."


def known_texts(found: Evaluation | LabelledFile, metric: Metric) -> str:
    """Say how many texts the model was trained or validated on, and the metric without them; "" if unknown.

    For example: "37 of 100 texts are from training or validation. Without them: 0.712 accuracy on 63 texts (0.794 with
    them)."
    """
    known, without = found.known_examples, found.without_known
    if known is None:
        return ""
    if known == 0:
        return f"None of the {count(found.examples)} texts is from training or validation."
    if without is None:
        return f"All {count(found.examples)} texts are from training or validation: there is no figure without them."
    verb, them = ("is", "it") if known == 1 else ("are", "them")
    figures = (
        f"{measured(without.metrics.get(metric.name), metric.unit)} {metric.title} on {count(without.examples)} texts"
    )
    counted = f"{count(known)} of {count(found.examples)} texts {verb} from training or validation."
    return f"{counted} Without {them}: {figures} ({measured(found.metrics.get(metric.name), metric.unit)} with {them})."


def truncated(texts: int) -> str:
    """Say how many different texts were longer than the model reads."""
    verb = "text is longer than the model reads: its" if texts == 1 else "texts are longer than the model reads: their"
    return f"{count(texts)} {verb} beginning was read, the rest was not."


def rows_left_out(found: Evaluation) -> str:
    """Say how many rows of the file are not among the examples, and why; "" if none."""
    if not found.rows_dropped:
        return ""
    total, reasons = sum(found.rows_dropped.values()), [f"{count(n)} {why}" for why, n in found.rows_dropped.items()]
    return f"Left out: {count(total)} of {count(total + found.examples)} rows ({', '.join(reasons)})."


def labelled_file(found: LabelledFile) -> str:
    """Describe the metric on a labelled file, and how many of its texts are known."""
    parts = []
    if found.examples:
        reached = f"the {found.metric.title} is {measured(found.metrics.get(found.metric.name), found.metric.unit)}"
        by = f'By column "{found.label_column}" {reached}'
        parts = [f"{by} on {count(found.examples)} texts.", known_texts(found, found.metric)]
    apart = [(found.unknown_labels, "a label that the model does not know"), (found.missing_labels, "no label")]
    apart.append((found.abstained, "no answer"))
    said = [f"{count(number)} with {what}" for number, what in apart if number]
    if said:
        parts.append(f'Rows that do not count, by column "{found.label_column}": {" and ".join(said)}.')
    return " ".join(parts)


def abstained(found: Abstained) -> str:
    """Say how many texts are answered with a bound on the confidence, and how that was on the validation texts."""
    left, bound = found.texts - found.answered, f"{found.below:g}"
    share = "" if found.answered_share is None else f" ({percent(found.answered_share)})"
    told = f"{count(found.answered)} of {count(found.texts)} texts answered{share}"
    told += f", {count(left)} left out with a confidence below {bound}." if left else f"; none is below {bound}."
    known = found.validation
    if known is None:
        return f"{told} Nothing is known of this model's validation texts."
    at = "" if math.isclose(known.below, found.below) else f" at {known.below:g}"
    right = "" if known.accuracy is None else f"; {percent(known.accuracy)} of these answers are right"
    answered = f"{percent(known.answered_share)} of the run's {count(known.examples)} validation texts are answered{at}"
    return f"{told} With this bound {answered}{right}."


def fingerprints_sentence(record: RunRecord) -> str:
    """Say whether fingerprints of the training texts are saved with the adapter, and what they reveal."""
    if not record.recipe.get("data", {}).get("fingerprints"):
        return (
            "No fingerprints of the training texts were kept, so `lightune evaluate` cannot tell which texts of a test "
            "file the model was trained on."
        )
    return (
        "The file `adapter/fingerprints.safetensors` keeps a keyed hash of 8 bytes of each training and validation "
        "text, so that `lightune evaluate` can tell which texts of a test file the model was trained on. No text can "
        "be read from it. But the key is stored with the hashes: anyone who has a text, or guesses it, can test "
        "whether it was used. `lightune run --no-fingerprints` leaves the file out."
    )


def capital(text: str) -> str:
    """Return a text with its first letter capitalized; the others do not change."""
    return text[:1].upper() + text[1:]


def points(share: float | None) -> str:
    """Return a difference of shares in percentage points, without unit: 0.021 is "2.1"."""
    return number(None if share is None else share * 100, 1)


def number(value: float | None, decimals: int) -> str:
    """Return a number with this many decimals, never "-0.0"."""
    if value is None:
        return NOT_MEASURED
    if not math.isfinite(value):
        return "not finite"
    return f"{round(value, decimals) + 0.0:,.{decimals}f}"


def is_number(text: str) -> bool:
    """Say whether a cell holds a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def measured(value: float | None, unit: str) -> str:
    """Return a figure in its unit: three decimals, or four significant digits where those show nothing."""
    if value is None or not math.isfinite(value):
        return number(value, 3)
    return written(value, unit)


def score(value: float | None) -> str:
    """Return an accuracy, loss or F1 with three decimals."""
    return number(value, 3)


def percent(share: float | None, decimals: int = 1) -> str:
    """Return a share as a percentage: 0.764 is "76.4%"."""
    return NOT_MEASURED if share is None else f"{number(share * 100, decimals)}%"


def count(value: int | None) -> str:
    """Return a whole number with separators: "22,810,370"."""
    return NOT_MEASURED if value is None else f"{value:,}"


def seconds(value: float | None) -> str:
    """Return a duration: "0.42 s", "3.4 s", "48 s", "2 min 05 s", "1 h 02 min"."""
    if value is None:
        return NOT_MEASURED
    whole = round(value)
    if whole < 60:
        return f"{_three_figures(value)} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(value / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def milliseconds(value: float | None) -> str:
    """Return a latency: "9.3 ms", "112 ms"."""
    return NOT_MEASURED if value is None else f"{number(value, 1 if value < 99.95 else 0)} ms"


def rate(value: float | None) -> str:
    """Return a rate: "123 /s", "4.6 /s", "0.46 /s"."""
    return NOT_MEASURED if value is None else f"{_three_figures(value)} /s"


def size(value: int | None) -> str:
    """Return bytes in decimal units, 1 MB being 10^6 bytes: "3.6 MB", "1.43 GB"."""
    if value is None:
        return NOT_MEASURED
    if value < 1000:
        return f"{value} B"
    amount, unit = value / 1000, "kB"
    for larger in ("MB", "GB", "TB"):
        if round(amount, 1) < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.1f} {unit}" if unit in {"kB", "MB"} else f"{amount:.2f} {unit}"


def p_value(value: float | None) -> str:
    """Return a p-value: "p = 0.012" or "p < 0.001"."""
    if value is None:
        return NOT_MEASURED
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def logit_difference(value: float | None) -> str:
    """Return a difference between logits: "0" or "1.2e-06"."""
    if value is None:
        return NOT_MEASURED
    return "0" if value == 0 else f"{value:.1e}"


def learning_rate(value: float | None) -> str:
    """Return a learning rate: "0.0005"."""
    return NOT_MEASURED if value is None else f"{value:.3g}"


def printable(text: str) -> str:
    """Return the text on one line, with escapes in the place of characters that control a terminal."""
    return visible(" ".join(text.split()))


def shortened(text: str, longest: int) -> str:
    """Return the text, cut with an ellipsis when it is longer than that many characters."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def _three_figures(value: float) -> str:
    if round(value, 2) < 1:
        return number(value, 2)
    return number(value, 1 if round(value, 1) < 10 else 0)
