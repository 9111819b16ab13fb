"""`lightune check`: everything that is wrong with labelled data, at once."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from lightune.cli.options import as_json, example, print_json, text_format
from lightune.terminal import new_console

EXAMPLES = example("""
lightune check reviews.csv
lightune check train.csv --test test.csv --label-column stars
lightune check --train train.csv --validation dev.csv --test test.csv --model distilbert-base-uncased
lightune check pairs.jsonl --set data.text_column=[premise,hypothesis] --json
""")


@click.command("check", epilog=EXAMPLES)
@click.argument("data", required=False)
@click.option("--train", metavar="FILE", help="Training file, instead of DATA.")
@click.option("--validation", metavar="FILE", help="Validation file.")
@click.option("--test", metavar="FILE", help="Test file.")
@click.option("--task", help="Task to train for; see `lightune tasks`.  [default: auto]")
@click.option("--text-column", help="Column of the text, or two of a pair: premise,hypothesis.")
@click.option("--label-column", help="Column of the label.")
@click.option("--label-columns", help="Several: one of 0 and 1 for each label, or one number each: anger,joy.")
@click.option(
    "--label-kind",
    type=click.Choice(["auto", "class"]),
    help="class: each number, each a|b is a class.  [default: auto]",
)
@text_format
@click.option("--label-separator", help="What stands between the labels of a cell, for example ;")
@click.option("-m", "--model", help="Count lengths in this model's tokens (weights are not read).  [default: minilm]")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any recipe key, as in `lightune run`.")
@as_json
def command(data: str | None, model: str | None, settings: tuple[str, ...], as_json: bool, **flags: Any) -> int:
    """Check labelled data: every fault with file, row, reason and remedy, then warnings.

    DATA is a file (csv, tsv, jsonl, parquet, xlsx), a data set on the Hub, or `reviews`. `lightune run` makes the same
    check before it loads a model. The exit status is 3 when the data cannot be used, and 0 with only warnings.
    """
    from lightune.data.describe import check_and_describe
    from lightune.errors import RecipeError
    from lightune.models.token_counter import embedded_is_here, token_counter
    from lightune.recipes.compose import compose

    if not data and not flags["train"]:
        data = None  # an empty argument is a variable that was not set, not this folder
    if (data is None) == (flags["train"] is None):
        raise RecipeError("RECIPE-008", "give the data once: DATA or --train FILE.", "Try: lightune check reviews.csv")
    if data is not None and (flags["validation"] or flags["test"]):
        data, flags["train"] = None, data
    recipe = compose(None, {**flags, "data": data, "model": model}, settings).recipe
    counted = model is not None or embedded_is_here()
    counter = token_counter(recipe.model, recipe.model_revision, recipe.data.max_length) if counted else None
    found = check_and_describe(recipe, counter)
    if as_json:
        print_json(found.as_json())
    else:
        from lightune.report.check import print_findings

        then = _run_command(data, {**flags, "model": model}, settings) if found.usable else None
        print_findings(found, new_console(), then)
    return 0 if found.usable else 3


def _run_command(data: str | None, flags: Mapping[str, Any], settings: Iterable[str]) -> str:
    """Return the command that trains on what was checked, with the same flags."""
    named = {} if data is None else {"train" if Path(data).is_file() else "data": data}
    given = {**named, **{name: value for name, value in flags.items() if value is not None}}
    parts = ["lightune", "run"]
    for name, value in given.items():
        parts += [f"--{name.replace('_', '-')}", ",".join(value) if isinstance(value, tuple) else str(value)]
    return shlex.join([*parts, *(part for setting in settings for part in ("--set", setting))])
