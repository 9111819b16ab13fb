"""From tables to the splits of a run: labelled texts, cleaned, disjoint and of the wanted size."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from itertools import chain

from lightune.data import columns
from lightune.data.check import Checked, check_data
from lightune.data.decimals import write_with_points
from lightune.data.duplicates import CONFLICTING, LEAKED, REPEATED
from lightune.data.fingerprints import Fingerprints
from lightune.data.header import labels_as_names
from lightune.data.inner_fields import add_fields
from lightune.data.label_columns import label_columns, own_order
from lightune.data.row_counts import UNDRAWN, RowCounts, counts_of
from lightune.data.scan import MOST_NAMED, Scan, Wanted, scan
from lightune.data.sources import Tables
from lightune.data.split import HELD_OUT_SHARE, Split, split_of, stratified
from lightune.data.tables import Table, reading_notes
from lightune.errors import shortlist
from lightune.faults import as_note, data_error, raise_faults
from lightune.recipe import DataBlock
from lightune.tasks import label_columns as usual_names
from lightune.tasks.base import Task
from lightune.tasks.columns import ANY_TASK, Wishes

# One note gives the count of duplicates; `lightune check` says which rows they are.
COUNTED = (REPEATED, CONFLICTING, LEAKED)


@dataclass(frozen=True)
class DataSplits:
    """What a run is trained and tested on. No test text is in train or validation (unless kept on purpose).

    `rows` says what the rows of each file are used for, or why they were dropped.
    """

    source: str
    revision: str | None
    text_columns: list[str]
    label_columns: list[str]
    task: Task
    train: Split
    validation: Split
    test: Split
    notes: list[str]
    rows: dict[str, RowCounts] = field(default_factory=dict)

    def sha256(self) -> str:
        """Return the SHA-256 of every text and target used, in order."""
        digest = hashlib.sha256(json.dumps(list(self.task.labels)).encode())
        for split in (self.train, self.validation, self.test):
            for text, target in zip(split.texts, split.targets.tolist(), strict=True):
                digest.update(json.dumps([*text, target]).encode())
        return digest.hexdigest()

    def fingerprints(self) -> Fingerprints:
        """Return the fingerprints of the training and validation texts; test texts are left out.

        The key is derived from `sha256`, so that the same recipe gives the same bytes.
        """
        return Fingerprints.of(chain(self.train.texts, self.validation.texts), self.sha256())


def load_splits(
    block: DataBlock,
    seed: int,
    wishes: Wishes = ANY_TASK,
    tables: Tables | None = None,
    group_by: str | None = None,
    task: Task | None = None,
    holds_out: bool = True,
) -> DataSplits:
    """Check and load the data a recipe names; DataError lists every fault with file and row.

    Training and validation rows are drawn by the seed, stratified by the task; test rows do not depend on it, so that
    runs with different seeds are compared on the same examples. `tables` replace the block's source. `group_by`
    names a column to group by, whatever its values. A `task` that is known already is taken as it is. Unless test rows
    are given, some are held out; with `holds_out` false the test split stays empty.
    """
    checked = check_data(block, wishes, tables, task)
    raise_faults(checked.faults)
    return draw_splits(checked, block, seed, group_by, holds_out)


def draw_splits(
    checked: Checked, block: DataBlock, seed: int, group_by: str | None = None, holds_out: bool = True
) -> DataSplits:
    """Draw the splits from data without faults; DataError when one is empty, or training lacks a label."""
    assert checked.tables is not None
    found = _whole(checked, group_by)
    # `train_examples` is the whole budget of labels: a validation split that nobody asked for would exceed it.
    keeps_validation = checked.tables.validation_was_given or block.train_examples is None
    files = {
        "train": "train",
        "validation": "validation" if len(found.validation) and keeps_validation else "train",
        "test": "test" if len(found.test) else "train",
    }
    found = _with_test(found) if holds_out else found
    found = _sized(found, block, seed, validation_is_own=files["validation"] == "validation")
    found = replace(found, rows=_where_rows_went(checked.rows, found, files))
    for name, split in (("training", found.train), ("validation", found.validation), ("test", found.test)):
        if len(split) == 0 and (holds_out or name != "test"):
            hint = " ".join([*found.notes, "Give more rows."])
            raise data_error("DATA-030", found.source, f"the {name} split is empty.", hint)
    raise_faults(found.task.drawn(found.train.targets, found.source))
    return replace(found, task=found.task.for_training(found.train.targets))


@dataclass(frozen=True)
class LabelledTable:
    """The texts and targets of a labelled table; `rows` says how many there are, and why others were dropped."""

    split: Split
    notes: list[str]
    rows: RowCounts


def labelled_split(
    table: Table,
    block: DataBlock,
    task: Task,
    texts: tuple[list[str], bool] | None = None,
    group_by: str | None = None,
    skips_faults: bool = False,
) -> LabelledTable:
    """Return a table's texts and targets, with notes on guessed columns and on what reading skipped or found odd.

    The task is already known (that of a trained model, for example), and so may be the text columns: `texts`, and
    whether they were guessed. `group_by` names a column to keep as groups. DataError lists every row that cannot be
    used, but for those that the block leaves out or, with `skips_faults`, all; and where none is left.
    """
    instead = list(task.instead_of_column(list(table.columns)))
    if not (block.text_column and block.named_labels) and not instead:
        raise_faults(table.doubts or labels_as_names(table.origin, list(table.columns), task.labels))
    names, guessed_text = texts or columns.text_columns(table, block.text_column)
    wanted = block.named_labels or instead or None
    labels, guessed_label = label_columns(table, wanted, names, (*task.label_columns, *usual_names()))
    labels = own_order(table, labels, task)
    written = [] if task.labels else write_with_points(table, labels, block.decimal)
    found = scan("test", table, Wanted(names, labels, task, block.on_unseen_label, block.on_missing, skips_faults))
    raise_faults(found.faults)
    guess = columns.guess_note(names, labels, (guessed_text, guessed_label))
    notes = [*reading_notes(table), *map(as_note, table.warnings), *filter(None, [guess]), *written]
    rows = counts_of(found)
    if not len(found.rows):
        known = f"one of the labels {shortlist(task.labels, MOST_NAMED)}" if task.labels else "a value"
        hint = f"Give rows with a text and {known}, or name the right column: --label-column."
        raise data_error("DATA-030", table.origin, f"no row is left: {rows.words()}.", hint)
    return LabelledTable(split_of(found, found.rows, names, labels, group_by), notes, rows)


def _whole(checked: Checked, group_by: str | None) -> DataSplits:
    """Return all rows that may be used, split as the tables are."""
    assert checked.tables is not None
    assert checked.task is not None
    empty = Split([], checked.task.targets(0))
    for split in checked.scans.values() if group_by is not None else ():
        add_fields(split.table, [group_by or ""])
    splits = {
        name: split_of(scan, checked.kept[name], checked.texts, _all_labels(checked, scan), group_by)
        for name, scan in checked.scans.items()
    }
    warnings = [as_note(fault) for fault in checked.warnings if fault.code not in COUNTED]
    return DataSplits(
        source=checked.tables.name,
        revision=checked.tables.revision,
        text_columns=checked.texts,
        label_columns=checked.labels,
        task=checked.task,
        train=splits["train"],
        validation=splits.get("validation", empty),
        test=splits.get("test", empty),
        notes=[*filter(None, [checked.guess]), *checked.notes, *warnings],
    )


def _all_labels(checked: Checked, scan: Scan) -> list[str]:
    """Return the label columns, and those that a split has in their place: none of them is a group."""
    assert checked.task is not None
    return [*checked.labels, *checked.task.instead_of_column(list(scan.table.columns))]


def _with_test(found: DataSplits) -> DataSplits:
    """Without test rows, hold out a fifth of the training rows, the same whatever the seed."""
    if len(found.test):
        return found
    train, test = stratified(found.train, found.task, round(len(found.train) * HELD_OUT_SHARE), 0, "held-out test")
    note = f"No test split was given: {len(test)} training rows were held out as test, before anything else."
    return replace(found, train=train, test=test, notes=[*found.notes, note])


def _sized(found: DataSplits, block: DataBlock, seed: int, validation_is_own: bool) -> DataSplits:
    test = stratified(found.test, found.task, block.test_examples, 0, "test")[1]
    train = stratified(found.train, found.task, block.train_examples, seed, "train")[1]
    if validation_is_own:
        validation = stratified(found.validation, found.task, block.validation_examples, seed, "validation")[1]
        return replace(found, train=train, validation=validation, test=test)
    wanted = block.validation_examples or round(len(train) * HELD_OUT_SHARE)
    train, validation = stratified(train, found.task, wanted, seed, "validation")
    both = len(train) + len(validation)
    notes = [f"{len(validation)} of the {both} training examples were set aside for validation."]
    if len(found.validation):
        unused = f"The validation split ({len(found.validation):,} rows) is not used"
        notes.append(f"{unused}: data.train_examples is the whole budget of labels. Pass --validation FILE to use it.")
    return replace(found, train=train, validation=validation, test=test, notes=[*found.notes, *notes])


def _where_rows_went(rows: dict[str, RowCounts], found: DataSplits, files: dict[str, str]) -> dict[str, RowCounts]:
    """Return the counts of each file with what its rows are used for; `files` says where each split was drawn from."""
    gone = {}
    for name, counts in rows.items():
        used = {split: len(getattr(found, split)) for split, file in files.items() if file == name}
        gone[name] = RowCounts(counts.rows_in, used, dict(counts.dropped))
        gone[name].drop({UNDRAWN: sum(counts.used.values()) - sum(used.values())})
    return gone
