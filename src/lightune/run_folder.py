"""The run folder: created under a temporary name, so that it is complete or absent."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from lightune.durable import PARTIAL, disk, make_folder, remove_empty, room
from lightune.errors import InterruptedRunError, LightuneError, RecipeError, ResourceError, similar_path
from lightune.links import is_link, require_no_link, require_no_links

CHECKPOINTS = "checkpoints"
STATE_FILE = "run.json"  # what the run depends on, with paths of this disk
# What only an unfinished run needs; it goes once the folder has its final name.
LEAVINGS = (CHECKPOINTS, STATE_FILE)
LOCK_FILE = ".lock"  # held by the process that works in the folder; the system frees it when that ends
# What a run writes before it can be gone on with, apart from files that are not whole.
EARLY = {LOCK_FILE, "recipe.yaml"}
# Windows gives these names to devices, whatever the ending and the case.
RESERVED = {"con", "prn", "aux", "nul", *(f"{name}{number}" for name in ("com", "lpt") for number in range(10))}
LONGEST_NAME = 255 - len(PARTIAL)
LONGEST_WINDOWS_PATH = 259
# The longest path inside a run folder: a file of a checkpoint, while it is written.
LONGEST_INSIDE = "checkpoints/.step-000000-epoch-000.partial/.parameters.safetensors.partial"


class RunFolder:
    """A context that yields the folder to work in and renames it to its final name when it is complete.

    An error removes the unfinished folder, unless `keeps` says that a run can go on from what is in it; an interruption
    keeps it in any case. Only one process at a time works in it.
    """

    def __init__(
        self, name: str, output: Path | str | None = None, keeps: Callable[[Path], bool] = lambda folder: False
    ) -> None:
        self.final = _named(Path(output)) if output is not None else _next_free(Path("runs"), name)
        _require_portable(self.final)
        self.working = self.final.with_name(self.final.name + PARTIAL)
        self._keeps, self._is_new, self._new_parents = keeps, True, list[Path]()
        self._lock = FileLock(self.working / LOCK_FILE)
        if output is not None:
            _require_new(self.final, self.working)

    @classmethod
    def of_unfinished(cls, name: Path, keeps: Callable[[Path], bool] = lambda folder: False) -> RunFolder:
        """Return the folder of a run that was interrupted, by its name, with or without .partial.

        Raises RecipeError where there is none.
        """
        named = _named(name)
        final = named.with_name(named.name.removesuffix(PARTIAL))
        working = final.with_name(final.name + PARTIAL)
        if not working.is_dir():
            is_whole = final.is_dir() and any(final.iterdir())
            drop_leavings(final)  # of a process that ended right after it gave the name
            text = "is finished, there is nothing to go on with" if is_whole else "there is no unfinished run"
            hint = f"Show it: lightune report {final}" if is_whole else similar_path(working) or similar_path(final)
            raise RecipeError("RECIPE-066", f"{final}: {text}.", hint or "Unfinished runs end in .partial.")
        require_no_links(working)
        found = cls(final.name, final, keeps)
        found._is_new = False
        return found

    def __enter__(self) -> RunFolder:
        """Create the working folder, which also reserves the name, or take the unfinished one."""
        if self._is_new:
            self._create()
        self._take()
        return self

    @contextmanager
    def untouched(self) -> Iterator[None]:
        """Say with which command an unfinished run goes on, where an error comes up before anything in it changes."""
        try:
            yield
        except LightuneError as error:
            if self._keeps(self.working):
                self._say_how_to_go_on(error)
            raise

    def _take(self) -> None:
        require_no_links(self.working)
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            hint = "Wait for it, or choose another --output."
            raise RecipeError("RECIPE-061", f"{self.working}: another process is writing there.", hint) from error

    def _create(self) -> None:
        self._new_parents = [parent for parent in self.working.parents if not parent.exists()]
        try:
            make_folder(self.working.parent)
            with room(self.working):
                disk.make(self.working)
                disk.sync(self.working.parent)
        except OSError as error:
            if not self.working.is_dir():
                raise ResourceError("DISK-001", f"{self.working}: cannot be created ({error.strerror}).") from error
            self._require_begun_only()

    def _require_begun_only(self) -> None:
        """Refuse a folder that is there, unless a process was killed in it before anything could be trained."""
        self._take()  # says so where a process is working there
        found = {entry.name for entry in self.working.iterdir()}
        self._lock.release()
        if not all(name in EARLY or (name.startswith(".") and name.endswith(PARTIAL)) for name in found):
            hint = f"Go on with it: lightune resume {shlex.quote(str(self.final))}; or choose another --output."
            raise RecipeError("RECIPE-061", f"{self.working}: an unfinished run is there.", hint)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Rename on success, leave what a run can go on from, remove the rest."""
        try:
            if error is not None:
                self._leave(error)
                return
            try:
                self._finish()
            except BaseException as failed:
                self._leave(failed)
                raise
        finally:
            self._lock.release()

    def _finish(self) -> None:
        """Give the folder its final name, and only then remove what an unfinished run goes on from."""
        with room(self.final):
            self._drop_lock()
            remove_empty(self.final)
            disk.sync(self.working)
            disk.rename(self.working, self.final)
        with suppress(OSError):  # the run is finished now, whatever comes
            disk.sync(self.final.parent)
        drop_leavings(self.final)

    def _leave(self, error: BaseException) -> None:
        keeps = isinstance(error, InterruptedRunError) or self._keeps(self.working)
        self._drop_lock()
        if keeps:
            self._say_how_to_go_on(error)
            return
        if not self._is_new:  # what was there before, damaged or not, is not ours to remove
            return
        disk.remove(self.working)
        for parent in self._new_parents:
            remove_empty(parent)

    def _drop_lock(self) -> None:
        if sys.platform == "win32":  # where an open file keeps its folder from being renamed
            self._lock.release()
        disk.remove(self.working / LOCK_FILE)

    def _say_how_to_go_on(self, error: BaseException) -> None:
        """Say that the folder was kept, and with which command it goes on."""
        command = f"lightune resume {shlex.quote(str(self.final))}"
        if isinstance(error, LightuneError):
            if command not in error.hint:
                error.hint = (
                    f"{error.hint}\nThe last checkpoint is kept. Once that is mended, go on from it: {command}".lstrip(
                        "\n"
                    )
                )
            return
        if isinstance(error, Exception):  # of another kind than lightune's own: its message stays the message
            error.add_note(f"The last checkpoint is kept. Go on from it: {command}")
            return
        number = signal.SIGINT if isinstance(error, KeyboardInterrupt) else signal.SIGTERM
        message = "interrupted; the last checkpoint is kept."
        raise InterruptedRunError("RUN-002", message, f"Go on from it: {command}", signal_number=number) from error


def drop_leavings(folder: Path) -> None:
    """Remove from a finished run folder what only an unfinished one needs, if it is there."""
    with suppress(OSError):  # it only takes up room
        for name in LEAVINGS:
            if (folder / name).exists():
                require_no_link(folder)
                disk.remove(folder / name)


def _named(folder: Path) -> Path:
    """Return the path in a form that ends in a name, also for `.`: the working folder is beside it."""
    return folder if folder.name not in {"", ".."} else folder.resolve()


def _require_portable(folder: Path) -> None:
    """Refuse a name that is not valid on other systems: run folders are shared."""
    name = folder.name
    fault = ""
    if name.partition(".")[0].strip().lower() in RESERVED:
        fault = "Windows reserves this name for a device"
    elif name.endswith((".", " ")):
        fault = "Windows drops a dot or a space at the end"
    elif len(os.fsencode(name)) > LONGEST_NAME:
        fault = f"the name is longer than {LONGEST_NAME} bytes"
    elif sys.platform == "win32" and len(f"{folder.resolve()}{PARTIAL}/{LONGEST_INSIDE}") > LONGEST_WINDOWS_PATH:
        fault = f"files in it would have paths of more than {LONGEST_WINDOWS_PATH} characters"
    if fault:
        shown = name if len(name) <= 60 else f"{name[:60]}..."
        hint = "Choose another --output (or another name in the recipe)."
        raise RecipeError("RECIPE-063", f"{shown!r} cannot be a run folder: {fault}.", hint)


def _next_free(parent: Path, name: str) -> Path:
    number = 1
    while (parent / f"{name}-{number}").exists() or (parent / f"{name}-{number}{PARTIAL}").exists():
        number += 1
    return parent / f"{name}-{number}"


def _require_new(folder: Path, working: Path) -> None:
    try:
        taken = folder.exists()
    except OSError as error:  # a name in the path is too long
        message = f"--output: this path cannot be used ({error.strerror})."
        raise RecipeError("RECIPE-063", message, "Choose a shorter one.") from error
    for place in filter(is_link, (folder, working)):
        hint = "Nothing is written through one. Give the folder that it points to, or another --output."
        raise RecipeError("RECIPE-110", f"{place}: this is a symbolic link.", hint)
    if taken and not folder.is_dir():
        hint = "A run is written into a folder. Choose another name for --output."
        raise RecipeError("RECIPE-060", f"{folder}: this is a file.", hint)
    if taken and any(folder.iterdir()):
        hint = "Nothing is ever overwritten. Choose another --output, a new or an empty folder."
        raise RecipeError("RECIPE-060", f"{folder}: already exists and is not empty.", hint)
