"""Saving checkpoints and run folders while the disk fills, the process ends or the power fails, at every call."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from disks import FailingDisk, Killed, Recorder

from lightune import durable
from lightune.durable import Disk, new_folder, write_file
from lightune.errors import ResourceError
from lightune.training import checkpoint
from lightune.training.checkpoint import Checkpoints, newest

Saves = list[tuple[int, int]]  # (step, best epoch) of each checkpoint
SAVES: Saves = [(2, 0), (4, 1), (6, 1), (8, 2), (10, 3), (12, 3)]


@contextmanager
def using(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        for module in (durable, checkpoint):
            patch.setattr(module, "disk", disk)
        yield


def tensors(step: int) -> dict[str, torch.Tensor]:
    return {"weight": torch.full((4, 3), float(step)), "bias": torch.arange(5) + step}


def save_all(run: Path, saves: Saves = SAVES) -> Iterator[int]:
    """Save checkpoints as training does, the best epoch before the step that knows of it; yield each step saved."""
    method = SimpleNamespace(state=lambda model: tensors(0))
    found = Checkpoints(run, method, torch.nn.Linear(1, 1), SimpleNamespace(is_first=True))  # type: ignore[arg-type]
    known = 0
    for step, best in saves:
        if best > known:
            found.save_best(best)
            known = best
        state = {"step": step, "best": {"epoch": best}, "keeps_best": True}
        found.save(step, {"parameters": tensors(step), "optimizer": tensors(-step)}, state)
        yield step


def require_whole(run: Path, step: int) -> None:
    """The newest checkpoint is at least this one, and holds what was saved then."""
    found = newest(run)
    if step == 0:
        assert found is None or found.state["step"] == SAVES[0][0]
        return
    assert found is not None
    now = found.state["step"]
    assert now >= step
    assert all(torch.equal(found.tensors("parameters")[name], value) for name, value in tensors(now).items())


def calls_of_all(run: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    disk = FailingDisk()
    with using(disk, monkeypatch):
        list(save_all(run))
    return disk.calls


@pytest.mark.guarantee("A save that a full disk or a kill stops at any of its calls leaves the checkpoint before")
@pytest.mark.parametrize("kill", [False, True], ids=["full", "killed"])
def test_at_every_call_the_last_checkpoint_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill: bool, record_property: Callable[[str, object], None]
) -> None:
    calls = calls_of_all(tmp_path / "whole", monkeypatch)
    assert set(calls) == {"make", "write", "sync", "rename", "remove"}
    for at in range(1, len(calls) + 1):
        run, done = tmp_path / f"run-{at}", [0]
        told = f"call {at}, {calls[at - 1]}"
        with using(FailingDisk(at, kill), monkeypatch):
            try:
                done.extend(save_all(run))
            except Killed:
                assert kill, told
            except ResourceError:
                assert not kill, told
        last = done[-1]
        require_whole(run, last)
        list(save_all(run, SAVES[[step for step, _ in SAVES].index(last) + 1 :] if last else SAVES))  # going on
        require_whole(run, SAVES[-1][0])
        assert not kill or len(list((run / "checkpoints").iterdir())) <= 4, "leavings of a save that was killed"
    record_property("figure", f"{len(calls)} calls {'killed' if kill else 'refused'}")


@pytest.mark.guarantee("A power cut at any call of a save, losing what was not synced, leaves the checkpoint before")
def test_whatever_was_not_synced_when_the_power_fails_the_checkpoint_before_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, object], None]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    disk, done = Recorder(run), list[tuple[int, int]]()
    with using(disk, monkeypatch):
        for step in save_all(run):
            done.append((len(disk.calls), step))
    for cut in range(len(disk.calls) + 1):
        target = tmp_path / f"cut-{cut}"
        disk.after_power_cut(cut, target)
        require_whole(target, max([0, *(step for calls, step in done if calls <= cut)]))
    record_property("figure", f"cut at {len(disk.calls) + 1} places")


def test_a_full_disk_is_said_with_the_bytes_that_are_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with using(FailingDisk(1), monkeypatch), pytest.raises(ResourceError, match="5 bytes are needed") as caught:
        write_file(tmp_path / "a", b"12345")
    assert (caught.value.exit_code, caught.value.code) == (6, "DISK-006")
    usage: Any = SimpleNamespace(free=10)
    monkeypatch.setattr(durable.shutil, "disk_usage", lambda place: usage)
    with pytest.raises(ResourceError, match="11 bytes are needed, and 10 are free"):
        write_file(tmp_path / "a", b"x" * 11)
    with pytest.raises(ResourceError, match="DISK-006"), new_folder(tmp_path / "b", 11):
        raise AssertionError("nothing may be written")
    assert not list(tmp_path.iterdir())


def test_what_was_there_stays_until_the_new_file_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    write_file(path, b"old")
    for at in (1, 2):  # the write, the rename
        with using(FailingDisk(at), monkeypatch), pytest.raises(ResourceError):
            write_file(path, b"new")
        assert path.read_bytes() == b"old"
        assert [one.name for one in tmp_path.iterdir()] == ["a"]
    write_file(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_files_have_the_mode_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        list(save_all(tmp_path, SAVES[:1]))
    finally:
        os.umask(before)
    modes = {oct(path.stat().st_mode & 0o777) for path in tmp_path.rglob("*") if path.is_file()}
    assert modes == {"0o644"}
