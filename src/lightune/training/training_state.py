"""All that determines the rest of a training: what a checkpoint holds, and putting it back into a step."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lightune.errors import ArtifactError
from lightune.training.checkpoint import Checkpoint
from lightune.training.step import Step

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.optim import Optimizer

# The files of a checkpoint.
PARAMETERS, OPTIMIZER, AVERAGE, METHOD = "parameters", "optimizer", "average", "method"


def state_of(step: Step) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, Any]]:
    """Return (tensors by file and name, everything else as JSON values) of a step that has been taken.

    Every random number is drawn from a generator keyed by seed, epoch and step, so there is no generator's state.
    """
    moments, groups = split_optimizer_state(step.optimizer.optimizer)
    files = {
        PARAMETERS: trained_parameters(step.passes.plain_model),
        OPTIMIZER: moments,
        AVERAGE: step.average.tensors(),
        METHOD: step.passes.method.training_state(step.passes.plain_model),
    }
    scaler = step.passes.accelerator.scaler
    numbers = {
        "step": step.count,
        "optimizer": groups,
        "schedule": step.schedule.state(),
        "averaged_steps": step.average.steps,
        "scaler": None if scaler is None else scaler.state_dict(),
    }
    return files, numbers


def require_finite(step: Step, files: Mapping[str, Mapping[str, torch.Tensor]]) -> None:
    """Raise TrainingDivergedError where the state of a step holds NaN or infinity: the checkpoint before it stays."""
    for kind, tensors in files.items():
        for name, tensor in tensors.items():
            if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                raise step.diverged(f"step {step.count}: {name} ({kind}) is not finite; training was stopped.")


def restore(step: Step, found: Checkpoint) -> None:
    """Put a checkpoint's state into a step that has not been taken; ArtifactError where the two do not fit."""
    try:
        _put_parameters(step.passes.plain_model, found.tensors(PARAMETERS))
        step.schedule.restore(found.state["schedule"])
        # After the schedule: GreedyLR sets its own rates when it is loaded, and the optimizer has the warm-up's.
        load_optimizer(step.optimizer.optimizer, found.tensors(OPTIMIZER), found.state["optimizer"])
        step.average.restore(found.tensors(AVERAGE), found.state["averaged_steps"])
        step.passes.method.restore_training(step.passes.plain_model, found.tensors(METHOD))
        if found.state["scaler"] is not None:
            step.passes.accelerator.scaler.load_state_dict(found.state["scaler"])
        step.count = int(found.state["step"])
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        message = f"{found.folder}: this checkpoint does not fit the run ({type(error).__name__}: {error})."
        raise ArtifactError("ARTIFACT-047", message, "Remove the folder and run again.") from error


def trained_parameters(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return what the optimizer changes, by name: of methods that save something else (P-tuning's encoder) too."""
    return {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}


def _put_parameters(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    own = trained_parameters(model)
    if {name: value.shape for name, value in own.items()} != {name: value.shape for name, value in tensors.items()}:
        raise ValueError("its parameters are others")
    for name, value in own.items():
        value.copy_(tensors[name])


def frozen_sha256(model: nn.Module) -> str:
    """Return a hash of everything that is not trained: names, shapes and bytes of parameters and buffers."""
    import torch

    digest = hashlib.sha256()
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for name, value in sorted(named.items()):
        if not value.requires_grad:
            digest.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
            raw = value.detach().cpu().contiguous().flatten().view(torch.uint8)
            digest.update(raw.numpy().tobytes())
    return digest.hexdigest()


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


def load_optimizer(optimizer: Optimizer, tensors: Mapping[str, torch.Tensor], numbers: Mapping[str, Any]) -> None:
    """Put back what `split_optimizer_state` returned."""
    state: dict[int, dict[str, Any]] = {int(index): dict(entry) for index, entry in numbers["state"].items()}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": numbers["param_groups"]})
