"""`lightune evaluate`: the metrics of a trained classifier."""

from __future__ import annotations

from typing import Any

import click

from lightune.cli.options import as_json, base_model, device, example, print_json, stated_format, text_format
from lightune.terminal import new_console

EXAMPLES = example("""
lightune evaluate runs/quickstart-1                     # its own test split again
lightune evaluate runs/quickstart-1 --test other.csv
lightune evaluate runs/quickstart-1 --test other.csv --on-error skip    # where rows lack a label
lightune evaluate runs/quickstart-1 --by kind           # the metrics for each kind
lightune evaluate runs/quickstart-1 --test other.csv --text-column review --label-column stars --json
lightune evaluate textattack/bert-base-uncased-imdb --test other.csv
""")


@click.command("evaluate", epilog=EXAMPLES)
@click.argument("run", metavar="MODEL")
@click.option("--test", metavar="FILE", help="Labelled file, pattern or folder; default: the run's own test split.")
@click.option("--text-column", help="Column of the text, or two of a pair: premise,hypothesis.")
@click.option("--label-column", help="Column of the label.")
@click.option("--label-columns", help="Several: one of 0 and 1 for each label, or one number each: anger,joy.")
@text_format
@click.option("--label-separator", help="What stands between the labels of a cell, for example ;")
@click.option(
    "--on-error",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="skip: rows of the file without a text, or with a label that the model does not know, are left out.",
)
@click.option("--by", metavar="COLUMN", help="Also the metrics for each value of another column.")
@base_model
@device
@as_json
def command(run: str, test: str | None, as_json: bool, **how: Any) -> int:
    """Measure a model on labelled data: the metrics of its task, their details, and what it cost.

    MODEL is a run folder, or any sequence classifier with a head of its own: a folder or a name on the Hugging Face
    Hub. The labels of such a model are matched with the file's by name, LABEL_0, LABEL_1, ... also by number.

    Texts that a run was trained or validated on are counted, and the metrics without them are shown too.
    """
    labels = _labels(test, **how)

    from lightune.data.sources import require_paths
    from lightune.models.pretrained_classifier import require_folder

    require_folder(run)
    require_paths(test)

    from lightune.inference.classifier import load  # imports torch, which takes seconds: so wrong names are said before
    from lightune.inference.labelled_evaluation import Asked, evaluate_file, evaluate_own_test
    from lightune.progress import default_reporter

    classifier = load(run, how["base_model"], how["device"])
    if test is None:
        result = evaluate_own_test(classifier, run, how["by"])
    else:
        columns, stated = (how["text_column"], labels, how["by"]), stated_format(how)
        asked = Asked(*columns, stated, how["label_separator"], skips_faults=how["on_error"] == "skip")
        result = evaluate_file(classifier, test, asked, default_reporter())
    if as_json:
        print_json(result.model_dump(mode="json"))
        return 0

    from lightune.report.summary import print_evaluation

    task = classifier.task
    print_evaluation(result, task.record(), task.cautions(result, {}, None), new_console())
    return 0


def _labels(test: str | None, **how: Any) -> list[str]:
    """Return the label columns that are named; UsageError where they have no file, or are named in two ways."""
    if test is None and (how["text_column"] or how["label_column"] or how["label_columns"]):
        named = "--text-column, --label-column and --label-columns"
        raise click.UsageError(f"{named} need --test; a run knows the columns of its own test split.")
    if test is None and how["on_error"] == "skip":
        raise click.UsageError("--on-error skip needs --test; a run's own test split has no such rows.")
    if how["label_column"] and how["label_columns"]:
        raise click.UsageError("--label-column names one column and --label-columns several: give one of the two.")
    several = [name for name in (how["label_columns"] or "").split(",") if name.strip()]
    return several or [how["label_column"]] * bool(how["label_column"])
