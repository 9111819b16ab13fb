"""A pretrained classifier: any checkpoint with a classification head of its own, from a folder or the Hub."""

from __future__ import annotations

from pathlib import Path

from lightune.bounded import read_json
from lightune.errors import ArtifactError, HubError, similar_path
from lightune.models.config import PEFT_FILE, read_config
from lightune.models.hub import ADAPTER_FILES, MODEL_FILES
from lightune.models.load import LoadedModel, ModelSource, find_model, load_model
from lightune.tasks import Task, task_of_checkpoint

CONFIG_FILE = "config.json"
# The Hub cannot be reached, has no such model, or does not allow such a name.
NOT_FOUND = {"HUB-001", "HUB-002", "HUB-005"}


def load_finished(source: ModelSource) -> LoadedModel:
    """Return a stock model unchanged, with its own head, for the task that its config.json names.

    Raises ArtifactError when the model has no trained head or one for another task.
    """
    name = source.name
    if (source.folder / PEFT_FILE).is_file() and not (source.folder / CONFIG_FILE).is_file():
        message = f"{name}: an adapter that another program saved ({PEFT_FILE}, and no lightune.json)."
        raise ArtifactError("ARTIFACT-017", message, "Load it with PEFT: PeftModel.from_pretrained(base, ...).")
    loaded = load_model(source, own_task(source.folder), seed=0)
    if loaded.anatomy.new_modules:
        lacking = ", ".join(loaded.anatomy.new_modules)
        hint = "Train one: lightune run --model ... --train FILE. Or give the run folder of a model that was trained."
        raise ArtifactError("ARTIFACT-013", f"{name}: the model has no finished classification head ({lacking}).", hint)
    return loaded


def own_task(folder: Path) -> Task:
    """Return the task of a trained model; its labels are in the order of the logits, unnamed ones as LABEL_0, ..."""
    path = folder / CONFIG_FILE
    try:
        if not isinstance(read_json(path), dict):
            raise ValueError("not a JSON object")
        return task_of_checkpoint(read_config(str(folder), folder), str(folder))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ArtifactError("ARTIFACT-014", f"{path}: cannot be understood ({error}).") from error


def find_trained(name: str) -> ModelSource:
    """Return where a trained model is: a local folder, or a repository of the Hub, which may also hold a saved adapter.

    Raises ArtifactError when there is no such folder, or it holds no model, HubError for the Hub's failures.
    """
    place = Path(name)
    if place.is_dir():
        if not any((place / file).is_file() for file in (CONFIG_FILE, PEFT_FILE)):
            message = f"{name}: neither a run folder (no adapter/ in it) nor a model folder (no {CONFIG_FILE})."
            raise ArtifactError("ARTIFACT-012", message, "Give a run folder, e.g. runs/x-1, or a model.")
        return find_model(name)
    require_folder(name)
    try:
        return find_model(name, patterns=(*MODEL_FILES, *ADAPTER_FILES))
    except HubError as error:
        if "/" not in name and error.code in NOT_FOUND:  # Hub names nearly always have a "/": a folder was meant
            raise _absent(name) from error
        raise HubError(error.code, error.message, f'There is no folder "{name}" here either. {error.hint}') from error


def require_folder(name: str) -> None:
    """Raise ArtifactError for a name that can only be a folder's, where there is none; the Hub is not asked."""
    if not Path(name).is_dir() and _is_path(name):
        raise _absent(name)


def _absent(name: str) -> ArtifactError:
    given = "Give a run folder, e.g. runs/x-1, a model folder, or a model's name on the Hugging Face Hub."
    hint = f"{similar_path(Path(name), Path('runs'))} {given}".strip()
    return ArtifactError("ARTIFACT-009", f"{name}: there is no such folder.", hint)


def _is_path(name: str) -> bool:
    """Say whether a name can only be a path, or has a parent folder that exists (`runs/x-1`, misspelt)."""
    parent = Path(name).parent
    looks_so = Path(name).is_absolute() or name.startswith((".", "~")) or "\\" in name or name.count("/") > 1
    return looks_so or (parent != Path() and parent.is_dir())
