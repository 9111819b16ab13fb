"""The first row of a csv or tsv: whether it has column names, and whether they are usable."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from lightune.data.names import is_known_name
from lightune.data.separators import MARKS, Layout
from lightune.faults import Fault
from lightune.values.numerals import NUMBER

ONE_ROW_FIRST = (
    "Put a row of column names first: text,label. If these are the names, pass --text-column and --label-column."
)
STATED_NAMES = "--column-names"  # the place of names that the user states


def beyond_end(path: Path, stated: int, rows: int) -> list[Fault]:
    """Return the fault of a stated row of the column names that comes after all rows."""
    text = f"the column names are stated to be in row {stated}, and the last row is {rows:,}"
    return [Fault("DATA-006", str(path), text, "Check --header-row.")]


def wrong_separator(header: Sequence[str]) -> str:
    """Return a hint when a header of one column holds a mark that may separate columns; else an empty string.

    The rows below it were not cut by this mark into as many cells as the header.
    """
    if len(header) != 1:
        return ""
    found = next(((mark, name) for mark, name in MARKS.items() if mark in header[0]), None)
    return f"If {found[1]} separate its columns: --separator {shlex.quote(found[0])}." if found else ""


def header_faults(place: str, header: Sequence[str], layout: Layout) -> list[Fault]:
    """Return what is wrong with the column names, which are at `place`."""
    if not any(header):
        return [Fault("DATA-006", place, "there are no column names", "The first row names the columns: text,label.")]
    advice = wrong_separator(header)
    if advice and layout.separator not in header[0]:
        return [Fault("DATA-069", place, f'there is only one column, called "{header[0]}"', advice)]
    if all(map(_stands_in_quotes, filter(None, header[1:] or header))):
        if layout.is_literal:
            text = "the column names are in double quotes, and cells of a .tsv are literal"
            return [Fault("DATA-072", place, text, "Write the file without quotes, or with commas as .csv.")]
        text = "the quotes around the column names do not count: there are spaces before them, or they are doubled"
        return [Fault("DATA-072", place, text, "Remove the space between comma and quote.")]
    # pandas writes its index as a first column without a name; it is left out.
    nameless = [number for number, name in enumerate(header, 1) if not name and number > 1]
    found = [f"column {number} has no name" for number in nameless] + twin_names(header)
    hint = "The first row must name every column, each differently."
    return [Fault("DATA-006", place, text, hint) for text in found]


def twin_names(names: Sequence[str]) -> list[str]:
    """Return a message for each name that several columns have."""
    counts = Counter(filter(None, names))
    return [f'{count} columns are called "{name}"' for name, count in counts.items() if count > 1]


def missing_header(place: str, columns: Mapping[str, Sequence[str]]) -> list[Fault]:
    """Return the fault of a first row that is a row of data; `columns` maps its cells to the first values below them.

    Either one cell is a sentence and another occurs again in its own column. Or no cell is a usual column name (other
    than one that is a value of its column), and one cell occurs again in its own column of few distinct values, or is
    a number in a column of numbers.
    """
    sentences = {name for name in columns if len(name.split()) >= 3}
    again = {name for name, values in columns.items() if name in map(str.strip, values)}
    is_data = bool(sentences and again - sentences)
    values = {name for name in again if _is_few(columns[name])}
    is_named = any(is_known_name(name) for name in columns if name not in values) or _are_numbered(columns)
    if not is_data and not is_named:
        is_data = bool(values) or any(map(_is_number_of_numbers, columns.items()))
    return [Fault("DATA-006", place, "the first row looks like data, not like column names", ONE_ROW_FIRST)] * is_data


def labels_as_names(place: str, names: Sequence[str], labels: Sequence[str]) -> list[Fault]:
    """Return the fault of a first row that has one of a trained model's labels in place of a column name."""
    is_data = not {*names}.isdisjoint(labels) and not any(map(is_known_name, names))
    return [Fault("DATA-006", place, "the first row looks like data, not like column names", ONE_ROW_FIRST)] * is_data


def _is_few(values: Sequence[str]) -> bool:
    return 2 * len(set(values)) <= len(values)


def _is_number_of_numbers(column: tuple[str, Sequence[str]]) -> bool:
    name, values = column
    return bool(NUMBER.fullmatch(name)) and _are_numbers(values)


def _are_numbers(values: Sequence[str]) -> bool:
    held = [value for value in values if value.strip()]
    return bool(held) and all(map(NUMBER.fullmatch, held))


def _are_numbered(columns: Mapping[str, Sequence[str]]) -> bool:
    """Say whether the columns are named 0, 1, ..., as pandas names them by default, and not all hold numbers."""
    return list(columns) == list(map(str, range(len(columns)))) and not all(map(_are_numbers, columns.values()))


def _stands_in_quotes(name: str) -> bool:
    return len(name) >= 2 and name.startswith('"') and name.endswith('"')
