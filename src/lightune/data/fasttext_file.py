"""Reading fastText's training files: a text a line, with its labels as words that begin with __label__."""

from __future__ import annotations

import json
import re
from array import array
from collections import Counter
from collections.abc import Sequence

from lightune.data.arrow_columns import UNREADABLE, Reading, Store
from lightune.data.csv_file import BATCH_ROWS
from lightune.data.csv_lines import filled_lines
from lightune.data.file_signatures import stray_characters
from lightune.data.text_file import TextFile, TextFormat
from lightune.faults import Fault

PREFIX = "__label__"
LABEL = re.compile(rf"(?<!\S){PREFIX}(\S+)\s*")
# A table whose first cell is such a word has a separator behind it.
IN_A_CELL = re.compile(rf"{PREFIX}[^\s,;|]*[,;|\t]")


def is_fasttext(first: Sequence[str], stated: TextFormat) -> bool:
    """Say whether the first lines of a file are fastText's: the first that is not blank begins with a label.

    A file of which columns are stated is a table, and so is one with a separator behind its first label.
    """
    if stated.separator or stated.column_names or stated.header_row:
        return False
    begun = next((line for line in first if line.strip()), "").lstrip("\ufeff")
    return begun.startswith(PREFIX) and not IN_A_CELL.match(begun)


def read_fasttext(file: TextFile, on_disk: bool, faults: list[Fault]) -> Reading:
    """Return the columns text and label, a list in each row, with the line of each; faults go into `faults`."""
    lines, store, skipped = array("q"), Store(on_disk), Counter[str]()
    kept: list[tuple[str, list[str]]] = []
    with file.stream() as stream:
        for number, line in filled_lines(stream, skipped):
            stray = stray_characters(file.path, number, [line])
            if stray:
                faults.append(stray)
                skipped[UNREADABLE] += 1
                continue
            lines.append(number)
            kept.append((LABEL.sub("", line).strip(), LABEL.findall(line)))
            if len(kept) == BATCH_ROWS:
                _put(store, kept)
    _put(store, kept)
    note = f"{file.path}: read as fastText's training file, with labels that begin with {PREFIX}."
    return Reading(store.columns(decode=json.loads), lines, skipped=dict(skipped), notes=[note])


def _put(store: Store, kept: list[tuple[str, list[str]]]) -> None:
    import pyarrow as pa

    columns = {"text": [json.dumps(text) for text, _ in kept]}
    columns["label"] = [json.dumps(labels) if labels else "null" for _, labels in kept]
    store.add(pa.record_batch({name: pa.array(cells, pa.string()) for name, cells in columns.items()}))
    kept.clear()
