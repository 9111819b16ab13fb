"""An adapted model on disk: saved with everything a reload needs, verified byte by byte, loaded strictly.

A folder holds adapter_model.safetensors (the trained tensors), lightune.json (base model, method, labels, text
settings), adapter_config.json where PEFT can read the adapter, the tokenizer's files, fingerprints.safetensors (of the
training texts, unless they are left out), and MANIFEST.json (the SHA-256 of each). Nothing is pickled.

No file of it holds a path of the disk it was made on. The base model is named by its Hub name and commit, or by the
name of its folder and the SHA-256 of its files: the recipe.yaml beside the adapter folder says where that folder is.
The tokenizer is the adapter folder's, so that no other version can change an answer; without one, the base model's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightune.artifact_config import CONFIG_FILE, ArtifactConfig, described, method_of, read_config, rebuilding
from lightune.bounded import read_own_json
from lightune.data.fingerprints import FINGERPRINTS_FILE, Fingerprints, read_fingerprints
from lightune.durable import library_files, new_folder, write_file
from lightune.errors import ArtifactError, similar_path
from lightune.links import require_own_files
from lightune.methods import Method
from lightune.methods.base import WEIGHTS_FILE
from lightune.methods.sizes import asked_beyond
from lightune.models import embedded
from lightune.models.config import PEFT_FILE, TooLongError
from lightune.models.load import LoadedModel, ModelSource, find_model, fingerprint, load_model
from lightune.models.tokenizer_files import SETTINGS_FILE, is_tokenizer_file, save_tokenizer
from lightune.safe_files import (
    MANIFEST_FILE,
    hashes_of,
    listed_files,
    read_tensors,
    write_json,
    write_manifest,
)
from lightune.tensor_files import safetensors_parts, safetensors_size
from lightune.tensor_headers import read_headers
from lightune.values.home import user_path

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

    from lightune.models.shared_base import SharedBase

RECIPE_FILE = "recipe.yaml"  # of the run, beside the adapter folder
SAY_WHERE = "Say where that model is: --model PATH on the command line, base_model=PATH in Python."
MOST_RECIPE_BYTES = 1 << 20
SHOWN_DIGITS = 12  # of a SHA-256


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
        if fingerprints is not None:
            fingerprints.write(partial)
        if tokenizer is not None:
            save_tokenizer(tokenizer, partial, config.max_length)
        config = replace(config, method_options=method.saved_as().options())
        write_json(partial / CONFIG_FILE, described(config, hashes_of(partial)))
        write_manifest(partial)
    return (folder / WEIGHTS_FILE).stat().st_size


def public_settings(path: Path, config: ArtifactConfig) -> dict[str, Any]:
    """Return the content of PEFT's file with the base model's public name and commit, never a path."""
    is_folder, name = config.base_revision is None, config.base_model
    base = Path(name).name if is_folder else embedded.public_name(name)
    told = read_own_json(path)
    return {**told, "base_model_name_or_path": base, "revision": hub_revision(config)}


def load_adapter(folder: Path | str, base_model: str | None = None) -> AdaptedModel:
    """Load a saved adapter onto its base model, strictly.

    `base_model` says where the base model is, if not where the run found it. Raises ArtifactError when a byte changed,
    a tensor is missing, unexpected or of another shape, or the base model is not found or is another model.
    """
    folder = adapter_folder(Path(folder))
    config = read_config(folder)
    source = find_base(config, folder, base_model)
    with fitting(config, folder):
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
    with fitting(config, folder):
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


@contextmanager
def fitting(config: ArtifactConfig, folder: Path) -> Iterator[None]:
    """Turn the error of a model that takes fewer tokens than an adapter asks for into one of the adapter."""
    try:
        yield
    except TooLongError as error:
        message = f"{folder / CONFIG_FILE}: cannot be understood (max_length: {error.message})."
        raise ArtifactError("ARTIFACT-005", message) from error


def tokenizer_in(folder: Path) -> Path | None:
    """Return the verified folder if the tokenizer was saved in it, None for one of an older version.

    Raises ArtifactError where a file lies beside it that nobody verified, and that transformers would read too.
    """
    listed = listed_files(folder)
    if SETTINGS_FILE not in listed:
        return None
    known = {*listed, MANIFEST_FILE}
    beside = sorted(path.name for path in folder.iterdir() if path.name not in known and is_tokenizer_file(path.name))
    if beside:
        message = f"{folder}: {beside[0]} lies there, and {MANIFEST_FILE} does not list it."
        raise ArtifactError("ARTIFACT-053", message, "Remove it: an adapter folder holds what was saved.")
    return folder


def _folder_of_base(config: ArtifactConfig, folder: Path) -> Path:
    """Return the folder of a run's base model, from the recipe beside the adapter or from format 1."""
    recipe = folder.resolve().parent / RECIPE_FILE
    is_path = Path(config.base_model).is_absolute()
    recorded = config.base_model if is_path else _model_in(recipe)
    if recorded is not None and (place := user_path(recorded)).is_dir():
        return place
    found = f"{recipe} does not say where it is" if recorded is None else f"it is not at {recorded} any more"
    message = f"{folder}: the base model {_called(config)} cannot be found; {found}."
    raise ArtifactError("ARTIFACT-042", message, SAY_WHERE)


def _model_in(recipe: Path) -> str | None:
    """Return the key `model` of a recipe.yaml, or None where there is no such file or key."""
    from lightune.recipe_yaml import read_yaml_file  # only here: it imports PyYAML

    require_own_files(recipe.parent, recipe.name)
    try:
        raw = read_yaml_file(recipe)
    except Exception:  # as PyYAML passes on any: the caller says that the file does not name the model
        return None
    model = raw.get("model") if isinstance(raw, dict) else None
    return model if isinstance(model, str) else None


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

    method = method_of(config, folder)
    with rebuilding(folder):
        require_plausible(folder, method, loaded)
        model = method.attach(loaded.model, loaded.anatomy, config.seed).model
    give_own_storage(value for value in model.parameters() if value.requires_grad)
    method.load_state(model, read_tensors(folder / WEIGHTS_FILE))
    loaded = replace(loaded, long_texts=config.long_texts)
    return AdaptedModel(loaded, model.eval(), method, config, shares_base, fingerprints_in(folder))


def require_plausible(folder: Path, method: Method, loaded: LoadedModel) -> None:
    """Raise ArtifactError for a method that would make far more numbers than the adapter holds, before it does."""
    shapes = [header.shape for header in read_headers(folder / WEIGHTS_FILE).values()]
    asks = asked_beyond(method, loaded, shapes)
    if asks:
        held = sum(map(math.prod, shapes))
        message = f"{folder}: the method asks for {asks}, and the adapter holds {held:,} numbers."
        raise ArtifactError("ARTIFACT-055", message, "Restore the folder from a copy.")


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


def fingerprints_in(folder: Path) -> Fingerprints | None:
    """Return the fingerprints of a verified folder; a file that its manifest does not list is not verified."""
    return read_fingerprints(folder) if FINGERPRINTS_FILE in listed_files(folder) else None
