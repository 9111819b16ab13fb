"""`lightune run`: the main job."""

from __future__ import annotations

from typing import Any

import click

from lightune.cli.options import as_json, example, shown, text_format

EXAMPLES = example("""
lightune run                                   # embedded model and data
lightune run rotten-tomatoes                   # from the Hugging Face Hub
lightune run --train train.csv --test test.csv --method full
lightune run --train train.csv --batch-size 32 --lr 5e-4 -o runs/mine
lightune run my.yaml --set method.rank=16 --set training.learning_rate=1e-3
lightune run quickstart --json > results.json
""")


@click.command("run", epilog=EXAMPLES)
@click.argument("recipe", required=False)
@click.option("-m", "--model", help="Hub name, local folder, or minilm (embedded).")
@click.option("--data", help="Hub data set, file, folder, quoted pattern, or reviews (embedded).")
@click.option("--train", metavar="FILE", help="Training file: csv, tsv, jsonl, parquet or xlsx.")
@click.option("--validation", metavar="FILE", help="Validation file; else a fifth of the training rows.")
@click.option("--test", metavar="FILE", help="Test file; else a fifth of the training rows, held out first.")
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
@click.option("--train-examples", type=int, help="How many labels the run may use for training and validation.")
@click.option("--validation-examples", type=int)
@click.option("--test-examples", type=int)
@click.option(
    "--fingerprints/--no-fingerprints", default=None,
    help="Keep fingerprints of the training texts, by which evaluate recognises them, or leave them out.",
)  # fmt: skip
@click.option("--method", help="Adaptation method; see `lightune methods` (-m is the model).")
@click.option("--epochs", type=int)
@click.option("--batch-size", type=int, help="Texts in a training step (per_device_train_batch_size).")
@click.option("--lr", "--learning-rate", "learning_rate", type=float, help="Default: the method's own.")
@click.option("--seed", type=int)
@click.option("--device", help="auto, cpu, cuda or mps.")
@click.option("--precision", help="auto, fp32 or bf16.")
@click.option("-o", "--output", metavar="DIR", help="The run folder itself; new or empty.  [default: runs/<name>-<n>]")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Any recipe key, e.g. training.seed=7.")
@as_json
def command(recipe: str | None, output: str | None, settings: tuple[str, ...], as_json: bool, **flags: Any) -> int:
    """Evaluate a model, adapt it, evaluate it again, and report what was gained and what it cost.

    RECIPE is a shipped recipe (see `lightune recipes`) or a YAML file. Without one it is the quickstart, or, for
    another model or other data, the defaults. `lightune train` does the same.
    """
    from lightune.data.sources import require_files
    from lightune.progress import default_reporter
    from lightune.recipes.compose import compose
    from lightune.run_folder import RunFolder

    composed = compose(recipe, flags, settings)
    require_files(composed.recipe.data)
    if output is not None:
        RunFolder(composed.recipe.name, output)

    from lightune import experiment  # imports torch, which takes seconds: so wrong names are said before

    record = experiment.run(composed.recipe, output, default_reporter(), composed.notes)
    return shown(record, as_json)
