"""A run as one HTML page: no scripts, nothing loaded from elsewhere."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lightune.record import RunRecord
from lightune.report import gains, plots, tables, usage, views, words
from lightune.report.learning_plots import Curves
from lightune.report.next_steps import next_steps
from lightune.report.step_losses import StepLosses
from lightune.report.tables import Table
from lightune.report.without_paths import without_paths
from lightune.sections import MCNEMAR, Gain
from lightune.terminal import visible

MOST_GROUPS = 40
LONGEST_TEXT = 600
# A phone shows this many characters of figures beside the names of rows, and twice that many below a name.
PHONE, HALF_A_PHONE = 33, 20
HEADING = re.compile(r'<h2 id="([^"]+)">(.*?)</h2>', re.DOTALL)


def render_html(record: RunRecord, predictions: list[dict[str, str]], steps: StepLosses | None = None) -> str:
    """Return the whole page, without any path of the disk; the same input gives the same bytes."""
    environment = Environment(
        loader=PackageLoader("lightune.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return visible(
        environment.get_template("report.html.j2").render(_context(without_paths(record), predictions, steps))
    )


def headings(page: str) -> list[tuple[str, Markup]]:
    """Return id and title of each section, in order, for the table of contents."""
    return [(name, Markup(title)) for name, title in HEADING.findall(page)]


def form(table: Table) -> str:
    """Return the classes of a table that is too wide for a phone: there each row becomes lines of name and figure.

    Two figures share a line where they are short.
    """
    figures = list(zip(table.columns, *table.rows, strict=True))[1:]
    if sum(2 + max(map(len, [*name.split(), *cells]), default=0) for name, *cells in figures) <= PHONE:
        return ""
    lines = max(len(name) + 1 + max(map(len, cells), default=0) for name, *cells in figures)
    return "stack two" if lines <= HALF_A_PHONE else "stack"


def _context(record: RunRecord, predictions: list[dict[str, str]], steps: StepLosses | None) -> dict[str, Any]:
    curves = Curves.of(record.training, steps)
    return {
        "record": record,
        "name": tables.run_name(record),
        "method": tables.method_name(record),
        "words": words,
        "gains": gains,
        "tables": tables,
        "usage": usage,
        "mcnemar": MCNEMAR,
        "form": form,
        "headings": headings,
        "next_steps": next_steps(record),
        "groups": tables.groups(record, MOST_GROUPS),
        "curves": curves,
        "plots": [Markup(plot) for plot in curves.drawn(record.task.headline)],
        "gain_plot": Markup(plots.interval_plot(_gains(record), record.task.headline)),
        "parts": views.parts(record, predictions),
        "short": partial(words.shortened, longest=LONGEST_TEXT),
        "recipe": yaml.safe_dump(record.recipe, sort_keys=False, allow_unicode=True, width=100),
    }


def _gains(record: RunRecord) -> list[tuple[str, Gain]]:
    """Return the gains to plot, with names that can be drawn: a title may hold a label of any length and script."""
    names = {name: gains.compared_name(record, name) for name in tables.compared(record)}
    return [
        (title if plots.PLAIN.fullmatch(title) else f"the {name.replace('_', ' ')}", record.comparison.gains[name])
        for name, title in names.items()
    ]
