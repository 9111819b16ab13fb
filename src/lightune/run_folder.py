"""The run folder: made under a temporary name, and whole or not there at all."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from lightune.errors import InterruptedRunError, RecipeError, ResourceError

PARTIAL = ".partial"


class RunFolder:
    """A context that yields the folder to work in and gives it its real name once everything is there.

    An error takes the unfinished folder away; an interruption leaves it, since it holds a checkpoint.
    """

    def __init__(self, name: str, output: Path | str | None = None) -> None:
        self.final = _named(Path(output)) if output is not None else _next_free(Path("runs"), name)
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
            raise RecipeError("RECIPE-061", f"{self.working}: is there already.", hint) from error
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
            with suppress(OSError):  # another run may have moved in meanwhile
                for parent in self._new_parents:
                    parent.rmdir()


def _named(folder: Path) -> Path:
    """Return the path in a form that ends in a name: the working folder stands beside it, also beside `.`."""
    return folder if folder.name not in {"", ".."} else folder.resolve()


def _next_free(parent: Path, name: str) -> Path:
    number = 1
    while (parent / f"{name}-{number}").exists() or (parent / f"{name}-{number}{PARTIAL}").exists():
        number += 1
    return parent / f"{name}-{number}"


def _require_new(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        hint = "A run folder is never overwritten. Choose another --output, or remove it."
        raise RecipeError("RECIPE-060", f"{folder}: is there already and not empty.", hint)
