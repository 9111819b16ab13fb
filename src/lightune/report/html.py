"""A run as one HTML page: no scripts, nothing loaded from elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lightune.record import RunRecord
from lightune.report import plots, tables, usage, words
from lightune.sections import Evaluation, Gain

MOST_WRONG = 20
MOST_GROUPS = 40
LONGEST_TEXT = 600
# With more labels than this the column names stand upright, and the matrices below each other.
FEW_LABELS = 5
# A table of more labels than this is folded up; it still holds every one.
LONG_LIST = 20


@dataclass(frozen=True)
class Cell:
    """One count of a confusion matrix, and its share of the row."""

    count: int
    share: float
    is_right: bool


@dataclass(frozen=True)
class MatrixRow:
    """One true label: how its examples were labelled, and the share that was right."""

    label: str
    cells: list[Cell]
    recall: str


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix to draw."""

    caption: str
    rows: list[MatrixRow]


def render_html(record: RunRecord, predictions: list[dict[str, str]]) -> str:
    """Return the whole page; the same record and predictions give the same bytes."""
    environment = Environment(
        loader=PackageLoader("lightune.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.html.j2").render(_context(record, predictions))


def most_wrong(predictions: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the wrong predictions with the highest confidence, the surest first."""
    wrong = [row for row in predictions if row["prediction"] != row["label"]]
    return sorted(wrong, key=lambda row: -float(row["confidence"]))[:MOST_WRONG]


def confusion(found: Evaluation, labels: list[str], caption: str) -> Matrix:
    """Return the matrix with each count's share of its true label."""
    rows = []
    for index, (label, counts) in enumerate(zip(labels, found.confusion_matrix, strict=True)):
        total = sum(counts)
        shares = [count / total if total else 0.0 for count in counts]
        cells = [Cell(count, shares[column], column == index) for column, count in enumerate(counts)]
        rows.append(MatrixRow(label, cells, words.percent(shares[index], 0) if total else "-"))
    return Matrix(caption, rows)


def _context(record: RunRecord, predictions: list[dict[str, str]]) -> dict[str, Any]:
    labels = record.data.labels
    wrong = sum(row["prediction"] != row["label"] for row in predictions)
    return {
        "record": record,
        "name": tables.run_name(record),
        "method": tables.method_name(record),
        "words": words,
        "tables": tables,
        "usage": usage,
        "groups": tables.groups(record, MOST_GROUPS),
        "plot": {
            "gain": Markup(plots.interval_plot(_gains(record))),
            "loss": Markup(plots.loss_plot(record.training)),
            "accuracy": Markup(plots.accuracy_plot(record.training)),
        },
        "matrices": [
            confusion(record.before, labels, f"Before: the {words.before_head(record)}"),
            confusion(record.after, labels, f"After: {tables.method_name(record)}"),
        ],
        "many_labels": len(labels) > FEW_LABELS,
        "long_list": len(labels) > LONG_LIST,
        "per_label": [
            tables.labels(record.after, labels, f"After: {tables.method_name(record)}"),
            tables.labels(record.before, labels, f"Before: the {words.before_head(record)}"),
        ],
        "wrong": most_wrong(predictions),
        "wrong_total": wrong,
        "short": partial(words.shortened, longest=LONGEST_TEXT),
        "recipe": yaml.safe_dump(record.recipe, sort_keys=False, allow_unicode=True, width=100),
    }


def _gains(record: RunRecord) -> list[tuple[str, Gain]]:
    """Return the gains to plot, with names short enough; a label may be as long as a text, so it is not in them."""
    names = {
        "probe": "the linear probe",
        "tfidf": "word counts (TF-IDF)",
        "majority_class": "the majority class",
        "before": f"before ({words.before_head(record)})",
    }
    return [(names[name], record.comparison.measured[name]) for name in tables.compared(record)]
