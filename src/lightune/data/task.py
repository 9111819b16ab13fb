"""From tables to a task: labelled splits, cleaned, disjoint and of the wanted size."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from lightune import runtime
from lightune.data import columns
from lightune.data.sources import Tables, find_tables
from lightune.data.tables import Table
from lightune.errors import DataError, did_you_mean
from lightune.recipe import DataBlock

HELD_OUT_SHARE = 0.2
MOST_FAULTS = 10


@dataclass(frozen=True)
class Split:
    """Texts (or pairs of texts), their label indices, and further columns to group by; one entry a row each."""

    texts: list[tuple[str, ...]]
    labels: list[int]
    groups: dict[str, list[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Sequence[int]) -> Split:
        """Return these rows, in this order."""
        groups = {name: [values[row] for row in rows] for name, values in self.groups.items()}
        return Split([self.texts[row] for row in rows], [self.labels[row] for row in rows], groups)


@dataclass(frozen=True)
class _Fault:
    """Why a row cannot be used."""

    text: str
    hint: str = ""
    unseen: bool = False


@dataclass(frozen=True)
class Task:
    """What a run trains on and is tested on. No text of test stands in train or validation (unless kept on purpose)."""

    source: str
    revision: str | None
    text_columns: list[str]
    label_column: str
    labels: list[str]
    train: Split
    validation: Split
    test: Split
    notes: list[str]

    def sha256(self) -> str:
        """Return the SHA-256 of every text and label used, in order."""
        digest = hashlib.sha256(json.dumps(self.labels).encode())
        for split in (self.train, self.validation, self.test):
            for text, label in zip(split.texts, split.labels, strict=True):
                digest.update(json.dumps([*text, label]).encode())
        return digest.hexdigest()


def load_task(block: DataBlock, seed: int, tables: Tables | None = None) -> Task:
    """Load the data a recipe names; DataError lists what is wrong with file and row.

    Training and validation rows are drawn by the seed, stratified by label; test rows do not depend on it, so that
    runs with different seeds are compared on the same examples. `tables` take the place of the block's source.
    """
    tables = tables or find_tables(block)
    task = _labelled(tables, block)
    task = _without_duplicates(task, block.on_duplicate)
    task = _with_test(task)
    task = _sized(task, block, seed, tables.validation_was_given)
    for name, split in (("training", task.train), ("validation", task.validation), ("test", task.test)):
        if len(split) == 0:
            raise DataError(
                "DATA-030", f"{task.source}: the {name} split is empty.", " ".join([*task.notes, "Give more rows."])
            )
    _require_every_class(task)
    return task


def labelled_split(table: Table, block: DataBlock, labels: list[str]) -> Split:
    """Return a table's texts and labels, by label names that are already known (of a trained model, say)."""
    texts, _ = columns.text_columns(table, block.text_column)
    label, _ = columns.label_column(table, block.label_column, texts)
    return _split(table, texts, label, labels, block.on_unseen_label, [])


def _labelled(tables: Tables, block: DataBlock) -> Task:
    notes: list[str] = list(tables.notes)
    texts, guessed_text = columns.text_columns(tables.train, block.text_column)
    label, guessed_label = columns.label_column(tables.train, block.label_column, texts)
    if (guessed_text or guessed_label) and tables.name != "reviews":
        notes.append(f"Columns taken by name: text = {' + '.join(texts)}, label = {label}.")
    labels = columns.label_names(tables.train, label)
    splits = []
    for table in (tables.train, tables.validation, tables.test):
        empty = Split([], [])
        splits.append(empty if table is None else _split(table, texts, label, labels, block.on_unseen_label, notes))
    train, validation, test = splits
    return Task(tables.name, tables.revision, texts, label, labels, train, validation, test, notes)


def _split(table: Table, texts: list[str], label: str, labels: list[str], on_unseen: str, notes: list[str]) -> Split:
    for name in (*texts, label):
        if name not in table.columns:
            hint = f"{did_you_mean(name, table.columns)} Columns: {', '.join(table.columns)}.".strip()
            raise DataError("DATA-024", f'{table.origin}: there is no column "{name}".', hint)
    indices, names = {name: index for index, name in enumerate(labels)}, table.class_names.get(label, [])
    rows, found, faults, dropped = [], [], [], 0
    for row in range(len(table)):
        value = table.columns[label][row]
        name = names[value] if isinstance(value, int) and 0 <= value < len(names) else value
        fault = _fault(table, row, texts, name, indices)
        if fault and fault.unseen and on_unseen == "drop":
            dropped += 1
        elif fault:
            faults.append((table.place(row), fault))
        else:
            rows.append(row)
            found.append(indices[columns.label_text(name)])
    if faults:
        raise _faulty(faults)
    if dropped:
        notes.append(f"{table.origin}: {dropped} rows dropped for a label that is not among the training labels.")
    grouped = columns.group_columns(table, [*texts, label])
    groups = {name: [table.columns[name][row] for row in rows] for name in grouped}
    return Split([tuple(str(table.columns[name][row]) for name in texts) for row in rows], found, groups)


def _fault(table: Table, row: int, texts: list[str], name: object, indices: dict[str, int]) -> _Fault | None:
    for column in texts:
        text = table.columns[column][row]
        if columns.is_missing(text):
            return _Fault(f"{column} is empty")
        if "\0" in str(text):
            return _Fault(f"{column} holds a NUL byte")
        if not columns.is_writable(str(text)):
            return _Fault(f"{column} holds half a character (an unpaired surrogate)")
    if columns.is_missing(name):
        return _Fault("label is missing")
    shown = columns.label_text(name)
    if shown not in indices:
        text = f'label "{shown}" is not among the training labels ({", ".join(indices)}).'
        return _Fault(text, did_you_mean(shown, indices), unseen=True)
    return None


def _faulty(faults: list[tuple[str, _Fault]]) -> DataError:
    unseen = any(fault.unseen for _, fault in faults)
    code = "DATA-014" if unseen else "DATA-013"
    hint = f"Fix the row{'s' * (len(faults) > 1)}{', or pass --set data.on_unseen_label=drop' * unseen}."
    if len(faults) == 1:
        place, fault = faults[0]
        return DataError(code, f"{place}: {fault.text}", f"{fault.hint} {hint}".strip())
    more = f"\n  and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
    listed = [f"{place}: {fault.text} {fault.hint}".rstrip() for place, fault in faults[:MOST_FAULTS]]
    return DataError(code, f"{len(faults)} rows cannot be used:\n  " + "\n  ".join(listed) + more, hint)


def _without_duplicates(task: Task, policy: str) -> Task:
    """Training and validation give way to test, and training to validation; of twins in training the first stays.

    Twins with different labels say nothing reliable: all of them leave the training split.
    """
    test, validation = {_normal(text) for text in task.test.texts}, {_normal(text) for text in task.validation.texts}
    kept_train, twins, conflicts = _first_of_each(task.train)
    train = [row for row in kept_train if _normal(task.train.texts[row]) not in test | validation]
    kept_validation = [row for row, text in enumerate(task.validation.texts) if _normal(text) not in test]
    leaks = len(kept_train) - len(train) + len(task.validation) - len(kept_validation)
    counted = {"repeated": twins, "labelled in two ways": conflicts, "found in a later split too": leaks}
    said = ", ".join(f"{count} {what}" for what, count in counted.items() if count)
    if not said or policy == "keep":
        return replace(task, notes=[*task.notes, *([f"Duplicates kept: {said}."] if said else [])])
    if policy == "error":
        hint = "Remove them, or pass --set data.on_duplicate=drop."
        raise DataError("DATA-031", f"{task.source}: duplicates in training or validation texts: {said}.", hint)
    note = f"Dropped from training and validation: texts {said}."
    pruned = replace(task, train=task.train.take(train), validation=task.validation.take(kept_validation))
    return replace(pruned, notes=[*task.notes, note])


def _first_of_each(split: Split) -> tuple[list[int], int, int]:
    """Return (rows to keep, twins left out, rows left out because their twins have another label)."""
    labels: dict[tuple[str, ...], set[int]] = {}
    for text, label in zip(split.texts, split.labels, strict=True):
        labels.setdefault(_normal(text), set()).add(label)
    seen: set[tuple[str, ...]] = set()
    rows, twins, conflicts = [], 0, 0
    for row, text in enumerate(split.texts):
        key = _normal(text)
        if len(labels[key]) > 1:
            conflicts += 1
        elif key in seen:
            twins += 1
        else:
            seen.add(key)
            rows.append(row)
    return rows, twins, conflicts


def _normal(text: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(" ".join(part.casefold().split()) for part in text)


def _with_test(task: Task) -> Task:
    """Without test rows, hold out a fifth of the training rows, the same whatever the seed."""
    if len(task.test):
        return task
    train, test = stratified(task.train, round(len(task.train) * HELD_OUT_SHARE), 0, "held-out test")
    note = f"No test split was given: {len(test)} training rows were held out as test, before anything else."
    return replace(task, train=train, test=test, notes=[*task.notes, note])


def _sized(task: Task, block: DataBlock, seed: int, validation_was_given: bool) -> Task:
    test = stratified(task.test, block.test_examples, 0, "test")[1]
    train = stratified(task.train, block.train_examples, seed, "train")[1]
    # `train_examples` is the whole budget of labels: a validation split that nobody asked for would exceed it.
    if len(task.validation) > 0 and (validation_was_given or block.train_examples is None):
        validation = stratified(task.validation, block.validation_examples, seed, "validation")[1]
        return replace(task, train=train, validation=validation, test=test)
    wanted = block.validation_examples or round(len(train) * HELD_OUT_SHARE)
    train, validation = stratified(train, wanted, seed, "validation")
    note = f"{len(validation)} of the {len(train) + len(validation)} training examples were set aside for validation."
    return replace(task, train=train, validation=validation, test=test, notes=[*task.notes, note])


def stratified(split: Split, count: int | None, seed: int, purpose: str) -> tuple[Split, Split]:
    """Return (the rest, `count` rows with the labels in proportion); all rows when `count` is None or too large.

    Each class gets its share rounded down, the largest remainders one more; which rows, the keyed generator says.
    """
    import torch

    if count is None or count >= len(split):
        return split.take([]), split
    sizes = Counter(split.labels)
    exact = {label: count * size / len(split) for label, size in sizes.items()}
    quota = {label: int(share) for label, share in exact.items()}
    by_remainder = sorted(exact, key=lambda label: (quota[label] - exact[label], label))
    for label in by_remainder[: count - sum(quota.values())]:
        quota[label] += 1
    order = torch.randperm(len(split), generator=runtime.generator(seed, "rows", purpose)).tolist()
    chosen = set()
    for row in order:
        if quota[split.labels[row]]:
            quota[split.labels[row]] -= 1
            chosen.add(row)
    rest = [row for row in range(len(split)) if row not in chosen]
    return split.take(rest), split.take(sorted(chosen))


def _require_every_class(task: Task) -> None:
    counts = Counter(task.train.labels)
    absent = [name for index, name in enumerate(task.labels) if not counts[index]]
    if absent:
        message = f"{task.source}: no training example has the label {', '.join(absent)}."
        raise DataError("DATA-032", message, "Raise data.train_examples, or give each class a few rows.")
