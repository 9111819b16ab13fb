"""The task for a label column: the one that is known already, or the one that the column itself shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lightune.data.cells import label_cells
from lightune.data.decimals import write_with_points
from lightune.data.tables import Table
from lightune.errors import DataError
from lightune.tasks import AUTO, Chosen, Task, find_task
from lightune.tasks.columns import Wishes


def choose_task(
    train: Table, labels: Sequence[str], wishes: Wishes, decimal: str | None, known: Task | None
) -> tuple[Chosen, list[str]]:
    """Return (the task, notes on how numbers are read); numbers of the column are written with points from then on.

    DataError where the column is not one of the task, or of no task.
    """
    chosen = Chosen(known) if known is not None else _as_it_is(train, labels, wishes, decimal)
    if chosen.task.labels:
        return chosen, [f"--decimal {decimal} is not used: the labels stay as they are."] if decimal else []
    notes = write_with_points(train, labels, decimal, is_open=known is None and wishes.task == AUTO)
    if known is not None:
        return chosen, notes
    again = find_task(label_cells(train, labels), wishes)
    if not again.task.labels:
        return again, notes
    numbers = find_task(label_cells(train, labels), replace(wishes, task=chosen.task.name))  # 1,0 and 2,0
    return replace(numbers, why=chosen.why), notes


def _as_it_is(train: Table, labels: Sequence[str], wishes: Wishes, decimal: str | None) -> Chosen:
    """Return the task for a column as the file has it, unless it is one of numbers with the stated comma or point."""
    if decimal is not None and wishes.label_kind != "class":
        written = replace(train)
        try:
            write_with_points(written, labels, decimal)
            chosen = find_task(label_cells(written, labels), wishes)
        except DataError:
            return find_task(label_cells(train, labels), wishes)
        if not chosen.task.labels:
            return chosen
    return find_task(label_cells(train, labels), wishes)
