"""What a check found, as plain values: the object that `lightune check --json` prints."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from lightune.data.row_counts import RowCounts
from lightune.faults import Fault
from lightune.tasks.overview import Overview


@dataclass(frozen=True)
class Lengths:
    """How long the texts of a split are, in words or in tokens: the median, two percentiles and the longest."""

    counted: int
    p50: float
    p90: float
    p99: float
    longest: int
    cut: int | None = None  # of those counted, how many are longer than the model's limit
    unread: float | None = None  # the share of the tokens of these that are beyond it
    windows: float | None = None  # how many windows each of these is, if it is read whole


@dataclass(frozen=True)
class Findings:
    """The check of a data set, split by split where that applies."""

    source: str
    faults: list[Fault]
    warnings: list[Fault]
    notes: list[str] = field(default_factory=list)
    columns: dict[str, Any] | None = None
    labels: dict[str, dict[str, int]] = field(default_factory=dict)
    overviews: list[Overview] = field(default_factory=list)
    rows: dict[str, RowCounts] = field(default_factory=dict)
    words: dict[str, Lengths] = field(default_factory=dict)
    tokens: dict[str, Lengths] = field(default_factory=dict)
    model: str | None = None
    limit: int | None = None
    long_texts: str = "cut"
    language: dict[str, Any] | None = None

    @property
    def usable(self) -> bool:
        """Say whether a run could use the data."""
        return not self.faults

    def _texts(self, split: str) -> int:
        """Return how many usable texts a split has."""
        return self.words[split].counted if split in self.words else 0

    def as_json(self) -> dict[str, Any]:
        """Return the object that --json prints."""
        return {
            "usable": self.usable,
            "source": self.source,
            "faults": [asdict(fault) for fault in self.faults],
            "warnings": [asdict(fault) for fault in self.warnings],
            "notes": self.notes,
            "columns": self.columns,
            "labels": {split: _with_shares(counts, self._texts(split)) for split, counts in self.labels.items()},
            "overviews": [asdict(table) for table in self.overviews],
            "rows": {split: counts.as_json() for split, counts in self.rows.items()},
            "lengths": {
                "words": {split: asdict(found) for split, found in self.words.items()},
                "tokens": {split: asdict(found) for split, found in self.tokens.items()},
                "model": self.model,
                "limit": self.limit,
                "long_texts": self.long_texts,
            },
            "language": self.language,
        }


def _with_shares(counts: dict[str, int], total: int) -> dict[str, dict[str, float]]:
    """Return how many of the texts have each label, and their share."""
    return {name: {"count": count, "share": count / total if total else 0.0} for name, count in counts.items()}
