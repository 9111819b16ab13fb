"""Checkpoints: complete or absent. Tensors in safetensors, the rest in JSON, a manifest last, then one rename."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightune.bounded import read_json
from lightune.durable import disk, new_folder, write_file
from lightune.errors import ArtifactError
from lightune.links import require_no_link
from lightune.run_folder import CHECKPOINTS
from lightune.safe_files import listed_files, read_tensors, verify, write_json, write_manifest
from lightune.tensor_files import safetensors_parts, safetensors_size
from lightune.training.checkpoint_state import not_understood

if TYPE_CHECKING:
    import torch
    from torch import nn

    from lightune.methods import Method
    from lightune.training.distributed import Ranks

FOLDER = CHECKPOINTS
DAMAGED = "damaged-"  # before the name of one that was passed over; nothing of it is read or removed
BEST = "best-"  # the weights of a best epoch
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
        name = f"{file}{ENDING}"
        return read_tensors(self.folder / name) if name in listed_files(self.folder) else {}


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a run, below checkpoints/; of several ranks only the first writes."""

    folder: Path
    method: Method
    model: nn.Module
    ranks: Ranks

    def save_best(self, epoch: int) -> None:
        """Write the trained weights as those of the best epoch so far; earlier ones stay until the next `save`."""
        folder = self._below / best_name(epoch)
        if self.ranks.is_first:
            require_no_link(self._below)
            with suppress(OSError):  # of a run that went on from before this epoch
                disk.remove(folder)
            save_checkpoint(folder, {WEIGHTS: self.method.state(self.model)}, {"epoch": epoch})

    def save(self, step: int, files: Mapping[str, Tensors], state: dict[str, Any], epochs: int = 0) -> int:
        """Write the checkpoint of a step, and then remove older ones; return its bytes.

        `epochs` says how many have been validated, where no step of the next one was taken.
        """
        folder = self._below / checkpoint_name(step, epochs)
        if not self.ranks.is_first:
            return 0
        require_no_link(self._below)
        if not _is_whole(folder):  # as it is where a run that went on from it is interrupted at once
            with suppress(OSError):
                disk.remove(folder)
            save_checkpoint(folder, files, state)
        self._prune()
        return sum(file.stat().st_size for file in folder.iterdir())

    def _prune(self) -> None:
        """Remove older checkpoints, and best epochs that none of the others needs."""
        kept, old = (found := sorted(_steps(self._below), reverse=True))[:KEPT], found[KEPT:]
        needed = {best_name(state["best"]["epoch"]) for state in map(_state_of, kept) if state}
        bests = [one for one in self._below.iterdir() if one.name.startswith(BEST) and one.name not in needed]
        with suppress(OSError):  # they only take up room
            for one in (*old, *bests):
                disk.remove(one)

    def restore_best(self, epoch: int) -> None:
        """Load the weights of the best epoch into the first rank's model, which is the one used afterwards."""
        if self.ranks.is_first:
            found = load_checkpoint(self._below / best_name(epoch))
            self.method.load_state(self.model, found.tensors(WEIGHTS))

    @property
    def _below(self) -> Path:
        return self.folder / FOLDER


def can_go_on(run: Path) -> bool:
    """Say whether a run folder holds a checkpoint that is whole."""
    return newest(run) is not None


def checkpoint_name(step: int, epochs: int = 0) -> str:
    """Return step-000200 for 200, step-000200-epoch-003 behind the validation of epoch 3; the names sort by time."""
    return f"{STEP}{step:06d}-epoch-{epochs:03d}" if epochs else f"{STEP}{step:06d}"


def best_name(epoch: int) -> str:
    """Return best-003 for the third epoch."""
    return f"{BEST}{epoch:03d}"


def newest(run: Path) -> Checkpoint | None:
    """Return the newest checkpoint of a run folder that is whole, or None without any.

    One whose best epoch's weights are damaged is not whole either: they could not be restored.
    """
    return search(run)[0]


def set_aside(run: Path, start: Checkpoint | None) -> None:
    """Rename the checkpoints behind the one that a run goes on from: they are damaged, and would count as newer."""
    below = run / FOLDER
    for folder in list(_steps(below)) if below.is_dir() else ():
        if start is None or folder.name > start.folder.name:
            disk.remove(below / f"{DAMAGED}{folder.name}")
            disk.rename(folder, below / f"{DAMAGED}{folder.name}")


def search(run: Path) -> tuple[Checkpoint | None, tuple[str, ...]]:
    """Return the newest checkpoint that is whole, and what newer ones lack."""
    below, passed_over = run / FOLDER, list[str]()
    for folder in sorted(_steps(below), reverse=True) if below.is_dir() else ():
        try:
            found = load_checkpoint(folder)
            best = _best_of(found)
            if best and found.state["keeps_best"]:
                load_checkpoint(below / best_name(best))
        except ArtifactError as error:
            passed_over.append(f"{folder.name} was passed over: {error.message}")
            continue
        return Checkpoint(folder, found.state, tuple(passed_over)), tuple(passed_over)
    return None, tuple(passed_over)


def _best_of(found: Checkpoint) -> int:
    """Return the best epoch so far, 0 before there is one; ArtifactError for a state that does not say."""
    best = found.state.get("best")
    epoch = best.get("epoch") if isinstance(best, dict) else None
    if type(epoch) is not int or not isinstance(found.state.get("keeps_best"), bool):
        raise not_understood(found.folder / STATE, "best or keeps_best is not there")
    return epoch


def _is_whole(folder: Path) -> bool:
    try:
        load_checkpoint(folder)
    except ArtifactError:
        return False
    return True


def _state_of(folder: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = read_json(folder / STATE)
        return found if isinstance(found["best"]["epoch"], int) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _steps(below: Path) -> Iterator[Path]:
    """Yield the folders of checkpoints of steps, whole or not; one that was being written has another name."""
    return (one for one in below.iterdir() if one.name.startswith(STEP) and one.is_dir())


def save_checkpoint(folder: Path, files: Mapping[str, Tensors], state: Mapping[str, Any]) -> Path:
    """Write a folder that does not exist yet, whole or not at all, and return it."""
    sizes = {name: safetensors_size(tensors) for name, tensors in files.items()}
    with new_folder(folder, sum(sizes.values())) as partial:
        for name, tensors in files.items():
            if tensors:
                write_file(partial / f"{name}{ENDING}", safetensors_parts(tensors), sizes[name])
        write_json(partial / STATE, state)
        write_manifest(partial)
    return folder


def load_checkpoint(folder: Path) -> Checkpoint:
    """Return a verified checkpoint; ArtifactError when a byte changed or it is not complete."""
    verify(folder)
    try:
        state = read_json(folder / STATE)
    except (OSError, ValueError) as error:
        raise not_understood(folder / STATE, error) from error
    if not isinstance(state, dict) or STATE not in listed_files(folder):
        raise not_understood(folder / STATE, "not a JSON object of this checkpoint")
    return Checkpoint(folder, state)
