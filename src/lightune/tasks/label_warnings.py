"""What looks wrong with labels: near-alike, rare or absent ones, imbalance, words for a missing value."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from lightune.errors import shortlist
from lightune.faults import Fault
from lightune.tasks.columns import SplitTargets, Wishes
from lightune.tasks.joined_labels import AS_CLASSES, mark_in
from lightune.values.lookalikes import alike_key, described, plain_key
from lightune.values.missing import MISSING

ONE_NUMBER = "are the same number"
LEAST = 2  # one row to train on and one to validate on
FEW = 8
IMBALANCE = 3.0
MOST_NAMED = 5


def alike_labels(split: SplitTargets, labels: Sequence[str], kind: str) -> list[Fault]:
    """Return a fault for labels that look the same or differ by case, spaces or quotes: they are meant to be one.

    With `kind` "class", labels that are the same number, 007 and 7, are two classes.
    """
    counts, found = split.counts(len(labels)), []
    for group in alike_groups(labels):
        common, *others = sorted(group, key=lambda index: -counts[index])
        text = alike_text([labels[index] for index in (common, *others)], kind)
        if text:
            differ = f" If they differ, {AS_CLASSES}." * (ONE_NUMBER in text)
            hint = f'Write "{labels[common]}" everywhere, or pass --set data.on_alike_label=merge.{differ}'
            found.append(Fault("DATA-033", split.place_of(others[0]), text, hint))
    return found + _mixed_truths(split, labels)


def merged(counts: Mapping[str, int], kind: str) -> dict[str, int]:
    """Return labels with their counts, those that look alike as the commonest of them."""
    names, found = sorted(counts), dict(counts)
    for group in alike_groups(names):
        common, *others = sorted((names[place] for place in group), key=lambda name: -counts[name])
        if alike_text([common, *others], kind):
            found[common] += sum(found.pop(name) for name in others)
    return found


def alike_groups(labels: Sequence[str]) -> list[list[int]]:
    """Return the places of labels that look the same, or are the same number, two or more together."""
    groups = defaultdict(list)
    for index, name in enumerate(labels):
        groups[alike_key(name)].append(index)
    return [group for group in groups.values() if len(group) > 1]


def alike_text(names: Sequence[str], kind: str) -> str:
    """Return how labels are alike, as a sentence; "" where they are the same number and `kind` "class" allows it."""
    how = _alikeness(names)
    return "" if how == ONE_NUMBER and kind == "class" else f"the labels {described(names)} {how}."


def _mixed_truths(split: SplitTargets, labels: Sequence[str]) -> list[Fault]:
    """true and false beside 1 and 0 are two classes, not four."""
    truths = {name.casefold(): name for name in labels}
    if not {"true", "false", "0", "1"} <= set(truths):
        return []
    text = f"the labels {truths['true']} and {truths['false']} occur beside 1 and 0, which mean the same."
    return [Fault("DATA-033", split.place_of(labels.index("1")), text, "Write them in one way.")]


def _alikeness(names: Sequence[str]) -> str:
    if len(set(map(plain_key, names))) == 1:
        return "differ only by case, spaces or quotes"
    return ONE_NUMBER if all(name.isascii() for name in names) else "look the same"


def rare_labels(split: SplitTargets, labels: Sequence[str], wishes: Wishes) -> tuple[list[Fault], list[Fault]]:
    """Return (faults: labels with fewer than two training rows; warnings: those with fewer than eight)."""
    left_out = " once duplicates are left out" if len(split.kept) < len(split.usable) else ""
    leave_out = "" if wishes.drops_rare else ", or leave such labels out: --set data.on_rare_label=drop"
    counts = split.counts(len(labels), split.kept)
    faults, few = [], []
    for index, (name, count) in enumerate(zip(labels, counts, strict=True)):
        if count == 0:
            text = f"no training example has the label {name}{left_out}."
            faults.append(Fault("DATA-032", split.origin, text, "Give each class a few rows."))
        elif count < LEAST:
            text = f'label "{name}" has 1 training example; each class needs {LEAST} or more{left_out}.'
            several = "Several labels a text: --task multi_label." * bool(mark_in(name, labels))
            hint = f"{_meant(name, labels, counts) or several} Add rows{leave_out}.".strip()
            faults.append(Fault("DATA-034", split.place_of(index), text, hint))
        elif count < FEW:
            few.append(index)
    if not few:
        return faults, []
    named = shortlist([f"{labels[index]} ({counts[index]})" for index in few], MOST_NAMED)
    text = f"{len(few)} of {len(labels)} labels have fewer than {FEW} training examples: {named}."
    guess = " ".join(dict.fromkeys(filter(None, (_meant(labels[index], labels, counts) for index in few))))
    hint = f"{guess} Add rows; a model learns little from so few.".strip()
    return faults, [Fault("DATA-104", split.place_of(few[0]), text, hint)]


def label_warnings(splits: Mapping[str, SplitTargets], labels: Sequence[str], class_weights: str) -> list[Fault]:
    """Return warnings on imbalance, on labels that validation or test lacks, and on names of missing values."""
    train = splits["train"]
    found = _imbalance(train, labels, class_weights)
    for name in ("validation", "test"):
        if name in splits and len(splits[name].usable):
            counts = splits[name].counts(len(labels))
            absent = [label for label, count in zip(labels, counts, strict=True) if not count]
            if absent:
                text = f"{name} has no row with the label {shortlist(absent, MOST_NAMED)}: nothing is measured on it."
                found.append(Fault("DATA-106", splits[name].origin, text, "Add rows of every label."))
    return found + _missing_values(train, labels)


def _imbalance(split: SplitTargets, labels: Sequence[str], class_weights: str) -> list[Fault]:
    counts = split.counts(len(labels), split.kept)
    largest, smallest = counts.index(max(counts)), counts.index(min(counts))
    if not counts[smallest] or counts[largest] / counts[smallest] <= IMBALANCE:
        return []
    ratio = counts[largest] / counts[smallest]
    text = (
        f"the label {labels[largest]} ({counts[largest]:,}) is {ratio:.1f} times as frequent in training as "
        f"{labels[smallest]} ({counts[smallest]:,})."
    )
    hint = "Look at macro F1 as well as accuracy."
    if class_weights == "none":
        hint += " --set training.class_weights=auto gives each label the same weight in training."
    return [Fault("DATA-105", split.origin, text, hint)]


def _missing_values(split: SplitTargets, labels: Sequence[str]) -> list[Fault]:
    counts = split.counts(len(labels))
    found = [index for index, name in enumerate(labels) if name.casefold() in MISSING and counts[index]]
    if not found:
        return []
    named = shortlist([f'"{labels[index]}" ({counts[index]:,})' for index in found], MOST_NAMED)
    text = f"labels that programs write for a missing value: {named}. Each is a class of its own here."
    hint = "To leave the rows out: --set data.on_missing=drop_words; or label them, unless this is a class."
    return [Fault("DATA-116", split.place_of(found[0]), text, hint)]


def _meant(name: str, labels: Sequence[str], counts: Sequence[int]) -> str:
    """Guess that a rare label is a misspelling of a frequent one; "negative" and "positive" are not that close."""
    frequent = [other for other, count in zip(labels, counts, strict=True) if count >= FEW and other != name]
    if len(name) < 4:
        return ""
    close = get_close_matches(name.casefold(), [other.casefold() for other in frequent], n=1, cutoff=0.85)
    return next((f'Did you mean "{other}"?' for other in frequent if close and other.casefold() == close[0]), "")
