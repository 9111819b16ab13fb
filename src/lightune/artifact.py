"""An adapted model on disk: saved with everything a reload needs, verified byte by byte, loaded strictly.

A folder holds adapter_model.safetensors (the trained tensors), lightune.json (base model, method, labels, text
settings), adapter_config.json where PEFT can read the adapter, the tokenizer's files, fingerprints.safetensors (of the
training texts, unless they are left out), and MANIFEST.json (the SHA-256 of each). Nothing is pickled.

No file of it holds a path of the disk it was made on. The base model is named by its Hub name and commit, or by the
name of its folder and the SHA-256 of its files: the recipe.yaml beside the adapter folder says where that folder is.
The tokenizer is the adapter folder's, so that no other version can change an answer; without one, the base model's.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from lightune.data.dataset import DataSplits
from lightune.data.fingerprints import FINGERPRINTS_FILE, Fingerprints, read_fingerprints
from lightune.data.windows import CUT, LongTexts
from lightune.durable import library_files, new_folder, write_file
from lightune.errors import ArtifactError, LightuneError, similar_path
from lightune.links import require_own_files
from lightune.methods import Method, make_method
from lightune.methods.base import WEIGHTS_FILE
from lightune.models import embedded
from lightune.models.load import LoadedModel, ModelSource, find_model, fingerprint, load_model
from lightune.models.tokenizer_files import SETTINGS_FILE, save_tokenizer
from lightune.recipe import Recipe
from lightune.safe_files import (
    MANIFEST_FILE,
    listed_files,
    read_tensors,
    verify,
    write_json,
    write_manifest,
    yaml_text,
)
from lightune.tasks import Task, task_from_json
from lightune.tasks.coverage import Coverage
from lightune.tasks.schema1 import upgraded_config
from lightune.tensor_files import safetensors_parts, safetensors_size
from lightune.values.home import user_path

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

    from lightune.models.shared_base import SharedBase

CONFIG_FILE = "lightune.json"
PEFT_FILE = "adapter_config.json"
RECIPE_FILE = "recipe.yaml"  # of the run, beside the adapter folder
# Format 1 holds the path of a base model in a folder; format 2 holds only the folder's name.
FORMAT_VERSION = 2
READ_FORMATS = (1, 2)
SAY_WHERE = "Say where that model is: --model PATH on the command line, base_model=PATH in Python."
SHOWN_DIGITS = 12  # of a SHA-256


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
        """Return the content of lightune.json; `labels` are also beside the task, as in format 1."""
        # Older versions do not know `long_texts`, and cut.
        coverage = self.coverage and asdict(self.coverage)
        told = {name: value for name, value in vars(self).items() if (name, value) != ("long_texts", CUT)}
        return {**told, "labels": list(self.task.labels), "task": self.task.as_json(), "coverage": coverage}


@dataclass
class AdaptedModel:
    """A loaded base model with its adapter; with `shares_base` others use the same frozen tensors.

    `fingerprints` are those of the texts that it was trained or validated on, if they were kept.
    """

    loaded: LoadedModel
    model: nn.Module
    method: Method
    config: ArtifactConfig
    shares_base: bool = False
    fingerprints: Fingerprints | None = None


def save_adapter(
    model: nn.Module,
    method: Method,
    config: ArtifactConfig,
    folder: Path,
    fingerprints: Fingerprints | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> int:
    """Write the adapter folder and return the bytes of its weights file. The folder must not exist yet.

    Without a tokenizer it is like a folder of an older version: the base model's is read.
    """
    tensors = method.state_to_save(model)
    size = safetensors_size(tensors)
    with new_folder(folder, size) as partial:
        write_file(partial / WEIGHTS_FILE, safetensors_parts(tensors, {"format": "pt"}), size)
        with library_files(partial) as theirs:
            method.write_config(model, theirs)
            peft_file = theirs / PEFT_FILE
            if peft_file.is_file():  # only now: PEFT would ask the Hub about a name whenever it collects the tensors
                write_json(peft_file, public_settings(peft_file, config))
        write_json(partial / CONFIG_FILE, replace(config, method_options=method.saved_as().options()).as_json())
        if fingerprints is not None:
            fingerprints.write(partial)
        if tokenizer is not None:
            save_tokenizer(tokenizer, partial, config.max_length)
        write_manifest(partial)
    return (folder / WEIGHTS_FILE).stat().st_size


def public_settings(path: Path, config: ArtifactConfig) -> dict[str, Any]:
    """Return the content of PEFT's file with the base model's public name and commit, never a path."""
    is_folder, name = config.base_revision is None, config.base_model
    base = Path(name).name if is_folder else embedded.public_name(name)
    told = json.loads(path.read_text(encoding="utf-8"))
    return {**told, "base_model_name_or_path": base, "revision": hub_revision(config)}


def read_config(folder: Path) -> ArtifactConfig:
    """Verify the folder and return its configuration; format 1 is converted to format 2."""
    verify(folder)
    path = folder / CONFIG_FILE
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        version = value["format_version"]
        if version not in READ_FORMATS:
            known = " and ".join(map(str, READ_FORMATS))
            message = f"{folder}: format {version}; this lightune reads the formats {known}."
            raise ArtifactError("ARTIFACT-006", message, "Use the lightune that wrote it, or a newer one.")
        value = upgraded_config(value) if version == 1 else value
        value["task"] = task_from_json(value["task"], str(path))
        labels = list(value["task"].labels)
        if value.pop("labels", labels) != labels:
            raise ValueError(f"labels: not those of the task, {labels}")
        value["coverage"] = TypeAdapter(Coverage | None).validate_python(value.get("coverage"))
        value["long_texts"] = TypeAdapter(LongTexts).validate_python(value.get("long_texts", CUT))
        return ArtifactConfig(**value)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ArtifactError("ARTIFACT-005", f"{path}: cannot be understood ({error}).") from error


def load_adapter(folder: Path | str, base_model: str | None = None) -> AdaptedModel:
    """Load a saved adapter onto its base model, strictly.

    `base_model` says where the base model is, if not where the run found it. Raises ArtifactError when a byte changed,
    a tensor is missing, unexpected or of another shape, or the base model is not found or is another model.
    """
    folder = adapter_folder(Path(folder))
    config = read_config(folder)
    source = find_base(config, folder, base_model)
    loaded = load_model(source, config.task, config.seed, config.max_length, config.model_precision)
    return put_on(loaded, folder, config)


def load_onto(base: SharedBase, folder: Path, config: ArtifactConfig) -> AdaptedModel:
    """Load a verified adapter folder onto a shared base model in memory, as strictly as `load_adapter`.

    Raises ArtifactError when the adapter needs the base model's weights in another precision.
    """
    if config.model_precision != base.precision:
        message = f"{folder}: made on weights stored in {config.model_precision}; those in memory are {base.precision}."
        raise ArtifactError("ARTIFACT-041", message, "Load it separately, or with others of its model_precision.")
    if config.task.auto_model != base.loaded.task.auto_model:
        message = f"{folder}: made for another kind of head than that of the base model in memory."
        raise ArtifactError("ARTIFACT-043", message, "Load it separately, or with others of its task.")
    loaded = base.model_for(config.task, config.seed, config.max_length, tokenizer_in(folder))
    return put_on(loaded, folder, config, shares_base=True)


def find_base(config: ArtifactConfig, folder: Path, base_model: str | None = None) -> ModelSource:
    """Return where the base model of the adapter in this folder is, with its bytes checked, and where its tokenizer is.

    The base model is `base_model` if given, else the model that the adapter names on the Hub or embedded, else the
    folder that the run's recipe.yaml names. Raises ArtifactError when it is not found, or is another model.
    """
    if base_model is None and config.base_revision is None:
        base_model = str(_folder_of_base(config, folder))
    source = find_model(base_model or config.base_model, None if base_model else hub_revision(config))
    if fingerprint(source) != config.base_sha256:
        message = f"{source.name} is not the base model this adapter was trained on ({_called(config)})."
        raise ArtifactError("ARTIFACT-007", message, SAY_WHERE)
    return replace(source, tokenizer=tokenizer_in(folder))


def tokenizer_in(folder: Path) -> Path | None:
    """Return the verified folder if the tokenizer was saved in it, None for one of an older version."""
    return folder if SETTINGS_FILE in listed_files(folder) else None


def _folder_of_base(config: ArtifactConfig, folder: Path) -> Path:
    """Return the folder of a run's base model, from the recipe beside the adapter or from format 1."""
    recipe = folder.resolve().parent / RECIPE_FILE
    is_path = Path(config.base_model).is_absolute()
    recorded = config.base_model if is_path else yaml_text(recipe, "model")
    if recorded is not None and (place := user_path(recorded)).is_dir():
        return place
    found = f"{recipe} does not say where it is" if recorded is None else f"it is not at {recorded} any more"
    message = f"{folder}: the base model {_called(config)} cannot be found; {found}."
    raise ArtifactError("ARTIFACT-042", message, SAY_WHERE)


def _called(config: ArtifactConfig) -> str:
    """Return the base model's name and its hash."""
    name = Path(config.base_model).name if config.base_revision is None else config.base_model
    return f"{name}, sha256 {config.base_sha256[:SHOWN_DIGITS]}"


def put_on(loaded: LoadedModel, folder: Path, config: ArtifactConfig, shares_base: bool = False) -> AdaptedModel:
    """Attach the method and load the saved tensors; the method's trainable parameters get their own memory first.

    Otherwise a method that trains weights of a shared base model would change them for all its users. It is done for
    every base model, because the last bit of a matrix product depends on the memory address of its numbers.
    """
    from lightune.models.shared_base import give_own_storage

    try:
        method = make_method(config.method, config.method_options)
        model = method.attach(loaded.model, loaded.anatomy, config.seed).model
    except LightuneError as error:
        raise ArtifactError("ARTIFACT-008", f"{folder}: the adapter cannot be rebuilt: {error.message}") from error
    give_own_storage(value for value in model.parameters() if value.requires_grad)
    method.load_state(model, read_tensors(folder / WEIGHTS_FILE))
    loaded = replace(loaded, long_texts=config.long_texts)
    return AdaptedModel(loaded, model.eval(), method, config, shares_base, _fingerprints(folder))


def adapter_folder(folder: Path) -> Path:
    """Return the adapter folder of a run folder, or the folder itself if it is one."""
    if not folder.is_dir():
        hint = f"{similar_path(folder, Path('runs'))} Give a run folder, e.g. runs/x-1.".strip()
        raise ArtifactError("ARTIFACT-009", f"{folder}: there is no such folder.", hint)
    require_own_files(folder, "adapter")
    return folder / "adapter" if (folder / "adapter").is_dir() else folder


def holds_adapter(folder: Path) -> bool:
    """Say whether this is a run folder or an adapter folder, complete or damaged."""
    return any((folder / name).exists() for name in ("adapter", MANIFEST_FILE, CONFIG_FILE))


def hub_revision(config: ArtifactConfig) -> str | None:
    """Return the commit to load from the Hub; packaged weights are pinned by their hash instead."""
    revision = config.base_revision
    return None if revision is None or revision.startswith("sha256:") else revision


def _fingerprints(folder: Path) -> Fingerprints | None:
    """Return the fingerprints of a verified folder; a file that its manifest does not list is not verified."""
    return read_fingerprints(folder) if FINGERPRINTS_FILE in listed_files(folder) else None
