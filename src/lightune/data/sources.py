"""Where data sets come from: the embedded reviews, local files, the Hub. All become tables, one per split."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from lightune.data.tables import READERS, Table, read_table
from lightune.errors import DataError
from lightune.models import hub
from lightune.progress import quiet_libraries
from lightune.recipe import DataBlock, Files

EMBEDDED = "reviews"


@dataclass
class Tables:
    """The tables of a data set. `validation_was_given` says that a person named a validation file."""

    name: str
    revision: str | None
    train: Table
    validation: Table | None
    test: Table | None
    validation_was_given: bool = False


def find_tables(block: DataBlock) -> Tables:
    """Return the tables that the recipe's data block names; DataError or HubError when they cannot be had."""
    if isinstance(block.source, Files):
        files = block.source
        validation = read_table(files.validation) if files.validation else None
        test = read_table(files.test) if files.test else None
        return Tables(files.train, None, read_table(files.train), validation, test, validation is not None)
    if block.source == EMBEDDED:
        return embedded_reviews()
    path = Path(block.source)
    if path.is_dir():
        hint = "Name the files: --train FILE --test FILE."
        raise DataError("DATA-012", f"{block.source}: this is a folder, not a file.", hint)
    if path.is_file() or path.suffix.lstrip(".").lower() in READERS or block.source.startswith((".", "/", "~")):
        return Tables(block.source, None, read_table(path), None, None)
    return _from_hub(block.source, block.revision)


def embedded_reviews() -> Tables:
    """Return the corpus that ships with the package: text, label, kind."""
    folder = resources.files("lightune.data") / "reviews"
    with resources.as_file(folder) as place:
        train, validation, test = (read_table(place / f"{split}.csv") for split in ("train", "validation", "test"))
    for name, table in (("train", train), ("validation", validation), ("test", test)):
        table.origin = f"reviews/{name}.csv"
    return Tables(EMBEDDED, None, train, validation, test)


def _from_hub(name: str, revision: str | None) -> Tables:
    """Load a snapshot's folder: unlike the name, it loads offline too and keeps the class names."""
    folder, commit = hub.snapshot(name, revision, kind="dataset", patterns=hub.DATA_FILES)
    import datasets

    quiet_libraries()
    try:
        loaded = datasets.load_dataset(str(folder))
    except Exception as error:
        text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        hint = "Only data sets of Parquet, CSV or JSON files are read; scripts are never run."
        raise DataError("DATA-010", f"{name}: this data set cannot be read: {text}", hint) from error
    tables = {split: _table(f"{name}[{split}]", rows) for split, rows in loaded.items()}
    if "train" not in tables:
        raise DataError("DATA-011", f"{name}: there is no split called train.", f"Splits: {', '.join(tables)}.")
    validation = tables.get("validation") or tables.get("dev")
    return Tables(name, commit, tables["train"], validation, tables.get("test"))


def _table(origin: str, rows: object) -> Table:
    import datasets

    assert isinstance(rows, datasets.Dataset)
    names = {key: feature.names for key, feature in rows.features.items() if isinstance(feature, datasets.ClassLabel)}
    return Table(origin, {key: list(rows[key]) for key in rows.column_names}, list(range(1, len(rows) + 1)), names)
