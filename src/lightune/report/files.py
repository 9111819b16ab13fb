"""Reports as files, and run folders read back."""

from __future__ import annotations

import csv
from pathlib import Path

from lightune.durable import write_file
from lightune.errors import ArtifactError, similar_path
from lightune.links import require_own_files
from lightune.record import RunRecord
from lightune.record_file import RESTORE, RESULTS_FILE, damaged, first_fault, read_record
from lightune.report import views, words
from lightune.report.step_losses import read_step_losses
from lightune.tasks.number_column import JOIN
from lightune.values.formulas import are_neutral, undone

PREDICTIONS_FILE = "predictions.csv"
REPORT_FILE = "report.html"
CARD_FILE = "README.md"
LARGEST_FIELD = 2**31 - 1

Predictions = list[dict[str, str]]


def write_reports(record: RunRecord, predictions: Predictions, folder: Path) -> None:
    """Write report.html and README.md into the run folder, which has the losses of steps in metrics.jsonl.

    Raises ArtifactError where metrics.jsonl is damaged.
    """
    from lightune.report.card import render_card
    from lightune.report.html import render_html

    page = render_html(record, predictions, read_step_losses(folder))
    write_file(folder / REPORT_FILE, page.encode())
    write_file(folder / CARD_FILE, render_card(record).encode())


def read_run(folder: Path) -> tuple[RunRecord, Predictions]:
    """Return the record and the predictions of a run folder.

    Raises ArtifactError when the folder is not a run folder, or a file is missing or broken.
    """
    if not folder.is_dir():
        hint = f"{similar_path(folder, Path('runs'))} Give a run folder, e.g. runs/reviews-1.".strip()
        raise ArtifactError("ARTIFACT-030", f"{folder}: there is no such folder.", hint)
    record = read_record(folder)
    for name, found in (("before", record.before), ("after", record.after)):
        try:
            views.views(found, record.task)
        except ValueError as error:
            what = f"not the record of a run: {first_fault(error, name, 'details')}"
            raise damaged("ARTIFACT-034", folder / RESULTS_FILE, what) from error
    return record, _read_predictions(folder / PREDICTIONS_FILE, record)


def _read_predictions(path: Path, record: RunRecord) -> Predictions:
    require_own_files(path.parent, path.name)
    if not path.is_file():
        raise ArtifactError("ARTIFACT-035", f"{path}: this file is missing.", RESTORE)
    try:
        rows = _read_rows(path)
    except (OSError, ValueError, csv.Error) as error:
        raise damaged("ARTIFACT-036", path, f"not a readable CSV file ({error})") from error
    task = record.task
    required = ("text", task.target_column, task.answer_columns[0])
    missing = [name for name in required if rows and name not in rows[0]]
    if missing:
        raise damaged("ARTIFACT-037", path, f"it lacks the column{'s'[: len(missing) > 1]} {', '.join(missing)}")
    figures = views.figures(record)
    for index, row in enumerate(rows, start=1):
        if None in row or None in row.values() or not _has_figures(row, figures):
            raise damaged("ARTIFACT-038", path, f"prediction {index} is incomplete or a figure in it is not a number")
    if len(rows) != record.after.examples:
        found = f"it holds {len(rows)} predictions, {RESULTS_FILE} counts {record.after.examples}"
        raise damaged("ARTIFACT-039", path, found)
    return rows


def _read_rows(path: Path) -> Predictions:
    previous = csv.field_size_limit(LARGEST_FIELD)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return _undone(list(csv.DictReader(file, strict=True)))
    finally:
        csv.field_size_limit(previous)


def _undone(rows: list[dict[str, str]]) -> Predictions:
    """Return the texts without the apostrophe that keeps a spreadsheet from computing them."""
    cells = [cell for row in rows for pair in row.items() for cell in pair]
    if not all(isinstance(cell, str) for cell in cells) or not are_neutral(cells):
        return rows  # incomplete, or of an earlier version
    return [{undone(name): undone(cell) for name, cell in row.items()} for row in rows]


def _has_figures(row: dict[str, str], figures: dict[str, int]) -> bool:
    """Say whether a row's cells of figures hold as many numbers as they should."""
    for name in figures.keys() & row.keys():
        numbers = row[name].split(JOIN) if figures[name] > 1 else [row[name]]
        if len(numbers) != figures[name] or not all(map(words.is_number, numbers)):
            return False
    return True
