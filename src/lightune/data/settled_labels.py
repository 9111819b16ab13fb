"""Labels that look alike are one, and rows of rare labels are left out, where that is asked for; both are said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightune.data.cells import target_cells
from lightune.data.scan import Scan
from lightune.data.tables import Table
from lightune.errors import shortlist
from lightune.faults import Fault, data_error
from lightune.tasks.base import Task
from lightune.tasks.label_cautions import shortened
from lightune.values.label_text import label_text, only_item

RARE = "of a label with one text"
MOST_NAMED = 5
Rows = NDArray[np.int64]


def merged_notes(table: Table, label: str, task: Task) -> list[str]:
    """Return a note for each label that a table also has in other spellings, which the task takes for it."""
    read, found = task.reader(table.class_names.get(label, [])), dict[str, dict[str, None]]()
    names = table.class_names.get(label) or list(dict.fromkeys(map(_name, target_cells(table, [label]))))
    for name in filter(None, names):
        place = read(name)
        if not isinstance(place, Fault) and task.labels[place] != name:
            found.setdefault(task.labels[place], {})[name] = None
    return [f'{table.origin}: {_quoted(list(others))} read as "{name}".' for name, others in sorted(found.items())]


def _name(cell: object) -> str:
    value = only_item(cell)
    return "" if value is None or isinstance(value, list | tuple | dict) else label_text(value)


@dataclass(frozen=True)
class WithoutRare:
    """The task without rare labels, how many rows that would be used each split loses, and notes."""

    task: Task
    lost: dict[str, int]
    notes: list[str]


def leave_out_rare(scans: Mapping[str, Scan], kept: dict[str, Rows], task: Task, least: int) -> WithoutRare:
    """Leave rare labels out of the task and their rows out of scans and kept rows, which change.

    A label is rare if fewer than `least` training rows that would be used have it. DataError where one label is left.
    """
    train = scans["train"]
    pruned = task.without_rare(train.targets[kept["train"]], least)
    if pruned is None:
        return WithoutRare(task, {}, [])
    smaller, places = pruned
    gone = [label for label, place in zip(task.labels, places.tolist(), strict=True) if place < 0]
    if len(smaller.labels) < 2:
        text = f"without rare labels ({_quoted(gone)}) fewer than two are left."
        raise data_error("DATA-022", train.table.origin, text, "Give each label two different texts or more.")
    lost, notes = dict[str, int](), list[str]()
    for name, split in scans.items():
        rows = split.rows
        split.used[rows[places[split.targets[rows]] < 0]] = False
        before = len(kept[name])
        kept[name] = kept[name][split.used[kept[name]]]
        split.targets[split.rows] = places[split.targets[split.rows]]
        lost[name] = before - len(kept[name])
        if lost[name]:
            count = "1 row" if lost[name] == 1 else f"{lost[name]:,} rows"
            notes.append(f"{split.table.origin}: {count} left out, of labels with one training text or none.")
    return WithoutRare(smaller, lost, [*notes, *([f"Labels left out: {_quoted(gone)}."] if gone else [])])


def _quoted(names: list[str]) -> str:
    return shortlist([f'"{shortened(name)}"' for name in sorted(names)], MOST_NAMED)
