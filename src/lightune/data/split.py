"""A labelled split, and drawing rows from it; texts are read from the table on access."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from lightune import runtime
from lightune.data import columns
from lightune.data.cells import CHUNK
from lightune.data.scan import Scan
from lightune.data.tables import Table
from lightune.tasks.base import Task

HELD_OUT_SHARE = 0.2
Rows = NDArray[np.int64]


class Picked(Sequence[Any]):
    """Chosen rows of a column, read on access: a table may be larger than memory."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, column: Sequence[Any], rows: Sequence[int] | Rows) -> None:
        self.column, self.rows = column, np.asarray(rows, np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> list[Any]: ...
    def __getitem__(self, place: int | slice) -> Any:
        """Return one value, or a list of them."""
        if isinstance(place, slice):
            return [self.column[row] for row in self.rows[place].tolist()]
        return self.column[int(self.rows[place])]

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, len(self.rows), CHUNK):
            yield from self[start : start + CHUNK]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def take(self, rows: Sequence[int] | Rows) -> Picked:
        """Return these rows, still unread."""
        return Picked(self.column, self.rows[np.asarray(rows, np.int64)])


class Joined(Sequence[tuple[str, ...]]):
    """The text columns of a table side by side: one text or a pair for each row."""

    def __init__(self, parts: Sequence[Sequence[Any]]) -> None:
        self.parts = parts

    def __len__(self) -> int:
        return len(self.parts[0])

    @overload
    def __getitem__(self, row: int) -> tuple[str, ...]: ...
    @overload
    def __getitem__(self, row: slice) -> list[tuple[str, ...]]: ...
    def __getitem__(self, row: int | slice) -> Any:
        """Return the texts of a row, or of several."""
        if isinstance(row, slice):
            return [tuple(map(str, texts)) for texts in zip(*(part[row] for part in self.parts), strict=True)]
        return tuple(str(part[row]) for part in self.parts)


class Places(Sequence[str]):
    """The places of the rows of a table, `file:line` each, made on access."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> Any:
        """Return the place of a row, or of several."""
        if isinstance(row, slice):
            return [self.table.place(number) for number in range(*row.indices(len(self)))]
        return self.table.place(row)


@dataclass(frozen=True, eq=False)
class Split:
    """Texts (or pairs of texts), their targets as the task has them, and columns to group by; one entry a row each.

    `places` say where the rows are, for messages; rows made by hand have none.
    """

    texts: Sequence[tuple[str, ...]]
    targets: NDArray[Any]
    groups: dict[str, Sequence[str]] = field(default_factory=dict)
    places: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Sequence[int] | Rows) -> Split:
        """Return these rows, in this order."""
        groups = {name: _take(values, rows) for name, values in self.groups.items()}
        targets = self.targets[np.asarray(rows, np.int64)]
        return Split(_take(self.texts, rows), targets, groups, _take(self.places, rows) if self.places else ())


def split_of(scan: Scan, rows: Rows, texts: Sequence[str], labels: Sequence[str], group_by: str | None = None) -> Split:
    """Return rows of a scanned table: texts, targets, and the columns that suggest groups.

    `group_by` names a further column to keep, if the table has it.
    """
    table = scan.table
    grouped = columns.group_columns(table, [*texts, *labels])
    if group_by is not None and group_by in table.columns and group_by not in grouped:
        grouped.append(group_by)
    return Split(
        Picked(Joined([table.columns[name] for name in texts]), rows),
        scan.targets[rows],
        {name: Picked(table.columns[name], rows) for name in grouped},
        Picked(Places(table), rows),
    )


def stratified(split: Split, task: Task, count: int | None, seed: int, purpose: str) -> tuple[Split, Split]:
    """Return (the rest, `count` rows with the task's strata in proportion); all when `count` is None or too large.

    Each stratum gets its share rounded down, the largest remainders one more; a keyed generator draws the rows.
    """
    import torch

    if count is None or count >= len(split):
        return split.take([]), split
    strata = task.strata(split.targets)
    sizes = Counter(strata.tolist())
    exact = {stratum: count * size / len(split) for stratum, size in sizes.items()}
    quota = {stratum: int(share) for stratum, share in exact.items()}
    by_remainder = sorted(exact, key=lambda stratum: (quota[stratum] - exact[stratum], stratum))
    for stratum in by_remainder[: count - sum(quota.values())]:
        quota[stratum] += 1
    order = torch.randperm(len(split), generator=runtime.generator(seed, "rows", purpose)).numpy()
    shuffled, chosen = strata[order], np.zeros(len(split), bool)
    for stratum, wanted in quota.items():
        chosen[order[shuffled == stratum][:wanted]] = True
    return split.take(np.flatnonzero(~chosen)), split.take(np.flatnonzero(chosen))


def _take(values: Sequence[Any], rows: Sequence[int] | Rows) -> Sequence[Any]:
    return values.take(rows) if isinstance(values, Picked) else [values[row] for row in rows]
