"""The only module that writes checkpoints, adapters and run folders, each whole or not at all.

Everything goes through five calls (make, write, sync, rename, remove), so that a test can record, fail and replay them.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lightune.errors import ResourceError

PARTIAL = ".partial"
FULL = {errno.ENOSPC, errno.EDQUOT}


class Disk:
    """The calls themselves; a test puts another object in the place of `disk`."""

    def make(self, folder: Path) -> None:
        """Create a folder in one that exists."""
        folder.mkdir()

    def write(self, path: Path, parts: Iterable[bytes | memoryview]) -> None:
        """Write a file and wait until its bytes are on disk; its mode is the one that the umask gives."""
        with path.open("wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())

    def sync(self, folder: Path) -> None:
        """Wait until the entries of a folder are on disk; skipped where folders cannot be opened (Windows)."""
        with suppress(OSError):
            number = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(number)
            finally:
                os.close(number)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file or folder another name, in the place of what has that name, where the system can do that."""
        old.replace(new)

    def remove(self, path: Path) -> None:
        """Remove a file or a folder with all that is in it, if it is there."""
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


disk = Disk()


def write_file(path: Path, content: bytes | Iterable[bytes | memoryview], size: int | None = None) -> None:
    """Write a file through a temporary sibling: afterwards it has this content, or what it had before.

    Raises ResourceError, with the bytes that are needed, where the disk is full.
    """
    parts = [content] if isinstance(content, bytes) else content
    needed = len(content) if isinstance(content, bytes) else size
    partial = path.with_name(f".{path.name}{PARTIAL}")
    with _room(path, needed):
        with _tidied(partial):
            disk.write(partial, parts)
            disk.rename(partial, path)
        disk.sync(path.parent)


def make_folder(folder: Path) -> None:
    """Create a folder, with those above it, so that their names stay if the power fails."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    disk.make(folder)
    disk.sync(folder.parent)


@contextmanager
def new_folder(folder: Path, needed: int | None = None) -> Iterator[Path]:
    """Yield a temporary sibling to write into, and give it the folder's name at the end: it is whole or absent.

    Raises FileExistsError where something has that name, ResourceError where the disk is full.
    """
    if folder.exists():
        raise FileExistsError(errno.EEXIST, "already exists", str(folder))
    partial = folder.with_name(f".{folder.name}{PARTIAL}")
    with _room(folder, needed):
        make_folder(folder.parent)
        disk.remove(partial)
        disk.make(partial)
        with _tidied(partial):
            yield partial
            disk.sync(partial)
            disk.rename(partial, folder)
        disk.sync(folder.parent)


@contextmanager
def _tidied(partial: Path) -> Iterator[None]:
    """Remove what is unfinished if it does not get its name."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            disk.remove(partial)
        raise


@contextmanager
def _room(path: Path, needed: int | None) -> Iterator[None]:
    """Raise ResourceError where the disk has no room for so many bytes, before writing or when that fails."""
    if needed is not None and free_bytes(path) < needed:
        raise _full(path, needed)
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise _full(path, needed) from error


def free_bytes(path: Path) -> int:
    """Return the bytes that are free where a path is or will be."""
    place = next((one for one in (path, *path.parents) if one.is_dir()), Path())
    return shutil.disk_usage(place).free


def _full(path: Path, needed: int | None) -> ResourceError:
    wanted = "" if needed is None else f" {needed:,} bytes are needed, and"
    message = f"{path}: the disk is full:{wanted} {free_bytes(path):,} are free."
    return ResourceError("DISK-006", message, "Free some space there, and go on.")
