"""Reading Parquet, batch by batch; bytes that are no text are named with their row."""

from __future__ import annotations

import json
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightune.data.disguise import described
from lightune.data.faults import Fault
from lightune.data.storage import IN_MEMORY_BYTES, Column, Store

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 4096
BUFFER_BYTES = 1_000_000


def read_parquet(path: Path, head: bytes, faults: list[Fault]) -> tuple[dict[str, Column], array, dict[str, list[str]]]:
    """Return (columns, row numbers from 1, the label names that the file carries)."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    lines: array[int] = array("q")
    rows = 0
    try:
        file = parquet.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER_BYTES, page_checksum_verification=True)
        store, kinds = Store(_unpacked_bytes(file.metadata) > IN_MEMORY_BYTES), None
        for given in file.iter_batches(BATCH_ROWS):
            kinds = kinds or _kinds(given)
            batch, bad = _without_bad_text(pa.record_batch(_converted(given, kinds), names=given.schema.names))
            faults += [_not_text(f"{path}:{rows + row + 1}", name) for row, name in bad.items()]
            lines.extend(rows + row + 1 for row in range(len(given)) if row not in bad)
            rows += len(given)
            store.add(batch)
        return store.columns(), lines, _class_names(file.schema_arrow.metadata)
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in {28, 122}:  # the disk is full: no fault of this file
            raise
        faults.append(_unreadable(path, head, error))
        return {}, array("q"), {}


def _unreadable(path: Path, head: bytes, error: Exception) -> Fault:
    what = "" if head.startswith(b"PAR1") else described(head)
    why = f"this is {what}" if what else " ".join(str(error).split())[:200]
    hint = "Write it again or fetch it anew: it is damaged, cut off, or something else."
    return Fault("DATA-009", str(path), f"not a readable Parquet file ({why})", hint)


def _not_text(place: str, name: str) -> Fault:
    return Fault("DATA-003", place, f"{name} is not UTF-8", "Write the texts again, decoded from what they are.")


def _unpacked_bytes(metadata: Any) -> int:
    return sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))


def _kinds(batch: pa.RecordBatch) -> list[Any]:
    """Return the type in which to keep each column, or None for its own.

    Bytes that are text become text (some writers do not say that a column is text), and dates become texts, since
    Python cannot hold all of them.
    """
    import pyarrow as pa

    types = pa.types
    return [
        pa.string() if types.is_temporal(column.type) or (types.is_binary(column.type) and _is_text(column)) else None
        for column in batch.columns
    ]


def _converted(batch: pa.RecordBatch, kinds: list[Any]) -> list[pa.Array]:
    import pyarrow as pa

    return [
        column if kind is None else column.view(kind) if pa.types.is_binary(column.type) else column.cast(kind)
        for column, kind in zip(batch.columns, kinds, strict=True)
    ]


def _is_text(column: pa.Array) -> bool:
    import pyarrow as pa

    try:
        column.cast(pa.string())
    except pa.ArrowInvalid:
        return False
    return True


def _without_bad_text(batch: pa.RecordBatch) -> tuple[pa.RecordBatch, dict[int, str]]:
    """Return the rows whose texts are UTF-8, and for the others the column; Arrow itself does not look."""
    import pyarrow as pa

    try:
        batch.validate(full=True)
        return batch, {}
    except pa.ArrowInvalid:
        bad: dict[int, str] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if pa.types.is_string(column.type):
            cells = column.view(pa.binary()).to_pylist()
            bad |= {row: name for row, cell in enumerate(cells) if cell is not None and not _decodes(cell)}
    kept = batch.take(pa.array([row for row in range(len(batch)) if row not in bad], pa.int64()))
    kept.validate(full=True)
    return kept, bad


def _decodes(cell: bytes) -> bool:
    try:
        cell.decode()
    except UnicodeDecodeError:
        return False
    return True


def _class_names(metadata: dict[bytes, bytes] | None) -> dict[str, list[str]]:
    """Return the label names that the library datasets wrote into the file."""
    about = json.loads((metadata or {}).get(b"huggingface", b"{}"))
    features = about.get("info", {}).get("features", {}) if isinstance(about, dict) else {}
    return {name: kind["names"] for name, kind in features.items() if isinstance(kind, dict) and kind.get("names")}
