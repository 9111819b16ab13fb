"""What is wrong or odd with texts that have several labels: near-alike, rare or absent labels, texts without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lightune.errors import shortlist
from lightune.faults import Fault
from lightune.tasks.columns import SplitTargets, Wishes
from lightune.tasks.joined_labels import AS_CLASSES, joining_mark
from lightune.tasks.label_warnings import FEW, MOST_NAMED, alike_groups, alike_text
from lightune.values.missing import MISSING


def label_set_warnings(
    splits: Mapping[str, SplitTargets], labels: Sequence[str], wishes: Wishes
) -> tuple[list[Fault], list[Fault]]:
    """Return (faults, warnings) of the labels of all splits."""
    train = splits["train"]
    faults = [*_joined(train, labels, wishes), *_alike(train, labels, wishes.label_kind)]
    if not train.has_faults and not train.values[train.kept].any():
        text = "no training text has a label."
        faults.append(Fault("DATA-032", train.origin, text, "Give rows with labels."))
    warnings = [*_rare(train, labels), *_everywhere(train, labels), *_missing(train, labels)]
    return faults, warnings + _absent(splits, labels)


def _joined(split: SplitTargets, labels: Sequence[str], wishes: Wishes) -> list[Fault]:
    """A separator that is stated and does not stand in the cells leaves several labels in one."""
    separator = wishes.label_separator
    if separator is None or wishes.label_kind == "class":
        return []
    counts = dict(zip(labels, split.values[split.usable].sum(axis=0, dtype=int).tolist(), strict=True))
    mark = joining_mark(counts)
    if not mark:
        return []
    names = [name for name in labels if mark in name]
    text = f'labels look joined by "{mark}", and data.label_separator is "{separator}": {shortlist(names, MOST_NAMED)}.'
    hint = f"State the one that stands between labels, or none. If each is one label, {AS_CLASSES}."
    place = split.first_of(split.values[split.usable][:, labels.index(names[0])] > 0)
    return [Fault("DATA-036", place, text, hint)]


def _alike(split: SplitTargets, labels: Sequence[str], kind: str) -> list[Fault]:
    counts = split.values[split.usable].sum(axis=0, dtype=int)
    found = []
    for group in alike_groups(labels):
        common, *others = sorted(group, key=lambda place: -counts[place])
        text = alike_text([labels[place] for place in (common, *others)], kind)
        if text:
            place = split.first_of(split.values[split.usable][:, others[0]] > 0)
            found.append(Fault("DATA-033", place, text, f'Write "{labels[common]}" everywhere.'))
    return found


def _rare(split: SplitTargets, labels: Sequence[str]) -> list[Fault]:
    counts = split.values[split.kept].sum(axis=0, dtype=int)
    few = np.flatnonzero(counts < FEW).tolist()
    if not few:
        return []
    named = shortlist([f"{labels[place]} ({counts[place]})" for place in few], MOST_NAMED)
    text = f"{len(few)} of {len(labels)} labels have fewer than {FEW} training examples: {named}."
    place = split.first_of(split.values[split.usable][:, few[0]] > 0)
    return [Fault("DATA-104", place, text, "Add rows; a model learns little from so few.")]


def _everywhere(split: SplitTargets, labels: Sequence[str]) -> list[Fault]:
    """A label of every text says nothing about a text."""
    always = np.flatnonzero(split.values[split.kept].all(axis=0)).tolist()
    if not always or not len(split.kept):
        return []
    text = f"every training text has the label {shortlist([labels[place] for place in always], MOST_NAMED)}."
    return [Fault("DATA-118", split.origin, text, "It can be left out: there is nothing to learn.")]


def _missing(split: SplitTargets, labels: Sequence[str]) -> list[Fault]:
    found = [place for place, name in enumerate(labels) if name.casefold() in MISSING]
    if not found:
        return []
    named = shortlist([f'"{labels[place]}"' for place in found], MOST_NAMED)
    text = f"labels that programs write for a missing value: {named}. Each is a label of its own here."
    place = split.first_of(split.values[split.usable][:, found[0]] > 0)
    return [Fault("DATA-116", place, text, "Leave the cell empty where no label applies.")]


def _absent(splits: Mapping[str, SplitTargets], labels: Sequence[str]) -> list[Fault]:
    found = []
    for name in ("validation", "test"):
        if name in splits and len(splits[name].usable):
            counts = splits[name].values[splits[name].usable].sum(axis=0, dtype=int)
            absent = [label for label, count in zip(labels, counts, strict=True) if not count]
            if absent:
                text = f"{name} has no row with the label {shortlist(absent, MOST_NAMED)}: nothing is measured on it."
                found.append(Fault("DATA-106", splits[name].origin, text, "Add rows of every label."))
    return found
