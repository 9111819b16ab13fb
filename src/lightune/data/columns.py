"""Which column is the text, which the label, and what the labels are called."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from lightune.data.faults import data_error
from lightune.data.separated import wrong_separator
from lightune.data.tables import Table
from lightune.errors import DataError, did_you_mean

TEXT_NAMES = ("text", "sentence", "review", "content", "comment", "body", "message", "document", "question", "title")
LABEL_NAMES = ("label", "labels", "sentiment", "class", "category", "target", "intent", "rating")
MAX_CLASSES = 1000
# A column of a million ids need not be counted to the end to know that it holds no labels.
MOST_COUNTED = 100_000
CHUNK = 4096
SUPPORTED = "Each row has one text (or a pair) and one label: a word, a whole number, or true/false."


def text_columns(table: Table, wanted: str | tuple[str, str] | None) -> tuple[list[str], bool]:
    """Return (the text column or pair, whether it was guessed); DataError when there is none."""
    if wanted is not None:
        names = [wanted] if isinstance(wanted, str) else list(wanted)
        return [_without_lists(table, _existing(table, name, "text")) for name in names], False
    by_lower = {name.lower(): name for name in _named(table)}
    for name in TEXT_NAMES:
        if name in by_lower:
            return [_without_lists(table, by_lower[name])], True
    heads = {name: table.columns[name][:50] for name in _named(table)}
    strings = {name: head for name, head in heads.items() if all(isinstance(value, str) for value in head)}
    widths = {name: sum(map(len, head)) for name, head in strings.items() if name.lower() not in LABEL_NAMES}
    if not widths:
        raise _no_column(table, "text")
    return [max(widths, key=lambda name: widths[name])], True


def guess_note(texts: Sequence[str], label: str, guessed: tuple[bool, bool]) -> str:
    """Return a note on which columns (text, label) were guessed, or nothing when both were stated."""
    named = (f"text = {' + '.join(texts)}", f"label = {label}")
    taken = ", ".join(name for name, is_guess in zip(named, guessed, strict=True) if is_guess)
    return f"Columns taken by name: {taken}." if taken else ""


def label_column(table: Table, wanted: str | None, texts: Sequence[str]) -> tuple[str, bool]:
    """Return (the label column, whether it was guessed); DataError when there is none."""
    if wanted is not None:
        if wanted in texts:
            text = f"column {wanted} cannot be both the text and the label."
            raise data_error("DATA-026", table.origin, text, f"Columns: {', '.join(table.columns)}.")
        return _existing(table, wanted, "label"), False
    named = label_by_name(_named(table), texts)
    if named is not None:
        return named, True
    others = [name for name in _named(table) if name not in texts]
    if len(others) != 1:
        raise _no_column(table, "label")
    return others[0], True


def label_by_name(names: Iterable[str], texts: Sequence[str]) -> str | None:
    """Return which of the columns, those of the text left out, is called as labels usually are, or None."""
    by_lower = {name.lower(): name for name in names if name not in texts}
    return next((by_lower[name] for name in LABEL_NAMES if name in by_lower), None)


def label_names(table: Table, column: str) -> list[str]:
    """Return the label names in order: the file's own class names, else the values, numbers by size."""
    if column in table.class_names:
        return list(table.class_names[column])
    counts = _distinct(table, column)
    numbers = [_number(value) for _, value in counts]
    if None not in numbers and any(not number.is_integer() for number in numbers if number is not None):
        text = f"column {column} holds fractions; regression is not supported."
        hint = "Labels are classes: words, whole numbers or true/false. Put a letter before codes such as 12.5."
        raise data_error("DATA-020", table.origin, text, hint)
    names = Counter[str]()
    for (_, value), count in counts.items():
        names[label_text(value)] += count
    _refuse_number_of_labels(table, column, names)
    return sorted(names, key=_number_or_word)


def _distinct(table: Table, column: str) -> Counter[tuple[type, Any]]:
    """Count the values that are there, by type and value: 1 and True are not one; not to the end if they are many."""
    counts = Counter[tuple[type, Any]]()
    for value in cells(table, column):
        if isinstance(value, list | tuple | dict):
            text = f"column {column} holds lists; multi-label and token tasks are not supported."
            raise data_error("DATA-021", table.origin, text, SUPPORTED)
        key = (value.__class__, value)
        if key in counts or (len(counts) < MOST_COUNTED and not is_missing(value)):
            counts[key] += 1
    return counts


def _refuse_number_of_labels(table: Table, column: str, counts: Counter[str]) -> None:
    rows = len(table) if len(counts) == MOST_COUNTED else counts.total()
    if len(counts) < 2:
        there = f' ("{next(iter(counts))}")' if counts else ""
        text = f"column {column} holds {len(counts)} label{there}; two or more are needed."
        hint = "Give rows of another label, or name the right column: --label-column."
        raise data_error("DATA-022", table.origin, text, hint)
    if len(counts) > min(MAX_CLASSES, rows // 2 + 1):
        most = "or more " if len(counts) == MOST_COUNTED else ""
        text = f"column {column} holds {len(counts)} {most}different labels in {rows} rows."
        hint = "It looks like texts or ids. Name the right column with --label-column."
        raise data_error("DATA-023", table.origin, text, hint)


def cells(table: Table, column: str) -> Iterator[Any]:
    """Yield the values of a column, a chunk at a time: it may lie on disk."""
    values = table.columns[column]
    for start in range(0, len(table), CHUNK):
        yield from values[start : start + CHUNK]


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
    return [name for name in table.columns if name not in used and _is_grouping(table, name, most)]


def _is_grouping(table: Table, name: str, most: int) -> bool:
    counts = Counter[str]()
    values = cells(table, name)
    while chunk := list(islice(values, CHUNK)):
        if not all(isinstance(value, str) for value in chunk):
            return False
        counts.update(chunk)
        if len(counts) > most or "" in counts:
            return False
    return len(counts) >= 2 and min(counts.values()) >= 5 and all(map(is_writable, [name, *counts]))


def _existing(table: Table, name: str, kind: str) -> str:
    if name in table.columns and is_writable(name):
        return name
    hint = f"{did_you_mean(name, table.columns)} Columns: {', '.join(table.columns)}.".strip()
    raise data_error("DATA-024", table.origin, f'there is no {kind} column "{name}".', hint)


def _named(table: Table) -> list[str]:
    """Return the columns whose names can be written down again."""
    return [name for name in table.columns if is_writable(name)]


def _without_lists(table: Table, name: str) -> str:
    if any(isinstance(value, list | tuple | dict) for value in table.columns[name][:50]):
        text = f"column {name} holds lists; token tasks (a label for each word) are not supported."
        raise data_error("DATA-027", table.origin, text, SUPPORTED)
    return name


def _no_column(table: Table, kind: str) -> DataError:
    return data_error(
        "DATA-025", table.origin, f"which column is the {kind} cannot be told from the names.",
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
