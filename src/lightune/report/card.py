"""A run as a model card: Markdown with the front matter that the Hugging Face Hub reads."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from lightune.record import RunRecord
from lightune.report import gains, tables, usage, views, words
from lightune.report.next_steps import next_steps
from lightune.report.tables import Table
from lightune.report.without_paths import without_paths
from lightune.sections import MCNEMAR
from lightune.terminal import visible

MOST_GROUPS = 40
UNKNOWN_LICENSE = "unknown"  # the Hub's word
SPECIAL = re.compile(r"([\\`*_\[\]<>|#~&$!])")
ADDRESS = re.compile(r"(:|\bwww)(//|\.)", re.IGNORECASE)


@dataclass(frozen=True)
class Published:
    """How a run is published: its name on the Hub, its licence, and whether as an adapter or merged into its base."""

    repository: str
    license: str = UNKNOWN_LICENSE
    is_merged: bool = False


def render_card(record: RunRecord, published: Published | None = None) -> str:
    """Return the model card of a run, filled in; without any path of the disk, since cards are passed on."""
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
    return visible(environment.get_template("card.md.j2").render(_context(without_paths(record), published)))


def front_matter(record: RunRecord, published: Published | None = None) -> str:
    """Return the card's metadata as YAML, valid for the Hub, which refuses a base model that is not on it.

    What is unknown (language, licence) is left out; of a published model somebody states the licence, or the Hub's word
    for an unknown one.
    """
    method, metrics = tables.method_name(record), record.task.metrics
    library = "transformers" if published and published.is_merged else None
    values: dict[str, Any] = {
        **({"license": published.license} if published else {}),
        **({"base_model": usage.base_model(record)} if usage.is_on_hub(record) else {}),
        "library_name": library or ("peft" if record.model.peft_loadable else "lightune"),
        "pipeline_tag": record.task.hub_tag,
        "tags": ["lightune", method],
        "metrics": list(dict.fromkeys(metric.hub_name for metric in metrics if metric.hub_name)),
    }
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000)


def plain(text: str) -> str:
    """Return the text on one line, with Markdown's and HTML's special characters escaped; no address is a link."""
    return ADDRESS.sub(r"\1\\\2", SPECIAL.sub(r"\\\1", words.printable(text)))


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


def _context(record: RunRecord, published: Published | None) -> dict[str, Any]:
    if published:
        record = record.model_copy(update={"run_folder": published.repository})
    return {
        "record": record,
        "published": published,
        "front_matter": front_matter(record, published),
        "name": published.repository.rpartition("/")[2] if published else tables.run_name(record),
        "method": tables.method_name(record),
        "words": words,
        "gains": gains,
        "tables": tables,
        "usage": usage,
        "next_steps": next_steps(record),
        "groups": tables.groups(record, MOST_GROUPS),
        "details": views.brief(record.after, record.task),
        "sentences": views.sentences(record.after, record.task),
        "sampling": sampling_sentence(record),
        "recipe": yaml.safe_dump(record.recipe, sort_keys=False, allow_unicode=True, width=100),
    }
