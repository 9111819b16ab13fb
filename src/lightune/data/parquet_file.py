"""Reading Parquet in batches; bytes that are not text are reported with their row."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightune.data.arrow_columns import IN_MEMORY_BYTES, UNREADABLE, Reading, Store
from lightune.data.file_signatures import described
from lightune.data.header import twin_names
from lightune.data.names import clean_name
from lightune.data.parquet_pages import MOST_BYTES, page_sizes
from lightune.data.plain_columns import holds_categories, kept_types, plain
from lightune.data.text_file import MOST_TIMES, is_bomb
from lightune.errors import is_full
from lightune.faults import Fault

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

BATCH_ROWS = 4096
BUFFER_BYTES = 1_000_000
MOST_SAMPLED = 200


def read_parquet(path: Path, head: bytes, faults: list[Fault]) -> Reading:
    """Return the columns, the row numbers from 1, and the label names stored in the file."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        file = parquet.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER_BYTES, page_checksum_verification=True)
        names = list(map(clean_name, file.schema_arrow.names))
        twins = twin_names(names)
        if twins:
            hint = "Each column needs a different name."
            faults += [Fault("DATA-006", str(path), text, hint) for text in twins]
            return Reading()
        packed, (largest, dictionary) = path.stat().st_size, page_sizes(path, file.metadata)
        if largest > MOST_BYTES or is_bomb(max(largest, _unpacked_bytes(file.metadata)), packed):
            return _bomb(path, faults)
        # Each of these rows may be the largest text of the dictionary.
        together = max(1, min(BATCH_ROWS, MOST_BYTES // max(1, dictionary)))
        return _read(path, file, names, faults, together)
    except (pa.ArrowException, OSError, ValueError, RecursionError) as error:
        if is_full(error):  # which is not a fault of this file
            raise
        faults.append(_unreadable(path, head, error))
        return Reading()


def _read(path: Path, file: ParquetFile, names: list[str], faults: list[Fault], together: int) -> Reading:
    import pyarrow as pa

    lines: array[int] = array("q")
    rows, unpacked, packed = 0, 0, path.stat().st_size
    types = kept_types(file.schema_arrow.types, lambda number: _first_values(file, number, together))
    store = Store(_unpacked_bytes(file.metadata) > IN_MEMORY_BYTES)
    for given in _batches(file, together):
        unpacked += given.nbytes
        if is_bomb(unpacked, packed):
            return _bomb(path, faults)
        batch, bad = _without_bad_text(pa.record_batch(plain(given, types), names=names))
        faults += [_not_text(f"{path}:{rows + row + 1}", name) for row, name in bad.items()]
        lines.extend(rows + row + 1 for row in range(len(given)) if row not in bad)
        rows += len(given)
        store.add(batch)
    skipped = {UNREADABLE: rows - len(lines)} if len(lines) < rows else {}
    return Reading(store.columns(), lines, _class_names(file.schema_arrow.metadata), skipped)


def _bomb(path: Path, faults: list[Fault]) -> Reading:
    text = f"it unpacks to more than {MOST_TIMES} times its size, or a page of it to more than {MOST_BYTES:,} bytes."
    faults.append(Fault("DATA-074", str(path), text, "Write it again as CSV if that is right, and pass that file."))
    return Reading()


def _batches(file: ParquetFile, rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the rows, by row group where lists or structs have categories: Arrow cannot join these across groups."""
    has_inner = any(holds_categories(kind) for kind in file.schema_arrow.types)
    parts = [[number] for number in range(file.num_row_groups)] if has_inner else [None]
    for part in parts:
        yield from file.iter_batches(rows, row_groups=part)


def _first_values(file: ParquetFile, number: int, rows: int) -> pa.Array:
    """Return some values of a column of bytes that are not null; it may begin with many nulls."""
    import pyarrow as pa

    for batch in file.iter_batches(rows, columns=[file.schema_arrow.names[number]]):
        found = batch.column(0).cast(pa.large_binary()).drop_null().slice(0, MOST_SAMPLED)
        if len(found):
            return found
    return pa.array([], pa.large_binary())


def _unreadable(path: Path, head: bytes, error: Exception) -> Fault:
    what = "" if head.startswith(b"PAR1") else described(head)
    why = f"this is {what}" if what else " ".join(str(error).split())[:200]
    hint = "Write or download it again: it is damaged, truncated, or another kind of file."
    return Fault("DATA-009", str(path), f"not a readable Parquet file ({why})", hint)


def _not_text(place: str, name: str) -> Fault:
    return Fault("DATA-003", place, f"{name} is not UTF-8", "Write the texts again, decoded from their own encoding.")


def _unpacked_bytes(metadata: Any) -> int:
    return sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))


def _without_bad_text(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, dict[int, str]]:
    """Return the rows whose texts are UTF-8, and for each other row the column; Arrow does not check by itself."""
    import pyarrow as pa

    try:
        batch.validate(full=True)
        return batch, {}
    except pa.ArrowInvalid:
        bad: dict[int, str] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        bad |= dict.fromkeys(_bad_rows(column), name)
    kept = batch.take(pa.array([row for row in range(len(batch)) if row not in bad], pa.int64()))
    kept.validate(full=True)
    return kept, bad


def _bad_rows(column: pa.Array) -> Iterator[int]:
    """Yield the rows of a column that hold bytes which are not text, in lists and structs too."""
    import pyarrow as pa

    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        for row in range(len(column)):
            try:
                column[row].as_py()
            except UnicodeDecodeError:
                yield row


def _class_names(metadata: dict[bytes, bytes] | None) -> dict[str, list[str]]:
    """Return the label names that the datasets library wrote into the file."""
    found: Any = json.loads((metadata or {}).get(b"huggingface", b"{}"))
    for key in ("info", "features"):
        found = found.get(key) if isinstance(found, dict) else None
    features = found if isinstance(found, dict) else {}
    named = {clean_name(name): _of_items(kind) for name, kind in features.items()}
    found = {name: kind.get("names") for name, kind in named.items() if isinstance(kind, dict)}
    return {name: names for name, names in found.items() if names and _are_texts(names)}


def _are_texts(names: Any) -> bool:
    return isinstance(names, list) and all(isinstance(name, str) for name in names)


def _of_items(kind: Any) -> Any:
    """Return what is written about the items of a list, for a column of lists."""
    if isinstance(kind, list) and len(kind) == 1:
        return kind[0]
    inner = kind.get("feature") if isinstance(kind, dict) else None
    return inner if isinstance(inner, dict) else kind
