"""A step is compared with the memory that is available before it is taken, and split where it needs more."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import memory_for_real
import psutil
import pytest
import torch
from short_memory import Shortage, require_same, training

from lightune import memory
from lightune.errors import ResourceError
from lightune.training.step_memory import SHARE, StepMemory

LIMIT = 1e-5
Load = Callable[..., Any]


def available(short: Any, bytes_: int | Callable[[], int]) -> StepMemory:
    """Let the machine have so much memory, and the process be as large as it was; return the estimate."""
    ahead: StepMemory = short.loop.step.micro_batches.ahead
    ahead.available = bytes_ if callable(bytes_) else lambda: bytes_
    ahead.resident = lambda: 0
    return ahead


@pytest.mark.guarantee("On a CPU, a step that the available memory does not suffice for is split before it is taken")
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_step_is_split_before_it_is_taken(load_lively: Load, tmp_path: Path, task: str) -> None:
    asked: dict[str, Any] = {"task": task, "cache_frozen": "off"}
    enough, short = (training(load_lively(), tmp_path / name, **asked) for name in ("enough", "short"))
    first, watched = enough.fit(), Shortage(10**6)
    ahead, calls = short.loop.step.micro_batches.ahead, []
    assert ahead is not None
    four = ahead.held + ahead.activations.of([max(ahead.row_loss.lengths)] * 4)

    def left() -> int:
        calls.append(short.loop.step.count)
        return 10**12 if short.loop.step.count < 3 else math.ceil(four / SHARE) + 1

    available(short, left)
    ahead.last_read = -math.inf
    with watched.applied(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("lightune.training.step_memory.READ_AGAIN", 0)
        second = short.fit()
    assert [(one.from_step, one.measured) for one in second.smaller] == [(5, "ahead")]
    assert watched.sizes[:4] == [16, 16, 16, 4]  # the small last step of an epoch has room
    assert max(watched.sizes[4:]) == second.smaller[0].texts >= 4
    assert "step 5: little memory is available" in "".join(short.notes.said)
    assert require_same(enough, first, short, second) < LIMIT
    assert len(calls) == second.steps  # read once a step


def test_what_does_not_fit_at_all_is_not_begun(load_lively: Load, tmp_path: Path) -> None:
    short, watched = training(load_lively(), tmp_path / "run"), Shortage(10**6)
    ahead = available(short, 0)
    ahead.available = lambda: math.ceil((ahead.held + ahead.activations.of([8]) / 2) / SHARE) + 1
    with watched.applied(), pytest.raises(ResourceError, match="MEMORY-003") as caught:
        short.fit()
    assert watched.passes == 0
    assert caught.value.exit_code == 6
    assert re.search(
        r"step 1: one text of 12 tokens needs at least \d+ MB of memory, and about \d+", caught.value.message
    )
    assert "data.max_length=6" in caught.value.hint
    assert "gradient_checkpointing" in caught.value.hint


def test_a_text_that_half_the_estimate_has_room_for_is_tried_alone(load_lively: Load, tmp_path: Path) -> None:
    short, watched = training(load_lively(), tmp_path / "run"), Shortage(10**6)
    ahead = available(short, 0)
    ahead.available = lambda: math.ceil((ahead.held + ahead.activations.of([12]) * 0.6) / SHARE) + 1
    with watched.applied():
        fitted = short.fit()
    assert [(one.texts, one.measured) for one in fitted.smaller][-1:] == [(1, "ahead")]
    assert watched.sizes[-1] == 1
    assert len({one.texts for one in fitted.smaller}) == len(fitted.smaller), "each size is noted once"


def test_where_memory_is_plentiful_every_bit_is_as_without_the_estimate(load_lively: Load, tmp_path: Path) -> None:
    asked, plain = (training(load_lively(), tmp_path / name) for name in ("asked", "plain"))
    plain.loop.step.micro_batches.ahead = None
    assert asked.fit().smaller == plain.fit().smaller == []
    assert torch.equal(asked.weights, plain.weights)
    assert asked.lines == plain.lines


def test_what_the_process_once_took_counts_as_available(load_lively: Load, tmp_path: Path) -> None:
    ahead = available(training(load_lively(), tmp_path / "run"), 1000)
    ahead.begin(cached=7)
    before = ahead.room()
    ahead.resident = lambda: 500
    assert (before, ahead.room()) == (900, 1400)


# The machine


def test_a_container_has_the_memory_that_it_may_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups, own = tmp_path / "groups", tmp_path / "own"
    monkeypatch.setattr(memory, "CGROUPS", groups)
    monkeypatch.setattr(memory, "OWN_GROUPS", own)
    machine = psutil.virtual_memory().available
    own.write_text("0::/user/job\n")
    assert memory.available_bytes() == pytest.approx(machine, rel=0.5)
    names = ("memory.max", "memory.current")
    for folder, limit, used, dropped in (
        ("user/job", "max", 10, 0),
        ("user", "50000", 20000, 4000),
        ("", "90000", 1, 0),
    ):
        write_group(groups / folder, names, limit, used, f"anon 1\ninactive_file {dropped}\n")
    assert memory.available_bytes() == 34000
    own.write_text("5:cpu:/\n4:memory:/not/visible/inside\n")
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    write_group(groups / "memory", names, "9000", 2000, "total_inactive_file 500\n")
    assert memory.available_bytes() == 7500
    write_group(groups / "memory", names, "9000", 10000, "total_inactive_file 500\n")
    assert memory.available_bytes() == 0
    write_group(groups / "memory", names, "9223372036854771712", 2000, "")
    assert memory.available_bytes() == pytest.approx(machine, rel=0.5)


def write_group(folder: Path, names: tuple[str, str], limit: str, used: int, stat: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip((*names, "memory.stat"), (limit, str(used), stat), strict=True):
        (folder / name).write_text(f"{value}\n")


# For real

LITTLE = 150_000_000  # bytes: a batch takes more


def trained(folder: Path, way: str, most: int = 0) -> tuple[int, dict[str, Any]]:
    """Train in a process of its own; return (its exit status, what it told)."""
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ["PYTHONPATH"]])
    command = [sys.executable, memory_for_real.__file__, str(folder), way, str(most)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": paths}, check=False)
    told: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        told |= json.loads(line)
    if "group" in told:
        Path(told["group"]).rmdir()
    elif way.startswith("group") and done.returncode:
        pytest.skip("no control group can be made here")
    return done.returncode, told


@pytest.fixture(scope="module")
def enough(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with a model and the weights of a training that had enough memory, and what that told."""
    if sys.platform != "linux":
        pytest.skip("limits of memory are set as Linux does")
    folder = tmp_path_factory.mktemp("real")
    memory_for_real.build(folder)
    status, told = trained(folder, "enough")
    assert (status, told["smaller"]) == (0, [])
    return folder, told


def difference(folder: Path, way: str) -> float:
    first, second = (torch.load(folder / name / "weights.pt", weights_only=True) for name in ("enough", way))
    return float((first - second).abs().max())


@pytest.mark.faults
def test_the_estimate_errs_to_the_safe_side_by_less_than_a_factor_of_two_and_a_half(enough: Any) -> None:
    assert 1.0 < enough[1]["estimated"] / enough[1]["taken"] < 2.5


@pytest.mark.faults
@pytest.mark.guarantee("Where allocations fail for real, training goes on to the same weights")
def test_a_process_whose_allocations_fail(enough: Any, record_property: Any) -> None:
    folder, told = enough
    status, found = trained(folder, "limit", LITTLE)
    assert status == 0
    assert found["smaller"][0]["measured"] == "failed"
    assert (found["steps"], found["samples"]) == (told["steps"], told["samples"])
    worst = difference(folder, "limit")
    assert worst < LIMIT
    record_property("figure", f"150 MB left of {told['taken'] / 1e6:.0f} MB, largest difference {worst:.0e}")


@pytest.mark.faults
@pytest.mark.guarantee("In a container too small for a batch, where a process would be killed, training ends well")
def test_a_process_that_would_be_killed(enough: Any, record_property: Any) -> None:
    folder, told = enough
    killed, _ = trained(folder, "group-unasked", LITTLE)
    assert killed in (-9, 137)
    status, found = trained(folder, "group", LITTLE)
    assert status == 0
    assert found["smaller"][0]["measured"] == "ahead"
    worst = difference(folder, "group")
    assert worst < LIMIT
    record_property("figure", f"150 MB left of {told['taken'] / 1e6:.0f} MB, largest difference {worst:.0e}")
