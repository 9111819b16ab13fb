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
    stated_format,
    stdin_is_piped,
    text_format,
    utf8_stdout,
)
from lightune.terminal import say

if TYPE_CHECKING:
    from lightune.inference.abstention import Abstention
    from lightune.inference.bulk import FileWishes, Tally
    from lightune.inference.classifier import Classifier
    from lightune.inference.known_texts import LabelledRows
    from lightune.inference.texts import Text
    from lightune.tasks.answers import Answer
    from lightune.tasks.coverage import Abstained, Coverage

EXAMPLES = example("""
lightune predict runs/quickstart-1 "Lovely little place, friendly staff and delicious bread."
cat lines.txt | lightune predict runs/quickstart-1
lightune predict runs/pairs-1 "A man sleeps." "Somebody is awake."    # of a model of pairs
lightune predict runs/quickstart-1 --file reviews.csv --output answers.csv --precision auto
lightune predict runs/quickstart-1 --file reviews.jsonl --output answers.parquet --on-error skip
lightune predict runs/quickstart-1 --file reviews.csv --output sure.csv --abstain-below 0.8
""")


@click.command("predict", epilog=EXAMPLES)
@click.argument("run", metavar="MODEL")
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@click.option(
    "--file",
    "source",
    type=click.Path(path_type=Path),
    help="Answer each row of this file: csv, tsv, jsonl, parquet or xlsx.",
)
@click.option(
    "--text-column",
    metavar="COLUMN",
    help="The file's text column, if its name is not that of training; for a pair PREMISE,HYPOTHESIS.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Write the answered rows here, as csv, tsv, jsonl, parquet or xlsx; default: csv on stdout.",
)
@click.option(
    "--on-error",
    type=click.Choice(["stop", "skip"]),
    default="stop",
    show_default=True,
    help="skip: rows that cannot be answered stay empty, with the reason in a further column.",
)
@text_format
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=64, show_default=True, help="Batch size, in texts of 64 tokens."
)
@click.option(
    "--precision", type=click.Choice(["fp32", "bf16", "auto"]), default="fp32", show_default=True,
    help="bf16 is faster on some processors, but rounds; auto decides by a short probe.",
)  # fmt: skip
@click.option(
    "--abstain-below", type=click.FloatRange(0, 1), metavar="BOUND",
    help="Leave out answers whose confidence is below this, from 0 to 1.",
)  # fmt: skip
@click.option(
    "--raw", is_flag=True,
    help="Leave texts in csv and tsv as they are, also where a spreadsheet would take them for formulas.",
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
    where the model was trained on pairs. The whole file is read first, and refused if any row is broken or has no text,
    unless --on-error skip. The cells of a .tsv are literal: quotes belong to the text. If the file also has a label
    column, stderr says at the end how many texts are known from training, and the headline metric with and without
    them.

    With --abstain-below 0.8 a text gets no answer where the model is less than 80% sure of it: in a file the answer is
    empty, and the column abstained is true. stderr says which share of the texts is answered, and which share of the
    run's validation texts was, with how many right answers. Several labels are right if each of them is, and the
    confidence is that of the least certain label. Numbers have no confidence.
    """
    lines = list(texts)
    if source is None and not lines:
        if not stdin_is_piped():
            raise click.UsageError("Nothing to classify: give a text, --file, or pipe lines into it.")
        lines = piped_lines()
        if not lines:
            say("stdin holds no text; there is nothing to classify.", err=True)
            return _print({"predictions": []}) if as_json else 0
    if source is not None and lines:
        raise click.UsageError("Give texts or --file, not both.")
    if source is None and output is not None:
        raise click.UsageError("--output needs --file; the answers to texts are printed (use > FILE to keep them).")
    if output is not None:
        from lightune.inference.answer_files import require_writable

        require_writable(output)
    if source is not None:
        return _file(_classifier(run, how, source), source, _wishes(text_column, **how), output, as_json, how["raw"])
    return _texts(run, lines, how, as_json, by_line=not texts)


def _classifier(run: str, how: dict[str, Any], source: Path | None = None) -> Classifier:
    from lightune.data.sources import require_paths
    from lightune.models.pretrained_classifier import require_folder

    require_folder(run)
    require_paths(None if source is None else str(source))

    from lightune.inference.classifier import load  # imports torch, which takes seconds: so wrong names are said before

    classifier = load(run, how["base_model"], how["device"], how["precision"])
    classifier.batch_size = how["batch_size"]
    return classifier


def _wishes(text_column: str | None, **how: Any) -> FileWishes:
    from lightune.inference.bulk import FileWishes

    return FileWishes(text_column, stated_format(how), how["on_error"] == "skip", how["abstain_below"])


def _texts(run: str, lines: list[str], how: dict[str, Any], as_json: bool, by_line: bool) -> int:
    abstention, coverage, texts, answers, truncated = _answered(run, lines, how, by_line)
    left = list(map(abstention.leaves_out, answers))
    outcome = abstention.summary(len(texts), left.count(False), coverage)
    if as_json:
        listed = [{"text": text, **abstention.as_json(answer)} for text, answer in zip(texts, answers, strict=True)]
        return _print({"predictions": listed, "truncated": truncated, **_abstaining(outcome)})
    shown = [_line(answer, is_left) for answer, is_left in zip(answers, left, strict=True)]
    width = max(map(len, shown)) if outcome else 0
    for line, text in zip(shown, texts, strict=True):
        parts = [text] if isinstance(text, str) else text
        say(f"{line:>{width}}  {' | '.join(parts)}".replace("\n", "\\n"))
    _say_truncated(truncated)
    return _say_abstained(outcome)


def _answered(
    run: str, lines: list[str], how: dict[str, Any], by_line: bool
) -> tuple[Abstention, Coverage | None, Sequence[Text], Sequence[Answer], int]:
    """Return which answers are left out, what is known of that from validation, texts or pairs, all answers, cuts."""
    from lightune.inference.abstention import Abstention, coverage_of
    from lightune.inference.texts import in_turn
    from lightune.inference.torch_free import quick_logits

    is_usual, below = how["device"] in ("auto", "cpu") and how["precision"] != "bf16", how["abstain_below"]
    quick = quick_logits(run, lines, how["base_model"]) if is_usual else None
    if quick is not None:
        task, logits, cut = quick
        return Abstention(task, below), None if below is None else coverage_of(run), lines, task.decode(logits), cut
    classifier = _classifier(run, how)
    texts = lines if by_line else in_turn(lines, classifier.text_columns)
    answers = classifier.predict(texts)
    return Abstention(classifier.task, below), classifier.coverage, texts, answers, classifier.truncated


def _line(answer: Answer, is_left_out: bool) -> str:
    from lightune.tasks.answers import confidence_of

    return f"(abstained)  {confidence_of(answer):.3f}" if is_left_out else answer.line()


def _file(
    classifier: Classifier, source: Path, wishes: FileWishes, output: Path | None, as_json: bool, raw: bool
) -> int:
    from lightune.inference.abstention import Abstention
    from lightune.inference.answer_files import text_cells, write_rows
    from lightune.inference.bulk import Tally, answered_rows
    from lightune.inference.known_texts import LabelledRows
    from lightune.progress import default_reporter

    tally, labelled, abstention = Tally(), LabelledRows(classifier), Abstention(classifier.task, wishes.abstain_below)
    rows = answered_rows(classifier, source, wishes, default_reporter(), tally, labelled)
    if output is not None:
        written = write_rows(rows, output, abstention.json_columns, raw)
        if as_json:
            return _print({"rows": written, "output": str(output), **_counted(classifier, tally, labelled, abstention)})
        say(_told(tally, written, output), err=True)
    elif as_json:
        header = next(rows)
        answered = [_as_object(abstention, header, row, wishes.skips_faults) for row in rows]
        return _print({"predictions": answered, **_counted(classifier, tally, labelled, abstention)})
    else:
        csv.writer(utf8_stdout(), lineterminator="\n").writerows(text_cells(row, raw) for row in rows)
    _say_truncated(classifier.truncated)
    _say_abstained(_outcome(classifier, tally, abstention))
    return _say_known(labelled)


def _told(tally: Tally, written: int, output: Path) -> str:
    """Say how many rows were answered, and how many of those written were not."""
    unanswered = written - tally.rows_answered
    more = f", {unanswered:,} without an answer" if unanswered else ""
    return f"{tally.rows_answered:,} row{'s' * (tally.rows_answered != 1)} answered{more}: {output}"


def _outcome(classifier: Classifier, tally: Tally, abstention: Abstention) -> Abstained | None:
    texts = tally.rows_answered + tally.rows_abstained
    return abstention.summary(texts, tally.rows_answered, classifier.coverage)


def _counted(classifier: Classifier, tally: Tally, labelled: LabelledRows, abstention: Abstention) -> dict[str, Any]:
    """Return what JSON says of the rows of a file beside the answers."""
    outcome = _outcome(classifier, tally, abstention)
    return {**asdict(tally), "truncated": classifier.truncated, "known": _known(labelled), **_abstaining(outcome)}


def _abstaining(outcome: Abstained | None) -> dict[str, Any]:
    return {} if outcome is None else {"abstaining": asdict(outcome)}


def _say_truncated(texts: int) -> None:
    """Say on stderr how many texts the model read only the beginning of."""
    if texts:
        from lightune.report.words import truncated

        say(truncated(texts), err=True)


def _say_abstained(outcome: Abstained | None) -> int:
    """Say on stderr what a bound on the confidence came to."""
    if outcome is not None:
        from lightune.report.words import abstained

        say(abstained(outcome), err=True)
    return 0


def _known(labelled: LabelledRows) -> dict[str, Any] | None:
    found = labelled.summary()
    return None if found is None else found.model_dump(mode="json")


def _say_known(labelled: LabelledRows) -> int:
    """Say on stderr, which holds no answers, how many of a labelled file's texts are known."""
    from lightune.report.words import labelled_file

    found = labelled.summary()
    if found is not None:
        say(labelled_file(found), err=True)
    return 0


def _as_object(abstention: Abstention, header: list[str], row: list[Any], has_reason: bool) -> dict[str, Any]:
    """Return an answered row of a file in the form of an answered text, or with the reason why it has no answer."""
    own = len(header) - len(abstention.columns) - has_reason
    given = {"row": dict(zip(header[:own], row[:own], strict=True))}
    if has_reason and row[-1]:
        return {**given, "reason": row[-1]}
    return {**given, **abstention.answer_object(row[own : own + len(abstention.columns)])}


def _print(value: dict[str, Any]) -> int:
    print_json(value)
    return 0
