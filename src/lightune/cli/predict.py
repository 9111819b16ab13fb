"""`lightune predict`: answers of a trained classifier."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lightune.cli.options import (
    as_json,
    base_model,
    device,
    example,
    piped_lines,
    print_json,
    stdin_is_piped,
    utf8_stdout,
    visible,
)

if TYPE_CHECKING:
    from lightune.inference.classifier import Classifier
    from lightune.inference.known_texts import LabelledRows

EXAMPLES = example("""
lightune predict runs/quickstart-1 "Lovely little place, friendly staff and delicious bread."
cat lines.txt | lightune predict runs/quickstart-1
lightune predict runs/pairs-1 "A man sleeps." "Somebody is awake."    # of a model of pairs
lightune predict runs/quickstart-1 --file reviews.csv --output answers.csv --precision auto
""")


@click.command("predict", epilog=EXAMPLES)
@click.argument("run", metavar="MODEL")
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option("--file", "source", type=click.Path(path_type=Path), help="Classify each row of this csv or tsv.")
@click.option(
    "--text-column",
    metavar="COLUMN",
    help="The file's text column, if its name is not that of training; for a pair PREMISE,HYPOTHESIS.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the answered rows here; default stdout.")
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=64, show_default=True, help="Batch size, in texts of 64 tokens."
)
@click.option(
    "--precision", type=click.Choice(["fp32", "bf16", "auto"]), default="fp32", show_default=True,
    help="bf16 is faster on some processors, but rounds; auto decides by a short probe.",
)  # fmt: skip
@base_model
@device
@as_json
def command(
    run: str,
    texts: tuple[str, ...],
    source: Path | None,
    text_column: str | None,
    output: Path | None,
    as_json: bool,
    **how: Any,
) -> int:
    """Classify texts with a run folder, or with any finished sequence classifier (a folder or a name on the Hub).

    Texts come from the command line, from stdin (one per line), or from a file (--file), whose rows are returned with
    the answer in further columns, such as prediction and confidence. Texts of the command line are taken two by two
    where the model was trained on pairs. The whole file is read first, and refused if any
    row is broken or has no text. The cells of a .tsv are literal: quotes belong to the text. If the file also has a
    label column, stderr says at the end how many texts are known from training, and the headline metric with and
    without them.
    """
    lines = list(texts)
    if source is None and not lines:
        if not stdin_is_piped():
            raise click.UsageError("Nothing to classify: give a text, --file, or pipe lines into it.")
        lines = piped_lines()
        if not lines:
            click.echo("stdin holds no text; there is nothing to classify.", err=True)
            return _print({"predictions": []}) if as_json else 0
    if source is not None and lines:
        raise click.UsageError("Give texts or --file, not both.")
    if source is None and output is not None:
        raise click.UsageError("--output needs --file; the answers to texts are printed (use > FILE to keep them).")
    if output is not None and output.exists():
        raise click.UsageError(f"--output {output} already exists; it is not overwritten. Choose another name.")

    if source is not None:
        return _file(_classifier(run, how), source, text_column, output, as_json)
    return _texts(run, lines, how, as_json, by_line=not texts)


def _classifier(run: str, how: dict[str, Any]) -> Classifier:
    from lightune.inference.classifier import load

    classifier = load(run, how["base_model"], how["device"], how["precision"])
    classifier.batch_size = how["batch_size"]
    return classifier


def _texts(run: str, lines: list[str], how: dict[str, Any], as_json: bool, by_line: bool) -> int:
    from lightune.inference.texts import Text, in_turn
    from lightune.inference.torch_free import quick_predictions

    is_usual = how["device"] in ("auto", "cpu") and how["precision"] != "bf16"
    answers = quick_predictions(run, lines, how["base_model"]) if is_usual else None
    texts: Sequence[Text] = lines
    if answers is None:
        classifier = _classifier(run, how)
        texts = lines if by_line else in_turn(lines, classifier.text_columns)
        answers = classifier.predict(texts)
    if as_json:
        listed = [{"text": text, **asdict(answer)} for text, answer in zip(texts, answers, strict=True)]
        return _print({"predictions": listed})
    for text, answer in zip(texts, answers, strict=True):
        shown = text if isinstance(text, str) else " | ".join(text)
        click.echo(visible(f"{answer.line()}  {shown}"))
    return 0


def _file(classifier: Classifier, source: Path, text_column: str | None, output: Path | None, as_json: bool) -> int:
    from lightune.inference.bulk import Tally, answered_rows, write_rows
    from lightune.inference.known_texts import LabelledRows
    from lightune.progress import default_reporter

    tally, labelled = Tally(), LabelledRows(classifier)
    rows = answered_rows(classifier, source, text_column, default_reporter(), tally, labelled)
    if output is not None:
        written = write_rows(rows, output)
        if as_json:
            return _print({"rows": written, "output": str(output), **asdict(tally), "known": _known(labelled)})
        click.echo(f"{written} rows answered: {output}", err=True)
        return _say_known(labelled)
    if as_json:
        header = next(rows)
        answered = [_as_object(classifier, header, row) for row in rows]
        return _print({"predictions": answered, **asdict(tally), "known": _known(labelled)})
    writer = csv.writer(utf8_stdout(), lineterminator="\n")
    writer.writerows(rows)
    return _say_known(labelled)


def _known(labelled: LabelledRows) -> dict[str, Any] | None:
    found = labelled.summary()
    return None if found is None else found.model_dump(mode="json")


def _say_known(labelled: LabelledRows) -> int:
    """Say on stderr, which holds no answers, how many of a labelled file's texts are known."""
    from lightune.report.words import labelled_file

    found = labelled.summary()
    if found is not None:
        click.echo(labelled_file(found), err=True)
    return 0


def _as_object(classifier: Classifier, header: list[str], row: list[str]) -> dict[str, Any]:
    """Return an answered row of a file in the form of an answered text."""
    task = classifier.task
    own = len(header) - len(task.answer_columns)
    return {"row": dict(zip(header[:own], row[:own], strict=True)), **task.answer_object(row[own:])}


def _print(value: dict[str, Any]) -> int:
    print_json(value)
    return 0
