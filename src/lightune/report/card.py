"""A run as a model card: Markdown with the front matter that the Hugging Face Hub reads."""

from __future__ import annotations

import math
import re
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from lightune.record import RunRecord
from lightune.report import gains, tables, usage, views, words
from lightune.report.tables import Table
from lightune.sections import MCNEMAR

MOST_GROUPS = 40
SPECIAL = re.compile(r"([\\`*_\[\]<>|#~&$])")


def render_card(record: RunRecord) -> str:
    """Return the model card of a run, filled in."""
    # Markdown, not HTML: every value goes through the filter `plain` or into a fence.
    environment = Environment(
        loader=PackageLoader("lightune.report"),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(plain=plain, table=markdown_table, fenced=fenced)
    return environment.get_template("card.md.j2").render(_context(record))


def front_matter(record: RunRecord) -> str:
    """Return the card's metadata as YAML; what is unknown (licence, language) is left out."""
    method, metrics = tables.method_name(record), record.task.metrics
    values: dict[str, Any] = {
        "base_model": usage.base_model(record),
        "library_name": "peft" if record.model.peft_loadable else "lightune",
        "pipeline_tag": record.task.hub_tag,
        "tags": ["lightune", method],
        "metrics": list(dict.fromkeys(metric.hub_name for metric in metrics if metric.hub_name)),
    }
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000)


def plain(text: str) -> str:
    """Return the text on one line, with Markdown's and HTML's special characters escaped."""
    return SPECIAL.sub(r"\\\1", words.printable(text))


def fenced(text: str, language: str = "") -> str:
    """Return the text as a fenced block; the fence is longer than any run of backticks inside."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def markdown_table(table: Table) -> str:
    """Return a table in Markdown, with names aligned left and figures aligned right."""
    side = "---" if table.columns[1:] == ["value"] else "---:"
    rules = ["---"] + [side] * (len(table.columns) - 1)
    names, *rows = ([plain(cell) for cell in row] for row in [table.columns, *table.rows])
    return "\n".join("| " + " | ".join(row) + " |" for row in [names, rules, *rows])


def sampling_noise(accuracy: float, examples: int) -> float:
    """Return the half-width of a 95% interval of an accuracy: 1.96 sqrt(a (1 - a) / n)."""
    return 1.96 * math.sqrt(accuracy * (1 - accuracy) / max(examples, 1))


def sampling_sentence(record: RunRecord) -> str:
    """Say how much the headline metric varies between samples of texts; only accuracy has a formula for it."""
    told = f"The test set has {words.count(record.after.examples)} examples."
    # Only of right and wrong answers the noise follows from the figure itself.
    are_right_or_wrong = gains.tests(record) == MCNEMAR
    accuracy = record.after.metrics.get(record.task.headline.name) if are_right_or_wrong else None
    if accuracy is None:
        return f"{told} Another sample of texts would give somewhat different figures."
    noise = words.points(sampling_noise(accuracy, record.after.examples))
    varies = f"varies by about {noise} points either way (95%) from one sample of texts to the next"
    return f"{told} An accuracy measured on that many {varies}."


def _context(record: RunRecord) -> dict[str, Any]:
    return {
        "record": record,
        "front_matter": front_matter(record),
        "name": tables.run_name(record),
        "method": tables.method_name(record),
        "words": words,
        "gains": gains,
        "tables": tables,
        "usage": usage,
        "groups": tables.groups(record, MOST_GROUPS),
        "details": views.brief(record.after, record.task),
        "sentences": views.sentences(record.after, record.task),
        "sampling": sampling_sentence(record),
        "recipe": yaml.safe_dump(record.recipe, sort_keys=False, allow_unicode=True, width=100),
    }
