"""Checkpoints: complete or absent. Tensors in safetensors, the rest in JSON, a manifest last, then one rename."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightune.errors import ArtifactError
from lightune.safe_files import read_tensors, verify, write_json, write_manifest

if TYPE_CHECKING:
    import torch
    from torch import nn

    from lightune.methods import Method
    from lightune.training.distributed import Ranks

FOLDER = "checkpoints"
BEST = "best"  # the checkpoint of the best epoch so far
STEP = "step-"
WEIGHTS = "weights"
STATE = "state.json"
ENDING = ".safetensors"
# The newest may be damaged by what ended the run, so the one before it stays.
KEPT = 2

Tensors = Mapping[str, "torch.Tensor"]


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint: its tensors by file and name, and its state. `passed_over` says what newer ones lack."""

    folder: Path
    state: dict[str, Any]
    passed_over: tuple[str, ...] = ()

    def tensors(self, file: str) -> dict[str, torch.Tensor]:
        """Return the tensors of one of its files; none where it has no such file."""
        path = self.folder / f"{file}{ENDING}"
        return read_tensors(path) if path.is_file() else {}


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a run, below checkpoints/; of several ranks only the first writes."""

    folder: Path
    method: Method
    model: nn.Module
    ranks: Ranks

    def save_best(self, state: dict[str, Any]) -> None:
        """Write the trained weights as those of the best epoch so far."""
        if self.ranks.is_first:
            save_checkpoint(self._below / BEST, {WEIGHTS: self.method.state(self.model)}, state)

    def save(self, step: int, files: Mapping[str, Tensors], state: dict[str, Any]) -> int:
        """Write the checkpoint of a step, and then remove older ones; return its bytes."""
        folder = self._below / checkpoint_name(step)
        if not self.ranks.is_first:
            return 0
        save_checkpoint(folder, files, state)
        for old in sorted(_steps(self._below), reverse=True)[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)
        return sum(file.stat().st_size for file in folder.iterdir())

    def restore_best(self) -> None:
        """Load the weights of the best epoch into the first rank's model, which is the one used afterwards."""
        if self.ranks.is_first:
            self.method.load_state(self.model, load_checkpoint(self._below / BEST).tensors(WEIGHTS))

    @property
    def _below(self) -> Path:
        return self.folder / FOLDER


def remove_checkpoints(run: Path) -> None:
    """Remove all checkpoints of a run that is complete."""
    shutil.rmtree(run / FOLDER, ignore_errors=True)


def can_go_on(run: Path) -> bool:
    """Say whether a run folder holds a checkpoint that is whole."""
    return newest(run) is not None


def checkpoint_name(step: int) -> str:
    """Return step-000200 for 200; the names sort by step."""
    return f"{STEP}{step:06d}"


def newest(run: Path) -> Checkpoint | None:
    """Return the newest checkpoint of a run folder that is whole, or None without any.

    One whose best epoch's weights are damaged is not whole either: they could not be restored.
    """
    below, passed_over = run / FOLDER, list[str]()
    for folder in sorted(_steps(below), reverse=True) if below.is_dir() else ():
        try:
            found = load_checkpoint(folder)
            if found.state["best"]["epoch"] and found.state["keeps_best"]:
                load_checkpoint(below / BEST)
        except ArtifactError as error:
            passed_over.append(f"{folder.name} was passed over: {error.message}")
            continue
        return Checkpoint(folder, found.state, tuple(passed_over))
    return None


def _steps(below: Path) -> Iterator[Path]:
    """Yield the folders of checkpoints of steps, whole or not; one that was being written has another name."""
    return (one for one in below.iterdir() if one.name.startswith(STEP) and one.is_dir())


def save_checkpoint(folder: Path, files: Mapping[str, Tensors], state: Mapping[str, Any]) -> Path:
    """Write `folder` through a temporary sibling, so that a crash keeps the old state; return the folder."""
    from safetensors.torch import save_file

    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, tensors in files.items():
        if tensors:
            own = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
            save_file(own, partial / f"{name}{ENDING}")
    write_json(partial / STATE, state)
    write_manifest(partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return folder


def load_checkpoint(folder: Path) -> Checkpoint:
    """Return a verified checkpoint; ArtifactError when a byte changed or it is not complete."""
    verify(folder)
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError("ARTIFACT-005", f"{folder / STATE}: cannot be understood ({error}).") from error
    return Checkpoint(folder, state)
