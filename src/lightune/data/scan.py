"""One pass over the rows of a split: each row's target, fingerprints and length of its text, or why it is unusable."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, time
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightune.data.cells import cells, target_cells
from lightune.data.fingerprints import fingerprint, folded_words, normal_form
from lightune.data.label_columns import columns_of_target
from lightune.data.tables import Table
from lightune.errors import did_you_mean, shortlist
from lightune.faults import FIX_OR_DROP, Fault, Missing
from lightune.tasks.base import Task
from lightune.tasks.label_cautions import shortened
from lightune.tasks.targets import FIX_OR_DROP_UNSEEN, UNSEEN, WRONG_MARK
from lightune.values.label_text import class_index
from lightune.values.missing import LONGEST_TEXT, MISSING, character_fault, is_missing

MOST_FAULTS = 10_000
MOST_NAMED = 10
LONG_TEXT = 20_000  # characters; the usual models read about 2,500
HTML, SHORT, LONG, ABSENT, ENTITY = 1, 2, 4, 8, 16
# As HTML writes characters: &amp; &#39; &#x27;
ENTITIES = re.compile(r"&(?:[a-zA-Z]{2,8}|#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6});")
TAG = re.compile(r"</?(?:p|br|hr|div|span|a|b|i|em|strong|ul|ol|li|h[1-6]|table|tr|td|img|html|body)\b[^<>]*>", re.I)
TEXT_KINDS = (str, int, float, Decimal, date, time)


@dataclass(frozen=True)
class Wanted:
    """Which columns to read, and the task that says what a target is.

    With `skips_faults` a row that cannot be used is counted and no fault, whatever is wrong with it.
    """

    texts: list[str]
    labels: list[str]
    task: Task
    on_unseen_label: str = "error"
    on_missing: str = "error"
    skips_faults: bool = False


@dataclass
class Scan:
    """What a pass found, in arrays with an entry per row; `targets` are valid for the rows that can be `used`."""

    name: str
    table: Table
    targets: NDArray[Any]
    used: NDArray[np.bool_]
    exact: NDArray[np.uint64]
    normal: NDArray[np.uint64]
    words: NDArray[np.int32]
    oddities: NDArray[np.uint8]
    faults: list[Fault] = field(default_factory=list)
    dropped: int = 0
    missing: int = 0  # dropped for want of a text or target
    unusable: int = 0
    unread: int = 0  # rows that were not checked, since a column is missing

    @classmethod
    def of(cls, name: str, table: Table, task: Task) -> Scan:
        """Return an empty result, before the pass over a table."""
        size = len(table)
        exact, normal = np.zeros(size, np.uint64), np.zeros(size, np.uint64)
        words, oddities = np.zeros(size, np.int32), np.zeros(size, np.uint8)
        return cls(name, table, task.targets(size), np.zeros(size, bool), exact, normal, words, oddities)

    @property
    def rows(self) -> NDArray[np.int64]:
        """The rows that can be used."""
        return np.flatnonzero(self.used)

    def forget_fingerprints(self) -> None:
        """Free the memory of what only comparing needs: 16 bytes a row."""
        self.exact = self.normal = np.zeros(0, np.uint64)


def scan(name: str, table: Table, wanted: Wanted) -> Scan:
    """Read every row of a table once; rows that cannot be used are faults (or dropped, if asked for)."""
    found = Scan.of(name, table, wanted.task)
    labels = columns_of_target(table, wanted.labels, wanted.task)
    for column in (*wanted.texts, *labels):
        if column not in table.columns:
            hint = f"{did_you_mean(column, table.columns)} Columns: {', '.join(table.columns)}.".strip()
            found.faults.append(Fault("DATA-024", table.origin, f'there is no column "{column}".', hint))
    if found.faults:
        found.unread = len(table)
        return found
    read = wanted.task.reader(table.class_names.get(labels[0], []))
    parts = [cells(table, column) for column in wanted.texts]
    for row, (value, *texts) in enumerate(zip(target_cells(table, labels), *parts, strict=True)):
        _take(found, row, texts, text_fault(wanted.texts, texts) or read(value), wanted)
        if len(found.faults) == MOST_FAULTS:
            found.faults.append(Fault("DATA-013", table.place(row), stopped_at()))
            found.unusable += len(table) - row - 1  # these were not checked
            break
    _explain_strangers(found, labels, wanted.task)
    return found


def _explain_strangers(found: Scan, labels: Sequence[str], task: Task) -> None:
    """Replace a list of unknown labels by one fault where no row has a known one: it is the wrong column or model."""
    strangers = [fault for fault in found.faults if fault.code == UNSEEN]
    if len(strangers) < 2 or found.used.any() or any(fault.hint != FIX_OR_DROP_UNSEEN for fault in strangers):
        return
    names = found.table.class_names.get(labels[0], [])
    written = dict.fromkeys(filter(None, (_written(one, names) for one in target_cells(found.table, labels))))
    held, known = shortlist(list(written), MOST_NAMED), shortlist(task.labels, MOST_NAMED)
    text = f"no label in {' + '.join(labels)} ({held}) is among the training labels ({known})."
    hint = "Name the right column with --label-column, or give a file with these labels."
    others = [fault for fault in found.faults if fault.code != UNSEEN and fault.text != stopped_at()]
    found.faults = [Fault(UNSEEN, found.table.origin, text, hint), *others]


def _written(cell: Any, class_names: Sequence[str]) -> str:
    """Return a label cell as a message shows it; "" for one that is missing."""
    if is_missing(cell):
        return ""
    named = class_index(cell, len(class_names))
    return shortened(str(cell) if named is None else class_names[named])


def stopped_at() -> str:
    """Say that not every row was checked."""
    return f"{MOST_FAULTS:,} rows cannot be used; the check of this file stopped here."


def _take(found: Scan, row: int, texts: Sequence[Any], target: Any, wanted: Wanted) -> None:
    if not isinstance(target, Fault):
        found.targets[row], found.used[row] = target, True
        _fingerprints(found, row, [str(text) for text in texts])
    elif target.code == UNSEEN and wanted.on_unseen_label == "drop":
        found.dropped += 1
    elif isinstance(target, Missing) and wanted.on_missing != "error":
        found.missing += 1
    else:
        found.unusable += 1
        if not wanted.skips_faults or target.code == WRONG_MARK:  # which is a fault of the whole column
            found.faults.append(replace(target, place=found.table.place(row)))


def _fingerprints(found: Scan, row: int, written: list[str]) -> None:
    parts = [folded_words(text) for text in written]
    found.words[row] = sum(map(len, parts))
    found.exact[row] = fingerprint(written)
    found.normal[row] = fingerprint([normal_form(words) for words in parts])
    found.oddities[row] = _oddities(written, parts)


def _oddities(texts: Sequence[str], parts: Sequence[list[str]]) -> int:
    found = LONG if sum(map(len, texts)) > LONG_TEXT else 0
    for text, words in zip(texts, parts, strict=True):
        if "<" in text and TAG.search(text):
            found |= HTML
        if "&" in text and ENTITIES.search(text):
            found |= ENTITY
        if len(words) == 1 and len(words[0]) == 1:
            found |= SHORT
        if len(words) == 1 and len(words[0]) > 1 and words[0] in MISSING:
            found |= ABSENT
    return found


def text_fault(names: Sequence[str], texts: Sequence[Any]) -> Fault | None:
    """Return what is wrong with the text of a row, or with one of its pair: a Fault without a place, or None."""
    for name, text in zip(names, texts, strict=True):
        if isinstance(text, list | tuple | dict):  # the first rows held none, or the column would have been refused
            return Fault("DATA-027", "", f"{name} holds a {type(text).__name__}", "Give it as one text.")
        if is_missing(text):
            return Missing("DATA-013", "", f"{name} is empty", FIX_OR_DROP)
        written = str(text)
        if len(written) > LONGEST_TEXT:
            reason = f"has {len(written):,} characters, and at most {LONGEST_TEXT:,} are read"
            return Fault("DATA-013", "", f"{name} {reason}", "Is it one text? Divide it into several.")
        reason = _kind_fault(text) or character_fault(written)
        if reason:
            return Fault("DATA-013", "", f"{name} {reason}", "Fix the row.")
    return None


def _kind_fault(text: Any) -> str:
    """Return what is wrong with bytes and other objects: their str(), such as b'...', is a text that nobody wrote."""
    return "" if isinstance(text, TEXT_KINDS) else f"holds {type(text).__name__}, not text"
