"""What looks wrong with labels and texts: near-alike, rare or missing labels, imbalance, HTML, very long texts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from lightune.data.labels import AS_CLASSES
from lightune.data.lookalikes import alike_key, described, plain_key
from lightune.data.scan import ABSENT, HTML, LONG, LONG_TEXT, MISSING, SHORT, Scan
from lightune.errors import shortlist
from lightune.faults import Fault, beside

ONE_NUMBER = "are one number"
LEAST = 2  # one row to train on and one to choose by
FEW = 8
IMBALANCE = 3.0
MOST_PLACES = 3
MOST_NAMED = 5


def alike_labels(scan: Scan, labels: Sequence[str], kind: str) -> list[Fault]:
    """Return a fault for labels that look the same or differ by case, spaces or quotes: they are meant to be one.

    With `kind` "class" labels that are one number, 007 and 7, are two classes.
    """
    groups = defaultdict(list)
    for index, name in enumerate(labels):
        groups[alike_key(name)].append(index)
    counts, found = scan.counts(len(labels)), []
    for group in groups.values():
        if len(group) > 1:
            common, *others = sorted(group, key=lambda index: -counts[index])
            names = [labels[index] for index in (common, *others)]
            how = _alikeness(names)
            if how == ONE_NUMBER and kind == "class":
                continue
            hint = f'Write "{labels[common]}" everywhere.' + (f" If they differ, {AS_CLASSES}." * (how == ONE_NUMBER))
            place = place_of_label(scan, others[0])
            found.append(Fault("DATA-033", place, f"the labels {described(names)} {how}.", hint))
    return found + _mixed_truths(scan, labels)


def _mixed_truths(scan: Scan, labels: Sequence[str]) -> list[Fault]:
    """true and false beside 1 and 0 are two classes, not four."""
    truths = {name.casefold(): name for name in labels}
    if not {"true", "false", "0", "1"} <= set(truths):
        return []
    text = f"the labels {truths['true']} and {truths['false']} stand beside 1 and 0, which mean the same."
    return [Fault("DATA-033", place_of_label(scan, labels.index("1")), text, "Write them in one way.")]


def _alikeness(names: Sequence[str]) -> str:
    if len(set(map(plain_key, names))) == 1:
        return "differ only by case, spaces or quotes"
    return ONE_NUMBER if all(name.isascii() for name in names) else "look the same"


def rare_labels(
    scan: Scan, kept: NDArray[np.int64], labels: Sequence[str], left_out: str
) -> tuple[list[Fault], list[Fault]]:
    """Return (faults: labels with fewer than two training rows; warnings: those with fewer than eight)."""
    counts = scan.counts(len(labels), kept)
    faults, few = [], []
    for index, (name, count) in enumerate(zip(labels, counts, strict=True)):
        if count == 0:
            text = f"no training example has the label {name}{left_out}."
            faults.append(Fault("DATA-032", scan.table.origin, text, "Give each class a few rows."))
        elif count < LEAST:
            text = f'label "{name}" has 1 training example; each class needs {LEAST} or more{left_out}.'
            hint = f"{_meant(name, labels, counts)} Add rows, or remove the class.".strip()
            faults.append(Fault("DATA-034", place_of_label(scan, index), text, hint))
        elif count < FEW:
            few.append(index)
    if not few:
        return faults, []
    named = shortlist([f"{labels[index]} ({counts[index]})" for index in few], MOST_NAMED)
    text = f"{len(few)} of {len(labels)} labels have fewer than {FEW} training examples: {named}."
    guess = " ".join(dict.fromkeys(filter(None, (_meant(labels[index], labels, counts) for index in few))))
    hint = f"{guess} Add rows; so few teach little.".strip()
    return faults, [Fault("DATA-104", place_of_label(scan, few[0]), text, hint)]


def place_of_label(scan: Scan, index: int) -> str:
    """Return `file:line` of the first row with a label."""
    rows = np.flatnonzero(scan.labels == index)
    return scan.table.place(int(rows[0])) if len(rows) else scan.table.origin


def label_warnings(
    scans: Mapping[str, Scan], kept: Mapping[str, NDArray[np.int64]], labels: Sequence[str], class_weights: str
) -> list[Fault]:
    """Return warnings on imbalance, on labels that validation or test lacks, and on those that look like nothing."""
    found = _imbalance(scans["train"], kept["train"], labels, class_weights)
    for name in ("validation", "test"):
        if name in scans and len(scans[name].rows):
            absent = [label for label, count in zip(labels, scans[name].counts(len(labels)), strict=True) if not count]
            if absent:
                text = f"{name} has no row with the label {shortlist(absent, MOST_NAMED)}: nothing is measured on it."
                found.append(Fault("DATA-106", scans[name].table.origin, text, "Add rows of every label."))
    return found + _missing_values(scans["train"], labels)


def text_warnings(scan: Scan) -> list[Fault]:
    """Return warnings on texts that are HTML, one character, very long, or all the same."""
    found = [
        *_odd(
            scan, ABSENT, "DATA-116", "say nan, null or the like, as programs write where nothing stands",
            "Leave these rows out, unless it is a text.",
        ),
        *_odd(scan, HTML, "DATA-108", "hold HTML tags", "Strip the tags, unless the texts to classify have them too."),
        *_odd(scan, SHORT, "DATA-109", "are one character long", "Is this the right column? See --text-column."),
        *_odd(
            scan, LONG, "DATA-110", f"are longer than {LONG_TEXT:,} characters",
            "A model reads the first few hundred words and no more (data.max_length): split or cut them yourself.",
        ),
    ]  # fmt: skip
    rows = scan.rows
    if len(rows) > 1 and len(np.unique(scan.normal[rows])) == 1:
        text = f"all {len(rows):,} texts of {scan.name} are the same."
        found.append(Fault("DATA-111", scan.table.origin, text, "Is this the right column? See --text-column."))
    return found


def _odd(scan: Scan, flag: int, code: str, what: str, hint: str) -> list[Fault]:
    rows = np.flatnonzero(scan.oddities & flag)
    if not len(rows):
        return []
    places = [scan.table.place(int(row)) for row in rows[:MOST_PLACES]]
    more = f" and {len(rows) - MOST_PLACES:,} more" if len(rows) > MOST_PLACES else ""
    shown = ", ".join(beside(place, places[0]) for place in places)
    text = f"{scan.name} texts that {what}: {len(rows):,} ({shown}{more})."
    return [Fault(code, places[0], text, hint)]


def _imbalance(scan: Scan, kept: NDArray[np.int64], labels: Sequence[str], class_weights: str) -> list[Fault]:
    counts = scan.counts(len(labels), kept)
    largest, smallest = counts.index(max(counts)), counts.index(min(counts))
    if not counts[smallest] or counts[largest] / counts[smallest] <= IMBALANCE:
        return []
    ratio = counts[largest] / counts[smallest]
    text = (
        f"the label {labels[largest]} ({counts[largest]:,}) is {ratio:.1f} times as frequent in training as "
        f"{labels[smallest]} ({counts[smallest]:,})."
    )
    hint = "Look at macro F1 beside the accuracy."
    if class_weights == "none":
        hint += " training.class_weights=auto gives each label the same say in training."
    return [Fault("DATA-105", scan.table.origin, text, hint)]


def _missing_values(scan: Scan, labels: Sequence[str]) -> list[Fault]:
    counts = scan.counts(len(labels))
    found = [index for index, name in enumerate(labels) if name.casefold() in MISSING and counts[index]]
    if not found:
        return []
    named = shortlist([f'"{labels[index]}" ({counts[index]:,})' for index in found], MOST_NAMED)
    text = f"labels that programs write where nothing stands: {named}. Each is a class of its own here."
    hint = "Leave the rows out or label them, unless it is a class."
    return [Fault("DATA-116", place_of_label(scan, found[0]), text, hint)]


def _meant(name: str, labels: Sequence[str], counts: Sequence[int]) -> str:
    """Guess that a rare label is a misspelling of a frequent one; "negative" and "positive" are not that close."""
    frequent = [other for other, count in zip(labels, counts, strict=True) if count >= FEW and other != name]
    if len(name) < 4:
        return ""
    close = get_close_matches(name.casefold(), [other.casefold() for other in frequent], n=1, cutoff=0.85)
    return next((f'Did you mean "{other}"?' for other in frequent if close and other.casefold() == close[0]), "")
