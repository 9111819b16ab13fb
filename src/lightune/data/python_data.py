"""Data that a Python program hands over: lists of dicts or of pairs, and what the library datasets makes."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from lightune.data.faults import Fault, data_error
from lightune.data.hub_data import dataset_table
from lightune.data.sources import PYTHON, SPLITS, Tables, pick
from lightune.data.tables import Table, report
from lightune.errors import did_you_mean

NO_SOURCE = {"source": PYTHON, "name": None, "revision": None}
PAIR = ("text", "label")
VALID = (
    'Valid: a list of dicts ({"text": ..., "label": ...}), a list of (text, label) pairs, a dict of columns, a pandas '
    'DataFrame, a datasets.Dataset, or a mapping of "train", "validation" and "test" to these.'
)


def python_tables(data: Any) -> Tables:
    """Return the tables of data in memory; DataError when it is nothing that can be read."""
    if not isinstance(data, Mapping) or _holds_columns(data):
        return Tables(PYTHON, None, _table(PYTHON, data), None, None)
    splits = {str(name): _table(f"{PYTHON}[{name}]", rows) for name, rows in _known_splits(data).items()}
    train, validation, test = (pick(splits, split) for split in SPLITS)
    if train is None:
        names = ", ".join(map(str, data)) or "none"
        raise data_error("DATA-011", PYTHON, "there is no split called train.", f"Splits: {names}. {VALID}")
    left_out = [str(name) for name in data if str(name) not in splits]
    notes = [f"{PYTHON}: left out, being called like no split: {', '.join(left_out)}."] if left_out else []
    given = validation is not None and not _made_by_datasets(data)
    return Tables(PYTHON, None, train, validation, test, given, notes)


def _holds_columns(data: Any) -> bool:
    """Say whether a mapping is column name -> values: equally long lists of plain values, under no split's name."""
    if not isinstance(data, Mapping) or any(str(name) in known for name in data for known in SPLITS.values()):
        return False
    plain = [
        values
        for values in data.values()
        if isinstance(values, list | tuple) and not any(isinstance(value, Mapping | list | tuple) for value in values)
    ]
    return len(plain) == len(data) > 1 and len({len(values) for values in plain}) == 1


def _known_splits(data: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the splits that have a name of a split; a name that is nearly one is a slip and refused."""
    names = [name for known in SPLITS.values() for name in known]
    for name in data:
        guess = did_you_mean(str(name), names)
        if str(name) not in names and guess:
            raise data_error("DATA-067", PYTHON, f'there is no split called "{name}".', f"{guess} Or leave it out.")
    return {name: rows for name, rows in data.items() if str(name) in names}


def _made_by_datasets(data: Any) -> bool:
    datasets = sys.modules.get("datasets")  # whoever made it has imported it
    return datasets is not None and isinstance(data, datasets.Dataset | datasets.DatasetDict)


def _table(origin: str, data: Any) -> Table:
    if _made_by_datasets(data):
        table = dataset_table(origin, data)
    elif _holds_columns(data):
        columns = {str(name): list(values) for name, values in data.items()}
        table = Table(origin, columns, range(1, len(next(iter(columns.values()))) + 1))
    elif hasattr(data, "to_dict") and hasattr(data, "columns"):  # a pandas DataFrame
        table = _from_rows(origin, data.to_dict("records"))
    elif isinstance(data, Iterable) and not isinstance(data, str | bytes | Mapping):
        table = _from_rows(origin, list(data))
    else:
        raise data_error("DATA-067", origin, f"data of type {type(data).__name__} cannot be read.", VALID)
    if not len(table):
        raise data_error("DATA-004", origin, "there are no rows.", "Give it rows: a text and its label each.")
    return table


def _from_rows(origin: str, rows: list[Any]) -> Table:
    records: list[dict[str, Any]] = []
    faults: list[Fault] = []
    for number, row in enumerate(rows, 1):
        if isinstance(row, Mapping):
            records.append({str(name): value for name, value in row.items()})
        elif isinstance(row, list | tuple) and len(row) == len(PAIR):
            records.append(dict(zip(PAIR, row, strict=True)))
        else:
            text = f"neither a dict nor a (text, label) pair, but {type(row).__name__}"
            faults.append(Fault("DATA-067", f"{origin}:{number}", text, VALID))
    report(faults, None)
    names = list(dict.fromkeys(name for record in records for name in record))
    columns = {name: [record.get(name) for record in records] for name in names}
    return Table(origin, columns, range(1, len(records) + 1))
