"""Cells that hold several labels: a list, labels joined by a separator, or one 0 or 1 in each of several columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import islice
from typing import Any

import numpy as np

from lightune.errors import shortlist
from lightune.faults import Fault, Missing, data_error
from lightune.tasks.columns import LabelColumn
from lightune.tasks.joined_labels import AS_CLASSES, joining_mark
from lightune.tasks.label_names import KINDS, MAX_CLASSES, MOST_COUNTED, in_order
from lightune.tasks.label_names import names_in_file as single_names
from lightune.tasks.written_lists import are_lists, is_bracketed, is_list, is_unclosed, written_items
from lightune.values.label_text import class_index, label_text, number, only_item
from lightune.values.missing import is_missing
from lightune.values.numerals import AMOUNT

JOIN = "|"  # between the labels of a cell in the files that lightune writes
# The usual names of a column; Prodigy calls the chosen ones "accept".
USUAL_COLUMNS = ("labels", "tags", "intents", "categories", "topics", "emotions", "accept")
FLAGS = {"0": 0, "1": 1, "false": 0, "true": 1}
MOST_LOOKED_AT = 10_000
MOST_NAMED, LONGEST = 5, 40
LEAST_SHARE, LEAST_LISTS = 0.9, 0.1
# 1/2 or 24/12/2026 10:00
SLASHED = re.compile(r"[0-9]+(?:/[0-9]+){0,2}(?:[ T][0-9:.]+)?")
SHAPES = LISTS, VECTORS, COLUMNS = "lists", "vectors", "columns"
VALID = "Valid: a list of labels, labels joined by a separator (--label-separator), or a column of 0 and 1 for each."


def form_of(column: LabelColumn, separator: str | None, is_named: bool = False) -> str:
    """Return how cells hold several labels: "columns", "lists", "vectors", a separator, or "" where they do not.

    "vectors" are lists of one 0 or 1 for each label. Lists may be written out as text. A separator that is not stated
    stands in a tenth of the rows or more, or in any where the task `is_named`.
    """
    if column.parts:
        return COLUMNS
    values = [value for value in islice(column.values, MOST_LOOKED_AT) if not is_missing(value)]
    texts = [value for value in values if isinstance(value, str)]
    if any(isinstance(value, list | tuple) for value in values) or (texts and are_lists(texts)):
        cells = [split_cell(value, LISTS) for value in values]
        return VECTORS if are_vectors(cells, len(column.class_names)) else LISTS
    if separator is not None:
        return separator
    if len(texts) < len(values):
        return ""
    written = Counter(label_text(value) for value in column.values if isinstance(value, str) and not is_missing(value))
    return joining_mark(written, 0.0) if is_named else joining_mark(written)


def are_vectors(cells: Sequence[Sequence[Any] | None], class_names: int = 0) -> bool:
    """Say whether lists are one 0 or 1 for each label: up to a few, all have one length, two or more, and hold 0 and 1.

    As names 0 and 1 they would all hold the same two. With two class names [0, 1] are the numbers of both.
    """
    width = vector_width(cells)
    if width < 2 or class_names == width == 2:
        return False
    fitting = sum(items is not None and len(items) == width and all(map(is_flag, items)) for items in cells)
    return fitting >= LEAST_SHARE * len(cells)


def vector_width(cells: Iterable[Sequence[Any] | None]) -> int:
    """Return the length that most lists have, 0 where there are none."""
    lengths = Counter(len(items) for items in cells if items is not None)
    return lengths.most_common(1)[0][0] if lengths else 0


def separator_of(form: str) -> str:
    """Return what stands between the labels of a cell that holds text."""
    return JOIN if form in {"", *SHAPES} else form


def claim(column: LabelColumn, separator: str | None) -> str:
    """Return why `task: auto` takes a column for several labels, to follow its name; "" where it does not."""
    form = form_of(column, separator)
    if form == COLUMNS:
        return _told_of_columns(column)
    if form == LISTS:  # a few lists among words are a fault
        values = [value for value in islice(column.values, MOST_LOOKED_AT) if not is_missing(value)]
        if not column.class_names and all(only_item(value) is not value for value in values):
            return ""  # one label each, as annotation tools write it
        lists = sum(not isinstance(value, str) or is_bracketed(value.strip()) for value in values)
        return "holds lists of labels" * (lists >= LEAST_LISTS * len(values))
    if form == VECTORS:
        return "holds lists of 0 and 1, one number for each label"
    if not form or (separator is None and _are_numbers(column, form)):
        return ""
    return f'holds labels joined by "{form}"'


def _told_of_columns(column: LabelColumn) -> str:
    """Return why several columns are one label each: they hold 0 and 1, up to a few cells, or no numbers at all."""
    cells = [cell for value in islice(column.values, MOST_LOOKED_AT) for cell in value if not is_missing(cell)]
    flags, numbers = sum(map(is_flag, cells)), sum(number(cell) is not None for cell in cells)
    labels = f"one column for each of {len(column.parts)} labels"
    if flags >= LEAST_SHARE * len(cells):
        return f"hold 0 or 1, {labels}"
    return f"hold {labels}" if numbers < LEAST_SHARE * len(cells) else ""


def _are_numbers(column: LabelColumn, mark: str) -> bool:
    """Say whether a mark stands in numbers, not between labels: in 3,5 or 1,250 EUR, in 1/2 or 24/12/2026 10:00."""
    if mark not in {",", "/"}:
        return False
    values = [label_text(value) for value in islice(column.values, MOST_LOOKED_AT) if not is_missing(value)]
    pattern = AMOUNT if mark == "," else SLASHED
    return sum(bool(pattern.fullmatch(value)) for value in values) >= LEAST_SHARE * len(values)


def names_of(column: LabelColumn, form: str, kind: str) -> list[str]:
    """Return the labels of a column in order. Raises DataError for a column that cannot hold several labels."""
    if column.parts:
        names = list(column.parts)
    elif form == VECTORS:
        names = _numbered(column)
    else:
        names = _named(column, form, kind)
    _refuse(column, names, form)
    if form not in {"", *SHAPES} and not any(form in value for value in column.values if isinstance(value, str)):
        text = f'no cell of {column.named} holds "{form}", which data.label_separator states.'
        raise data_error("DATA-036", column.origin, text, "State what stands between labels there, or leave it out.")
    return names


def _numbered(column: LabelColumn) -> list[str]:
    """Return the names of labels whose numbers stand in lists: the file's class names, or LABEL_0, LABEL_1, ..."""
    width = vector_width(split_cell(value, LISTS) for value in column.values if not is_missing(value))
    if column.class_names and len(column.class_names) != width:
        text = f"{column.named} holds lists of {width} numbers, and the file names {len(column.class_names)} classes."
        raise data_error("DATA-021", column.origin, text, VALID)
    return list(column.class_names) or [f"LABEL_{place}" for place in range(width)]


def _named(column: LabelColumn, form: str, kind: str) -> list[str]:
    counts, odd = Counter[str](), list[Any]()
    for value in column.values:
        cell = () if is_missing(value) else split_cell(value, form)
        items = [item for item in cell or () if not is_missing(item)]
        names = [_name(item, column.class_names) for item in items if not item_fault(item)]
        odd += [value] * (len(names) < len(items) or cell is None) * (not odd)
        counts.update(names)
        if len(counts) > MOST_COUNTED:
            break
    if odd and not counts:
        hint = f"{VALID} For one label a text: --task classification."
        raise data_error("DATA-021", column.origin, f"{column.named} holds {kind_of(odd[0])}, not labels.", hint)
    fractions = [name for name in counts if (found := number(name)) is not None and not found.is_integer()]
    if fractions and len(fractions) + sum(name.isdecimal() for name in counts) == len(counts) and kind != "class":
        text = f"{column.named} holds numbers with fractions ({fractions[0]}), not labels."
        other = "To predict a number: --task regression; several each need a column (--label-columns)."
        hint = f"{other} If each is a label, {AS_CLASSES}."
        raise data_error("DATA-020", column.origin, text, hint)
    return list(column.class_names) or in_order(counts)


def _refuse(column: LabelColumn, names: Sequence[str], form: str) -> None:
    if not names:
        text = f"{column.named} holds no label in any row."
        raise data_error("DATA-022", column.origin, text, "Name the right column: --label-column.")
    if len(names) < 2:
        text = f'{column.named} holds 1 label ("{names[0]}"); two or more are needed.'
        hint = "Give rows of another label. For one yes or no a text: --task classification."
        raise data_error("DATA-022", column.origin, text, hint)
    if len(names) > MAX_CLASSES:
        text = f"{column.named} holds {len(names):,} different labels; at most {MAX_CLASSES:,} are possible."
        raise data_error("DATA-023", column.origin, text, "It looks like texts or ids. Name the right column.")
    joined = [name for name in names if JOIN in name]
    if joined:
        text = f'there is a "{JOIN}" in {shortlist(joined, MOST_NAMED)}.'
        hint = f'Labels are joined by "{JOIN}" in files of answers: write them without it.'
        if form not in SHAPES:
            hint += f" If it parts labels: --label-separator '{JOIN}'."
        place = column.first_place(lambda value: JOIN in str(value)) if not column.parts else column.origin
        raise data_error("DATA-037", place, text, hint)


def item_fault(item: Any) -> str:
    """Return what is wrong with an item of a list of labels, to follow "holds"; "" for a word or a number."""
    is_fine = isinstance(item, KINDS) and not isinstance(item, list | tuple | dict)
    return "" if is_fine else f"{kind_of(item)} inside a list of labels"


def kind_of(value: Any) -> str:
    """Return what a cell is, for a sentence."""
    if isinstance(value, str):
        return "an object" if value.strip()[:1] == "{" else f"a list that is not closed ({value.strip()[:30]})"
    if isinstance(value, list | tuple):
        return next((item_fault(item) for item in value if item_fault(item)), "a list")
    return "an object" if isinstance(value, dict) else f"a value of type {type(value).__name__}"


def split_cell(value: Any, form: str, known: Container[str] = ()) -> Sequence[Any] | None:
    """Return the items of a cell of one column; None for a cell that cannot hold labels.

    `known` are labels; a text in brackets that is none of them is a list, and a bar joins them as it does in files of
    answers.
    """
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, dict) or not isinstance(value, KINDS):
        return None
    if not isinstance(value, str):
        return (value,)
    text, mark = value.strip(), separator_of(form)
    joined = text.replace(JOIN, mark) if known else text  # no label has a bar in it
    parts = [part for part in map(str.strip, joined.split(mark)) if part]
    if known and all(part in known for part in parts):
        return parts
    is_beside_lists = bool(known) or form in {LISTS, VECTORS}
    if is_list(text) or (is_beside_lists and is_bracketed(text)):
        return written_items(text)
    return None if is_beside_lists and is_unclosed(text) else parts


def _name(item: Any, class_names: Sequence[str]) -> str:
    place = class_index(item, len(class_names))
    return label_text(item) if place is None else class_names[place]


def is_flag(value: Any) -> bool:
    """Say whether a cell holds 0 or 1, or true or false."""
    return isinstance(value, str | int | float | bool | Decimal | np.generic) and label_text(value).lower() in FLAGS


def flags_of(values: Sequence[Any], names: Sequence[str]) -> Any:
    """Return one 0 or 1 for each label from the cells of its column, or the Fault of the first that is neither."""
    if len(values) != len(names):
        text = f"there are {len(values)} numbers for {len(names)} labels ({shortlist(names, MOST_NAMED)})"
        return Fault("DATA-013", "", text, "Give one 0 or 1 for each label, or the names of those that apply.")
    for name, value in zip(names, values, strict=True):
        if is_missing(value):
            hint = "Write 0 where the label does not apply, or pass --set data.on_missing=drop."
            return Missing("DATA-013", "", f"{name} is missing", hint)
        if not is_flag(value):
            text = f'{name} is "{label_text(value)[:LONGEST]}", neither 0 nor 1'
            return Fault("DATA-013", "", text, "Write 1 where the label applies, and 0 where it does not.")
    return np.array([FLAGS[label_text(value).lower()] for value in values], np.uint8)


def names_in_file(labels: Sequence[str], column: LabelColumn, form: str) -> list[str]:
    """Return the file's name for each of a model's labels, as label_names.names_in_file does for single labels."""
    if form == VECTORS:  # 0 and 1 are no names
        return list(column.class_names if len(column.class_names) == len(labels) else labels)
    items = column.parts or [item for value in column.values for item in split_cell(value, form) or ()]
    return single_names(labels, replace(column, values=items, rows=len(items), parts=()))
