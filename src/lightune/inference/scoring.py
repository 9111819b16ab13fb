"""Metrics of a trained classifier on labelled data: a file, or the test split of its own run."""

from __future__ import annotations

from pathlib import Path

from lightune.data import columns
from lightune.data.encoding import encode
from lightune.data.tables import Table, read_table
from lightune.data.task import Split, labelled_split, load_task
from lightune.errors import ArtifactError, DataError
from lightune.evaluation.evaluate import evaluate
from lightune.inference.classifier import Classifier
from lightune.inference.label_names import names_in_file
from lightune.recipe import DataBlock
from lightune.record import Evaluation, RunRecord


def evaluate_file(
    classifier: Classifier, path: Path | str, text_column: str | None = None, label_column: str | None = None
) -> Evaluation:
    """Evaluate on a labelled file; columns default to the training data's names where the file has them.

    Labels of a model that was trained elsewhere are matched with the file's; see `names_in_file`.
    """
    table = read_table(path)
    wanted = classifier.text_columns
    text: str | tuple[str, str] | None = text_column
    if text is None and all(name in table.columns for name in wanted):
        text = wanted[0] if len(wanted) == 1 else (wanted[0], wanted[1])
    if label_column is None and classifier.label_column in table.columns:
        label_column = classifier.label_column
    block = DataBlock(text_column=text, label_column=label_column)
    try:
        split = labelled_split(table, block, _label_names(classifier, table, block))
    except DataError as error:
        # A run has that option, an evaluation has not.
        hint = error.hint.replace(", or pass --set data.on_unseen_label=drop", "")
        raise DataError(error.code, error.message, hint) from error
    return _evaluate(classifier, split)


def evaluate_own_test(classifier: Classifier, folder: Path | str) -> Evaluation:
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
    block = DataBlock.model_validate({**record.recipe["data"], "revision": record.data.revision})
    task = load_task(block, record.recipe["training"]["seed"])
    if task.sha256() != record.data.sha256:
        message = f"{task.source}: these are not the texts and labels that the run was measured on."
        raise DataError("DATA-050", message, "Restore them, or pass --test FILE to measure on other data.")
    return _evaluate(classifier, task.test)


def _label_names(classifier: Classifier, table: Table, block: DataBlock) -> list[str]:
    """Return what the file calls the labels: a run knows it, a model from elsewhere may call them otherwise."""
    if not classifier.signature.finished_elsewhere:
        return classifier.labels
    texts, _ = columns.text_columns(table, block.text_column)
    return names_in_file(classifier.labels, table, columns.label_column(table, block.label_column, texts)[0])


def _evaluate(classifier: Classifier, split: Split) -> Evaluation:
    encoded = encode(classifier.tokenizer, split.texts, classifier.max_length)
    fields = evaluate(classifier.model, classifier.tokenizer, encoded, split, classifier.batch_size)[1]
    return Evaluation.model_validate(fields)
