"""Which texts of labelled data the model was trained or validated on, and the metrics on the other texts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lightune.data.cells import CHUNK
from lightune.data.decimals import decimal_of, with_point
from lightune.data.label_columns import label_by_name
from lightune.data.tables import Table
from lightune.errors import DataError
from lightune.evaluation.evaluate import figures, measure_part
from lightune.faults import Fault
from lightune.sections import LabelledFile, PartMetrics
from lightune.tasks.columns import Beside
from lightune.values.missing import is_missing

Array = NDArray[Any]

if TYPE_CHECKING:
    from lightune.data.split import Split
    from lightune.inference.classifier import Classifier, Text


def known_fields(classifier: Classifier, split: Split, logits: NDArray[Any]) -> dict[str, Any]:
    """Return an Evaluation's fields on known texts, from logits (texts, outputs); empty without fingerprints."""
    if not classifier.has_fingerprints:
        return {}
    known: list[bool] = []
    for start in range(0, len(split), CHUNK):  # the texts may be on disk
        known += classifier.known(split.texts[start : start + CHUNK]) or []  # type: ignore[arg-type]
    others = ~np.asarray(known, bool)
    without = measure_part(classifier.task, logits[others], split.targets[others]) if others.any() else None
    return {"known_examples": sum(known), "without_known": without}


def _usual(header: Sequence[str], texts: Sequence[str], usual: Sequence[str]) -> list[str]:
    """Return the column with a usual name for labels; none without one, and where two differ only by case."""
    try:
        found = label_by_name(Table("", dict.fromkeys(header, ()), []), texts, usual)
    except DataError:
        return []
    return [] if found is None else [found]


class LabelledRows:
    """Scores predictions while the rows of a file are streamed, known texts separately; it keeps sums, no texts.

    It does so only if the classifier has fingerprints and the file has a column of labels.
    """

    def __init__(self, classifier: Classifier) -> None:
        """Start with empty counts."""
        self._classifier = classifier
        self._read = classifier.task.reader(())
        self._columns: dict[str, int] = {}  # those of the labels, with their place in a row
        self._decimals: dict[int, str] = {}  # of columns of numbers
        self._sums: dict[bool, Array] = {}  # the sums for the headline metric, by whether the text is known
        self._rows: Counter[bool] = Counter()
        self._missing = self._unknown = self._abstained = 0

    def begin(self, table: Table, texts: Sequence[str], decimal: str | None = None) -> None:
        """Choose the label column: the one of training, else one with a usual name; never a text column.

        `decimal` states what stands before the fraction of its numbers; else the column shows it.
        """
        own, task, header = self._classifier.label_columns, self._classifier.task, list(table.columns)
        names = own if set(own) <= set(header) - set(texts) else list(task.instead_of_column(header))
        names = names or _usual(header, texts, task.label_columns)
        if self._classifier.has_fingerprints:
            self._columns = {name: header.index(name) for name in names}
        if not task.labels:
            self._decimals = {place: decimal_of(table, name, decimal) for name, place in self._columns.items()}

    def take(
        self, rows: Sequence[Sequence[str]], texts: Sequence[Text], answers: Sequence[Sequence[str] | None]
    ) -> None:
        """Score some rows: their cells, their texts, and the cells of each prediction, None where it is left out."""
        known = self._classifier.known(texts) if self._columns else None
        if known is None:
            return
        for cells, is_known, answer in zip(rows, known, answers, strict=True):
            if answer is None:
                self._abstained += 1
                continue
            found = Beside(with_point(cells[at], self._decimals.get(at, "")) for at in self._columns.values())
            cell = found if len(found) > 1 else found[0]
            target = self._read(cell)
            if not isinstance(target, Fault):
                counts = np.array(self._classifier.task.count(answer, target))
                self._sums[is_known] = self._sums.get(is_known, 0) + counts
                self._rows[is_known] += 1
            elif all(map(is_missing, found)):
                self._missing += 1
            else:
                self._unknown += 1

    def summary(self) -> LabelledFile | None:
        """Return the metrics and counts, or None without a label column."""
        if not self._columns:
            return None
        metric, examples = self._classifier.task.metrics[0], self._rows.total()
        # The other metrics cannot be had from sums.
        unknown: dict[str, float | None] = dict.fromkeys(found.name for found in self._classifier.task.metrics)
        without = unknown | self._headline([False])
        return LabelledFile(
            label_column=", ".join(self._columns),
            metric=metric,
            metrics=self._headline([True, False]),
            examples=examples,
            known_examples=self._rows[True],
            without_known=PartMetrics(examples=self._rows[False], metrics=without) if self._rows[False] else None,
            unknown_labels=self._unknown,
            missing_labels=self._missing,
            abstained=self._abstained,
        )

    def _headline(self, parts: Sequence[bool]) -> dict[str, float | None]:
        """Return the headline metric over rows of these kinds; None where there are none."""
        task, rows = self._classifier.task, sum(self._rows[part] for part in parts)
        sums = sum((self._sums[part] for part in parts if part in self._sums), np.zeros(1))
        return figures({task.metrics[0].name: float(task.headline(np.asarray(sums), rows)) if rows else None})
