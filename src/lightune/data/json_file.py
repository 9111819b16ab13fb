"""Reading a .json file that holds a table: a list of objects, columns, or what pandas and Label Studio write."""

from __future__ import annotations

import json
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lightune.data.annotations import label_studio_rows
from lightune.data.arrow_columns import UNREADABLE, Reading, Store
from lightune.data.csv_file import BATCH_ROWS, MOST_COLUMNS, MOST_FAULTS, too_many_faults, too_wide
from lightune.data.jsonl_file import MOST_DEPTH, READ, require_flat
from lightune.data.names import clean_name
from lightune.data.text_file import TextFile
from lightune.faults import Fault
from lightune.memory import available_bytes

if TYPE_CHECKING:
    import pyarrow as pa

MOST_BYTES = 1_000_000_000  # it is read as a whole
TIMES_READ = 10  # so many bytes of memory, about, for each of the file
HINT = 'Valid: a list of objects, [{"text": ..., "label": ...}, ...]; or one object a line in a .jsonl file.'
BY_LINE = "It holds one object a line: let its name end in .jsonl."

ODD = "this record's annotations are not as Label Studio writes them"
ODD_HINT = "Export it again, or remove this record."

ARRAY = re.compile(r"\ufeff?\s*\[\s*\{")

Record = Mapping[str, Any]


def read_json(file: TextFile, size: int, faults: list[Fault]) -> Reading:
    """Return the columns, with the number of each record; faults go into `faults`."""
    path = file.path
    if size > MOST_BYTES or size * TIMES_READ > available_bytes():
        text = f"it has {size:,} bytes, too many for this machine's memory: a .json file is read as a whole."
        faults.append(Fault("DATA-079", str(path), text, "Write one object a line, as .jsonl."))
        return Reading()
    try:
        with file.stream() as stream:
            text = stream.read()
        records = _records(READ.decode(text))
        require_flat(records or [], MOST_DEPTH + 2)
    except (ValueError, RecursionError) as error:
        is_by_line = isinstance(error, json.JSONDecodeError) and error.msg == "Extra data"
        reason = f"line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else str(error)
        faults.append(Fault("DATA-008", str(path), f"not JSON ({reason})", BY_LINE if is_by_line else HINT))
        return Reading()
    if records is None:
        faults.append(Fault("DATA-008", str(path), "this JSON holds no table", HINT))
        return Reading()
    return _reading(file, records, faults)


def is_by_line(first: Sequence[str]) -> bool:
    """Say whether the first two lines of a file are an object each: one object a line, whatever its name is."""
    return len(list(filter(str.strip, first))) > 1 and all(map(_is_object, first))


def is_array(first: Sequence[str]) -> bool:
    """Say whether a file begins as one JSON array of objects does, which no line of objects does."""
    return bool(ARRAY.match("".join(first)))


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _reading(file: TextFile, records: list[Any], faults: list[Fault]) -> Reading:
    found = label_studio_rows(records)
    rows = found.rows if found else list(enumerate(records, 1))
    notes = [f"{file.path}: {note}" for note in found.notes] if found else []
    skipped, names, before = Counter(found.skipped if found else {}), dict[str, None](), len(faults)
    faults += [Fault("DATA-008", f"{file.path}:{number}", ODD, ODD_HINT) for number in (found.odd if found else ())]
    good = list(_good(file, rows, names, faults))
    skipped[UNREADABLE] += len(faults) - before
    if len(names) > MOST_COLUMNS:
        faults += too_wide(str(file.path), len(names))
        return Reading()
    store = Store(on_disk=False)
    for start in range(0, len(good), BATCH_ROWS):
        store.add(_batch(names, [record for _, record in good[start : start + BATCH_ROWS]]))
    lines = array("q", [number for number, _ in good])
    return Reading(store.columns(decode=json.loads), lines, skipped=+skipped, notes=notes)


def _good(
    file: TextFile, rows: Sequence[tuple[int, Any]], names: dict[str, None], faults: list[Fault]
) -> Iterator[tuple[int, Record]]:
    """Yield the records that are objects, with their number, and add their keys to the names; others are faults."""
    for number, record in rows:
        if len(faults) >= MOST_FAULTS:
            faults.append(too_many_faults(file.path, number))
            return
        if not isinstance(record, Mapping):
            faults.append(Fault("DATA-008", f"{file.path}:{number}", "this record is not an object", HINT))
            continue
        if len(record) > MOST_COLUMNS:
            names.update(record)
            return
        cleaned = {clean_name(name): value for name, value in record.items()}
        names.update(dict.fromkeys(cleaned))
        yield number, cleaned


def _records(value: Any) -> list[Any] | None:
    """Return the records of a table in any of its usual forms, or None for what is no table."""
    if isinstance(value, list):
        return value
    if not isinstance(value, dict) or not value:
        return None
    if set(value) >= {"columns", "data"} and isinstance(value["data"], list):  # pandas, orient="split"
        return [dict(zip(value["columns"], row, strict=True)) for row in value["data"]]
    columns = list(value.values())
    if all(isinstance(column, list) for column in columns) and len(set(map(len, columns))) == 1 and len(columns) > 1:
        return [dict(zip(value, cells, strict=True)) for cells in zip(*columns, strict=True)]
    if all(isinstance(column, dict) for column in columns) and len(columns) > 1:  # pandas, orient="columns"
        keys = dict.fromkeys(key for column in columns for key in column)
        return [{name: column.get(key) for name, column in value.items()} for key in keys]
    lists = [column for column in columns if isinstance(column, list) and column and isinstance(column[0], dict)]
    return lists[0] if len(lists) == 1 else None  # {"data": [...], "version": 1}


def _batch(names: Mapping[str, None], rows: list[Record]) -> pa.RecordBatch:
    import pyarrow as pa

    cells = {name: [_json(row[name]) if name in row else None for row in rows] for name in names if name}
    return pa.record_batch({name: pa.array(values, pa.string()) for name, values in cells.items()})


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isascii() or "\\u" not in text else json.dumps(value)
