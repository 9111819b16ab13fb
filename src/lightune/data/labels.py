"""What the labels of a column are called, and columns whose values cannot be labels."""

from __future__ import annotations

import math
from collections import Counter
from datetime import date, time
from decimal import Decimal
from typing import Any

import numpy as np

from lightune.data.cells import cells, is_missing
from lightune.data.numerals import WHOLE, whole
from lightune.data.tables import Table
from lightune.faults import data_error

MAX_CLASSES = 1000
# More different whole numbers than this, without names, are taken for a quantity and not for classes.
MOST_NUMBERS = 20
LEAST_NUMBERS_SHARE = 0.9
# A column of a million ids need not be counted to the end to know that it holds no labels.
MOST_COUNTED = 100_000
SUPPORTED = "Each row has one text (or a pair) and one label: a word, a whole number, or true/false."
AS_CLASSES = "--label-kind class (data.label_kind) takes each as a class"
KINDS = (str, int, float, Decimal, date, time, np.generic, type(None))


def label_text(value: Any) -> str:
    """Return a label as it is shown: words stripped, true for True, and 1 for 1.0, "1.0", 1e+00 or Decimal("1.0")."""
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    text = str(value).strip()
    return whole(text) if text[:1] in "+-0123456789" and WHOLE.fullmatch(text) else text


def class_index(value: Any, names: int) -> int | None:
    """Return the number of a class whose names the file carries, whatever kind of number holds it; else None."""
    if isinstance(value, str | bool | np.bool_):
        return None
    number = _number(value)
    return int(number) if number is not None and number.is_integer() and 0 <= number < names else None


def label_names(table: Table, column: str, kind: str = "auto") -> list[str]:
    """Return the label names in order: the file's own class names, else the values, numbers by size.

    DataError for what is no classification: lists, fractions, a single value, nearly as many values as rows, many
    different whole numbers. With `kind` "class" numbers of any sort are classes.
    """
    if column in table.class_names:
        return list(table.class_names[column])
    names = Counter[str]()
    for (_, value), count in _distinct(table, column).items():
        names[label_text(value)] += count
    _refuse_fractions(table, column, names, kind)
    _refuse_number_of_labels(table, column, names)
    _refuse_quantity(table, column, names, kind)
    return sorted(names, key=_number_or_word)


def _distinct(table: Table, column: str) -> Counter[tuple[type, Any]]:
    """Count the values that are there, by type and value: 1 and True are not one; not to the end if they are many."""
    counts = Counter[tuple[type, Any]]()
    for value in cells(table, column):
        if isinstance(value, list | tuple | dict):
            text = f"column {column} holds lists; multi-label and token tasks are not supported."
            raise data_error("DATA-021", table.origin, text, SUPPORTED)
        if not isinstance(value, KINDS):  # its str() is no label that anybody wrote: b'pos'
            text = f"column {column} holds {type(value).__name__}, which is not a label."
            raise data_error("DATA-021", table.origin, text, SUPPORTED)
        key = (value.__class__, value)
        if key in counts or (len(counts) < MOST_COUNTED and not is_missing(value)):
            counts[key] += 1
    return counts


def _refuse_fractions(table: Table, column: str, names: Counter[str], kind: str) -> None:
    numbers = [_number(name) for name in names]
    if kind == "class" or None in numbers or all(number.is_integer() for number in numbers if number is not None):
        return
    text = f"column {column} holds fractions; regression is not supported."
    hint = f"Labels are classes: words, whole numbers or true/false. If each value is one, {AS_CLASSES}."
    raise data_error("DATA-020", table.origin, text, hint)


def _refuse_number_of_labels(table: Table, column: str, counts: Counter[str]) -> None:
    rows = len(table) if len(counts) >= MOST_COUNTED else counts.total()
    if len(counts) < 2:
        there = f' ("{next(iter(counts))}")' if counts else ""
        text = f"column {column} holds {len(counts)} label{'s' * (len(counts) != 1)}{there}; two or more are needed."
        hint = "Give rows of another label, or name the right column: --label-column."
        raise data_error("DATA-022", table.origin, text, hint)
    if len(counts) > min(MAX_CLASSES, rows // 2 + 1):
        most = "or more " if len(counts) >= MOST_COUNTED else ""
        text = f"column {column} holds {len(counts)} {most}different labels in {rows} rows."
        hint = "It looks like texts or ids. Name the right column with --label-column."
        raise data_error("DATA-023", table.origin, text, hint)


def _refuse_quantity(table: Table, column: str, names: Counter[str], kind: str) -> None:
    numbers = [name for name in names if WHOLE.fullmatch(name)]
    if kind == "class" or len(numbers) <= MOST_NUMBERS or len(numbers) < LEAST_NUMBERS_SHARE * len(names):
        return
    text = f"column {column} holds {len(numbers)} different whole numbers and no names, so it looks like a number."
    hint = f"Regression is not supported. If each number is a class, {AS_CLASSES}."
    raise data_error("DATA-035", table.origin, text, hint)


def _number(value: Any) -> float | None:
    """Return a finite number, or None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _number_or_word(name: str) -> tuple[int, float, str]:
    number = _number(name)
    return (1, 0.0, name) if number is None else (0, number, name)
