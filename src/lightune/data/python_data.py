"""Data passed from Python: rows of any kind, columns of any library, or a mapping of splits to these."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from lightune.data import columns
from lightune.data.hub_data import class_names
from lightune.data.label_columns import label_columns
from lightune.data.names import TEXT_NAMES
from lightune.data.python_columns import column_table, is_structured
from lightune.data.python_values import (
    DATASETS,
    TABLES,
    all_plain,
    column_name,
    has_columns,
    is_a,
    listed,
    name_faults,
    plain,
    value_faults,
)
from lightune.data.sources import PYTHON, Tables, pick
from lightune.data.split_names import SPLITS
from lightune.data.tables import Table, report
from lightune.errors import DataError, did_you_mean
from lightune.faults import Fault, data_error, raise_faults
from lightune.recipe import DataBlock
from lightune.tasks import AUTO
from lightune.tasks import label_columns as usual_names

NO_SOURCE = {"source": PYTHON, "name": None, "revision": None}
PAIR = ("text", "label")
TEXT_PAIR = ("text", "text_pair")
SPLIT_NAMES = [name for known in SPLITS.values() for name in known]
SERIES = ("pandas.Series", "pandas.Index", "polars.Series")
VALID = (
    'Valid: rows (dicts {"text": ..., "label": ...}, named tuples, dataclasses, or (text, label) pairs, as zip(texts, '
    "labels) makes them), the two columns (texts, labels) in a tuple, a dict of columns, a DataFrame of pandas or "
    'polars, an Arrow table, a structured numpy array, a datasets.Dataset, or a mapping of "train", "validation" and '
    '"test" to these.'
)
NAME_A_FILE = (
    'A file or a data set of the Hub is named in the recipe, or by lightune.run(train="train.csv"), as by --train '
    f"train.csv on the command line. {VALID}"
)


def python_tables(data: Any, block: DataBlock | None = None, task: str = AUTO) -> Tables:
    """Return data in memory as tables; DataError when it cannot be read.

    `block` names the columns, and `task` gives the usual names of a label column. Cells of these columns that are
    neither texts nor labels are faults.
    """
    if isinstance(data, Mapping) and not _holds_columns(data):
        found = _split_tables(data)
    else:
        found = Tables(PYTHON, None, _table(PYTHON, data), None, None)
    _require_plain(found, block or DataBlock(), task)
    return found


def _split_tables(data: Mapping[Any, Any]) -> Tables:
    splits = {str(name): _table(f"{PYTHON}[{name}]", rows) for name, rows in _known_splits(data).items()}
    train, validation, test = (pick(splits, split) for split in SPLITS)
    if train is None:
        names = ", ".join(map(str, data)) or "none"
        raise data_error("DATA-011", PYTHON, "there is no split called train.", f"Splits: {names}. {VALID}")
    left_out = [str(name) for name in data if str(name) not in splits]
    notes = [f"{PYTHON}: left out, not named after a split: {', '.join(left_out)}."] if left_out else []
    given = validation is not None and not is_a(data, *DATASETS)
    return Tables(PYTHON, None, train, validation, test, given, notes)


def _require_plain(tables: Tables, block: DataBlock, task: str) -> None:
    """Refuse cells that `str` would turn into a text or label that nobody wrote; other columns may hold anything."""
    present = [table for table in (tables.train, tables.validation, tables.test) if table is not None]
    try:
        texts, _ = columns.text_columns(tables.train, block.text_column, present[1:])
    except DataError:  # the check reports it, with all other faults
        return
    try:
        labels = label_columns(tables.train, block.named_labels, texts, usual_names(task))[0]
    except DataError:
        labels = []
    raise_faults([fault for table in present for fault in value_faults(table, texts, labels)])


def _holds_columns(data: Mapping[Any, Any]) -> bool:
    """Say whether a mapping is column name -> values, and not split name -> rows.

    Names decide where they can: the name of a split means rows, unless all values are flat and another name is usual
    for a column.
    """
    known = {*TEXT_NAMES, *usual_names()}
    usual = any(column_name(name).casefold() in known for name in data)
    rows = [_holds_rows(values) for values in data.values()]
    if any(str(name) in SPLIT_NAMES for name in data):
        return usual and not any(rows)
    return usual or not all(rows)


def _holds_rows(values: Any) -> bool:
    """Say whether these are rows of several values each, not the values of one column."""
    if isinstance(values, Mapping) or is_a(values, *TABLES) or is_structured(values):
        return True
    items = listed(values)
    if items is None:
        return isinstance(values, Iterable) and iter(values) is values
    return any(isinstance(item, list | tuple | Mapping) or _field_names(item) for item in items)


def _known_splits(data: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the entries named after a split; a name that is almost one is refused as a typing error."""
    for name in data:
        guess = did_you_mean(str(name), SPLIT_NAMES)
        if str(name) not in SPLIT_NAMES and guess:
            raise data_error("DATA-067", PYTHON, f'there is no split called "{name}".', f"{guess} Or leave it out.")
    for split, names in SPLITS.items():
        given = [str(name) for name in data if str(name) in names]
        if len(given) > 1:
            text = f"{' and '.join(given)} are both the {split} split, and one of them would be left out."
            raise data_error("DATA-067", PYTHON, text, "Put their rows together, or leave one out.")
    return {name: rows for name, rows in data.items() if str(name) in SPLIT_NAMES}


def _table(origin: str, data: Any) -> Table:
    _refuse(origin, data)
    table = column_table(origin, _two_columns(data) or data)
    if table is None:
        table = _from_rows(origin, _rows(origin, data))
        table.class_names.update(class_names(getattr(data, "features", None)) if is_a(data, *DATASETS) else {})
    if not len(table):
        raise data_error("DATA-004", origin, "there are no rows.", "Give it rows, each with a text and its label.")
    return table


def text_and_label_columns(texts: Sequence[Any], labels: Sequence[Any], label: str = PAIR[1]) -> dict[str, Any]:
    """Return texts and labels as a mapping of columns; texts that are pairs become two of them."""
    parts = [listed(plain(text)) for text in texts]
    widths = {-1 if part is None else len(part) for part in parts}
    if widths == {1}:  # of an array with one column
        return {PAIR[0]: [part[0] for part in parts if part], label: labels}
    if widths == {len(TEXT_PAIR)}:
        pair = {name: [part[place] for part in parts if part] for place, name in enumerate(TEXT_PAIR)}
        return {**pair, label: labels}
    return {PAIR[0]: texts, label: labels}


def _two_columns(data: Any) -> dict[str, Any] | None:
    """Return (texts, labels) as a mapping of columns, None for other data; two rows of two cells stay rows."""
    if type(data) is not tuple or len(data) != len(PAIR):
        return None
    texts, labels = map(listed, data)
    if texts is None or labels is None or len(texts) == len(labels) == len(PAIR):
        return None
    return text_and_label_columns(texts, labels)


def _refuse(origin: str, data: Any) -> None:
    text, hint = f"data of type {type(data).__name__} cannot be read.", ""
    if isinstance(data, str | os.PathLike):
        hint = NAME_A_FILE
    elif isinstance(data, set | frozenset):
        hint = f"The order of a set is not defined, so a run on it could not be repeated: give a list. {VALID}"
    elif is_a(data, *SERIES):
        hint = f"It is one column; a run needs texts and labels: give the DataFrame, or a dict of columns. {VALID}"
    elif isinstance(data, bytes | bytearray | memoryview) or hasattr(data, "readlines"):
        hint = VALID
    if hint:
        raise data_error("DATA-067", origin, text, hint)


def _rows(origin: str, data: Any) -> list[Any]:
    if is_a(data, "datasets.IterableDataset"):
        return list(data.with_format(None))
    is_frame = has_columns(data)  # of an unknown library
    has_items = getattr(data, "ndim", 1) > 0
    if isinstance(data, Iterable) and has_items and not is_frame:
        found = listed(data)
        return list(data) if found is None else found
    if hasattr(data, "__getitem__") and hasattr(data, "__len__") and has_items and not is_frame:
        return [data[number] for number in range(len(data))]  # a torch data set
    raise data_error("DATA-067", origin, f"data of type {type(data).__name__} cannot be read.", VALID)


def _from_rows(origin: str, rows: Sequence[Any]) -> Table:
    records: list[dict[str, Any]] = []
    faults: list[Fault] = []
    for number, row in enumerate(rows, 1):
        record = _record(row, f"{origin}:{number}", faults)
        records.append(record or {})
    report(faults, None)
    names = list(dict.fromkeys(name for record in records for name in record))
    found = {name: all_plain(record.get(name) for record in records) for name in names}
    return Table(origin, found, range(1, len(records) + 1))


def _record(row: Any, place: str, faults: list[Fault]) -> dict[str, Any]:
    """Return the cells of a row by column name."""
    named = _named_cells(row)
    if named is None:
        pair = listed(plain(row))
        if pair is not None and len(pair) == len(PAIR):
            return dict(zip(PAIR, pair, strict=True))
        count = "" if pair is None else f" of {len(pair)}"
        text = f"neither a dict nor a (text, label) pair, but {type(row).__name__}{count}"
        faults.append(Fault("DATA-067", place, text, VALID))
        return {}
    if any(name is None and isinstance(value, list) for name, value in named):  # as csv.DictReader reports it
        faults.append(Fault("DATA-007", place, "more cells than there are columns", "Quote texts with the separator."))
        return {}
    faults += name_faults(place, [column_name(name) for name, _ in named])
    return {column_name(name): value for name, value in named}


def _named_cells(row: Any) -> list[tuple[Any, Any]] | None:
    """Return the (name, cell) pairs of a row that names its cells in any way; None for other rows."""
    if is_a(row, *TABLES):  # a list of tables has no rows of its own
        return None
    if isinstance(row, Mapping):
        return list(row.items())
    names = _field_names(row)
    if names:
        return [(name, getattr(row, name)) for name in names]
    row = row.as_py() if hasattr(row, "as_py") else row
    if isinstance(row, Mapping):
        return list(row.items())
    if _is_structured_item(row):
        return [(name, row[name]) for name in row.dtype.names]
    keys = getattr(type(row), "keys", None)
    return [(name, row[name]) for name in keys(row)] if callable(keys) else None


def _is_structured_item(row: Any) -> bool:
    """Say whether this is one item of a structured numpy array."""
    return is_a(row, "numpy.void") and row.dtype.names is not None


def _field_names(row: Any) -> list[str]:
    """Return the names of the fields of a named tuple, a dataclass or a pydantic model."""
    if isinstance(row, type):
        return []
    if is_dataclass(row):
        return [field.name for field in fields(row)]
    named = getattr(type(row), "_fields", ()) if isinstance(row, tuple) else getattr(type(row), "model_fields", ())
    return [str(name) for name in named]
