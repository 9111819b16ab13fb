"""A run as one HTML page: no scripts, nothing loaded from elsewhere."""

from __future__ import annotations

from functools import partial
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lightune.record import RunRecord
from lightune.report import gains, plots, tables, usage, views, words
from lightune.sections import MCNEMAR, Gain

MOST_GROUPS = 40
LONGEST_TEXT = 600


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


def _context(record: RunRecord, predictions: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "record": record,
        "name": tables.run_name(record),
        "method": tables.method_name(record),
        "words": words,
        "gains": gains,
        "tables": tables,
        "usage": usage,
        "mcnemar": MCNEMAR,
        "groups": tables.groups(record, MOST_GROUPS),
        "plots": _plots(record),
        "gain_plot": Markup(plots.interval_plot(_gains(record), record.task.headline)),
        "parts": views.parts(record, predictions),
        "short": partial(words.shortened, longest=LONGEST_TEXT),
        "recipe": yaml.safe_dump(record.recipe, sort_keys=False, allow_unicode=True, width=100),
    }


def _plots(record: RunRecord) -> list[Markup]:
    """Return the learning curves: the losses, and the headline metric where it was measured after each epoch."""
    training, headline = record.training, record.task.headline
    drawn = [plots.loss_plot(training)]
    if all(headline.name in epoch.metrics for epoch in training.epochs):
        drawn.append(plots.metric_plot(training, headline))
    return [Markup(plot) for plot in drawn]


def _gains(record: RunRecord) -> list[tuple[str, Gain]]:
    """Return the gains to plot, with names that can be drawn: a title may hold a label of any length and script."""
    names = {name: gains.compared_name(record, name) for name in tables.compared(record)}
    return [
        (title if plots.PLAIN.fullmatch(title) else f"the {name.replace('_', ' ')}", record.comparison.gains[name])
        for name, title in names.items()
    ]
