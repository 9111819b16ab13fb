"""The run folder: created under a temporary name, so that it is complete or absent."""

from __future__ import annotations

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from lightune.errors import InterruptedRunError, RecipeError, ResourceError

PARTIAL = ".partial"
# Windows gives these names to devices, whatever the ending and the case.
RESERVED = {"con", "prn", "aux", "nul", *(f"{name}{number}" for name in ("com", "lpt") for number in range(10))}
LONGEST_NAME = 255 - len(PARTIAL)
LONGEST_WINDOWS_PATH = 259
# The longest path inside a run folder: the working folder of a checkpoint, while training.
ROOM_INSIDE = len("/checkpoints/.step-000000.partial/optimizer.safetensors")


class RunFolder:
    """A context that yields the folder to work in and renames it to its final name when it is complete.

    An error removes the unfinished folder; an interruption keeps it, since it holds a checkpoint.
    """

    def __init__(self, name: str, output: Path | str | None = None) -> None:
        self.final = _named(Path(output)) if output is not None else _next_free(Path("runs"), name)
        _require_portable(self.final)
        self.working = self.final.with_name(self.final.name + PARTIAL)
        if output is not None:
            _require_new(self.final)

    def __enter__(self) -> RunFolder:
        """Create the working folder; it is also the reservation of the name."""
        self._new_parents = [parent for parent in self.working.parents if not parent.exists()]
        try:
            self.working.mkdir(parents=True)
        except FileExistsError as error:
            hint = f"Another run is writing there, or one was interrupted. Remove {self.working} or choose another."
            raise RecipeError("RECIPE-061", f"{self.working}: already exists.", hint) from error
        except OSError as error:
            raise ResourceError("DISK-001", f"{self.working}: cannot be created ({error.strerror}).") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Rename on success, remove on failure, leave on interruption."""
        if error is None:
            if self.final.is_dir():
                self.final.rmdir()
            self.working.rename(self.final)
        elif not isinstance(error, InterruptedRunError):
            shutil.rmtree(self.working, ignore_errors=True)
            with suppress(OSError):  # another run may be using them meanwhile
                for parent in self._new_parents:
                    parent.rmdir()


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
    elif sys.platform == "win32" and len(str(folder.resolve())) + len(PARTIAL) + ROOM_INSIDE > LONGEST_WINDOWS_PATH:
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


def _require_new(folder: Path) -> None:
    try:
        taken = folder.exists()
    except OSError as error:  # a name in the path is too long
        message = f"--output: this path cannot be used ({error.strerror})."
        raise RecipeError("RECIPE-063", message, "Choose a shorter one.") from error
    if taken and not folder.is_dir():
        hint = "A run is written into a folder. Choose another name for --output."
        raise RecipeError("RECIPE-060", f"{folder}: this is a file.", hint)
    if taken and any(folder.iterdir()):
        hint = "Nothing is ever overwritten. Choose another --output, a new or an empty folder."
        raise RecipeError("RECIPE-060", f"{folder}: already exists and is not empty.", hint)
