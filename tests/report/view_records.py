"""Made-up records of answers with several labels and of numbers, small enough to count by hand."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from other_tasks import regression, without_baselines

from lightune.record import RunRecord
from lightune.tasks import number_scores, set_scores

Rows = list[dict[str, str]]

LABELS = ("food", "price", "staff")
# Text, true labels, answered labels, probabilities.
SETS = [
    ("Cheap and tasty.", "food|price", "food|price", (0.9, 0.8, 0.1)),
    ("A rude waiter.", "staff", "", (0.2, 0.1, 0.3)),
    ("All of it is bad.", "food|price|staff", "food", (0.6, 0.25, 0.05)),
    ("Hm.", "", "price|staff", (0.1, 0.5, 0.9)),
    ("Slow, dear, tasty.", "food|staff", "price|food", (0.7, 0.85, 0.2)),
]
CUTS = (0.5, 0.45, 0.6)
TARGETS = {"joy": [1.0, 2.0, 3.0, 5.0], "anger": [10.0, 20.0, 30.0, 40.0]}
ANSWERS = {"joy": [1.5, 2.0, 2.0, 4.0], "anger": [12.0, 18.0, 33.0, 30.0]}
SCALE = {"joy": [0.0, 6.0], "anger": [10.0, 50.0]}


def label_sets(labels: Sequence[str] = LABELS) -> tuple[RunRecord, Rows]:
    """Return a record of five texts with up to three labels, of which one is answered rightly, and its predictions."""
    names = dict(zip(LABELS, labels, strict=True))
    rows = []
    for text, true, said, shares in SETS:
        cells = ("|".join(names[name] for name in cell.split("|") if name) for cell in (true, said))
        columns = {f"probability_{label}": f"{share:.6f}" for label, share in zip(labels, shares, strict=True)}
        rows.append({"text": text, **dict(zip(("labels", "predictions"), cells, strict=True)), **columns})
    true, said = (np.array([[name in cell.split("|") for name in labels] for cell in (row[column] for row in rows)])
                  for column in ("labels", "predictions"))  # fmt: skip
    details = {
        "per_label": set_scores.per_label(labels, said, true, np.array(CUTS)),
        "together": set_scores.together(labels, said, true),
        "labels_per_text": set_scores.sizes(said, true),
    }
    task = {
        "labels": list(labels), "outputs": len(labels), "target_column": "labels",
        "answer_columns": ["predictions", *(f"probability_{label}" for label in labels)],
    }  # fmt: skip
    return _with(without_baselines(), details, task, len(rows)), rows


def numbers(
    targets: dict[str, list[float]] = TARGETS, answers: dict[str, list[float]] = ANSWERS
) -> tuple[RunRecord, Rows]:
    """Return a record of texts with one number or more, and its predictions."""
    names, (true, said) = list(targets), (np.array([*found.values()]).T for found in (targets, answers))
    cells = zip(true.tolist(), said.tolist(), strict=True)
    rows = [
        {"text": f"Text {place}.", "target": _joined(one), "prediction": _joined(other)}
        for place, (one, other) in enumerate(cells)
    ]
    details = {
        "per_target": number_scores.per_target(names, said, true),
        "by_range": number_scores.by_range(names, said, true),
        "scale": {name: SCALE[name] for name in names if name in SCALE},
    }
    task = {"outputs": len(names), "target_column": "target"}
    return _with(regression(), details, task, len(rows)), rows


def bare(page: str) -> str:
    """Return a page without what its tables have for phones: roles, and the column's name in each cell."""
    return re.sub(r' (?:role="(?:table|row|rowgroup|rowheader|columnheader|cell)"|data-label="[^"]*")', "", page)


def write_run(folder: Path, record: RunRecord, rows: Rows) -> None:
    """Write the files of a run folder that are read back."""
    (folder / "results.json").write_text(record.model_dump_json(), encoding="utf-8")
    with (folder / "predictions.csv").open("w", encoding="utf-8", newline="") as sink:
        writer = csv.DictWriter(sink, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _joined(values: list[float]) -> str:
    return "|".join(f"{value:.9g}" for value in values)


def _with(record: RunRecord, details: dict[str, object], task: dict[str, object], examples: int) -> RunRecord:
    measured = {
        name: getattr(record, name).model_copy(update={"details": details, "examples": examples})
        for name in ("before", "after")
    }
    return record.model_copy(update={**measured, "task": record.task.model_copy(update=task)})
