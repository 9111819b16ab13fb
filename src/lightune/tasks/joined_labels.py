"""Labels that look like several in one cell: `food|price`, `food;price`, `['food', 'price']`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Mapping, Sequence

from lightune.errors import shortlist
from lightune.faults import Fault
from lightune.tasks.columns import SplitTargets

AS_CLASSES = "pass --label-kind class (data.label_kind)"
MARKS = "|;,/+&#"
# A single label with another of these marks in it may be a name; one with a bar hardly ever is.
LEAST_JOINED = {"|": 1}
# From this share of the rows on, they are not a few exceptions.
FAULT_SHARE = 0.1
MOST_NAMED = 5
# Brackets around one bare word are a name: (A), [NEG].
LIST = re.compile(r"[\[({][^,;'\"\n]*[,;'\"].*[\])}]")


def joined_labels(split: SplitTargets, labels: Sequence[str], kind: str) -> tuple[list[Fault], list[Fault]]:
    """Return (faults, warnings) for labels that look like several in one.

    It is a fault from a tenth of the rows on, unless `kind` is "class" or the file names its classes.
    """
    faults, warnings = [], []
    is_fault = kind == "auto" and not split.has_class_names
    counts = dict(zip(labels, split.counts(len(labels)), strict=True))
    for mark in ("[]", *MARKS):
        joined = _joined_by(mark, counts)
        if not joined:
            continue
        text = _told(joined, mark, counts)
        place = split.place_of(labels.index(joined[0]))
        if is_fault and _is_usual(joined, counts):
            hint = f"For several labels a text: --task multi_label. If each combination is a class, {AS_CLASSES}."
            faults.append(Fault("DATA-036", place, text, hint))
        else:
            hint = "Each combination counts as a class of its own; --task multi_label reads them as several labels."
            warnings.append(Fault("DATA-107", place, text, hint))
    return faults, warnings


def joining_mark(counts: Mapping[str, int], least: float = FAULT_SHARE) -> str:
    """Return the mark that joins several labels in this share of the rows, or ""; `counts` are rows by label."""
    return next((mark for mark in MARKS if _is_usual(_joined_by(mark, counts), counts, least)), "")


def mark_in(name: str, labels: Container[str]) -> str:
    """Return the mark that joins the labels of which a name is made, or "" for a name that is not made of labels."""
    made_of = (mark for mark in MARKS if mark in name and all(part.strip() in labels for part in name.split(mark)))
    return next(made_of, "")


def _joined_by(mark: str, counts: Mapping[str, int]) -> list[str]:
    """Return the labels that look like several joined by the mark, or none where these are too few to tell."""
    labels = list(counts)
    joined = _lists(labels) if mark == "[]" else _joined(labels, mark)
    known = {name.rstrip(f"{mark} ") for name in labels}
    alone = any(all(part.strip() in known for part in name.rstrip(f"{mark} ").split(mark)) for name in joined)
    return [] if len(joined) < (1 if alone and len(mark) == 1 else LEAST_JOINED.get(mark, 2)) else joined


def _is_usual(joined: Sequence[str], counts: Mapping[str, int], least: float = FAULT_SHARE) -> bool:
    return bool(joined) and sum(counts[name] for name in joined) >= least * sum(counts.values())


def _told(joined: Sequence[str], mark: str, counts: Mapping[str, int]) -> str:
    rows = f"{sum(counts[name] for name in joined):,} of {sum(counts.values()):,} rows"
    subject = f"{len(joined)} labels, in {rows}, look" if len(joined) > 1 else f"1 label, in {rows}, looks"
    said = "written as lists" if mark == "[]" else f'joined by "{mark}"'
    return f"{subject} like several labels in one, {said}: {shortlist(joined, MOST_NAMED)}."


def _lists(labels: Sequence[str]) -> list[str]:
    return [name for name in labels if LIST.fullmatch(name)]


def _joined(labels: Sequence[str], mark: str) -> list[str]:
    """Return the labels whose parts all occur elsewhere, alone or in another label; of `a|b` one part is enough.

    A mark at the end parts nothing: `a;b;`.
    """
    parts = {name: [part.strip() for part in name.rstrip(f"{mark} ").split(mark)] for name in labels}
    known = Counter(part for found in parts.values() for part in set(found))
    enough = any if mark == "|" else all
    return [
        name
        for name, found in parts.items()
        if len(found) > 1 and all(found) and enough(known[part] > 1 for part in found)
    ]
