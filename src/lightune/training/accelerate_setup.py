"""One Accelerator per run: device, precision, trackers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightune import runtime
from lightune.errors import RecipeError
from lightune.extras import install_command

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator


def make_accelerator(
    device: torch.device,
    precision: str,
    trackers: tuple[str, ...],
    folder: Path,
    project: str,
    config: Mapping[str, Any],
) -> Accelerator:
    """Return an Accelerator; RecipeError when a tracker's package is not installed.

    Accelerate keeps its state for the whole process; it is reset first, so that one process can do several runs with
    different precisions. If torchrun started several processes, only the first has trackers.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import ProjectConfiguration

    from lightune.training.distributed import join

    require_installed(trackers)
    join(device)
    trackers = () if runtime.rank() else trackers
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(
        cpu=device.type == "cpu",
        mixed_precision="bf16" if precision == "bf16" else "no",
        log_with=list(trackers) or None,
        project_config=ProjectConfiguration(project_dir=str(folder), logging_dir=str(folder / "trackers")),
    )
    if trackers:
        accelerator.init_trackers(project, config=_flat(config))
    return accelerator


def require_installed(trackers: tuple[str, ...]) -> None:
    """Raise RecipeError when a tracker's package is not installed."""
    from importlib.util import find_spec

    absent = [name for name in trackers if find_spec(name) is None]
    if absent:
        message = f"training.report_to: {', '.join(absent)} is not installed."
        raise RecipeError("RECIPE-051", message, f"Install it: {install_command('track', *absent)}")


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as `training.seed: 42`; trackers take plain values only."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value if isinstance(value, str | int | float | bool) else str(value)
    return flat
