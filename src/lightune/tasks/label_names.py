"""The names of the labels of a column, and columns whose values cannot be labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, time
from decimal import Decimal
from typing import Any

import numpy as np

from lightune.errors import DataError, shortlist
from lightune.faults import data_error
from lightune.tasks.columns import LabelColumn
from lightune.tasks.joined_labels import AS_CLASSES, joining_mark
from lightune.tasks.label_warnings import merged
from lightune.values.label_text import label_text, number, only_item
from lightune.values.missing import is_missing
from lightune.values.numerals import AMOUNT, WHOLE

MOST_SHOWN = 12
MAX_CLASSES = 1000
# More different whole numbers than this, without names, are read as a quantity and not as classes.
MOST_NUMBERS = 20
LEAST_NUMBERS_SHARE = 0.9
# A column of a million ids need not be counted to the end to know that it does not hold labels.
MOST_COUNTED = 100_000
SUPPORTED = "A label is a word, a whole number, or true/false."
KINDS = (str, int, float, Decimal, date, time, np.generic, type(None))


def names_in_column(column: LabelColumn, kind: str = "auto", merges_alike: bool = False) -> list[str]:
    """Return the label names in order: the file's own class names, else the values, numbers by size.

    With `merges_alike` names that look alike are one, the commonest of them.

    DataError for what is not classification: lists, fractions, a single value, nearly as many values as rows, many
    different whole numbers. With `kind` "class" numbers of any sort are classes.
    """
    if column.class_names:
        first = next((value for value in column.values if value is not None), None)
        if isinstance(first, list | tuple | dict):
            raise _refused(column, first)
        return list(merged(dict.fromkeys(column.class_names, 0), kind) if merges_alike else column.class_names)
    names = Counter[str]()
    for (_, value), count in _distinct(column).items():
        names[label_text(value)] += count
    names = Counter(merged(names, kind)) if merges_alike else names
    _refuse_fractions(column, names, kind)
    _refuse_amounts(column, names, kind)
    _refuse_number_of_labels(column, names)
    _refuse_quantity(column, names, kind)
    return in_order(names)


def _distinct(column: LabelColumn) -> Counter[tuple[type, Any]]:
    """Count the values that are not missing, by type and value: 1 and True differ; not to the end if they are many."""
    counts = Counter[tuple[type, Any]]()
    first = next((value for value in column.values if not is_missing(value)), None)
    holds_items = only_item(first) is not first
    for cell in column.values:
        value = only_item(cell) if holds_items else cell
        if isinstance(value, list | tuple | dict):
            raise _refused(column, value)
        if not isinstance(value, KINDS):  # its str() is a label that nobody wrote: b'pos'
            text = f"column {column.name} holds {type(value).__name__}, which is not a label."
            raise data_error("DATA-021", column.origin, text, SUPPORTED)
        key = (value.__class__, value)
        if key in counts or (len(counts) < MOST_COUNTED and not is_missing(value)):
            counts[key] += 1
    return counts


def _refused(column: LabelColumn, value: Any) -> DataError:
    """Return the error of a column of lists or objects, or of several columns."""
    if isinstance(value, dict):
        return data_error("DATA-021", column.origin, f"{column.named} holds objects, not labels.", SUPPORTED)
    text = f"{column.named} {'are one target together, not one label' if column.parts else 'holds lists'}."
    hint = f"For several labels a text: --task multi_label. {SUPPORTED}"
    return data_error("DATA-021", column.origin, text, hint)


def _refuse_fractions(column: LabelColumn, names: Counter[str], kind: str) -> None:
    numbers = [number(name) for name in names]
    if kind == "class" or None in numbers or all(number.is_integer() for number in numbers if number is not None):
        return
    text = f"column {column.name} holds fractions, which are no classes."
    hint = f"To predict the number: --task regression. If each value is a class, {AS_CLASSES}."
    raise data_error("DATA-020", column.origin, text, hint)


def _refuse_amounts(column: LabelColumn, names: Counter[str], kind: str) -> None:
    amounts = [name for name in names if AMOUNT.fullmatch(name) and number(name) is None]
    if kind == "class" or len(amounts) <= MOST_NUMBERS or len(amounts) < LEAST_NUMBERS_SHARE * len(names):
        return
    text = f'column {column.name} holds numbers with a unit or separators ("{amounts[0]}").'
    hint = f"To predict the number, write it alone: --task regression. If each is a class, {AS_CLASSES}."
    raise data_error("DATA-035", column.origin, text, hint)


def _refuse_number_of_labels(column: LabelColumn, counts: Counter[str]) -> None:
    rows = column.rows if len(counts) >= MOST_COUNTED else counts.total()
    if len(counts) < 2:
        there = f' ("{next(iter(counts))}")' if counts else ""
        text = (
            f"column {column.name} holds {len(counts)} label{'s' * (len(counts) != 1)}{there}; two or more are needed."
        )
        hint = "Give rows of another label, or name the right column: --label-column."
        raise data_error("DATA-022", column.origin, text, hint)
    if len(counts) > min(MAX_CLASSES, rows // 2 + 1):
        most = "or more " if len(counts) >= MOST_COUNTED else ""
        text = f"column {column.name} holds {len(counts)} {most}different labels in {rows} rows."
        mark = joining_mark(counts)
        several = f'Several labels joined by "{mark}": --task multi_label. ' if mark else ""
        hint = (
            f"{several}{'Else it' if mark else 'It'} looks like texts or ids: name the right column by --label-column."
        )
        raise data_error("DATA-023", column.origin, text, hint)


def _refuse_quantity(column: LabelColumn, names: Counter[str], kind: str) -> None:
    numbers = [name for name in names if WHOLE.fullmatch(name)]
    if kind == "class" or len(numbers) <= MOST_NUMBERS or len(numbers) < LEAST_NUMBERS_SHARE * len(names):
        return
    text = f"column {column.name} holds {len(numbers)} different whole numbers, no names: it looks like a quantity."
    hint = f"To predict the number: --task regression. If each number is a class, {AS_CLASSES}."
    raise data_error("DATA-035", column.origin, text, hint)


def in_order(names: Iterable[str]) -> list[str]:
    """Return names in order: numbers by size, then words."""
    return sorted(names, key=_number_or_word)


def _number_or_word(name: str) -> tuple[int, float, str]:
    found = number(name)
    return (1, 0.0, name) if found is None else (0, found, name)


def names_in_file(labels: Sequence[str], column: LabelColumn) -> list[str]:
    """Return the file's name for each of the model's labels, in the model's order.

    Labels are matched by name, whatever their case; LABEL_0, LABEL_1, ... also by the number in the file. A label of
    the model that the file does not use keeps its own name. Raises DataError when no label matches.
    """
    found = _labels_of(column)
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
        names = column.class_names
        if len(names) == len(labels):
            return list(names)
        # Without a 0 the file may as well count from 1, which would be one class off.
        if "0" in found and all(name.isdecimal() for name in found):
            return [label.removeprefix("LABEL_") for label in labels]
    theirs, ours = _shown(found), _shown(labels)
    hint = "Rename the labels of the file, or write their names into id2label in the model's config.json."
    raise DataError("DATA-051", f"{column.origin}: the file's labels ({theirs}) are not the model's ({ours}).", hint)


def _labels_of(column: LabelColumn) -> list[str]:
    """Return the different labels of a file in the order of their first row, or its own list of class names."""
    if column.class_names:
        return list(column.class_names)
    return list(dict.fromkeys(label_text(value) for value in column.values if not is_missing(value)))


def _shown(names: Sequence[str]) -> str:
    return shortlist(names, MOST_SHOWN)
