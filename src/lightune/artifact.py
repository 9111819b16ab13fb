"""An adapted model on disk: saved with everything a reload needs, verified byte by byte, loaded strictly.

A folder holds adapter_model.safetensors (the trained tensors), lightune.json (base model, method, labels, text
settings), adapter_config.json where PEFT can read the adapter, fingerprints.safetensors (of the training texts, unless
they are left out), and MANIFEST.json (the SHA-256 of each). Nothing is pickled.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightune.data.dataset import Task
from lightune.data.fingerprints import FINGERPRINTS_FILE, Fingerprints, read_fingerprints
from lightune.errors import ArtifactError, LightuneError
from lightune.methods import Method, make_method
from lightune.methods.base import WEIGHTS_FILE
from lightune.models.load import LoadedModel, ModelSource, find_model, fingerprint, load_classifier
from lightune.recipe import Recipe
from lightune.safe_files import MANIFEST_FILE, read_tensors, verify, write_json, write_manifest

if TYPE_CHECKING:
    from torch import nn

    from lightune.models.shared_base import SharedBase

CONFIG_FILE = "lightune.json"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class ArtifactConfig:
    """Everything besides the tensors: how to rebuild the model that the tensors belong to."""

    format_version: int
    base_model: str
    base_revision: str | None
    base_sha256: str
    method: str
    method_options: dict[str, Any]
    labels: list[str]
    max_length: int
    text_columns: list[str]
    label_column: str
    seed: int
    model_precision: str = "fp32"

    @classmethod
    def of(cls, recipe: Recipe, loaded: LoadedModel, method: Method, task: Task) -> ArtifactConfig:
        """Return the configuration of what a run trained."""
        source = loaded.source
        return cls(
            format_version=FORMAT_VERSION,
            base_model=str(Path(recipe.model).resolve()) if source.revision is None else recipe.model,
            base_revision=source.revision,
            base_sha256=fingerprint(source),
            method=recipe.method.name,
            method_options=method.options(),
            labels=task.labels,
            max_length=loaded.max_length,
            text_columns=task.text_columns,
            label_column=task.label_column,
            seed=recipe.training.seed,
            model_precision=recipe.model_precision,
        )


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
    write_json(folder / CONFIG_FILE, asdict(replace(config, method_options=method.saved_as().options())))
    if fingerprints is not None:
        fingerprints.write(folder)
    write_manifest(folder)
    return (folder / WEIGHTS_FILE).stat().st_size


def read_config(folder: Path) -> ArtifactConfig:
    """Verify the folder and return its configuration."""
    verify(folder)
    try:
        config = ArtifactConfig(**json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ArtifactError("ARTIFACT-005", f"{folder / CONFIG_FILE}: cannot be understood ({error}).") from error
    if config.format_version != FORMAT_VERSION:
        message = f"{folder}: format {config.format_version}; this lightune reads format {FORMAT_VERSION}."
        raise ArtifactError("ARTIFACT-006", message, "Use the lightune that wrote it, or a newer one.")
    return config


def load_adapter(folder: Path | str, base_model: str | None = None) -> AdaptedModel:
    """Load a saved adapter onto its base model, strictly.

    `base_model` says where the base lies now, if it moved. Raises ArtifactError when a byte changed, a tensor is
    missing, extra or misshapen, or the base is another model.
    """
    folder = adapter_folder(Path(folder))
    config = read_config(folder)
    source = find_base(config, base_model)
    loaded = load_classifier(source, config.labels, config.seed, config.max_length, config.model_precision)
    return put_on(loaded, folder, config)


def load_onto(base: SharedBase, folder: Path, config: ArtifactConfig) -> AdaptedModel:
    """Load a verified adapter folder onto a base in memory that others stand on too, as strictly; see `load_adapter`.

    Raises ArtifactError when the adapter wants its base's weights held in another precision.
    """
    if config.model_precision != base.precision:
        message = f"{folder}: made on weights held in {config.model_precision}; those in memory are {base.precision}."
        raise ArtifactError("ARTIFACT-041", message, "Load it by itself, or with others that have its model_precision.")
    return put_on(base.classifier(config.labels, config.seed, config.max_length), folder, config, shares_base=True)


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


def _fingerprints(folder: Path) -> Fingerprints | None:
    """Return the fingerprints of a verified folder; a file that its manifest does not list was never verified."""
    listed = json.loads((folder / MANIFEST_FILE).read_bytes())["files"]
    return read_fingerprints(folder) if FINGERPRINTS_FILE in listed else None
