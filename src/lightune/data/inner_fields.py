"""Fields inside objects, as JSON has them: `review.body` names the field body of the objects in the column review."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, overload

from lightune.data.cells import cells
from lightune.data.names import clean_name
from lightune.data.tables import Table
from lightune.values.missing import is_writable

DEEPEST = 4
MOST_LOOKED_AT = 200


class Field(Sequence[Any]):
    """A field of the objects of a column, row by row; None where a row has no such field."""

    def __init__(self, column: Sequence[Any], path: Sequence[str]) -> None:
        self._column, self._path = column, path

    def __len__(self) -> int:
        return len(self._column)

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> list[Any]: ...
    def __getitem__(self, place: int | slice) -> Any:
        found = self._column[place]
        return [self._inside(value) for value in found] if isinstance(place, slice) else self._inside(found)

    def _inside(self, value: Any) -> Any:
        for name in self._path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return value


def add_fields(table: Table, names: Iterable[str]) -> None:
    """Give a table a column for each of these names that is none yet but names a field of its objects."""
    for name in dict.fromkeys(map(clean_name, names)):
        column, *path = _parted(table, name) if name not in table.columns and is_writable(name) else [""]
        if path:
            table.columns = {**table.columns, name: Field(table.columns[column], path)}


def field_names(table: Table) -> list[str]:
    """Return the names of the fields inside the objects of a table's first rows; lists are not looked into."""
    found: dict[str, None] = {}
    for name in table.columns:
        for value in islice(cells(table, name), MOST_LOOKED_AT):
            if isinstance(value, Mapping):
                found.update(dict.fromkeys(_paths(name, value, DEEPEST)))
    return [name for name in found if name not in table.columns and is_writable(name)]


def _paths(name: str, value: Mapping[str, Any], depth: int) -> Iterable[str]:
    for key, inner in value.items():
        if isinstance(inner, Mapping) and depth:
            yield from _paths(f"{name}.{key}", inner, depth - 1)
        else:
            yield f"{name}.{key}"


def _parted(table: Table, name: str) -> list[str]:
    """Return the column and the keys of a field, or "": keys and names may hold points themselves.

    All rows are looked through: the first ones may lack the field.
    """
    for column in table.columns:
        rest = name.removeprefix(f"{column}.")
        path = (
            next((path for value in cells(table, column) if (path := _keys(value, rest))), []) if rest != name else []
        )
        if path:
            return [column, *path]
    return [""]


def _keys(value: Any, rest: str) -> list[str]:
    if not isinstance(value, Mapping):
        return []
    if rest in value:
        return [rest]
    starts = (key for key in value if rest.startswith(f"{key}."))
    return next(([key, *path] for key in starts if (path := _keys(value[key], rest[len(key) + 1 :]))), [])
