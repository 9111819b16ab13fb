"""Which column is the text, which the label, and what the labels are called."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from lightune.data.tables import Table, wrong_separator
from lightune.errors import DataError, did_you_mean

TEXT_NAMES = ("text", "sentence", "review", "content", "comment", "body", "message", "document", "question", "title")
LABEL_NAMES = ("label", "labels", "sentiment", "class", "category", "target", "intent", "rating")
MAX_CLASSES = 1000


def text_columns(table: Table, wanted: str | tuple[str, str] | None) -> tuple[list[str], bool]:
    """Return (the text column or pair, whether it was guessed); DataError when there is none."""
    if wanted is not None:
        names = [wanted] if isinstance(wanted, str) else list(wanted)
        return [_existing(table, name, "text") for name in names], False
    by_lower = {name.lower(): name for name in table.columns}
    for name in TEXT_NAMES:
        if name in by_lower:
            return [by_lower[name]], True
    strings = [name for name, values in table.columns.items() if all(isinstance(value, str) for value in values[:50])]
    widths = {name: sum(len(value) for value in table.columns[name][:50]) for name in strings}
    others = [name for name in widths if name.lower() not in LABEL_NAMES]
    if not others:
        raise _no_column(table, "text")
    return [max(others, key=lambda name: widths[name])], True


def label_column(table: Table, wanted: str | None, texts: Sequence[str]) -> tuple[str, bool]:
    """Return (the label column, whether it was guessed); DataError when there is none."""
    if wanted is not None:
        return _existing(table, wanted, "label"), False
    by_lower = {name.lower(): name for name in table.columns}
    for name in LABEL_NAMES:
        if name in by_lower:
            return by_lower[name], True
    others = [name for name in table.columns if name not in texts]
    if len(others) != 1:
        raise _no_column(table, "label")
    return others[0], True


def label_names(table: Table, column: str) -> list[str]:
    """Return the label names in order: the file's own class names, else the values, numbers by size."""
    if column in table.class_names:
        return list(table.class_names[column])
    values = [value for value in table.columns[column] if not is_missing(value)]
    numbers = [_number(value) for value in values]
    if None not in numbers and any(not float(number).is_integer() for number in numbers if number is not None):
        message = f"{table.origin}: column {column} holds fractions; regression is not supported."
        hint = "Labels are classes: words, whole numbers or true/false. Put a letter before codes such as 12.5."
        raise DataError("DATA-020", message, hint)
    if any(isinstance(value, list | dict) for value in values):
        message = f"{table.origin}: column {column} holds lists; multi-label and token tasks are not supported."
        raise DataError("DATA-021", message, "Each row has one text (or a pair) and one label.")
    names = sorted({label_text(value) for value in values}, key=_number_or_word)
    if len(names) < 2:
        raise DataError(
            "DATA-022", f"{table.origin}: column {column} holds {len(names)} label; two or more are needed."
        )
    if len(names) > min(MAX_CLASSES, len(values) // 2 + 1):
        message = f"{table.origin}: column {column} holds {len(names)} different labels in {len(values)} rows."
        raise DataError("DATA-023", message, "Name the right column with --label-column.")
    return names


def label_text(value: Any) -> str:
    """Return a label as it is shown: 1 for 1.0, true for True, words stripped."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def is_missing(value: Any) -> bool:
    """Say whether a cell holds nothing."""
    return value is None or value != value or not str(value).strip()


def is_writable(text: str) -> bool:
    """Say whether a text can be written as UTF-8 (half a surrogate pair cannot)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def group_columns(table: Table, used: Sequence[str], most: int = 12) -> list[str]:
    """Return the further columns with few, repeated values, for accuracy by group (the reviews' `kind`)."""
    found = []
    for name, values in table.columns.items():
        if name in used or not all(isinstance(value, str) for value in values):
            continue
        counts = Counter(values)
        if 2 <= len(counts) <= most and min(counts.values()) >= 5 and "" not in counts:
            found.append(name)
    return found


def _existing(table: Table, name: str, kind: str) -> str:
    if name in table.columns:
        return name
    hint = f"{did_you_mean(name, table.columns)} Columns: {', '.join(table.columns)}.".strip()
    raise DataError("DATA-024", f'{table.origin}: there is no {kind} column "{name}".', hint)


def _no_column(table: Table, kind: str) -> DataError:
    return DataError(
        "DATA-025", f"{table.origin}: which column is the {kind} cannot be told from the names.",
        wrong_separator(list(table.columns)) or f"Columns: {', '.join(table.columns)}. Name it with --{kind}-column.",
    )  # fmt: skip


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
