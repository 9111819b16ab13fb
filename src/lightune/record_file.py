"""Reading results.json; a record of an older version is converted to this version."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lightune.bounded import read_json
from lightune.errors import ArtifactError
from lightune.links import require_own_files
from lightune.record import SCHEMA_VERSION, RunRecord
from lightune.tasks.schema1 import upgraded_record

RESULTS_FILE = "results.json"
MOST_RESULTS_BYTES = 1 << 30  # it holds four matrices of labels by labels
# What wrong values lead to.
UNFIT = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)
RESTORE = "Restore the folder from a copy, or run again."


def read_record(folder: Path, otherwise: str = "") -> RunRecord:
    """Return the record of a run folder.

    Raises ArtifactError when the folder is not a run folder, or its record is broken or of a later version; then
    `otherwise` says what else the user can do.
    """
    path = folder / RESULTS_FILE
    require_own_files(folder, RESULTS_FILE)
    if not path.is_file():
        hint = f"Give a run folder, e.g. runs/reviews-1. {otherwise}".strip()
        raise ArtifactError("ARTIFACT-031", f"{folder}: no {RESULTS_FILE}, so this is not a finished run folder.", hint)
    try:
        value = read_json(path, MOST_RESULTS_BYTES)
    except (OSError, ValueError) as error:
        raise damaged("ARTIFACT-032", path, f"not readable JSON ({error})", otherwise) from error
    # The first records had no version.
    version = value.get("schema_version", 1) if isinstance(value, dict) else None
    if isinstance(version, int) and not 1 <= version <= SCHEMA_VERSION:
        message = f"{path}: schema_version {version}; this lightune reads versions 1 to {SCHEMA_VERSION}."
        raise ArtifactError("ARTIFACT-033", message, f"Use the lightune that wrote it. {otherwise}".strip())
    try:
        return _record(value, version)
    except ValueError as error:
        raise damaged("ARTIFACT-034", path, f"not the record of a run: {first_fault(error)}", otherwise) from error


@contextmanager
def showing(folder: Path) -> Iterator[None]:
    """Turn an error while a record that was read is shown or used into one of its file.

    The types of its sections are checked when it is read. The recipe, the environment and the details of tasks are of
    any form, and a wrong value there is found out where it is needed.
    """
    try:
        yield
    except UNFIT as error:
        said = f"a value in it cannot be used ({type(error).__name__}: {error!s:.200})"
        raise damaged("ARTIFACT-058", folder / RESULTS_FILE, said) from error


def damaged(code: str, path: Path, what: str, otherwise: str = "") -> ArtifactError:
    """Return the error for a damaged file in a run folder."""
    return ArtifactError(code, f"{path}: this file is damaged: {what}.", f"{RESTORE} {otherwise}".strip())


def _record(value: Any, version: Any) -> RunRecord:
    return RunRecord.model_validate(upgraded_record(value) if version == 1 else value)


def first_fault(error: ValueError, *within: str) -> str:
    """Return the place of the first fault, prefixed by `within`, and what is wrong there."""
    if not isinstance(error, ValidationError):
        return ".".join([*within, str(error)])
    fault = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in (*within, *fault["loc"])) or "the whole file"
    return f"{place}: {fault['msg']}"
