"""Metrics of a trained classifier on labelled data: a file, or the test split of its own run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lightune.data.cells import label_cells
from lightune.data.dataset import DataSplits, Split, labelled_split, load_splits
from lightune.data.encoding import encode_splits
from lightune.data.inner_fields import add_fields
from lightune.data.label_columns import label_columns
from lightune.data.names import clean_name
from lightune.data.sources import read_source
from lightune.data.tables import AS_IT_IS, Table
from lightune.data.text_file import TextFormat
from lightune.data.unreadable import REMEDY, settle_unreadable
from lightune.data.unused_format import kinds_of, unused_format
from lightune.errors import ArtifactError, DataError, RecipeError, did_you_mean
from lightune.evaluation.evaluate import Labelled, evaluate
from lightune.faults import Fault, raise_faults
from lightune.inference.classifier import Classifier
from lightune.inference.file_columns import file_columns
from lightune.inference.known_texts import known_fields
from lightune.progress import Reporter, Silent
from lightune.recipe import DataBlock
from lightune.record import RunRecord
from lightune.record_file import RESULTS_FILE, read_record, showing
from lightune.sections import Evaluation
from lightune.tasks import Task
from lightune.values.label_text import label_text
from lightune.values.missing import is_missing
from lightune.values.text_formats import stated_texts

# What a run is told for rows that cannot be used; an evaluation has one option for all of them.
OPTION = re.compile(
    rf"(?P<joint>, or) pass --set data\.on_(?:missing|unseen_label)=drop"
    rf"| ?{re.escape(REMEDY)}"
    r"|(?P<other>, or [^.:]*:? ?--set data\.\w+=\w+)"
)
SKIP = "leave such rows out: --on-error skip"


@dataclass(frozen=True)
class Asked:
    """How a labelled file is read; columns default to the training data's names where they exist.

    `stated` says how text files are written, where their headers do not show it. `by` names another column: the groups
    are then only those of this column. `label_separator` stands between the labels of the file's cells. With
    `skips_faults` rows without a text or a label, with a label that the model does not know, and that cannot be read or
    used are left out, and counted in `rows_dropped`.
    """

    text_column: str | None = None
    label_columns: Sequence[str] = ()
    by: str | None = None
    stated: TextFormat = AS_IT_IS
    label_separator: str | None = None
    skips_faults: bool = False


def evaluate_file(
    classifier: Classifier, path: Path | str, asked: Asked | None = None, reporter: Reporter | None = None
) -> Evaluation:
    """Evaluate on a labelled file, pattern or folder.

    Labels of a model that was trained elsewhere are matched with the file's; see `Task.in_words_of`. The reporter gets
    notes on guessed columns and on reading.
    """
    asked = asked or Asked()
    table, notes = _read(str(path), asked.stated, asked.skips_faults)
    add_fields(table, [*classifier.text_columns, *stated_texts(asked.text_column), *classifier.label_columns])
    add_fields(table, [*asked.label_columns, *([] if asked.by is None else [asked.by])])
    names, is_guess = file_columns(classifier, table, asked.text_column)
    block = _block(classifier, table, asked, () if is_guess else names)
    by = None if asked.by is None else _column_of(asked.by, table.columns, table.origin)
    try:
        task = _parted(_task_in(classifier, table, block, names), asked.label_separator)
        found = labelled_split(table, block, task, (names, is_guess), by, asked.skips_faults)
    except DataError as error:
        raise _with_option(error, f"Or {SKIP}.") from error
    says = reporter or Silent()
    for note in [*notes, *found.notes]:
        says.note(note)
    measured = _evaluate(classifier, Labelled(task, _grouped(found.split, by)), says)
    return measured.model_copy(update={"rows_dropped": found.rows.dropped})


def _block(classifier: Classifier, table: Table, asked: Asked, names: Sequence[str]) -> DataBlock:
    """Return the part of a recipe that reads the table; `names` are the columns of the text, if not guessed."""
    labels: Sequence[str] | None = asked.label_columns or None
    if labels is None and set(classifier.label_columns) <= set(table.columns):
        labels = classifier.label_columns
    drop = "drop" if asked.skips_faults else "error"
    return DataBlock.model_validate({
        "text_column": None if not names else names[0] if len(names) == 1 else (names[0], names[1]),
        "label_columns": None if labels is None else tuple(labels),
        "decimal": asked.stated.decimal, "on_missing": drop, "on_unseen_label": drop,
    })  # fmt: skip


def _read(source: str, stated: TextFormat, skips_faults: bool) -> tuple[Table, list[str]]:
    """Read the file; return notes on the rows that cannot be read, where they are skipped. DataError for other faults.

    Those of too many rows are not skipped: see `settle_unreadable`.
    """
    faults: list[Fault] = []
    table = read_source(source, faults, split="test", stated=stated)
    notes = settle_unreadable(faults, [table], skips_faults)
    try:
        raise_faults([*faults, *unused_format(stated, kinds_of([table]), source)])
    except DataError as error:
        raise _with_option(error, f"Or {SKIP}.") from error
    return table, notes


def _parted(task: Task, separator: str | None) -> Task:
    """Return the task that reads labels joined by the stated mark. RecipeError where no cell holds several."""
    found = task if separator is None else task.parted_by(separator)
    if found is None:
        text = f"--label-separator: the model's task is {task.name}, which has one target in a cell."
        raise RecipeError("RECIPE-104", text, "Leave it out.")
    return found


def _with_option(error: DataError, remedy: str) -> DataError:
    """Return the error with `remedy`, an option of an evaluation or "", in place of the options that only a run has."""

    def instead(found: re.Match[str]) -> str:
        if found["other"]:
            return ""
        return f", or {SKIP}" if remedy and found["joint"] else f" {remedy}".rstrip()

    lines = OPTION.sub(instead, error.hint).split("\n")
    return DataError(error.code, error.message, "\n".join(dict.fromkeys(line.strip() for line in lines)))


def evaluate_own_test(classifier: Classifier, folder: Path | str, by: str | None = None) -> Evaluation:
    """Evaluate on the test split that the run was measured on, read again from its source."""
    if not (Path(folder) / RESULTS_FILE).is_file():  # for example a model that was trained elsewhere
        raise ArtifactError(
            "ARTIFACT-031", f"{folder}: not a run folder, so it has no test split.", "Pass --test FILE."
        )
    record = read_record(Path(folder), "Or pass --test FILE.")
    try:
        splits = _as_measured(record, Path(folder), classifier.task, by)
    except DataError as error:
        raise _with_option(error, "") from error
    if splits.sha256() != record.data.sha256:
        message = f"{splits.source}: these are not the texts and labels that the run was measured on."
        raise DataError("DATA-050", message, "Restore them, or pass --test FILE to measure on other data.")
    by = None if by is None else _column_of(by, splits.test.groups, f"{splits.source}, test split")
    return _evaluate(classifier, Labelled(splits.task, _grouped(splits.test, by)))


def _as_measured(record: RunRecord, folder: Path, task: Task, by: str | None) -> DataSplits:
    """Read a run's data with the columns of its record and its own task: an older version may have chosen others."""
    data, columns = record.data, record.data.text_column
    labels = [data.label_column] if isinstance(data.label_column, str) else data.label_column
    with showing(folder):
        # With rare labels left out the task is looked for again, as in training.
        is_chosen_again = record.recipe["data"].get("on_rare_label") == "drop"
        kind = record.recipe["data"]["label_kind"] if is_chosen_again else "class"
        stated = {"text_column": columns, "label_kind": kind, "label_columns": labels}
        given = {**record.recipe["data"], "revision": data.revision, "label_column": None}
        block, seed = DataBlock.model_validate(given | stated), int(record.recipe["training"]["seed"])
    return load_splits(block, seed, group_by=by, task=task)


def _column_of(by: str, columns: Mapping[str, Sequence[Any]], origin: str) -> str:
    """Return the name of the column to group by; DataError when there is none."""
    by = clean_name(by)
    if by not in columns:
        hint = f"{did_you_mean(by, columns)} Columns: {', '.join(columns) or 'none to group by'}.".strip()
        raise DataError("DATA-028", f'{origin}: there is no column "{by}" to group by.', hint)
    return by


def _grouped(split: Split, by: str | None) -> Split:
    """Return the split with the groups of only one column."""
    if by is None:
        return split
    values = ["(none)" if is_missing(value) else label_text(value) for value in split.groups[by]]
    return replace(split, groups={by: values})


def _task_in(classifier: Classifier, table: Table, block: DataBlock, texts: list[str]) -> Task:
    """Return the task with the file's label names: a model trained elsewhere may have other names for them."""
    task = classifier.task
    if not classifier.signature.finished_elsewhere:
        return task
    names, _ = label_columns(table, block.named_labels, texts, task.label_columns)
    return task.in_words_of(label_cells(table, names))


def _evaluate(classifier: Classifier, labelled: Labelled, says: Reporter | None = None) -> Evaluation:
    split = labelled.split
    limit, long_texts = classifier.max_length, classifier.long_texts
    encoded = encode_splits(classifier.tokenizer, {"test": split}, limit, long_texts)["test"]
    if says is not None and encoded.truncated:
        cut = f"{encoded.truncated:,} of {len(split):,} texts were truncated to {limit} tokens"
        says.note(f"{cut}; the rest was not read.")
    logits, found = evaluate(classifier.model, classifier.tokenizer, encoded, labelled, classifier.batch_size)
    return found.model_copy(update={"truncated_examples": encoded.truncated, **known_fields(classifier, split, logits)})
