"""An adapted model on disk: saved with everything a reload needs, verified byte by byte, loaded strictly.

A folder holds adapter_model.safetensors (the trained tensors), lightune.json (base model, method, labels, text
settings), adapter_config.json where PEFT can read the adapter, fingerprints.safetensors (of the training texts, unless
they are left out), and MANIFEST.json (the SHA-256 of each). Nothing is pickled.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightune.data.dataset import DataSplits
from lightune.data.fingerprints import FINGERPRINTS_FILE, Fingerprints, read_fingerprints
from lightune.errors import ArtifactError, LightuneError
from lightune.methods import Method, make_method
from lightune.methods.base import WEIGHTS_FILE
from lightune.models.load import LoadedModel, ModelSource, find_model, fingerprint, load_model
from lightune.models.quantize import round_weights
from lightune.recipe import Recipe
from lightune.tasks import Task, task_from_json
from lightune.tasks.schema1 import upgraded_config

if TYPE_CHECKING:
    import torch
    from torch import nn

    from lightune.models.shared_base import SharedBase

MANIFEST_FILE = "MANIFEST.json"
CONFIG_FILE = "lightune.json"
FORMAT_VERSION = 2


@dataclass(frozen=True)
class ArtifactConfig:
    """Everything besides the tensors: how to rebuild the model that the tensors belong to."""

    format_version: int
    base_model: str
    base_revision: str | None
    base_sha256: str
    method: str
    method_options: dict[str, Any]
    task: Task
    max_length: int
    text_columns: list[str]
    label_column: str
    seed: int
    model_precision: str = "fp32"

    @classmethod
    def of(cls, recipe: Recipe, loaded: LoadedModel, method: Method, splits: DataSplits) -> ArtifactConfig:
        """Return the configuration of what a run trained."""
        source = loaded.source
        return cls(
            format_version=FORMAT_VERSION,
            base_model=str(Path(recipe.model).resolve()) if source.revision is None else recipe.model,
            base_revision=source.revision,
            base_sha256=fingerprint(source),
            method=recipe.method.name,
            method_options=method.options(),
            task=loaded.task,
            max_length=loaded.max_length,
            text_columns=splits.text_columns,
            label_column=splits.label_column,
            seed=recipe.training.seed,
            model_precision=recipe.model_precision,
        )

    def as_json(self) -> dict[str, Any]:
        """Return the configuration as lightune.json holds it; `labels` stand beside the task too, as in format 1."""
        return {**vars(self), "labels": list(self.task.labels), "task": self.task.as_json()}


@dataclass
class AdaptedModel:
    """A loaded base model with its adapter in place; `shares_base`: others stand on the same frozen tensors.

    `fingerprints` are those of the texts that it was trained or validated on, where they were kept.
    """

    loaded: LoadedModel
    model: nn.Module
    method: Method
    config: ArtifactConfig
    shares_base: bool = False
    fingerprints: Fingerprints | None = None


def save_adapter(
    model: nn.Module, method: Method, config: ArtifactConfig, folder: Path, fingerprints: Fingerprints | None = None
) -> int:
    """Write the adapter folder and return the bytes of its weights file. The folder must not exist yet."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    given = method.state_to_save(model)
    tensors = {name: value.detach().to("cpu").contiguous().clone() for name, value in given.items()}
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    method.write_config(model, folder)
    write_json(folder / CONFIG_FILE, replace(config, method_options=method.saved_as().options()).as_json())
    if fingerprints is not None:
        fingerprints.write(folder)
    write_manifest(folder)
    return (folder / WEIGHTS_FILE).stat().st_size


def write_manifest(folder: Path) -> None:
    """Write MANIFEST.json: the SHA-256 of every other file, and of the list itself."""
    files = {
        path.name: _sha256(path) for path in sorted(folder.iterdir()) if path.is_file() and path.name != MANIFEST_FILE
    }
    (folder / MANIFEST_FILE).write_bytes(_manifest_bytes(files))
    for path in (*folder.iterdir(), folder):
        _sync(path)


def verify(folder: Path) -> None:
    """Raise ArtifactError unless every listed file is there with the listed bytes."""
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise ArtifactError("ARTIFACT-001", f"{folder}: no {MANIFEST_FILE}, so this is not a saved adapter.")
    raw = path.read_bytes()
    try:
        files = json.loads(raw)["files"]
        intact = raw == _manifest_bytes(files)
    except (ValueError, KeyError, TypeError, AttributeError):
        intact = False
    if not intact:
        raise ArtifactError("ARTIFACT-002", f"{path}: this file is damaged.", "Restore the folder from a copy.")
    for name, expected in files.items():
        if not (folder / name).is_file():
            raise ArtifactError("ARTIFACT-003", f"{folder / name}: this file is missing.", "Restore it from a copy.")
        if _sha256(folder / name) != expected:
            hint = "Its bytes are not those that were saved. Restore it from a copy."
            raise ArtifactError("ARTIFACT-004", f"{folder / name}: this file is damaged.", hint)


def read_config(folder: Path) -> ArtifactConfig:
    """Verify the folder and return its configuration; that of format 1 is read as one of format 2."""
    verify(folder)
    path = folder / CONFIG_FILE
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        version = value["format_version"]
        if version not in (1, FORMAT_VERSION):
            message = f"{folder}: format {version}; this lightune reads format {FORMAT_VERSION} and older ones."
            raise ArtifactError("ARTIFACT-006", message, "Use the lightune that wrote it, or a newer one.")
        value = upgraded_config(value) if version == 1 else value
        value["task"] = task_from_json(value["task"], str(path))
        value.pop("labels", None)
        return ArtifactConfig(**value)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ArtifactError("ARTIFACT-005", f"{path}: cannot be understood ({error}).") from error


def load_adapter(folder: Path | str, base_model: str | None = None) -> AdaptedModel:
    """Load a saved adapter onto its base model, strictly.

    `base_model` says where the base lies now, if it moved. Raises ArtifactError when a byte changed, a tensor is
    missing, extra or misshapen, or the base is another model.
    """
    folder = adapter_folder(Path(folder))
    config = read_config(folder)
    source = find_base(config, base_model)
    loaded = load_model(source, config.task, config.seed, config.max_length, config.model_precision)
    return put_on(loaded, folder, config)


def load_onto(base: SharedBase, folder: Path, config: ArtifactConfig) -> AdaptedModel:
    """Load a verified adapter folder onto a base in memory that others stand on too, as strictly; see `load_adapter`.

    Raises ArtifactError when the adapter wants its base's weights held in another precision.
    """
    if config.model_precision != base.precision:
        message = f"{folder}: made on weights held in {config.model_precision}; those in memory are {base.precision}."
        raise ArtifactError("ARTIFACT-041", message, "Load it by itself, or with others that have its model_precision.")
    if config.task.auto_model != base.loaded.task.auto_model:
        message = f"{folder}: made for another kind of head than the base in memory has."
        raise ArtifactError("ARTIFACT-042", message, "Load it by itself, or with others of its task.")
    return put_on(base.model_for(config.task, config.seed, config.max_length), folder, config, shares_base=True)


def find_base(config: ArtifactConfig, base_model: str | None = None) -> ModelSource:
    """Return where the base of an adapter lies, its bytes checked; `base_model` says so if it moved."""
    source = find_model(base_model or config.base_model, None if base_model else hub_revision(config))
    if fingerprint(source) != config.base_sha256:
        message = f"{source.name} is not the base model this adapter was trained on ({config.base_model})."
        raise ArtifactError("ARTIFACT-007", message, "Give the original base model's folder or revision.")
    return source


def put_on(loaded: LoadedModel, folder: Path, config: ArtifactConfig, shares_base: bool = False) -> AdaptedModel:
    """Attach the method and put the saved tensors in; what the method trains gets memory of its own first.

    Without that, a method that trains weights of the base would change them under everybody else on a shared one. It is
    done on any base, for a matrix product's last bit hangs on where its numbers lie.
    """
    from lightune.models.shared_base import give_own_storage

    try:
        method = make_method(config.method, config.method_options)
        model = method.attach(loaded.model, loaded.anatomy, config.seed).model
    except LightuneError as error:
        raise ArtifactError("ARTIFACT-008", f"{folder}: the adapter cannot be rebuilt: {error.message}") from error
    give_own_storage(value for value in model.parameters() if value.requires_grad)
    method.load_state(model, read_tensors(folder / WEIGHTS_FILE))
    return AdaptedModel(loaded, model.eval(), method, config, shares_base, _fingerprints(folder))


def merged_model(adapted: AdaptedModel) -> nn.Module | None:
    """Return the stock fp32 model with the adapter folded in, or None if impossible.

    The given one may be used up, unless it shares its base: then a copy is.

    Weights held in fewer bits cannot take an adapter without being rounded again. So a fresh fp32 model gets the values
    that they stand for, and the adapter is folded into that one.
    """
    config, method, loaded = adapted.config, adapted.method, adapted.loaded
    if config.model_precision == "fp32":
        return method.merged(copy.deepcopy(adapted.model) if adapted.shares_base else adapted.model)
    if not method.mergeable:
        return None
    fresh = load_model(loaded.source, config.task, config.seed, config.max_length)
    round_weights(fresh.model, config.model_precision, fresh.anatomy.architecture)
    plain = method.saved_as()
    model = plain.attach(fresh.model, fresh.anatomy, config.seed).model
    plain.load_state(model, method.state_to_save(adapted.model))
    return plain.merged(model.eval().to(loaded.model.device))


def adapter_folder(folder: Path) -> Path:
    """Return the adapter folder of a run folder, or the folder itself if it is one."""
    if not folder.is_dir():
        raise ArtifactError("ARTIFACT-009", f"{folder}: there is no such folder.", "Give a run folder, e.g. runs/x-1.")
    return folder / "adapter" if (folder / "adapter").is_dir() else folder


def holds_adapter(folder: Path) -> bool:
    """Say whether this is a run folder or an adapter folder, whole or damaged."""
    return any((folder / name).exists() for name in ("adapter", MANIFEST_FILE, CONFIG_FILE))


def hub_revision(config: ArtifactConfig) -> str | None:
    """Return the commit to load from the Hub; packaged weights are pinned by their hash instead."""
    revision = config.base_revision
    return None if revision is None or revision.startswith("sha256:") else revision


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file; ArtifactError when it is not one."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ArtifactError("ARTIFACT-011", f"{path}: not a readable safetensors file ({error}).") from error


def write_json(path: Path, value: Any) -> None:
    """Write JSON as people like to read it."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", newline="\n")


def _fingerprints(folder: Path) -> Fingerprints | None:
    """Return the fingerprints of a verified folder; a file that its manifest does not list was never verified."""
    listed = json.loads((folder / MANIFEST_FILE).read_bytes())["files"]
    return read_fingerprints(folder) if FINGERPRINTS_FILE in listed else None


def _manifest_bytes(files: dict[str, str]) -> bytes:
    """Return the manifest's only valid bytes; its own hash covers the list, so that no flipped byte passes."""
    listed = json.dumps(files, sort_keys=True)
    own = hashlib.sha256(listed.encode()).hexdigest()
    return (json.dumps({"files": files, "sha256": own}, indent=2, sort_keys=True) + "\n").encode()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Ask the system to write the file through; where folders cannot be opened (Windows) that is left out."""
    try:
        number = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(number)
    except OSError:
        pass
    finally:
        os.close(number)
