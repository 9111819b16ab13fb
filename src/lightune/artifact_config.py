"""lightune.json: everything besides the tensors that a saved adapter needs, read strictly, with torch or without.

What is read has to be exactly what would be written: no name missing, unknown or of another type. The folder's other
JSON files (those of the tokenizer, PEFT's) have formats of their own; lightune.json holds their SHA-256.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from lightune.bounded import read_own_json
from lightune.data.dataset import DataSplits
from lightune.data.fingerprints import FINGERPRINTS_FILE
from lightune.data.windows import CUT, LongTexts
from lightune.errors import ArtifactError, RecipeError, written
from lightune.methods import METHODS, Method, make_method
from lightune.methods.base import WEIGHTS_FILE
from lightune.models.load import LoadedModel, fingerprint
from lightune.recipe import Recipe
from lightune.record_file import first_fault
from lightune.safe_files import MANIFEST_FILE, listed_files, verify
from lightune.tasks import Task, has_twins, task_from_json
from lightune.tasks.coverage import Coverage
from lightune.tasks.schema1 import upgraded_config

CONFIG_FILE = "lightune.json"
# Format 1 holds the path of a base model in a folder, format 2 only the folder's name; format 3 has `files`.
FORMAT_VERSION = 3
READ_FORMATS = (1, 2, 3)
LONGEST = 1 << 20  # tokens
# What lightune itself checks, tensor by tensor; a copy may leave out the fingerprints.
NOT_PINNED = (MANIFEST_FILE, CONFIG_FILE, WEIGHTS_FILE, FINGERPRINTS_FILE)
Name = Annotated[str, Field(min_length=1, max_length=4096)]


@dataclass(frozen=True)
class ArtifactConfig:
    """Everything besides the tensors: how to rebuild the model that the tensors belong to.

    `coverage` is that of the run's validation texts; None for answers without a confidence, and where it is not known.
    """

    format_version: int
    base_model: str
    base_revision: str | None
    base_sha256: str
    method: str
    method_options: dict[str, Any]
    task: Task
    max_length: int
    text_columns: list[str]
    label_column: str | list[str]
    seed: int
    model_precision: str = "fp32"
    coverage: Coverage | None = None
    long_texts: LongTexts = CUT

    @classmethod
    def of(
        cls, recipe: Recipe, loaded: LoadedModel, method: Method, splits: DataSplits, coverage: Coverage | None = None
    ) -> ArtifactConfig:
        """Return the configuration of what a run trained."""
        source = loaded.source
        return cls(
            format_version=FORMAT_VERSION,
            base_model=source.folder.resolve().name if source.revision is None else recipe.model,
            base_revision=source.revision,
            base_sha256=fingerprint(source),
            method=recipe.method.name,
            method_options=method.options(),
            task=splits.task,
            max_length=loaded.max_length,
            text_columns=splits.text_columns,
            label_column=splits.label_columns[0] if len(splits.label_columns) == 1 else splits.label_columns,
            seed=recipe.training.seed,
            model_precision=recipe.model_precision,
            coverage=coverage,
            long_texts=loaded.long_texts,
        )

    def as_json(self) -> dict[str, Any]:
        """Return the content of lightune.json but `files`; `labels` are also beside the task, as in format 1."""
        coverage = self.coverage and asdict(self.coverage)
        return {**vars(self), "labels": list(self.task.labels), "task": self.task.as_json(), "coverage": coverage}


class _Written(BaseModel):
    """The types and bounds of what lightune.json holds, before anything is made of it."""

    model_config = ConfigDict(strict=True, extra="forbid", protected_namespaces=())

    format_version: int
    base_model: Name
    base_revision: Name | None
    base_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    method: Name
    method_options: dict[str, Any]
    task: dict[str, Any]
    labels: list[str] = []
    max_length: Annotated[int, Field(ge=1, le=LONGEST)]
    text_columns: Annotated[list[str], Field(min_length=1, max_length=2)]
    label_column: str | Annotated[list[str], Field(min_length=1)]
    seed: Annotated[int, Field(ge=0, lt=1 << 64)]
    model_precision: Literal["fp32", "bf16", "int8", "nf4"] = "fp32"
    coverage: dict[str, Any] | None = None
    long_texts: LongTexts = CUT
    files: dict[str, str] = {}


def described(config: ArtifactConfig, listed: Mapping[str, str]) -> dict[str, Any]:
    """Return the content of lightune.json beside files with these names and hashes."""
    return {**config.as_json(), "format_version": FORMAT_VERSION, "files": pinned(listed)}


def pinned(listed: Mapping[str, str]) -> dict[str, str]:
    """Return those of a folder's files, by name and hash, whose content lightune.json answers for."""
    return {name: listed[name] for name in sorted(listed) if name not in NOT_PINNED}


def read_config(folder: Path) -> ArtifactConfig:
    """Verify the folder and return its configuration; an older format is converted to the newest."""
    verify(folder)
    path = folder / CONFIG_FILE
    try:
        value = read_own_json(path)
        version = value["format_version"]
        if type(version) is not int or version not in READ_FORMATS:
            known = ", ".join(map(str, READ_FORMATS))
            message = f"{folder}: format {version!r:.80}; this lightune reads the formats {known}."
            raise ArtifactError("ARTIFACT-006", message, "Use the lightune that wrote it, or a newer one.")
        value = upgraded_config(value) if version == 1 else value
        if version < 3:
            value["method_options"] = {key: _once(one) for key, one in value["method_options"].items()}
        config = _config(value, path)
        if config.method in METHODS:  # those of PEFT are made when one is loaded, since that takes seconds
            _require_options(method_of(config, folder), config.method_options, version)
        if version > 1:
            unsaid = {"long_texts"} if version == 2 and config.long_texts == CUT else set()  # then it was left out
            told = {**config.as_json(), "format_version": version, "files": value.get("files")}
            _require_exact({name: one for name, one in told.items() if name not in unsaid}, value, version)
        if version > 2 and value["files"] != pinned(listed_files(folder)):
            raise ValueError("files: not those of this folder")
        return config
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        said = first_fault(error) if isinstance(error, ValueError) else repr(error)
        raise ArtifactError("ARTIFACT-005", f"{path}: cannot be understood ({said}).") from error


def _config(value: Mapping[str, Any], path: Path) -> ArtifactConfig:
    """Return the configuration in a lightune.json. Raises ValueError."""
    task = task_from_json(value["task"], str(path))
    written = _Written.model_validate(value)
    if written.labels != list(task.labels) and "labels" in value:
        raise ValueError(f"labels: not those of the task, {list(task.labels)}")
    if has_twins(written.text_columns) or has_twins(written.label_column):
        raise ValueError("text_columns or label_column: one is there twice")
    coverage: Coverage | None = TypeAdapter(Coverage | None).validate_json(json.dumps(written.coverage), strict=True)
    own = {one.name: getattr(written, one.name) for one in fields(ArtifactConfig)}
    return ArtifactConfig(**{**own, "task": task, "coverage": coverage, "format_version": FORMAT_VERSION})


def _once(value: Any) -> Any:
    """Return names without those that were there before: older versions took them, and adapted each module once."""
    return list(dict.fromkeys(value)) if has_twins(value) else value


def require_readable(name: str, method: Method) -> None:
    """Raise RecipeError for options that lightune.json would not give back as they are, before anything is trained."""
    options = method.saved_as().options()
    try:
        again = json.loads(json.dumps(options, allow_nan=False))
        is_same = same_json(make_method(name, again).options(), again) and same_json(again, options)
    except (TypeError, ValueError):
        is_same = False
    if not is_same:
        message = f"method {name}: these options cannot be saved and read again: {written(options)}."
        raise RecipeError("RECIPE-122", message, "Give numbers, words, true or false, and lists of them.")


def _require_options(method: Method, given: Mapping[str, Any], version: int) -> None:
    """Raise ValueError unless a method's options are all there; the first format may lack those that came later."""
    made = method.options()
    wrong = [name for name in sorted({*made, *given}) if not same_json(made.get(name, ...), given.get(name, ...))]
    if wrong and version > 1:
        raise ValueError(f"method_options: missing, unknown or not as they are written: {', '.join(wrong)}")


def method_of(config: ArtifactConfig, folder: Path) -> Method:
    """Return the method of a saved adapter; ArtifactError where it cannot be made."""
    with rebuilding(folder):
        return make_method(config.method, config.method_options)


@contextmanager
def rebuilding(folder: Path) -> Iterator[None]:
    """Turn the error of a method that cannot be made or attached into one of the adapter in this folder."""
    try:
        yield
    except RecipeError as error:
        raise ArtifactError("ARTIFACT-008", f"{folder}: the adapter cannot be rebuilt: {error.message}") from error


def _require_exact(expected: Mapping[str, Any], given: Mapping[str, Any], version: int) -> None:
    """Raise ValueError unless a file holds what would be written for what was read from it."""
    names = set(expected) - (set() if version > 2 else {"files"})
    if names != set(given):
        raise ValueError(f"missing or unknown: {', '.join(sorted(names ^ set(given)))}")
    for name in names:
        if not same_json(expected[name], given[name]):
            raise ValueError(f"{name}: not as it is written")


def same_json(one: Any, other: Any) -> bool:
    """Say whether two values are the same in JSON: true is not 1 there, and 16 is 16.0."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same_json, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return set(one) == set(other) and all(same_json(one[name], other[name]) for name in one)
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)
