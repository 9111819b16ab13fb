"""What state.json of a step's checkpoint holds: every name, with its type and bounds; nothing missing, nothing more."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from lightune.bounded import MOST_BYTES, parse_json
from lightune.errors import ArtifactError
from lightune.interruptions import Resumed, Saved, SmallerMicroBatch
from lightune.record_file import first_fault
from lightune.sections import Epoch

Count = Annotated[int, Field(ge=0, le=1 << 48)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Optimizer(_Part):
    state: dict[str, dict[str, Any]]
    param_groups: list[dict[str, Any]]
    moments: list[Count]


class _Schedule(_Part):
    steps: Count
    scheduler: dict[str, Any]


class _Best(_Part):
    epoch: Count
    value: Annotated[list[float | None], Field(min_length=2, max_length=2)]


class _Precision(_Part):
    name: str
    why: str


class _State(_Part):
    step: Count
    optimizer: _Optimizer
    schedule: _Schedule
    averaged_steps: Count
    scaler: dict[str, Any] | None
    epoch: Annotated[int, Field(ge=1, le=1 << 48)]
    steps_in_epoch: Count
    losses: float
    samples: Count
    epochs: list[Epoch]
    best: _Best
    keeps_best: bool
    runtime: Seconds
    resumed: list[Resumed]
    saved: Saved
    smaller: list[SmallerMicroBatch]
    precision: _Precision
    frozen_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def require_state(path: Path, metrics: Collection[str]) -> None:
    """Raise ArtifactError unless a file is the state of a training after a step, exactly as it would be written.

    `metrics` are the names of those that each epoch has.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES:,} bytes")
        raw = path.read_bytes()
        told = parse_json(raw)  # which bounds its depth, and refuses a name that is given twice
        found = _State.model_validate_json(raw, strict=True)
        if found.best.epoch > len(found.epochs) or len(found.epochs) not in (found.epoch - 1, found.epoch):
            raise ValueError("epochs: not as many as there were")
        if any(one.epoch != number or set(one.metrics) != set(metrics) for number, one in enumerate(found.epochs, 1)):
            raise ValueError("epochs: not one after the other, each with every metric")
        if json.dumps(found.model_dump(), sort_keys=True) != json.dumps(told, sort_keys=True):
            raise ValueError("not as it is written")
    except (OSError, ValueError) as error:
        said = first_fault(error) if isinstance(error, ValueError) else str(error)
        raise not_understood(path, said) from error


def not_understood(path: Path, said: object) -> ArtifactError:
    """Return the error of a file that is not the state of a checkpoint."""
    return ArtifactError("ARTIFACT-005", f"{path}: cannot be understood ({said}).")
