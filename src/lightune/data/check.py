"""The check of a data set: all faults of all files at once, and warnings. Every run begins with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lightune.data import columns, text_warnings
from lightune.data.chosen_task import choose_task
from lightune.data.decimals import write_with_points
from lightune.data.duplicates import LEAKS, find_duplicates
from lightune.data.inner_fields import add_fields
from lightune.data.label_columns import columns_of_target, label_columns, other_labels
from lightune.data.row_counts import UNREAD, RowCounts, lost_rows, rows_of
from lightune.data.scan import Scan, Wanted, scan
from lightune.data.settled_labels import RARE, leave_out_rare, merged_notes
from lightune.data.sources import EMBEDDED, PYTHON, Tables, find_tables, stated_format
from lightune.data.tables import Table, reading_notes
from lightune.data.unreadable import empty_words, settle_unreadable
from lightune.data.unused_format import kinds_of, unused_format
from lightune.data.windows import WINDOWS
from lightune.data.wishes import with_data
from lightune.errors import DataError
from lightune.faults import Fault, faults_of
from lightune.recipe import DataBlock
from lightune.tasks import Task
from lightune.tasks import label_columns as usual_names
from lightune.tasks.columns import ANY_TASK, SplitTargets, Wishes
from lightune.tasks.label_warnings import LEAST

T = TypeVar("T")


@dataclass
class Checked:
    """What the check found. Any fault makes the data unusable; warnings do not.

    `scans` and `kept` have an entry for each split that exists; `kept` are the rows that a run may use.
    """

    tables: Tables | None = None
    texts: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    guessed: tuple[bool, bool] = (False, False)
    task: Task | None = None
    scans: dict[str, Scan] = field(default_factory=dict)
    kept: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    warnings: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    leaving: dict[str, dict[str, int]] = field(default_factory=dict)  # duplicates, by split and reason
    rows: dict[str, RowCounts] = field(default_factory=dict)

    @property
    def guess(self) -> str:
        """Which columns were guessed, as a note; empty when none was."""
        return columns.guess_note(self.texts, self.labels, self.guessed)


def check_data(
    block: DataBlock, wishes: Wishes = ANY_TASK, tables: Tables | None = None, task: Task | None = None
) -> Checked:
    """Read and check every file that a recipe's data block names; faults are collected, not raised.

    `tables` replace the block's source. A `task` that is known already is not looked for, but where rare labels are
    left out: only with all labels are the same rows duplicates of each other.
    """
    wishes = with_data(wishes, block)
    found = Checked(task=None if wishes.drops_rare else task)
    wishes = wishes if task is None else replace(wishes, task=task.name)
    found.tables = tables or _attempt(lambda: find_tables(block, found.faults), found.faults)
    if found.tables is None:  # the faults say why it cannot be read
        return found
    _take(found, found.tables, block)
    if not len(found.tables.train):
        if not found.faults:
            found.faults.append(_empty("train", found.tables.train.origin, "Give more rows."))
    elif _choose_columns(found, found.tables.train, block, wishes):
        _scan(found, block)
        _compare(found, block)
        _leave_out_rare(found, wishes, task)
        _look(found, block, wishes)
    _count_rows(found)
    for split in found.scans.values():
        split.forget_fingerprints()
    return found


def _take(found: Checked, tables: Tables, block: DataBlock) -> None:
    """Take what reading found of each table; rows that cannot be read are left out where that is asked for."""
    found.notes += tables.notes
    read = _tables(tables)
    found.faults += unused_format(stated_format(block), _kinds(tables), tables.name)
    found.notes += settle_unreadable(found.faults, list(read.values()), block.on_unreadable == "drop")
    for name, table in read.items():
        add_fields(table, block.named_columns)
        found.rows[name] = rows_of(table)
        found.warnings += table.warnings
        if not (block.text_column and block.named_labels):
            found.faults += table.doubts
        found.notes += reading_notes(table)


def _kinds(tables: Tables) -> set[str]:
    """Return the kinds of files that data was read from, or in words what else it is."""
    others = {EMBEDDED: "the embedded data set", PYTHON: "data from Python"}
    if tables.revision is not None:
        return {"a data set of the Hub"}
    return {others[tables.name]} if tables.name in others else kinds_of(_tables(tables).values())


def _tables(tables: Tables) -> dict[str, Table]:
    named = {"train": tables.train, "validation": tables.validation, "test": tables.test}
    return {name: table for name, table in named.items() if table is not None}


def _scan(found: Checked, block: DataBlock) -> None:
    """Scan every split; a guessed column that another file lacks is reported for the training file."""
    assert found.tables is not None
    assert found.task is not None
    wanted = Wanted(found.texts, found.labels, found.task, block.on_unseen_label, block.on_missing)
    tables = _tables(found.tables)
    odd = _oddly_named(found, tables)
    found.faults += odd
    for name, table in tables.items():
        if not found.task.labels and name != "train":
            found.notes += _attempt(partial(write_with_points, table, found.labels, block.decimal), found.faults) or []
        if len(table) and not (odd and name != "train"):
            found.scans[name] = scan(name, table, wanted)
            found.faults += found.scans[name].faults
    found.notes += [
        f"{split.table.origin}: {split.dropped} rows dropped for a label that is not among the training labels."
        for split in found.scans.values()
        if split.dropped
    ] + [
        f"{split.table.origin}: {split.missing:,} row{'s' * (split.missing > 1)} without text or label dropped."
        for split in found.scans.values()
        if split.missing
    ]


def _oddly_named(found: Checked, tables: dict[str, Table]) -> list[Fault]:
    """Return a fault for each column that was guessed by elimination in training and is missing from another file."""
    guessed = [*(found.texts if found.guessed[0] else ()), *(found.labels if found.guessed[1] else ())]
    faults = []
    for name in guessed:
        lacking = [table for table in tables.values() if table.columns and name not in _standing_in(found, table)]
        if columns.is_usual(name) or not lacking:
            continue
        kind, other = "label" if name in found.labels else "text", lacking[0]
        text = f'the {kind} column was guessed to be "{name}", but {other.origin} has no such column.'
        hint = f"Use the same name in both files. Columns of {other.origin}: {', '.join(other.columns)}."
        faults.append(Fault("DATA-024", tables["train"].origin, text, hint))
    return faults


def _count_rows(found: Checked) -> None:
    """Count the unusable rows; rows of a split that was not checked do not count as used."""
    for name, counts in found.rows.items():
        split = found.scans.get(name)
        left = counts.rows_in - sum(counts.dropped.values())
        if split is None or name not in found.kept:
            counts.drop({UNREAD: left})
            continue
        counts.drop({**lost_rows(split), **found.leaving.get(name, {})})
        counts.used = {name: len(found.kept[name])}


def _choose_columns(found: Checked, train: Table, block: DataBlock, wishes: Wishes) -> bool:
    """Find the columns and the task; without them nothing else can be checked."""
    others = [table for table in _tables(found.tables).values() if table is not train] if found.tables else []
    texts = _attempt(lambda: columns.text_columns(train, block.text_column, others), found.faults)
    if texts is None and block.named_labels is None:  # which columns are left for the label is not known either
        return False
    named, usual = texts[0] if texts else [], (*usual_names(wishes.task), *usual_names())
    labels = _attempt(lambda: label_columns(train, block.named_labels, named, usual), found.faults)
    if labels is None:
        return False
    if block.on_missing == "drop_words":
        for table in (train, *others):
            empty_words(table, [*named, *labels[0]])
    picked = _attempt(lambda: choose_task(train, labels[0], wishes, block.decimal, found.task), found.faults)
    if texts is None or picked is None:
        return False
    chosen, told = picked
    found.notes += told
    found.texts, found.labels, found.guessed, found.task = texts[0], labels[0], (texts[1], labels[1]), chosen.task
    if found.tables is not None and found.tables.name == EMBEDDED:
        found.guessed = (False, False)
        return True
    found.notes += chosen.task.ignored(wishes)
    if wishes.merges_alike and not chosen.task.ignored(wishes):
        found.notes += merged_notes(train, labels[0][0], chosen.task)
    found.notes += filter(None, [chosen.why, other_labels(train, texts[0], labels[0]) if labels[1] else ""])
    return True


def _standing_in(found: Checked, table: Table) -> set[str]:
    """Return the names that a table has, with those of label columns in whose place it has others."""
    assert found.task is not None
    instead = found.labels if columns_of_target(table, found.labels, found.task) != found.labels else ()
    return {*table.columns, *instead}


def _empty(name: str, origin: str, hint: str) -> Fault:
    return Fault("DATA-030", origin, f"the {name} split is empty.", hint)


def _attempt(act: Callable[[], T], faults: list[Fault]) -> T | None:
    try:
        return act()
    except DataError as error:
        faults += faults_of(error)
        return None


def _compare(found: Checked, block: DataBlock) -> None:
    """Find duplicates, and leave them out of the rows that may be used."""
    assert found.task is not None
    duplicates = find_duplicates(found.scans, found.task, block.on_duplicate)
    found.warnings += duplicates.warnings
    found.kept = {name: split.rows for name, split in found.scans.items()}
    if not duplicates.summary:
        return
    if block.on_duplicate == "error":
        assert found.tables is not None
        text = f"duplicates in training or validation texts: {duplicates.summary}."
        hint = "Remove them, or pass --set data.on_duplicate=drop."
        found.faults.append(Fault("DATA-031", found.tables.name, text, hint))
    elif block.on_duplicate == "keep":
        found.notes.append(f"Duplicates kept: {duplicates.summary}.")
    else:
        found.kept, found.leaving = duplicates.kept, duplicates.leaving
        found.notes.append(f"Texts dropped from training and validation: {duplicates.summary}.")


def _leave_out_rare(found: Checked, wishes: Wishes, known: Task | None) -> None:
    """Leave out rows of rare labels where that is asked for, unless rows have faults: they may be the ones lacking.

    Labels that stood only in training rows without a text, which were dropped, are left out in any case.
    """
    task, scans = found.task, found.scans
    least = LEAST if wishes.drops_rare else int("train" in scans and scans["train"].missing > 0)
    if task is None or not least or any(split.faults for split in scans.values()):
        return
    left = _attempt(lambda: leave_out_rare(scans, found.kept, task, least), found.faults)
    if left is None:
        return
    found.task = known if known is not None and known.labels == left.task.labels else left.task
    found.notes += left.notes
    for name, count in left.lost.items():
        found.leaving.setdefault(name, {})[RARE] = count


def _look(found: Checked, block: DataBlock, wishes: Wishes) -> None:
    assert found.task is not None
    for name, split in found.scans.items():
        if not len(found.kept[name]) and not split.faults:
            is_tested = name == "train" and found.leaving.get(name, {}).get(LEAKS, 0)
            what = "Leave --test out, and rows are held out for it." if is_tested else "Give more rows."
            hint = " ".join([*found.notes, what])
            found.faults.append(_empty(name, split.table.origin, hint))
        found.warnings += text_warnings.text_warnings(split, block.long_texts == WINDOWS)
    if len(found.kept["train"]):
        faults, warnings = found.task.check({name: _targets(found, name) for name in found.scans}, wishes)
        found.faults += faults
        found.warnings += warnings


def _targets(found: Checked, name: str) -> SplitTargets:
    split = found.scans[name]
    return SplitTargets(
        name=name,
        origin=split.table.origin,
        values=split.targets,
        usable=split.rows,
        kept=found.kept[name],
        place=split.table.place,
        has_faults=bool(split.faults),
        has_class_names=found.labels[0] in split.table.class_names,
    )
