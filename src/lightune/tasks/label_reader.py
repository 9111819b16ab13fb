"""Label cells to label numbers, by name or by the file's own class names."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from lightune.errors import did_you_mean, shortlist
from lightune.faults import FIX_OR_DROP, Fault, Missing
from lightune.tasks.targets import FIX_OR_DROP_UNSEEN, UNSEEN
from lightune.values.label_text import class_index, label_text, only_item
from lightune.values.lookalikes import alike_key, spelled_out
from lightune.values.missing import character_fault, is_missing
from lightune.values.numerals import WHOLE

MOST_NAMES = 10
LONGEST_SHOWN = 60
TRUTHS = ("true", "false")


class LabelReader:
    """Turns a label cell into the number of its label, or into the fault that says why it has none.

    `class_names` are the file's own names for class indices. With `merges_alike` an unknown name that looks like a
    label is that label.
    """

    def __init__(self, labels: Sequence[str], class_names: Sequence[str], merges_alike: bool = False) -> None:
        self._labels, self._class_names, self._merges = labels, class_names, merges_alike
        # A model of an older version may know a label as 1.0, which is 1 now.
        self._numbers = {label_text(name): index for index, name in enumerate(labels)}
        self._numbers |= {name: index for index, name in enumerate(labels)}
        self._alike = {alike_key(name): name for name in labels}
        self._known = lru_cache(4096)(self._look_up)  # few values occur in many rows

    def __call__(self, value: Any) -> int | Fault:
        """Return the number of the label in a cell, or what is wrong with it."""
        value = only_item(value)
        if isinstance(value, list | dict):  # in a test file: training would have been refused
            return self._unseen(str(value))
        return self._known(value.__class__, value)

    def _look_up(self, kind: type, value: Any) -> int | Fault:
        if is_missing(value):
            return Missing("DATA-013", "", "label is missing", FIX_OR_DROP)
        named = class_index(value, len(self._class_names))
        name = label_text(value) if named is None else self._class_names[named]
        # True in a csv is true in a jsonl.
        if name not in self._numbers and (self._merges or name.casefold() in TRUTHS):
            name = self._alike.get(alike_key(name), name)
        if name not in self._numbers:
            return self._unseen(name)
        reason = character_fault(name)
        return Fault("DATA-013", "", f"label {reason}", "Fix the row.") if reason else self._numbers[name]

    def _unseen(self, name: str) -> Fault:
        names = self._labels
        known = shortlist(names, MOST_NAMES)
        shown = spelled_out(name if len(name) <= LONGEST_SHOWN else f"{name[:LONGEST_SHOWN]}…")
        remedy = FIX_OR_DROP_UNSEEN
        if name == "-1" and self._class_names:
            remedy = "Published test splits hide their labels as -1: give a labelled file instead."
        text = f'label "{shown}" is not among the training labels ({known}).'
        alike = self._alike.get(alike_key(name))
        guess = "" if WHOLE.fullmatch(name) else did_you_mean(shown, names)  # -1 is close to 1 but means something else
        meant = guess if alike is None else f'Did you mean "{alike}"?'
        return Fault(UNSEEN, "", text, f"{meant} {remedy}".strip())
