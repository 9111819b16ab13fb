"""Reading jsonl: one object per line. Cells are kept as JSON, so that numbers, strings and null keep their types."""

from __future__ import annotations

import json
import re
from array import array
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightune.bounded import first_twin
from lightune.data.annotations import NOT_ACCEPTED, is_rejected, one_label, without
from lightune.data.arrow_columns import UNREADABLE, Reading, Store
from lightune.data.csv_file import BATCH_LETTERS, BATCH_ROWS, MOST_FAULTS, too_many_faults
from lightune.data.csv_lines import filled_lines
from lightune.data.file_signatures import stray_characters
from lightune.data.names import clean_name
from lightune.data.text_file import TextFile
from lightune.faults import Fault

if TYPE_CHECKING:
    import pyarrow as pa

MOST_COLUMNS = 1000
MOST_DEPTH = 100  # of lists and objects inside each other
MOST_DIGITS = 4000  # Python reads no whole number of more than 4,300
HALF = re.compile("[\ud800-\udfff]")
HINT = "Each line is one JSON object."
ARRAY_HINT = "It looks like one JSON array: let its name end in .json."

Cells = dict[str, str]


def read_json_lines(file: TextFile, on_disk: bool, faults: list[Fault]) -> Reading:
    """Return the columns, with the line of each row; a key that a line lacks is None there."""
    only = _only_label(file)
    lines: array[int] = array("q")
    skipped = Counter[str]()
    names: dict[str, None] = {}
    path, store, kept, characters = file.path, Store(on_disk), list[Cells](), 0
    for line, cells in _rows(file, faults, skipped, only):
        names.update(dict.fromkeys(cells))
        if len(names) > MOST_COLUMNS:
            text = f"more than {MOST_COLUMNS:,} different keys up to this line"
            faults.append(Fault("DATA-068", f"{path}:{line}", text, "Use the same keys in each line: text, label."))
            break
        lines.append(line)
        kept.append(cells)
        characters += sum(map(len, cells.values()))
        if len(kept) == BATCH_ROWS or characters > BATCH_LETTERS:
            store.add(_batch(names, kept))
            kept, characters = [], 0
    if kept:
        store.add(_batch(names, kept))
    told = f'{path}: Prodigy\'s answers on one label: those that reject it are examples of "not {only}".'
    columns, notes = store.columns(decode=json.loads), [told] if only else []
    return Reading(columns, lines, skipped=dict(skipped), notes=notes, only_label=only)


def _rows(file: TextFile, faults: list[Fault], skipped: Counter[str], only: str) -> Iterator[tuple[int, Cells]]:
    """Yield (line, the JSON of each cell) of the good lines, and count the others except blank ones at the end."""
    limit, hint, path = len(faults) + MOST_FAULTS, "", file.path
    with file.stream() as stream:
        for number, line in filled_lines(stream, skipped):
            hint = hint or (ARRAY_HINT if line.lstrip().startswith("[") else HINT)
            found = stray_characters(path, number, [line]) or _cells(path, number, line, hint, only)
            if found is None:
                skipped[NOT_ACCEPTED] += 1
                continue
            if not isinstance(found, Fault):
                yield number, found
                continue
            faults.append(found)
            skipped[UNREADABLE] += 1
            if len(faults) >= limit:
                faults.append(too_many_faults(path, number))
                return


def _only_label(file: TextFile) -> str:
    """Return the only label of Prodigy's yes-or-no answers, "" for other files; these are known by their first line."""

    def records() -> Iterator[dict[str, Any]]:
        with file.stream() as stream:
            for line in filter(str.strip, stream):
                yield READ.decode(line)

    try:
        return one_label(records())
    except (ValueError, TypeError, RecursionError):  # such lines are faults when they are read
        return ""


def _cells(path: Path, number: int, line: str, hint: str, only: str) -> Cells | Fault | None:
    """Return the JSON of each cell, what is wrong with the line, or None for one that an annotator rejected.

    An answer that rejects the `only` label is an example without it.
    """
    place = f"{path}:{number}"
    # Half a character can only be written as an escape, and Arrow cannot store it, so such lines keep their escapes.
    write = ESCAPED if "\\u" in line else PLAIN
    try:
        record = READ.decode(line)
        if not isinstance(record, dict):
            return Fault("DATA-008", place, "not a JSON object", hint)
        if len(record) > MOST_COLUMNS:  # so many are refused, and more need not be looked at
            record = dict(islice(record.items(), MOST_COLUMNS + 1))
        if line.count("[") + line.count("{") > MOST_DEPTH:
            require_flat(record)
        if is_rejected(record):
            if not only or record["answer"] != "reject":
                return None
            record = dict(without(only, record))
        names = _twice_refused(list(map(clean_name, record)))
        if HALF.search("".join(names)):
            return Fault("DATA-008", place, "a key holds half a character (an unpaired surrogate)", hint)
        return {name: write.encode(value) for name, value in zip(names, record.values(), strict=True)}
    except json.JSONDecodeError as error:
        return Fault("DATA-008", place, f"not JSON ({error.msg}, column {error.colno})", hint)
    except (ValueError, RecursionError) as error:
        return Fault("DATA-008", place, f"not JSON ({error})", hint)


def require_flat(value: Any, left: int = MOST_DEPTH) -> None:
    """Raise ValueError for lists and objects inside each other so deep that Python may fail on them later."""
    if left == 0:
        raise ValueError(f"lists or objects are nested more than {MOST_DEPTH} deep")
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if isinstance(inner, dict | list):
            require_flat(inner, left - 1)


def _whole(text: str) -> int:
    if len(text) > MOST_DIGITS:
        raise ValueError(f"a number of {len(text):,} digits")
    return int(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        _twice_refused([name for name, _ in pairs])
    return found


def _twice_refused(names: list[str]) -> list[str]:
    twice = first_twin(names) if len(set(names)) < len(names) else None
    if twice is not None:
        raise ValueError(f'the key "{twice}" occurs twice')
    return names


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _float(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"the number {text} is too large")
    return number


READ = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_whole)
PLAIN = json.JSONEncoder(ensure_ascii=False)
ESCAPED = json.JSONEncoder()


def _batch(names: dict[str, None], rows: list[Cells]) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.record_batch({name: pa.array([cells.get(name) for cells in rows], pa.string()) for name in names})
