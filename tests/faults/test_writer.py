"""Saving checkpoints and run folders while the disk fills, the process ends or the power fails, at every call."""

from __future__ import annotations

import copy
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from disks import FailingDisk, Killed, Recorder

import lightune
from lightune import durable, experiment
from lightune.artifact import read_config, save_adapter
from lightune.durable import Disk, append_to, library_files, new_folder, write_file
from lightune.errors import LightuneError, RecipeError, ResourceError
from lightune.report.files import read_run
from lightune.resuming import remove_leavings
from lightune.run_files import Outcome
from lightune.run_folder import LEAVINGS, LONGEST_INSIDE, RunFolder
from lightune.training import checkpoint
from lightune.training.checkpoint import Checkpoints, can_go_on, newest
from lightune.training.training_state import AVERAGE, METHOD, OPTIMIZER, PARAMETERS
from reloading_here import reloading_here

Saves = list[tuple[int, int]]  # (step, best epoch) of each checkpoint
SAVES: Saves = [(2, 0), (4, 1), (6, 1), (8, 2), (10, 3), (12, 3)]


@contextmanager
def using(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put a disk in the place of the real one, in every module that has it."""
    users = [module for name, module in sys.modules.items() if name.startswith("lightune.") and hasattr(module, "disk")]
    assert {durable, checkpoint} <= set(users)
    with monkeypatch.context() as patch:
        for module in users:
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
    usage: Any = SimpleNamespace(total=100, free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage)
    with pytest.raises(ResourceError, match="11 bytes are needed, and 10 are free"):
        write_file(tmp_path / "a", b"x" * 11)
    with pytest.raises(ResourceError, match="DISK-006"), new_folder(tmp_path / "b", 11):
        raise AssertionError("nothing may be written")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("answer", [SimpleNamespace(total=0, free=0), OSError(38, "Function not implemented")])
def test_a_disk_that_reports_no_size_is_written_until_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    def usage(place: Path) -> Any:
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(shutil, "disk_usage", usage)
    write_file(tmp_path / "a", b"12345")
    assert (tmp_path / "a").read_bytes() == b"12345"
    with using(FailingDisk(1), monkeypatch), pytest.raises(ResourceError, match="how many are free is not known"):
        write_file(tmp_path / "a", b"12345")


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


def test_a_log_is_opened_once_until_something_beside_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, log = list[str](), tmp_path / "metrics.jsonl"
    plain = os.open

    def counted(path: Any, *rest: Any) -> int:
        opened.append(Path(path).name)
        return plain(path, *rest)

    def never(place: Path) -> Any:
        raise AssertionError("room is asked only after a failure")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", counted)
        patch.setattr(shutil, "disk_usage", never)
        for number in range(50):
            append_to(log, f"{number}\n".encode())
            assert log.read_text().endswith(f"{number}\n"), "it is there at once"
    assert opened == ["metrics.jsonl"]
    write_file(log, b"0\n")
    append_to(log, b"1\n")
    assert log.read_text() == "0\n1\n", "the file that is there now, not the one before"
    other = tmp_path.with_name("moved")
    durable.disk.rename(tmp_path, other)
    tmp_path.mkdir()
    append_to(log, b"2\n")
    assert (log.read_text(), (other / "metrics.jsonl").read_text()) == ("2\n", "0\n1\n")
    durable.disk.remove(tmp_path / "other")
    if Path("/proc/self/fd").is_dir():
        held = [os.readlink(one) for one in Path("/proc/self/fd").iterdir() if one.is_symlink() and os.path.exists(one)]
        assert str(log) not in held


def test_a_log_on_a_disk_that_fills_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with using(FailingDisk(1), monkeypatch), pytest.raises(ResourceError, match="DISK-006"):
        append_to(tmp_path / "metrics.jsonl", b"1\n")


class Sizes(Disk):
    """Asks after each call how large a folder is."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.largest = folder, 0

    def settle(self, path: Path) -> None:
        super().settle(path)
        self._ask()

    def rename(self, old: Path, new: Path) -> None:
        super().rename(old, new)
        self._ask()

    def write(self, path: Path, parts: Any) -> None:
        super().write(path, parts)
        self._ask()

    def _ask(self) -> None:
        sizes = [path.stat().st_size for path in self.folder.rglob("*") if path.is_file()]
        self.largest = max(self.largest, sum(sizes))


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_what_a_library_wrote_is_moved_and_never_there_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, target, before = Sizes(tmp_path), tmp_path / "model", os.umask(0o027)
    try:
        with using(disk, monkeypatch), library_files(target) as theirs:
            (theirs / "inner").mkdir()
            for name in ("a", "inner/b"):
                (theirs / name).write_bytes(b"x" * 1000)
                (theirs / name).chmod(0o600)
    finally:
        os.umask(before)
    assert disk.largest == 2000
    found = {path.relative_to(target).as_posix(): path for path in target.rglob("*")}
    assert set(found) == {"a", "inner", "inner/b"}
    assert {oct(found[name].stat().st_mode & 0o777) for name in ("a", "inner/b")} == {"0o640"}


def test_what_a_library_wrote_is_on_disk_when_its_folder_has_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each cut of power the folder is absent, or its file is whole."""
    disk = Recorder(tmp_path / "run")
    (tmp_path / "run").mkdir()
    with using(disk, monkeypatch), new_folder(tmp_path / "run" / "model") as partial, library_files(partial) as theirs:
        (theirs / "a").write_bytes(b"x" * 1000)
    for cut in range(len(disk.calls) + 1):
        target = tmp_path / f"cut-{cut}"
        disk.after_power_cut(cut, target)
        if (target / "model").exists():
            assert [(one.name, one.read_bytes()) for one in (target / "model").iterdir()] == [("a", b"x" * 1000)]
    assert (target / "model" / "a").is_file()


class Names(Disk):
    """Keeps the paths that it is given."""

    def __init__(self) -> None:
        self.paths: set[Path] = set()

    def write(self, path: Path, parts: Any) -> None:
        self.paths.add(path)
        super().write(path, parts)

    def rename(self, old: Path, new: Path) -> None:
        self.paths |= {old, new}
        super().rename(old, new)


def test_the_longest_path_of_a_checkpoint_is_the_one_that_windows_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, files = Names(), {name: tensors(1) for name in (PARAMETERS, OPTIMIZER, AVERAGE, METHOD)}
    method: Any = SimpleNamespace(state=lambda model: tensors(0))
    with using(disk, monkeypatch):
        found = Checkpoints(tmp_path, method, torch.nn.Linear(1, 1), SimpleNamespace(is_first=True))  # type: ignore[arg-type]
        found.save(1, files, {"best": {"epoch": 1}}, epochs=1)
    longest = max((path.relative_to(tmp_path).as_posix() for path in disk.paths), key=len)
    assert re.sub("[0-9]", "0", longest) == LONGEST_INSIDE


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_files_have_the_mode_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        list(save_all(tmp_path, SAVES[:1]))
    finally:
        os.umask(before)
    modes = {oct(path.stat().st_mode & 0o777) for path in tmp_path.rglob("*") if path.is_file()}
    assert modes == {"0o644"}


@dataclass(frozen=True)
class Saving:
    """A run right before its adapter is saved, and what saves it: the folder as it is then, and both calls."""

    unfinished: Path
    adapter: Callable[[Path], Any]
    outcome: Outcome

    def finish(self, run: Path) -> None:
        """Save everything into the unfinished folder, and give it the name `run`."""
        with RunFolder.of_unfinished(run, can_go_on) as place:
            remove_leavings(place.working)
            self.adapter(place.working / "adapter")
            self.outcome.write(place.working, place.final)


@pytest.fixture(scope="module")
def saving(tiny_recipe: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Saving]:
    """Do a run once; in the many savings that follow, the page and the card are not drawn again."""
    kept, found = tmp_path_factory.mktemp("saving"), dict[str, Any]()
    (kept / "home").mkdir()

    def save(model: Any, method: Any, config: Any, folder: Path, *rest: Any) -> int:
        shutil.copytree(folder.parent, kept / "unfinished")
        trained = copy.deepcopy(model)
        found["adapter"] = lambda place: save_adapter(trained, method, config, place, *rest)
        return save_adapter(model, method, config, folder, *rest)

    def carry_out(run: Any) -> Outcome:
        found["outcome"] = carried_out(run)
        return found["outcome"]

    carried_out = experiment._carry_out
    with pytest.MonkeyPatch.context() as patch, reloading_here():
        patch.chdir(kept / "home")
        with pytest.MonkeyPatch.context() as once:
            once.setattr("lightune.fitting.save_adapter", save)
            once.setattr(experiment, "_carry_out", carry_out)
            lightune.run(tiny_recipe("distilbert", "lora", save_steps=2), "out")
        for name in ("html.render_html", "card.render_card"):
            patch.setattr(f"lightune.report.{name}", lambda *_: "drawn")
        yield Saving(kept / "unfinished", **found)


def require_finished(run: Path, files: set[str]) -> None:
    """The folder is a finished run, whose record and adapter are whole."""
    there = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert {name for name in there if not name.startswith(LEAVINGS)} == files
    read_run(run)
    read_config(run / "adapter")


def error_of(call: Callable[[], None]) -> BaseException | None:
    try:
        call()
    except (Killed, LightuneError, OSError) as error:
        return error
    return None


def every_call(saving: Saving, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], set[str]]:
    """Return the calls of one saving, and the files that it leaves."""
    shutil.copytree(saving.unfinished, folder / "out.partial")
    disk = FailingDisk()
    with using(disk, monkeypatch):
        saving.finish(folder / "out")
    files = {path.relative_to(folder / "out").as_posix() for path in (folder / "out").rglob("*") if path.is_file()}
    assert {"results.json", "report.html", "README.md", "adapter/MANIFEST.json", "metrics.jsonl"} <= files
    assert not any(name.startswith(LEAVINGS) for name in files)
    return disk.calls, files


@pytest.mark.guarantee("A disk that fills, or a kill, while a finished run is saved leaves a run that can go on")
@pytest.mark.parametrize("kill", [False, True], ids=["full", "killed"])
@pytest.mark.parametrize("every", [pytest.param(7, id="some"), pytest.param(1, id="all", marks=pytest.mark.faults)])
def test_saving_a_finished_run_may_fail_at_every_call(
    saving: Saving,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kill: bool,
    every: int,
    record_property: Callable[..., None],
) -> None:
    calls, files = every_call(saving, tmp_path / "whole", monkeypatch)
    assert {"make", "write", "sync", "rename", "remove"} <= set(calls)
    places = range(1, len(calls) + 1, every)
    for at in places:
        run, told = tmp_path / f"{at}" / "out", f"call {at}, {calls[at - 1]}"
        shutil.copytree(saving.unfinished, run.with_name("out.partial"))
        with using(FailingDisk(at, kill), monkeypatch):
            failed = error_of(partial(saving.finish, run))
        assert isinstance(failed, Killed if kill else ResourceError | None), told
        if isinstance(failed, ResourceError):
            assert failed.exit_code == 6, told
            assert calls[at - 1] != "write" or "bytes are needed" in failed.message, told
            assert "lightune resume" in failed.hint, told
        if not run.exists():
            assert can_go_on(run.with_name("out.partial")), told
            saving.finish(run)
        require_finished(run, files)
        shutil.rmtree(run.parent)
    record_property("figure", f"{len(places)} of {len(calls)} calls {'killed' if kill else 'refused'}")


@pytest.mark.guarantee("A run that a full disk or a kill ended while it was saved is finished by `lightune resume`")
@pytest.mark.parametrize("every", [pytest.param(25, id="some"), pytest.param(3, id="many", marks=pytest.mark.faults)])
def test_resume_finishes_what_was_not_saved(
    saving: Saving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int, record_property: Callable[..., None]
) -> None:
    calls, files = every_call(saving, tmp_path / "whole", monkeypatch)
    done = 0
    for at in range(2, len(calls), every):
        for kill in (False, True):
            run = tmp_path / f"{at}-{kill}" / "out"
            shutil.copytree(saving.unfinished, run.with_name("out.partial"))
            with using(FailingDisk(at, kill), monkeypatch), suppress(Killed, ResourceError):
                saving.finish(run)
            if run.exists():
                with pytest.raises(RecipeError, match="is finished"):
                    lightune.resume(run)
            else:
                assert lightune.resume(run).training.resumed, f"call {at}, {calls[at - 1]}"
                done += 1
            require_finished(run, files)
            assert not [name for name in LEAVINGS if (run / name).exists()], "of a finished run"
    assert done
    record_property("figure", f"{done} runs resumed")


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.guarantee("The files of a run have the mode that the umask gives")
@pytest.mark.parametrize(("mask", "mode"), [(0o022, "0o644"), (0o077, "0o600"), (0o002, "0o664")])
def test_every_file_of_a_run_has_the_mode_that_the_umask_gives(
    saving: Saving, tmp_path: Path, mask: int, mode: str
) -> None:
    (tmp_path / "out.partial").mkdir()
    for name in ("recipe.yaml", "metrics.jsonl", "run.json"):
        shutil.copy(saving.unfinished / name, tmp_path / "out.partial")
    before = os.umask(mask)
    try:
        saving.finish(tmp_path / "out")
    finally:
        os.umask(before)
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and path.parent.name != "out"]
    files += [tmp_path / "out" / name for name in ("results.json", "report.html", "environment.json")]
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {mode}
    assert (tmp_path / "out" / "adapter").stat().st_mode & 0o777 == 0o777 & ~mask
