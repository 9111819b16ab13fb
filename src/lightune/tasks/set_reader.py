"""Cells with several labels to one 0 or 1 for each label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lightune.faults import Fault, Missing
from lightune.tasks.columns import Beside
from lightune.tasks.joined_labels import mark_in
from lightune.tasks.label_cautions import shortened
from lightune.tasks.label_reader import LabelReader
from lightune.tasks.label_sets import FLAGS, flags_of, is_flag, item_fault, kind_of, split_cell
from lightune.tasks.targets import WRONG_MARK
from lightune.values.label_text import number
from lightune.values.missing import is_missing


class SetReader:
    """Turns a cell into an array of one 0 or 1 for each label, or into the fault that says why it is none.

    A cell is a list of labels or of 0 and 1, a text with labels between separators, or the cells of one column for
    each label. An empty text is a text without labels, and so is what pandas reads from one, NaN; None is a fault,
    because an empty list can be written.
    """

    def __init__(
        self, labels: Sequence[str], separator: str, place_of: LabelReader, class_names: Sequence[str] = ()
    ) -> None:
        self._labels, self._separator, self._place_of, self._class_names = labels, separator, place_of, class_names
        self._known = frozenset(labels)
        # Whether numbers can be labels themselves, rather than one 0 or 1 for each label.
        self._has_numbers = any(number(name) is not None or name.casefold() in FLAGS for name in labels)

    def __call__(self, value: Any) -> Any:
        """Return the array, or what is wrong with the cell."""
        if isinstance(value, Beside):
            return flags_of(value, self._labels)
        if value is None:
            hint = "Write an empty list where no label applies, or pass --set data.on_missing=drop."
            return Missing("DATA-013", "", "labels are missing", hint)
        items = [] if is_missing(value) else split_cell(value, self._separator, self._known)
        if items is None:
            return Fault("DATA-013", "", f"the cell holds {kind_of(value)}, not labels", "Give them as a list.")
        if self._is_vector(items):
            return flags_of(items, self._labels)
        found = np.zeros(len(self._labels), np.uint8)
        for item in items:
            wrong = item_fault(item)
            if wrong:
                return Fault("DATA-013", "", f"the cell holds {wrong}", "Each label is a word or a whole number.")
            place = self._place_of(item)
            if isinstance(place, Fault):
                return self._wrongly_joined(item) or place
            found[place] = 1
        return found

    def _wrongly_joined(self, item: Any) -> Fault | None:
        """Return the fault of labels with another mark between them than in training."""
        mark = mark_in(item, self._known) if isinstance(item, str) else ""
        if not mark:
            return None
        text = f'labels are joined by "{mark}" ("{shortened(item)}"), and by "{self._separator}" in training'
        return Fault(
            WRONG_MARK, "", text, f'Write "{self._separator}" between them, or pass --label-separator "{mark}".'
        )

    def _is_vector(self, items: Sequence[Any]) -> bool:
        """Say whether a list is one 0 or 1 for each label, rather than a list of labels or of their numbers."""
        if self._has_numbers or not items:
            return False
        if self._class_names:
            return len(items) == len(self._labels) > 2 and all(map(is_flag, items))
        return all(number(item) is not None or is_flag(item) for item in items)
