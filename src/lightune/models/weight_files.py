"""The weights of a model folder: safetensors in one file or in shards, with no file and no part of the base missing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from lightune.bounded import read_json
from lightune.errors import ArtifactError, RecipeError
from lightune.tensor_headers import read_headers, total_numbers

if TYPE_CHECKING:
    from torch import nn

    from lightune.models.anatomy import Anatomy

WEIGHTS_FILE = "model.safetensors"
ENDING = ".safetensors"
DISTRIBUTED = "shard-*-model-*.safetensors"
MOST_NEW = 50_000_000  # numbers that weights may lack, such as those of a head: 200 MB
INDEX_FILE = "model.safetensors.index.json"


def require_weights(name: str, folder: Path) -> None:
    """Raise RecipeError when the folder has no safetensors weights, ArtifactError when shards are missing or damaged.

    Only their headers are read.
    """
    if not (folder / WEIGHTS_FILE).is_file():
        _require_shards(name, folder)
    if any(folder.glob(DISTRIBUTED)):  # transformers would read these instead
        message = f"{name}: the weights of a distributed training ({DISTRIBUTED}) are not read."
        raise ArtifactError("ARTIFACT-056", message, "Convert it once with `model.save_pretrained(folder)`.")
    for path in _weight_files(folder):
        read_headers(path)


def require_room_in(name: str, folder: Path, model: nn.Module, outputs: int) -> None:
    """Raise ArtifactError for a model that is far larger than its weights: most of it would be made up.

    `model` is one without values, on the meta device. A head may be missing, and weights may be stored in half. The
    output layer counts by itself, as it has a row for each label.
    """
    held = total_numbers(_weight_files(folder))
    shapes = [tuple(value.shape) for value in model.parameters()]
    rows = max((math.prod(shape) for shape in shapes if len(shape) == 2 and shape[0] == outputs), default=0)
    needed = max(sum(map(math.prod, shapes)) - rows, rows)
    if needed > held + MOST_NEW:
        message = f"{name}: config.json describes a model of {needed:,} numbers, the weights hold {held:,}."
        raise ArtifactError("ARTIFACT-057", message, "They do not belong together; download the model again.")


def _require_shards(name: str, folder: Path) -> None:
    if not (folder / INDEX_FILE).is_file():
        raise RecipeError(
            "RECIPE-044", f"{name}: no safetensors weights (pickled weights are never read).",
            "Convert it once with `model.save_pretrained(folder)` of a current transformers.",
        )  # fmt: skip
    shards = _shards(folder / INDEX_FILE)
    absent = [shard for shard in shards if not (folder / shard).is_file()]
    if absent:
        shown = ", ".join(absent[:3]) + (", ..." if len(absent) > 3 else "")
        raise ArtifactError(
            "ARTIFACT-022", f"{name}: {len(absent)} of the {len(shards)} weight files are missing: {shown}.",
            f"Put every file that {INDEX_FILE} names into the folder, or download the model again.",
        )  # fmt: skip


def holds(folder: Path, module: str) -> bool:
    """Say whether the weight files hold tensors of a module; only their headers are read."""
    try:
        headers = [read_headers(path) for path in _weight_files(folder)]
    except ArtifactError:  # loading will say so
        return False
    return any(name.startswith(f"{module}.") for found in headers for name in found)


def refuse_new_body(anatomy: Anatomy, name: str) -> None:
    """Raise ArtifactError if the checkpoint lacks a part of the base model, which would be random.

    A pooler may be missing: encoders saved without one get a new one, which counts as part of the head.
    """
    body = anatomy.architecture.layers.partition(".")[0] + "."
    inside = [part for part in anatomy.new_modules if part.startswith(body) and "pooler" not in part]
    if inside:
        raise ArtifactError(
            "ARTIFACT-021", f"{name}: the weights lack {len(inside)} parts of the model, e.g. {inside[0]}.",
            "The checkpoint is incomplete or belongs to another architecture; download it again.",
        )  # fmt: skip


def _weight_files(folder: Path) -> list[Path]:
    whole = folder / WEIGHTS_FILE
    return [whole] if whole.is_file() else [folder / shard for shard in _shards(folder / INDEX_FILE)]


def _shards(index: Path) -> list[str]:
    """Return the file names in an index; ArtifactError if it is not an index or names a file outside the folder."""
    try:
        shards = sorted(set(read_json(index)["weight_map"].values()))
        usable = bool(shards) and all(Path(shard).name == shard and shard.endswith(ENDING) for shard in shards)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        usable = False
    if not usable:
        raise ArtifactError("ARTIFACT-023", f"{index}: not an index of weight files.", "Download the model again.")
    return shards
