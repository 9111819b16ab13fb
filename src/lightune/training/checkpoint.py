"""Checkpoints: complete or absent. Tensors in safetensors, the rest in JSON, a manifest last, then one rename."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightune.safe_files import read_tensors, verify, write_json, write_manifest

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.optim import Optimizer

    from lightune.methods import Method
    from lightune.training.distributed import Ranks

BEST = "best"  # the checkpoint of the best epoch so far
WEIGHTS = "weights.safetensors"
OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"


@dataclass(frozen=True)
class Checkpoints:
    """The trained weights of a model, saved below checkpoints/; of several ranks only the first writes."""

    folder: Path
    method: Method
    model: nn.Module
    ranks: Ranks

    def save(self, name: str, state: dict[str, Any], optimizer: Optimizer | None = None) -> Path:
        """Write a checkpoint, replacing one of the same name, and return its folder."""
        folder = self._below / name
        if self.ranks.is_first:
            save_checkpoint(folder, self.method.state(self.model), state, optimizer)
        return folder

    def restore(self, name: str) -> None:
        """Load the weights of a checkpoint into the first rank's model, which is the one used afterwards."""
        if self.ranks.is_first:
            tensors, _ = load_checkpoint(self._below / name)
            self.method.load_state(self.model, tensors)

    def remove(self) -> None:
        """Remove all checkpoints."""
        shutil.rmtree(self._below, ignore_errors=True)

    @property
    def _below(self) -> Path:
        return self.folder / "checkpoints"


def checkpoint_name(step: int) -> str:
    """Return step-000200 for 200; the names sort by step."""
    return f"step-{step:06d}"


def save_checkpoint(
    folder: Path, tensors: dict[str, torch.Tensor], state: dict[str, Any], optimizer: Optimizer | None = None
) -> Path:
    """Write `folder` through a temporary sibling, so that a crash keeps the old state; return the folder."""
    from safetensors.torch import save_file

    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_file({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}, partial / WEIGHTS)
    if optimizer is not None:
        moments, numbers = split_optimizer_state(optimizer)
        save_file(moments, partial / OPTIMIZER)
        state = {**state, "optimizer": numbers}
    write_json(partial / STATE, state)
    write_manifest(partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return folder


def load_checkpoint(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return (weights, state) of a verified checkpoint; ArtifactError when a byte changed."""
    verify(folder)
    return read_tensors(folder / WEIGHTS), json.loads((folder / STATE).read_text(encoding="utf-8"))


def load_optimizer(folder: Path, optimizer: Optimizer) -> None:
    """Restore a verified checkpoint's optimizer state."""
    verify(folder)
    numbers = json.loads((folder / STATE).read_text(encoding="utf-8"))["optimizer"]
    state: dict[int, dict[str, Any]] = {int(index): dict(entry) for index, entry in numbers["state"].items()}
    for key, value in read_tensors(folder / OPTIMIZER).items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": numbers["param_groups"]})


def split_optimizer_state(optimizer: Optimizer) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the optimizer's tensors by "parameter.name", and everything else as JSON values."""
    import torch

    full = optimizer.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for index, entry in full["state"].items():
        for name, value in entry.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{index}.{name}"] = value.detach().cpu().contiguous()
            else:
                numbers.setdefault(str(index), {})[name] = value
    return tensors, {"state": numbers, "param_groups": full["param_groups"]}
