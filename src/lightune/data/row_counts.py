"""What the rows of each file are used for, or why they were dropped; the counts add up to the rows of the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lightune.data.scan import Scan
from lightune.data.tables import Table

UNUSABLE, UNSEEN, UNDRAWN, UNREAD = "cannot be used", "with a label that training lacks", "not drawn", "not checked"
MISSING = "without text or label"


@dataclass
class RowCounts:
    """The rows of one file. rows_in = sum(used) + sum(dropped); `used` is by what they are used for."""

    rows_in: int
    used: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)

    def drop(self, reasons: Mapping[str, int]) -> None:
        """Add rows that are not used, by reason."""
        for reason, count in reasons.items():
            if count:
                self.dropped[reason] = self.dropped.get(reason, 0) + count

    def as_json(self) -> dict[str, Any]:
        """Return the object that --json prints."""
        return {"rows_in": self.rows_in, "used": self.used, "dropped": self.dropped}

    def words(self) -> str:
        """Return the counts in words: "80 read: 64 train, 16 test; 3 dropped: 2 repeated, 1 blank line"."""
        used = ", ".join(f"{count:,} {purpose}" for purpose, count in self.used.items() if count)
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.dropped.items())
        dropped = f"{sum(self.dropped.values()):,} dropped: {reasons}" if self.dropped else ""
        return f"{self.rows_in:,} read: {'; '.join(filter(None, [used, dropped])) or 'none used'}"


def rows_of(table: Table) -> RowCounts:
    """Return the counts of a table that was read but not checked yet."""
    found = RowCounts(len(table) + sum(table.skipped.values()))
    found.drop(table.skipped)
    return found


def lost_rows(split: Scan) -> dict[str, int]:
    """Return how many rows of a scanned table cannot be used or were dropped, by reason."""
    return {UNREAD: split.unread, UNUSABLE: split.unusable, UNSEEN: split.dropped, MISSING: split.missing}


def counts_of(split: Scan) -> RowCounts:
    """Return the counts of a table whose rows are all used but for those that the scan dropped."""
    found = rows_of(split.table)
    found.drop(lost_rows(split))
    found.used = {split.name: len(split.rows)}
    return found
