"""Cells passed from Python, made plain: None, true/false, numbers, strings, lists and dicts of them.

The name of a value's class says which library it comes from, so that no library is imported for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from itertools import islice
from numbers import Real
from typing import Any

from lightune.data.cells import CHUNK
from lightune.data.csv_file import MOST_FAULTS
from lightune.data.header import twin_names
from lightune.data.names import clean_name
from lightune.data.tables import Table
from lightune.faults import Fault, raise_faults

PLAIN = frozenset({str, int, float, bool, type(None)})
MISSING = ("pandas.NAType", "pandas.NaTType")
# The methods by which libraries convert their arrays and scalars to Python's own values.
WAYS_OUT = ("as_py", "to_pylist", "to_list", "tolist")
DECODE = 'Decode them first: value.decode("latin1"), say.'
AS_LIST = "A set has no order: give several labels as a list, for example sorted(labels)."
AS_TEXT = "Convert each to a string yourself: str() accepts anything, but its result is often not what was meant."


def plain(value: Any) -> Any:
    """Return a cell as Python's own value, or unchanged when there is no such value.

    Missing values of any library become None, enum members their values, arrays and tuples lists, and UTF-8 bytes
    text; other bytes stay bytes.
    """
    if type(value) in PLAIN:
        return value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return _decoded(bytes(value))
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Decimal):
        return None if value.is_nan() else value
    return None if is_a(value, *MISSING) else _out_of_library(value)


def listed(values: Any) -> list[Any] | None:
    """Return the items of a list, a tuple or a library's array as a list, not yet plain; else None."""
    if isinstance(values, list | tuple):
        return list(values)
    if isinstance(values, str | bytes | bytearray | memoryview) or is_a(values, *TABLES):
        return None
    if is_a(values, "numpy.ndarray") and values.dtype.kind in "mM" and values.ndim:
        return list(values)  # as Python's own they would be plain numbers of nanoseconds
    found = _by_its_own_way(values)
    if isinstance(found, list):
        return found
    return list(values) if isinstance(values, Sequence) or is_a(values, "datasets.IterableColumn") else None


@lru_cache(512)
def _class_names(kind: type) -> frozenset[str]:
    return frozenset(f"{base.__module__.partition('.')[0]}.{base.__name__}" for base in kind.__mro__)


def is_a(value: Any, *names: str) -> bool:
    """Say whether a value is of a class with one of these names, `library.Class`; the library need not be installed."""
    return not _class_names(type(value)).isdisjoint(names)  # type: ignore[arg-type]  # of the cache


FRAMES = ("pandas.DataFrame", "polars.DataFrame", "polars.LazyFrame")
ARROW = ("pyarrow.Table", "pyarrow.RecordBatch", "pyarrow.RecordBatchReader")
DATASETS = ("datasets.Dataset", "datasets.IterableDataset", "datasets.DatasetDict", "datasets.IterableDatasetDict")
TABLES = (*FRAMES, *ARROW, *DATASETS)


def has_columns(value: Any) -> bool:
    """Say whether this is a data frame of any library: iterating over it would give the names of its columns."""
    return not callable(getattr(value, "columns", len))


def not_plain(value: Any) -> str:
    """Return what a plain cell is when it can be neither text nor label; else an empty string."""
    if type(value) in PLAIN or isinstance(value, str | Real | Decimal):
        return ""
    return "bytes that are not UTF-8" if isinstance(value, bytes) else f"of type {type(value).__name__}"


def named_columns(origin: str, columns: Iterable[tuple[Any, Sequence[Any]]]) -> dict[str, Sequence[Any]]:
    """Return columns by their names, without spaces around them; DataError when one is missing or occurs twice."""
    pairs = [(column_name(name), values) for name, values in columns]
    raise_faults(name_faults(origin, [name for name, _ in pairs]))
    return dict(pairs)


def name_faults(place: str, names: Sequence[str]) -> list[Fault]:
    """Return what is wrong with the names of columns, each already without spaces around it."""
    texts = [f"column {number} has no name" for number, name in enumerate(names, 1) if not name] + twin_names(names)
    return [Fault("DATA-006", place, text, "Name every column, each differently.") for text in texts]


def column_name(name: Any) -> str:
    """Return the name of a column as the readers of files give it; empty when there is none."""
    found = plain(name)
    return "" if found is None or found != found else clean_name(str(found))


def value_faults(table: Table, texts: Sequence[str], labels: Sequence[str]) -> list[Fault]:
    """Return the faults of cells that are neither texts nor labels: `str` would accept anything.

    Lists of labels are not among them: the check of the label column names the tasks that use them.
    """
    found = (
        _fault(table.place(row), name, reason, "text" if name in texts else "label")
        for name in dict.fromkeys([*texts, *labels])
        if name in table.columns
        for row, value in enumerate(_cells(table.columns[name]))
        if (reason := not_plain(value)) and (name in texts or not isinstance(value, list | dict))
    )
    return list(islice(found, MOST_FAULTS))


def _fault(place: str, name: str, reason: str, expected: str) -> Fault:
    if reason.startswith("bytes"):
        return Fault("DATA-003", place, f"{name} holds {reason}", DECODE)
    is_set = expected == "label" and reason.removeprefix("of type ") in {"set", "frozenset"}
    return Fault("DATA-067", place, f"{name} is {reason}, not a {expected}", AS_LIST if is_set else AS_TEXT)


def _cells(values: Sequence[Any]) -> Iterator[Any]:
    for start in range(0, len(values), CHUNK):
        yield from values[start : start + CHUNK]


def all_plain(values: Iterable[Any]) -> list[Any]:
    """Return the cells of a column, each made plain."""
    return [value if type(value) in PLAIN else plain(value) for value in values]


def _decoded(value: bytes) -> str | bytes:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _out_of_library(value: Any) -> Any:
    if is_a(value, "numpy.datetime64", "numpy.timedelta64"):
        return None if value != value else value  # a time is not a number, and a missing one does not equal itself
    if is_a(value, *TABLES):
        return value
    items = listed(value) if is_a(value, "numpy.ndarray") else None
    found = _by_its_own_way(value) if items is None else items
    if type(found) is type(value):  # a long double has no plainer form
        return float(value) if isinstance(value, Real) else value
    return plain(found)


def _by_its_own_way(value: Any) -> Any:
    """Return what a library's own method gives for an array or a scalar; without such a method, the value itself."""
    for name in WAYS_OUT:
        way = getattr(type(value), name, None)
        if callable(way):
            return way(value)
    return value
