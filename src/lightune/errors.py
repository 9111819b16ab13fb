"""The errors of lightune: every error that a user can get has a stable code, an exit status and a next step."""

from __future__ import annotations

import errno
import reprlib
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

LONGEST_MISSPELT = 200  # letters of a name for which a similar one is looked for
# What Python, the system, torch's allocators and NVIDIA's libraries say.
OUT_OF_MEMORY = (
    "out of memory", "can't allocate memory", "cannot allocate memory", "bad_alloc", "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
)  # fmt: skip
# The errors of a full disk, or of a quota that is used up; Windows has numbers of its own beside the usual ones.
FULL = {errno.ENOSPC, errno.EDQUOT}
FULL_ON_WINDOWS = {39, 112}
# How libraries written in Rust, such as safetensors and the Hub's, say it.
SAID_FULL = tuple(f"(os error {number})" for number in FULL | (FULL_ON_WINDOWS if sys.platform == "win32" else set()))
MOST_LISTED = 1000  # entries of a folder among which a misspelt one is looked for


class LightuneError(Exception):
    """An error with a stable code, what is wrong, and what to do next.

    Subclasses set `exit_code`, the status with which the command line ends.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.code} {self.message}" + (f"\n{self.hint}" if self.hint else "")

    def __reduce__(self) -> tuple[Any, ...]:
        """Let an error pass from one process to another: subclasses take other arguments than Exception keeps."""
        return _remade, (type(self), self.args), self.__dict__


def _remade(kind: type[LightuneError], arguments: tuple[Any, ...]) -> LightuneError:
    return kind.__new__(kind, *arguments)


class RecipeError(LightuneError):
    """A recipe, a flag or an option that cannot be used."""

    exit_code = 2


class DataError(LightuneError):
    """Data that cannot be read or used."""

    exit_code = 3


class ArtifactError(LightuneError):
    """A saved adapter that is damaged, or a model it does not belong to."""

    exit_code = 4


class TrainingDivergedError(LightuneError):
    """A loss or gradient that is no longer a finite number."""

    exit_code = 5


class ResourceError(LightuneError):
    """Out of memory or out of disk."""

    exit_code = 6


class HubError(LightuneError):
    """The Hugging Face Hub cannot be reached, or refuses a request."""

    exit_code = 7


class InterruptedRunError(LightuneError):
    """The run was told to stop (SIGINT or SIGTERM) and did so after writing a checkpoint."""

    exit_code = 130

    def __init__(self, code: str, message: str, hint: str = "", signal_number: int = 2) -> None:
        super().__init__(code, message, hint)
        self.signal_number = signal_number


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error of Python, torch or the system means that memory ran out."""
    text = str(error).lower()
    said = any(words in text for words in OUT_OF_MEMORY)
    return said or isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def is_full(error: BaseException) -> bool:
    """Say whether an error of Python, of a library or of the system means that a disk is full."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in FULL or getattr(error, "winerror", None) in FULL_ON_WINDOWS
    return str(error).rstrip(".").endswith(SAID_FULL)


def did_you_mean(wrong: str, valid: Iterable[str]) -> str:
    """Return `Did you mean "x"?` for the closest valid name, or an empty string when nothing is close.

    Case, dashes and underscores are ignored.
    """
    if len(wrong) > LONGEST_MISSPELT:
        return ""
    names = _by_letters(valid)
    close = get_close_matches(_letters(wrong), list(names), n=1, cutoff=0.6)
    return f'Did you mean "{names[close[0]]}"?' if close else ""


def similar_path(path: Path, *others: Path) -> str:
    """Return `Did you mean "x"?` for a file or folder that lies where `path` would, or in one of the other folders.

    A name that ends as `path` does goes before others; "" when nothing is close, or the folder cannot be read.
    """
    found: dict[str, Path] = {}
    for place in (path.parent, *others):
        try:
            listed = sorted(islice(place.iterdir(), MOST_LISTED))
        except OSError:
            continue
        found |= {one.name.casefold(): one for one in listed if not one.name.startswith(".") and one != path}
    same_kind = {name: one for name, one in found.items() if one.suffix.casefold() == path.suffix.casefold()}
    for names in (same_kind, found):
        close = get_close_matches(path.name.casefold(), list(names), n=1, cutoff=0.6)
        if close:
            return f'Did you mean "{names[close[0]]}"?'
    return ""


def spelt_like(wrong: str, valid: Iterable[str]) -> str | None:
    """Return the valid name that differs only in case, dashes and underscores, if there is one."""
    return _by_letters(valid).get(_letters(wrong))


def _by_letters(names: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(_letters(name), name)
    return found


def _letters(name: str) -> str:
    folded = name.casefold()
    return folded.replace("-", "").replace("_", "") or folded


class _Short(reprlib.Repr):
    """Values as Python writes them, the long, deep and huge ones shortened."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 200
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = 20
        self.maxlevel = 3

    def repr_int(self, x: int, level: int) -> str:
        """Write a number, of more than a thousand bits only how many it has: Python refuses to write huge ones."""
        return repr(x) if x.bit_length() <= 1000 else f"a number of {x.bit_length():,} bits"


_SHORT = _Short()


def written(value: object) -> str:
    """Return a value that a user gave as Python writes it, shortened so that it fits into a message."""
    return _SHORT.repr(value)


def shortlist(names: Sequence[str], most: int) -> str:
    """Return the first names, and how many more there are: "a, b and 7 more"."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
