"""Metrics of a trained classifier on labelled data: a file, or the test split of its own run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightune.data.columns import label_column, text_columns
from lightune.data.dataset import Split, Task, labelled_split, load_task
from lightune.data.encoding import encode_splits
from lightune.data.labels import label_text
from lightune.data.names import clean_name
from lightune.data.sources import read_source
from lightune.data.tables import Table
from lightune.errors import ArtifactError, DataError, did_you_mean
from lightune.evaluation.evaluate import evaluate
from lightune.evaluation.metrics import per_label
from lightune.inference.classifier import Classifier
from lightune.inference.file_columns import file_columns
from lightune.inference.known_texts import known_fields
from lightune.inference.label_names import names_in_file
from lightune.progress import Reporter, Silent
from lightune.recipe import DataBlock
from lightune.record import RunRecord
from lightune.sections import Evaluation
from lightune.values.missing import is_missing


def evaluate_file(
    classifier: Classifier,
    path: Path | str,
    text_column: str | None = None,
    label_column: str | None = None,
    by: str | None = None,
    reporter: Reporter | None = None,
) -> Evaluation:
    """Evaluate on a labelled file, pattern or folder; columns default to the training data's names where they exist.

    `by` names a further column: its groups are then the only ones. Labels of a model that was trained elsewhere are
    matched with the file's; see `names_in_file`. The reporter hears which columns were guessed and what reading saw.
    """
    table = read_source(str(path), split="test")
    names, is_guess = file_columns(classifier, table, text_column)
    text = None if is_guess else names[0] if len(names) == 1 else (names[0], names[1])
    if label_column is None and classifier.label_column in table.columns:
        label_column = classifier.label_column
    block = DataBlock(text_column=text, label_column=label_column)
    try:
        split, notes = labelled_split(table, block, _label_names(classifier, table, block))
    except DataError as error:
        raise _without_options(error) from error
    for note in notes:
        (reporter or Silent()).note(note)
    # Every row is in the split: one that could not be used would have been an error.
    return _evaluate(classifier, _grouped(split, by, table.columns, table.origin))


def _without_options(error: DataError) -> DataError:
    """A run has that option, an evaluation has not."""
    lines = error.hint.replace(", or pass --set data.on_unseen_label=drop", "").split("\n")
    return DataError(error.code, error.message, "\n".join(dict.fromkeys(lines)))


def evaluate_own_test(classifier: Classifier, folder: Path | str, by: str | None = None) -> Evaluation:
    """Evaluate on the test split that the run was measured on, read anew from its source."""
    path = Path(folder) / "results.json"
    if not path.is_file():
        raise ArtifactError(
            "ARTIFACT-031", f"{folder}: not a run folder, so it has no test split.", "Pass --test FILE."
        )
    try:
        record = RunRecord.model_validate_json(path.read_bytes())
    except ValueError as error:
        raise ArtifactError(
            "ARTIFACT-032", f"{path}: this file is damaged.", "Restore it, or pass --test FILE."
        ) from error
    try:
        task = _as_measured(record, by)
    except DataError as error:
        raise _without_options(error) from error
    if task.sha256() != record.data.sha256:
        message = f"{task.source}: these are not the texts and labels that the run was measured on."
        raise DataError("DATA-050", message, "Restore them, or pass --test FILE to measure on other data.")
    return _evaluate(classifier, _grouped(task.test, by, task.test.groups, f"{task.source}, test split"))


def _as_measured(record: RunRecord, by: str | None) -> Task:
    """Read a run's data by the columns and label names of its record: an older version may have chosen otherwise."""
    data, columns = record.data, record.data.text_column
    stated = {"text_column": columns, "label_column": data.label_column, "label_kind": "class"}
    block = DataBlock.model_validate({**record.recipe["data"], "revision": data.revision, **stated})
    task = load_task(block, record.recipe["training"]["seed"], group_by=by)
    return replace(task, labels=data.labels) if list(map(label_text, data.labels)) == task.labels else task


def _grouped(split: Split, by: str | None, columns: Mapping[str, Sequence[Any]], origin: str) -> Split:
    """Return the split with the groups of one column alone; DataError when there is no such column."""
    if by is None:
        return split
    by = clean_name(by)
    if by not in columns:
        hint = f"{did_you_mean(by, columns)} Columns: {', '.join(columns) or 'none to group by'}.".strip()
        raise DataError("DATA-028", f'{origin}: there is no column "{by}" to group by.', hint)
    values = ["(none)" if is_missing(value) else label_text(value) for value in columns[by]]
    return replace(split, groups={by: values})


def _label_names(classifier: Classifier, table: Table, block: DataBlock) -> list[str]:
    """Return what the file calls the labels: a run knows it, a model from elsewhere may call them otherwise."""
    if not classifier.signature.finished_elsewhere:
        return classifier.labels
    texts, _ = text_columns(table, block.text_column)
    return names_in_file(classifier.labels, table, label_column(table, block.label_column, texts)[0])


def _evaluate(classifier: Classifier, split: Split) -> Evaluation:
    encoded = encode_splits(classifier.tokenizer, {"test": split}, classifier.max_length)["test"]
    logits, found = evaluate(classifier.model, classifier.tokenizer, encoded, split, classifier.batch_size)
    scores = per_label(found.confusion_matrix, classifier.labels)
    return Evaluation.model_validate({**dict(found), "per_label": scores, **known_fields(classifier, split, logits)})
