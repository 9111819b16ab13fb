"""Reports as files, and run folders read back."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

from pydantic import ValidationError

from lightune.errors import ArtifactError
from lightune.record import SCHEMA_VERSION, RunRecord

RESULTS_FILE = "results.json"
PREDICTIONS_FILE = "predictions.csv"
REPORT_FILE = "report.html"
CARD_FILE = "README.md"
PREDICTION_COLUMNS = ("text", "label", "prediction", "confidence", "before_prediction", "probe_prediction")
LARGEST_FIELD = 2**31 - 1

Predictions = list[dict[str, str]]


def write_reports(record: RunRecord, predictions: Predictions, folder: Path) -> None:
    """Write report.html and README.md into the run folder."""
    from lightune.report.card import render_card
    from lightune.report.html import render_html

    (folder / REPORT_FILE).write_text(render_html(record, predictions), encoding="utf-8", newline="\n")
    (folder / CARD_FILE).write_text(render_card(record), encoding="utf-8", newline="\n")


def read_run(folder: Path) -> tuple[RunRecord, Predictions]:
    """Return the record and the predictions of a run folder.

    Raises ArtifactError when the folder is no run folder, or a file is missing or broken.
    """
    hint = "Give a run folder, e.g. runs/reviews-1."
    if not folder.is_dir():
        raise ArtifactError("ARTIFACT-030", f"{folder}: there is no such folder.", hint)
    if not (folder / RESULTS_FILE).is_file():
        raise ArtifactError("ARTIFACT-031", f"{folder}: no {RESULTS_FILE}, so this is not a finished run folder.", hint)
    record = _read_record(folder / RESULTS_FILE)
    return record, _read_predictions(folder / PREDICTIONS_FILE, record)


def _read_record(path: Path) -> RunRecord:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _broken("ARTIFACT-032", path, f"not readable JSON ({error})") from error
    version = value.get("schema_version") if isinstance(value, dict) else None
    if isinstance(version, int) and version != SCHEMA_VERSION:
        message = f"{path}: schema_version {version}; this lightune reads version {SCHEMA_VERSION}."
        raise ArtifactError("ARTIFACT-033", message, "Use the lightune that wrote it.")
    try:
        return RunRecord.model_validate(value)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in fault["loc"]) or "the whole file"
        raise _broken("ARTIFACT-034", path, f"not the record of a run: {place}: {fault['msg']}") from error


def _read_predictions(path: Path, record: RunRecord) -> Predictions:
    if not path.is_file():
        hint = "Restore the folder from a copy, or run again."
        raise ArtifactError("ARTIFACT-035", f"{path}: this file is missing.", hint)
    try:
        rows = _read_rows(path)
    except (OSError, ValueError, csv.Error) as error:
        raise _broken("ARTIFACT-036", path, f"not a readable CSV file ({error})") from error
    missing = [name for name in PREDICTION_COLUMNS if rows and name not in rows[0]]
    if missing:
        raise _broken("ARTIFACT-037", path, f"it lacks the column{'s'[: len(missing) > 1]} {', '.join(missing)}")
    for index, row in enumerate(rows, start=1):
        if None in row or None in row.values() or not _is_share(row["confidence"]):
            raise _broken("ARTIFACT-038", path, f"prediction {index} is incomplete or its confidence is no number")
    if len(rows) != record.after.examples:
        found = f"it holds {len(rows)} predictions, {RESULTS_FILE} counts {record.after.examples}"
        raise _broken("ARTIFACT-039", path, found)
    return rows


def _read_rows(path: Path) -> Predictions:
    previous = csv.field_size_limit(LARGEST_FIELD)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, strict=True))
    finally:
        csv.field_size_limit(previous)


def _is_share(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _broken(code: str, path: Path, what: str) -> ArtifactError:
    return ArtifactError(
        code, f"{path}: this file is damaged: {what}.", "Restore the folder from a copy, or run again."
    )
