"""Cells that hold a number to predict, and columns that hold such numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time
from itertools import islice
from typing import Any

import numpy as np

from lightune.errors import shortlist
from lightune.faults import FIX_OR_DROP, Fault, Missing, data_error
from lightune.tasks.columns import Beside, LabelColumn, Wishes
from lightune.tasks.label_names import MOST_NUMBERS
from lightune.values.label_text import label_text, number
from lightune.values.missing import MISSING, is_missing
from lightune.values.numerals import NUMBER, WHOLE

JOIN = "|"  # between the numbers of a cell in the files that lightune writes
MOST_LOOKED_AT = 100_000
LEAST_SHARE = 0.9
LEAST_REPEATED = 5
LARGEST = 1e30  # the square of an error stays within fp64, and an answer within fp32
LONGEST = 40
MOST_NAMED = 3
KINDS = {"list": "a list", "tuple": "a list", "dict": "an object"}
DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")
SMALL = re.compile(r"[+-]?[0-9]+[eE][+-][0-9]+")  # 1e-05, as programs write it
DATE = re.compile(r"[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}|[0-9]{1,2}:[0-9]{2}")


def claim(column: LabelColumn, wishes: Wishes) -> str:
    """Return why `task: auto` takes a column as numbers, to follow its name; "" where it does not.

    Nine tenths of its values are numbers, and they have fractions, or are more than 20 different ones. Numbers in
    several columns are taken whatever they are.
    """
    if wishes.label_kind == "class" or column.class_names:
        return ""
    written = [label_text(value) for value in _values(column) if not isinstance(value, bool | list | dict)]
    held = [name for name in written if name.lower() not in MISSING]
    distinct = set(held)
    numbers = {name for name in distinct if is_number(name) or DECIMAL_COMMA.fullmatch(name)}
    if not numbers or len(numbers) < LEAST_SHARE * len(distinct):
        return ""
    values = [float(name.replace(",", ".")) for name in numbers]
    fractions = any("," in name for name in numbers) or not all(map(float.is_integer, values))
    is_few = len(numbers) <= MOST_NUMBERS or _count_rows(held, values) or _are_class_numbers(held, values)
    if not fractions and not column.parts and is_few:
        return ""
    what = "numbers" if fractions or column.parts else f"{len(numbers)} different whole numbers"
    return f"hold{'s' * (not column.parts)} {what}, {min(values):g} to {max(values):g}"


def _values(column: LabelColumn) -> list[Any]:
    """Return the cells that hold something, those of several columns one after the other."""
    found = islice(column.values, MOST_LOOKED_AT)
    cells = [cell for value in found for cell in (value if isinstance(value, Beside) else (value,))]
    return [cell for cell in cells if not is_missing(cell)]


def _count_rows(held: Sequence[str], values: Sequence[float]) -> bool:
    """Say whether whole numbers only count the rows: each occurs once, and there are no gaps between them."""
    return len(held) == len(values) == max(values) - min(values) + 1


def _are_class_numbers(held: Sequence[str], values: Sequence[float]) -> bool:
    """Say whether whole numbers may be those of classes: from 0 or 1 on without gaps, each of them in several rows."""
    is_gapless = min(values) in (0, 1) and max(values) - min(values) + 1 == len(values)
    return is_gapless and len(held) >= LEAST_REPEATED * len(values)


def is_number(text: str) -> bool:
    """Say whether a text is a finite number, and no code such as 007 or 2e5."""
    is_written_so = WHOLE.fullmatch(text) or "." in text or SMALL.fullmatch(text)
    return bool(NUMBER.fullmatch(text) and is_written_so) and number(text) is not None


@dataclass(frozen=True)
class NumberReader:
    """Turns a cell into an array of one number for each name, or into the fault that says why it is none."""

    names: tuple[str, ...]

    def __call__(self, value: Any) -> Any:
        """Return the numbers, (outputs,), in fp64, or what is wrong with the cell."""
        parts = value if isinstance(value, Beside) else self._parts(value)
        if len(parts) != len(self.names):
            text = f"there are {len(parts)} numbers, and {len(self.names)} are needed ({', '.join(self.names)})"
            return Fault("DATA-013", "", text, "Fix the row.")
        found = np.empty(len(parts))
        for place, (name, cell) in enumerate(zip(self.names, parts, strict=True)):
            shown, read = name if len(parts) > 1 else "the target", _number(cell)
            if is_missing(cell):
                return Missing("DATA-013", "", f"{shown} is missing", FIX_OR_DROP)
            if isinstance(read, str):
                return Fault("DATA-013", "", f"{shown} {read}", remedy(cell))
            found[place] = read
        return found

    def _parts(self, value: Any) -> Sequence[Any]:
        if len(self.names) == 1:
            return (value,)
        return value if isinstance(value, list | tuple) else str(value).split(JOIN)


def _number(cell: Any) -> float | str:
    """Return a finite number, or what is wrong with the cell."""
    if is_missing(cell):
        return "is missing"
    if isinstance(cell, bool | np.bool_):
        return f"is {label_text(cell)}, not a number"
    if isinstance(cell, list | tuple | dict | date | time | bytes):
        kind = type(cell).__name__
        return f"is {KINDS.get(kind, f'of type {kind}')}, not a number"
    text = label_text(cell)
    found = number(cell)
    if found is None or (isinstance(cell, str) and not NUMBER.fullmatch(text)):
        is_endless = text.lower().strip("+-") in {"inf", "infinity", "nan"} or NUMBER.fullmatch(text)
        return f'is "{text[:LONGEST]}", not a {"finite " * bool(is_endless)}number'
    if abs(found) > LARGEST:
        return f"is {found:g}, beyond {LARGEST:g}: the weights of a model cannot reach it"
    return found


def remedy(cell: Any) -> str:
    """Return what to do about a cell that is no number."""
    if isinstance(cell, list | tuple):
        return "Give each number a column of its own: --label-columns."
    if isinstance(cell, bool | np.bool_) or str(cell).strip().lower() in {"true", "false"}:
        return "Write 1 for true and 0 for false."
    text = str(cell).strip()
    if NUMBER.fullmatch(text) and not abs(float(text)) <= LARGEST:
        return "Give all of them in a larger unit."
    plain = text.replace(" ", "").replace("\u2212", "-")
    if DATE.match(text) or isinstance(cell, date | time):
        return "A date or time is no number: write a year, or the days or seconds since a first one."
    if DECIMAL_COMMA.fullmatch(plain):
        return _with_comma(plain)
    for spelt in (plain.replace(",", ""), plain.replace(".", "").replace(",", ".")):
        if plain.rfind(",") > plain.rfind(".") > -1 and spelt == plain.replace(",", ""):
            continue  # the comma comes last: 1.204,5
        if NUMBER.fullmatch(spelt) and number(spelt) is not None:
            return f"Write it as {spelt}."
    if any(map(str.isdecimal, text)) and not isinstance(cell, dict | bytes):
        return "Write the number alone, without a unit."
    if isinstance(cell, str) and cell.strip().lower() in MISSING:
        return "Fix the row, or pass --set data.on_missing=drop_words."
    return "Fix the row, or leave it out."


def _with_comma(plain: str) -> str:
    """Return what to do about 1,204 or 3,5: a comma between thousands, before a fraction or between two labels."""
    whole, point = plain.replace(",", ""), plain.replace(",", ".")
    if THOUSANDS.fullmatch(plain):
        stated = f"--decimal point if it is {whole}, --decimal comma if it is {point}"
        return f"Write it without the comma, {whole}, or with a point, {point}; or for the whole column: {stated}."
    parts = "" if "-" in plain else " If it is two labels: --task multi_label."
    return f"Write a point in place of the comma: {point}. Or for the whole column: --decimal comma.{parts}"


def require_numbers(column: LabelColumn) -> None:
    """Raise DataError for a column that does not hold numbers at all: most of its cells would be faults.

    Cells with a digit in them have a fault each, which says how the number is to be written.
    """
    if column.class_names:
        named = shortlist(column.class_names, MOST_NAMED)
        text = f"{column.named} holds classes, whose names the file has ({named}), not numbers."
        raise data_error("DATA-021", column.origin, text, "For one label a text: --task classification.")
    held = _values(column)
    if not held:
        text = f"{column.named} holds no number in any row."
        raise data_error("DATA-022", column.origin, text, "Name the right column: --label-column.")
    wrong = [cell for cell in held if isinstance(_number(cell), str)]
    words = [cell for cell in wrong if not isinstance(cell, str) or not any(map(str.isdecimal, cell))]
    if 2 * len(words) > len(held):
        kind, other = _told(words[0])
        hint = f"{other} For numbers name the right column: --label-column."
        raise data_error("DATA-021", column.origin, f"{column.named} holds {kind}, not numbers.", hint)


def _told(cell: Any) -> tuple[str, str]:
    """Return what a column of such cells holds, and the task that it is for."""
    if isinstance(cell, list | tuple):
        return "lists", "For several labels a text: --task multi_label."
    single = "For one label a text: --task classification."
    if isinstance(cell, bool | np.bool_):
        return "true and false", single
    if isinstance(cell, str):
        return f'words ("{cell[:LONGEST]}")', single
    return f"values of type {type(cell).__name__}", single


def named_numbers(column: LabelColumn) -> tuple[str, ...]:
    """Return the names of the numbers: those of the columns."""
    return column.parts or (column.name,)
