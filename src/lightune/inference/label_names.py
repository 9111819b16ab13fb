"""What a file calls the labels of a model that was trained elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lightune.data.cells import is_missing
from lightune.data.labels import label_text
from lightune.data.tables import Table
from lightune.errors import DataError, shortlist

MOST_SHOWN = 12


def names_in_file(labels: Sequence[str], table: Table, column: str) -> list[str]:
    """Return the file's name for each of the model's labels, in the model's order.

    Labels are matched by name, whatever their case; LABEL_0, LABEL_1, ... also by the number in the file. A label of
    the model that the file does not use keeps its own name. Raises DataError when no label is known.
    """
    found = _labels_of(table, column)
    by_name = {label.casefold(): index for index, label in reversed(list(enumerate(labels)))}
    by_name |= {label: index for index, label in enumerate(labels)}  # the exact spelling wins
    matched: dict[int, str] = {}
    for name in sorted(found, key=lambda name: name not in labels):
        index = by_name.get(name, by_name.get(name.casefold()))
        if index is not None:
            matched.setdefault(index, name)
    if matched:
        return [matched.get(index, label) for index, label in enumerate(labels)]
    if all(re.fullmatch(r"LABEL_\d+", label) for label in labels):
        names = table.class_names.get(column, [])
        if len(names) == len(labels):
            return list(names)
        # Without a 0 the file may as well count from 1, which would be one class off.
        if "0" in found and all(name.isdecimal() for name in found):
            return [label.removeprefix("LABEL_") for label in labels]
    theirs, ours = _shown(found), _shown(labels)
    hint = "Rename the labels of the file, or write their names into id2label in the model's config.json."
    raise DataError("DATA-051", f"{table.origin}: the file's labels ({theirs}) are not the model's ({ours}).", hint)


def _labels_of(table: Table, column: str) -> list[str]:
    """Return the different labels of a file in the order of their first row, or its own list of class names."""
    if table.class_names.get(column):
        return list(table.class_names[column])
    return list(dict.fromkeys(label_text(value) for value in table.columns[column] if not is_missing(value)))


def _shown(names: Sequence[str]) -> str:
    return shortlist(names, MOST_SHOWN)
