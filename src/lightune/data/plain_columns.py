"""Arrow columns in the types we keep: categories become their values, dates and bytes that are text become text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

# Bytes that are not UTF-8 may be text in another encoding; then most of them are still printable ASCII.
MOSTLY = 0.8
SAMPLED_BYTES = 100_000
CONTROL = re.compile(rb"[\0-\x08\x0e-\x1f\x7f]")


def kept_types(types: Sequence[Any], sample: Callable[[int], pa.Array]) -> list[Any]:
    """Return the type in which to keep each column; `sample` gives the first values of a column of bytes.

    Bytes that are text become text (some writers do not say that a column is text), dates become texts, since Python
    cannot hold all of them, and categories become their values, since other rows may have others.
    """
    return [_kept_type(kind, partial(sample, number)) for number, kind in enumerate(types)]


def holds_categories(kind: Any) -> bool:
    """Say whether a type has categories in its lists, maps or structs."""
    import pyarrow as pa

    return not pa.types.is_dictionary(kind) and kind != _without_categories(kind)


def plain(batch: pa.RecordBatch, types: Sequence[Any]) -> list[pa.Array]:
    """Return the columns of a batch in these types; bytes become text unchecked, so it may not be UTF-8."""
    return [_as_type(column, kind) for column, kind in zip(batch.columns, types, strict=True)]


def _kept_type(given: Any, sample: Callable[[], pa.Array]) -> Any:
    import pyarrow as pa

    types, kind = pa.types, _without_categories(given)
    if types.is_temporal(kind) or types.is_string_view(kind):
        return pa.string()
    if types.is_float16(kind):
        return pa.float64()
    if types.is_fixed_size_binary(kind) or types.is_binary_view(kind):
        kind = pa.binary()
    if (types.is_binary(kind) or types.is_large_binary(kind)) and _is_text(sample()):
        return pa.string() if types.is_binary(kind) else pa.large_string()
    return kind


def _as_type(column: pa.Array, kind: Any) -> pa.Array:
    import pyarrow as pa

    types = pa.types
    if column.type == kind:
        return column
    if types.is_temporal(_without_categories(column.type)):
        return column.cast(kind)
    if types.is_string(kind) or types.is_large_string(kind):
        return column.cast(pa.binary() if types.is_string(kind) else pa.large_binary()).view(kind)
    return column.cast(kind)


def _without_categories(kind: Any) -> Any:
    """Return a type with dictionaries replaced by their value types, in lists, maps and structs too."""
    import pyarrow as pa

    types = pa.types
    if types.is_dictionary(kind):
        return _without_categories(kind.value_type)
    if types.is_struct(kind):
        return pa.struct([field.with_type(_without_categories(field.type)) for field in kind])
    if types.is_map(kind):
        return pa.map_(_without_categories(kind.key_type), _without_categories(kind.item_type))
    if types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_without_categories(kind.value_type)), kind.list_size)
    if types.is_list(kind) or types.is_large_list(kind):
        make = pa.list_ if types.is_list(kind) else pa.large_list
        return make(kind.value_field.with_type(_without_categories(kind.value_type)))
    return kind


def _is_text(column: pa.Array) -> bool:
    """Say whether bytes are text: half of the cells are UTF-8, or most bytes are printable ASCII, as in Latin-1."""
    cells: list[bytes] = [cell for cell in column.to_pylist() if cell]
    if 2 * sum(map(_reads, cells)) >= len(cells):
        return True
    sample = b"".join(cells)[:SAMPLED_BYTES]
    return sum(32 <= byte < 127 or byte in b"\t\n\r" for byte in sample) >= MOSTLY * len(sample)


def _reads(cell: bytes) -> bool:
    """Say whether a cell is UTF-8 without control characters; NUL bytes that pad a cell at its end are allowed."""
    try:
        cell.decode()
    except UnicodeDecodeError:
        return False
    return not CONTROL.search(cell.rstrip(b"\0"))
