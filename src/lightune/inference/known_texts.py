"""Which texts of labelled data the model was trained or validated on, and how good the answers to the others are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lightune.data.cells import CHUNK
from lightune.data.columns import label_by_name
from lightune.data.labels import label_text
from lightune.data.tables import Table
from lightune.errors import DataError
from lightune.evaluation.metrics import measure_part
from lightune.sections import LabelledFile, PartMetrics
from lightune.values.missing import is_missing

if TYPE_CHECKING:
    from lightune.data.split import Split
    from lightune.inference.classifier import Classifier, Text


def known_fields(classifier: Classifier, split: Split, logits: NDArray[Any]) -> dict[str, Any]:
    """Return the fields of record.Evaluation on known texts, from logits (texts, labels); none without fingerprints."""
    if not classifier.has_fingerprints:
        return {}
    known: list[bool] = []
    for start in range(0, len(split), CHUNK):  # the texts may lie on disk
        known += classifier.known(split.texts[start : start + CHUNK]) or []  # type: ignore[arg-type]
    others = ~np.asarray(known, bool)
    without = measure_part(logits[others], np.asarray(split.labels)[others]) if others.any() else None
    return {"known_examples": sum(known), "without_known": without}


def _usual(header: Sequence[str], texts: Sequence[str]) -> str | None:
    """Return the column that is called as labels usually are, or None, also where two differ only by case."""
    try:
        return label_by_name(Table("", dict.fromkeys(header, ()), []), texts)
    except DataError:
        return None


class LabelledRows:
    """Counts right answers while the rows of a file stream by, known texts apart; it holds a few numbers, no texts.

    It counts only where the classifier has fingerprints and the file has a column of labels.
    """

    def __init__(self, classifier: Classifier) -> None:
        """Count nothing yet."""
        self._classifier = classifier
        # A model of an older version may know a label as 1.0, which is 1 now.
        self._labels = {label_text(name): name for name in classifier.labels}
        self._column: tuple[int, str] | None = None
        self._rows: Counter[tuple[bool, bool]] = Counter()  # by (known, answered right)
        self._missing = self._unknown = 0

    def begin(self, header: Sequence[str], texts: Sequence[str]) -> None:
        """Choose the label column: called as in training, else as labels usually are; never one of the texts."""
        own = self._classifier.label_column
        name = own if own in header and own not in texts else _usual(header, texts)
        if name is not None and self._classifier.has_fingerprints:
            self._column = header.index(name), name

    def take(self, rows: Sequence[Sequence[str]], texts: Sequence[Text], answers: Sequence[tuple[str, float]]) -> None:
        """Count some rows: their cells, their texts, and the (label, confidence) that was answered to each."""
        known = self._classifier.known(texts) if self._column is not None else None
        if self._column is None or known is None:
            return
        for cells, is_known, (answer, _) in zip(rows, known, answers, strict=True):
            label = label_text(cells[self._column[0]])
            if is_missing(label):
                self._missing += 1
            elif label not in self._labels:
                self._unknown += 1
            else:
                self._rows[is_known, answer == self._labels[label]] += 1

    def summary(self) -> LabelledFile | None:
        """Return what was counted, or None where there was nothing to compare with."""
        if self._column is None:
            return None
        everything, without = self._rows.total(), self._rows[False, True] + self._rows[False, False]
        return LabelledFile(
            label_column=self._column[1],
            examples=everything,
            accuracy=(self._rows[True, True] + self._rows[False, True]) / everything if everything else None,
            known_examples=everything - without,
            without_known=PartMetrics(examples=without, accuracy=self._rows[False, True] / without)
            if without
            else None,
            unknown_labels=self._unknown,
            missing_labels=self._missing,
        )
