"""Columnar data of other libraries, as tables: data frames, Arrow tables, structured arrays, data sets, dicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lightune.data.hub_data import arrow_column, class_names, dataset_table
from lightune.data.python_values import DATASETS, all_plain, is_a, listed, named_columns
from lightune.data.tables import Table
from lightune.faults import data_error

if TYPE_CHECKING:
    import pyarrow as pa

AS_LISTS = 'Give each column as a list of values: {"text": [...], "label": [...]}.'


def column_table(origin: str, data: Any) -> Table | None:
    """Return columnar data as a table, or None when it is not columnar."""
    if is_a(data, "pandas.DataFrame"):
        return _of_pandas(origin, data)
    if is_a(data, "polars.LazyFrame"):
        data = _computed(origin, data)
    if is_a(data, "polars.DataFrame"):
        return _in_memory(origin, ((series.name, series.to_list()) for series in data.get_columns()))
    if is_a(data, "datasets.Dataset") and data.format["type"] != "custom":
        return dataset_table(origin, data)
    if is_structured(data):
        return _in_memory(origin, ((name, listed(data[name]) or []) for name in data.dtype.names))
    if isinstance(data, Mapping):
        return _of_mapping(origin, data)
    if hasattr(data, "__arrow_c_stream__") and not is_a(data, *DATASETS):
        return _of_arrow(origin, data)
    return None


def is_structured(data: Any) -> bool:
    """Say whether this is a numpy array whose items have named fields."""
    return is_a(data, "numpy.ndarray") and data.dtype.names is not None


def _of_pandas(origin: str, frame: Any) -> Table:
    """Read column by column: row by row, pandas turns integers into floats and drops one of two columns of one name."""
    if frame.columns.nlevels > 1:
        text = f"the columns of this DataFrame have {frame.columns.nlevels} levels of names."
        raise data_error("DATA-067", origin, text, 'Give each one name: frame.columns = ["text", "label"].')
    return _in_memory(origin, ((name, frame.iloc[:, place].tolist()) for place, name in enumerate(frame.columns)))


def _computed(origin: str, frame: Any) -> Any:
    """Return the DataFrame that a LazyFrame computes; what it reads may be broken or missing."""
    try:
        return frame.collect()
    except Exception as error:
        text = f"this LazyFrame cannot be computed: {_first_line(error)}"
        raise data_error("DATA-067", origin, text, "See what frame.collect() says.") from error


def _of_arrow(origin: str, data: Any) -> Table:
    """Read what any library offers as a stream of Arrow batches."""
    import pyarrow as pa

    try:
        table: pa.Table = data if isinstance(data, pa.Table) else pa.table(data)
    except Exception as error:
        text = f"data of type {type(data).__name__} cannot be read as an Arrow table: {_first_line(error)}"
        raise data_error("DATA-067", origin, text, AS_LISTS) from error
    names = table.column_names
    columns = named_columns(origin, zip(names, map(arrow_column, table.columns), strict=True))
    return Table(origin, columns, range(1, len(table) + 1), _names_of_datasets(table.schema))


def _names_of_datasets(schema: pa.Schema) -> dict[str, list[str]]:
    """Return the label names that the datasets library wrote into a schema."""
    if b"huggingface" not in (schema.metadata or {}):
        return {}
    import datasets

    return class_names(datasets.Features.from_arrow_schema(schema))


def _of_mapping(origin: str, data: Mapping[Any, Any]) -> Table:
    found = [(name, _column(origin, name, values)) for name, values in data.items()]
    lengths = {len(values) for _, values in found}
    if len(lengths) > 1:
        told = ", ".join(f"{str(name).strip()} {len(values)}" for name, values in found)
        raise data_error(
            "DATA-067", origin, f"the columns differ in length: {told}.", "Give each column a value for each row."
        )
    table = _in_memory(origin, found)
    features = {name: getattr(values, "features", None) for name, values in data.items()}
    return Table(origin, table.columns, table.lines, class_names(features))


def _column(origin: str, name: Any, values: Any) -> list[Any]:
    found = listed(values)
    if found is None and isinstance(values, Iterable) and iter(values) is values:
        found = list(values)
    if found is None:
        text = f'column "{name}" is of type {type(values).__name__}, not a list of values.'
        hint = "The order of a set is not defined. " if isinstance(values, set | frozenset) else ""
        raise data_error("DATA-067", origin, text, f"{hint}{AS_LISTS} A single row is a list of one dict.")
    return found


def _in_memory(origin: str, columns: Iterable[tuple[Any, Sequence[Any]]]) -> Table:
    found = named_columns(origin, ((name, all_plain(values)) for name, values in columns))
    return Table(origin, found, range(1, len(next(iter(found.values()), [])) + 1))


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
