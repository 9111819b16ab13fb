"""All that determines the rest of a training: what a checkpoint holds, and putting it back into a step."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lightune.errors import ArtifactError
from lightune.methods.base import require_same_tensors
from lightune.safe_files import listed_files
from lightune.training.checkpoint import ENDING, STATE, Checkpoint
from lightune.training.step import Step

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.optim import Optimizer

# The files of a checkpoint.
PARAMETERS, OPTIMIZER, AVERAGE, METHOD = "parameters", "optimizer", "average", "method"
MOMENTS = {"exp_avg", "exp_avg_sq", "step"}  # of AdamW
RATES = {"lr", "initial_lr"}


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
        _require_files(found)
        _put_parameters(step.passes.plain_model, found.tensors(PARAMETERS))
        _require_like(step.schedule.state(), found.state["schedule"], "schedule")
        if not found.state["step"] <= step.schedule.total:
            raise ValueError(f"it is of step {found.state['step']:,} of {step.schedule.total:,}")
        step.schedule.restore(found.state["schedule"])
        # After the schedule: GreedyLR sets its own rates when it is loaded, and the optimizer has the warm-up's.
        load_optimizer(step.optimizer.optimizer, found.tensors(OPTIMIZER), found.state["optimizer"])
        step.average.restore(found.tensors(AVERAGE), found.state["averaged_steps"])
        step.passes.method.restore_training(step.passes.plain_model, found.tensors(METHOD))
        if found.state["scaler"] is not None:
            step.passes.accelerator.scaler.load_state_dict(found.state["scaler"])
        step.count = int(found.state["step"])
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError, ArtifactError) as error:
        message = f"{found.folder}: this checkpoint does not fit the run ({type(error).__name__}: {error})."
        raise ArtifactError("ARTIFACT-047", message, "Remove the folder and run again.") from error


def trained_parameters(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return what the optimizer changes, by name: of methods that save something else (P-tuning's encoder) too."""
    return {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}


def _put_parameters(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    own = trained_parameters(model)
    require_same_tensors(own, tensors)
    for name, value in own.items():
        value.copy_(tensors[name])


def _require_files(found: Checkpoint) -> None:
    """Raise ValueError for a file that no checkpoint has."""
    known = {STATE, *(f"{name}{ENDING}" for name in (PARAMETERS, OPTIMIZER, AVERAGE, METHOD))}
    strange = sorted(set(listed_files(found.folder)) - known)
    if strange:
        raise ValueError(f"{strange[0]} is not of a checkpoint")


def _require_like(own: Any, given: Any, place: str) -> None:
    """Raise ValueError unless a value has the names and types of another; numbers may be None, as before a first."""
    kinds = [_kind(one) for one in (own, given)]
    if isinstance(own, Mapping) and isinstance(given, Mapping) and set(own) == set(given):
        for name in own:
            _require_like(own[name], given[name], f"{place}.{name}")
    elif isinstance(own, list | tuple) and isinstance(given, list) and len(own) == len(given):
        for one, other in zip(own, given, strict=True):
            _require_like(one, other, place)
    elif kinds[0] != kinds[1] or kinds[0] == "several":
        raise ValueError(f"{place}: not as it is written")


def _kind(value: Any) -> str:
    if isinstance(value, bool | str):
        return type(value).__name__
    return "number" if value is None or isinstance(value, int | float) else "several"


def _require_groups(own: list[dict[str, Any]], given: list[dict[str, Any]]) -> None:
    """Raise ValueError unless groups of parameters differ only in their learning rates."""
    _require_like(own, given, "optimizer.param_groups")
    for one, other in zip(own, given, strict=True):
        changed = [name for name in one if name not in RATES and json.dumps(one[name]) != json.dumps(other[name])]
        if changed:
            raise ValueError(f"optimizer.param_groups: another {changed[0]}")


def _require_moments(parameters: list[torch.Tensor], state: Mapping[int, Mapping[str, Any]]) -> None:
    """Raise ValueError unless each parameter that has moments has all of them, in its own shape and type."""
    import torch

    for index, entry in state.items():
        if not 0 <= index < len(parameters) or set(entry) != MOMENTS:
            raise ValueError(f"optimizer: not the moments of a parameter: {index}: {', '.join(entry)}")
        own = parameters[index]
        shapes = {name: value.shape for name, value in entry.items()}
        if any(shapes[name] != (() if name == "step" else own.shape) for name in MOMENTS):
            raise ValueError(f"optimizer: moments of another shape: {index}")
        if any(value.dtype != (torch.float32 if name == "step" else own.dtype) for name, value in entry.items()):
            raise ValueError(f"optimizer: moments of another type: {index}")


def frozen_sha256(model: nn.Module) -> str:
    """Return a hash of everything that is not trained: names, shapes and bytes of parameters and buffers."""
    import torch

    digest = hashlib.sha256()
    named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for name, value in sorted(named.items()):
        if not value.requires_grad:
            digest.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
            raw = value.detach().cpu().contiguous().flatten().view(torch.uint8)
            digest.update(raw.numpy().data)  # no copy: an embedding has hundreds of megabytes
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
    # A parameter that no text has used yet has no moments.
    return tensors, {"state": numbers, "param_groups": full["param_groups"], "moments": sorted(full["state"])}


def load_optimizer(optimizer: Optimizer, tensors: Mapping[str, torch.Tensor], numbers: Mapping[str, Any]) -> None:
    """Put back what `split_optimizer_state` returned."""
    _require_groups(optimizer.state_dict()["param_groups"], numbers["param_groups"])
    state: dict[int, dict[str, Any]] = {int(index): dict(entry) for index, entry in numbers["state"].items()}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    if sorted(state) != numbers["moments"]:
        raise ValueError(f"optimizer: moments of {len(state)} parameters, not of {len(numbers['moments'])}")
    _require_moments([value for group in optimizer.param_groups for value in group["params"]], state)
    optimizer.load_state_dict({"state": state, "param_groups": numbers["param_groups"]})
