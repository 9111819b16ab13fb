"""Data sets from the Hub and from the datasets library, as tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightune.data.arrow_columns import Column
from lightune.data.python_values import column_name, is_a, named_columns, plain
from lightune.data.tables import Table
from lightune.errors import DataError, did_you_mean
from lightune.faults import data_error
from lightune.models import hub
from lightune.progress import quiet_libraries

if TYPE_CHECKING:
    import datasets
    import pyarrow as pa


def hub_tables(source: str, revision: str | None, name: str | None) -> tuple[dict[str, Table], str]:
    """Return (the table of each split, the commit) of a Hub data set; `name` is the configuration.

    The snapshot's folder is loaded: unlike the data set's name, it loads offline too and keeps the class names.
    """
    folder, commit = hub.snapshot(source, revision, kind="dataset", patterns=hub.DATA_FILES)
    import datasets

    quiet_libraries()
    try:
        chosen = _configuration(source, folder, name)
        loaded = datasets.load_dataset(str(folder), chosen)
    except DataError:
        raise
    except Exception as error:
        text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        hint = "Only data sets of Parquet, CSV or JSON files are read; scripts are never run."
        raise data_error("DATA-010", source, f"this data set cannot be read: {text}", hint) from error
    return {split: dataset_table(f"{source}[{split}]", rows) for split, rows in loaded.items()}, commit


def dataset_table(origin: str, rows: datasets.Dataset) -> Table:
    """Return a datasets.Dataset as a table of its Arrow columns, whatever format it is set to."""
    arrow = rows.with_format("arrow")[:]
    columns = named_columns(origin, ((name, arrow_column(arrow.column(name))) for name in rows.column_names))
    return Table(origin, columns, range(1, len(rows) + 1), class_names(rows.features))


def class_names(features: Any) -> dict[str, list[str]]:
    """Return the label names of the columns that hold a ClassLabel, or a list of them in each row."""
    kinds = {column_name(key): _inner(feature) for key, feature in (features or {}).items()}
    return {key: list(feature.names) for key, feature in kinds.items() if is_a(feature, "datasets.ClassLabel")}


def _inner(feature: Any) -> Any:
    """Return the feature of the items of a list: of Sequence, List, or a feature in brackets."""
    if isinstance(feature, list) and len(feature) == 1:
        return feature[0]
    is_list = is_a(feature, "datasets.Sequence", "datasets.List", "datasets.LargeList")
    return feature.feature if is_list else feature


def arrow_column(values: pa.ChunkedArray) -> Column:
    """Return an Arrow column with plain cells; strings are decoded here, since Arrow does not check them."""
    import pyarrow as pa

    kind, types = values.type, pa.types
    if types.is_string(kind) or types.is_large_string(kind):
        return Column(values.cast(pa.binary() if types.is_string(kind) else pa.large_binary()), plain)
    is_plain = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    return Column(values, None if is_plain else plain)


def _configuration(source: str, folder: Path, name: str | None) -> str | None:
    """Return the configuration to load; with several and none named, only one called default is chosen."""
    import datasets

    known = datasets.get_dataset_config_names(str(folder))
    listed = f"Configurations: {', '.join(known)}."
    if name is not None and name not in known:
        hint = f"{did_you_mean(name, known)} {listed}".strip()
        raise data_error("DATA-066", source, f'there is no configuration "{name}".', hint)
    if name is None and len(known) > 1 and "default" not in known:
        hint = f"{listed} Choose one: --set data.name={known[0]}"
        raise data_error("DATA-066", source, "this data set has several configurations.", hint)
    return name
