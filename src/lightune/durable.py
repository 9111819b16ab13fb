"""The only module that writes checkpoints, adapters, run folders and answers, each whole or not at all.

Everything goes through seven calls (make, write, append, settle, sync, rename, remove), so that a test can record,
fail and replay them. None of them follows a symbolic link: what is written lands where its name says.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lightune.errors import ResourceError, is_full
from lightune.links import is_link, require_no_link

PARTIAL = ".partial"
UNKNOWN = sys.maxsize  # bytes: room for everything, until a write fails
# Neither Windows has the first nor others the second.
NO_LINKS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
MODE = 0o666  # less what the umask takes


class Disk:
    """The calls themselves; a test puts another object in the place of `disk`.

    A log stays open, since a run adds to it at every step, until its training ends or another file beside it or its
    folder is changed.
    """

    def make(self, folder: Path) -> None:
        """Create a folder in one that exists."""
        folder.mkdir()

    def write(self, path: Path, parts: Iterable[bytes | memoryview]) -> None:
        """Write a new file and wait until its bytes are on disk; its mode is the one that the umask gives.

        A leaving of this name goes first; if that was a link, then the link and not what it points to.
        """
        _close_logs(path)
        path.unlink(missing_ok=True)
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINKS, MODE)
        with os.fdopen(number, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())

    def append(self, path: Path, content: bytes) -> None:
        """Add to the end of a log, which may end in a part of it if the process ends meanwhile."""
        if path not in _logs:
            _logs[path] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | NO_LINKS, MODE)
        left = memoryview(content)
        while left:
            left = left[os.write(_logs[path], left) :]

    def settle(self, path: Path) -> None:
        """Wait until the bytes of a file that a library wrote are on disk, and give it the mode of our own files."""
        number = os.open(path, os.O_RDWR | NO_LINKS)
        try:
            if hasattr(os, "fchmod"):
                mask = os.umask(0o077)  # there is no other way to ask for it
                os.umask(mask)
                os.fchmod(number, MODE & ~mask)
            os.fsync(number)
        finally:
            os.close(number)

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
        _close_logs(old)
        old.replace(new)

    def remove(self, path: Path) -> None:
        """Remove a file or a folder with all that is in it, if it is there; of a link only the link."""
        _close_logs(path)
        if path.is_dir() and not is_link(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


disk = Disk()
_logs: dict[Path, int] = {}  # those that are open


def _close_logs(changed: Path) -> None:
    for path in list(_logs):
        if path.parent == changed.parent or path.is_relative_to(changed):
            close_log(path)


def write_file(
    path: Path,
    content: bytes | Iterable[bytes | memoryview],
    size: int | None = None,
    anywhere: bool = False,
) -> None:
    """Write a file through a temporary sibling: afterwards it has this content, or what it had before.

    The folder must be no link, unless a user named it and it may be `anywhere`. Raises ResourceError, with the bytes
    that are needed, where the disk is full, ArtifactError where there is a link.
    """
    for one in (path,) if anywhere else (path, path.parent):
        require_no_link(one)
    parts = [content] if isinstance(content, bytes) else content
    needed = len(content) if isinstance(content, bytes) else size
    partial = _partial(path)
    with room(path, needed):
        with _tidied(partial):
            disk.write(partial, parts)
            disk.rename(partial, path)
        disk.sync(path.parent)


def append_to(path: Path, content: bytes) -> None:
    """Add to the end of a log; a reader has to pass over a last line that was cut off.

    Raises ResourceError where the disk is full, ArtifactError where there is a link.
    """
    if path not in _logs:
        for one in (path, path.parent):
            require_no_link(one)
    with room(path):  # it is asked only where that fails
        disk.append(path, content)


def close_log(path: Path) -> None:
    """Close a log that nothing more is added to, if it is open."""
    if path in _logs:
        os.close(_logs.pop(path))


def make_folder(folder: Path) -> None:
    """Create a folder, with those above it, so that their names stay if the power fails."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    disk.make(folder)
    disk.sync(folder.parent)


def try_file(path: Path) -> None:
    """Raise OSError where no file of this name can be made; nothing is left."""
    partial = _partial(path)
    disk.write(partial, [])
    disk.remove(partial)


def remove_empty(folder: Path) -> None:
    """Remove a folder if it is there and nothing is in it."""
    with suppress(OSError):
        folder.rmdir()


@contextmanager
def new_folder(folder: Path, needed: int | None = None) -> Iterator[Path]:
    """Yield a temporary sibling to write into, and give it the folder's name at the end: it is whole or absent.

    Raises FileExistsError where something has that name, ResourceError where the disk is full, ArtifactError where the
    folder around it is a link.
    """
    if folder.exists() or is_link(folder):
        raise FileExistsError(errno.EEXIST, "already exists", str(folder))
    require_no_link(folder.parent)
    partial = _partial(folder)
    with room(folder, needed):
        make_folder(folder.parent)
        disk.remove(partial)
        disk.make(partial)
        with _tidied(partial):
            yield partial
            disk.sync(partial)
            disk.rename(partial, folder)
        disk.sync(folder.parent)


@contextmanager
def library_files(folder: Path, needed: int | None = None) -> Iterator[Path]:
    """Yield a temporary folder for a library that only writes by itself; then move its files into `folder`.

    They so have the umask's mode and are on disk, and none is ever there twice. Raises ResourceError where the disk is
    full.
    """
    require_no_link(folder)
    make_folder(folder)
    with room(folder / "files", needed):
        theirs = Path(tempfile.mkdtemp(prefix=".library-", dir=folder))
        with _tidied(theirs):
            yield theirs
            for path in sorted(path for path in theirs.rglob("*") if path.is_file()):
                _take_over(path, folder / path.relative_to(theirs))
        disk.remove(theirs)
        disk.sync(folder)


def _take_over(path: Path, target: Path) -> None:
    make_folder(target.parent)
    for one in (target, target.parent):
        require_no_link(one)
    disk.settle(path)
    disk.rename(path, target)
    disk.sync(target.parent)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}{PARTIAL}")


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
def room(path: Path, needed: int | None = None) -> Iterator[None]:
    """Raise ResourceError where the disk has no room for so many bytes, before writing or when that fails."""
    if needed is not None and free_bytes(path) < needed:
        raise _full(path, needed)
    try:
        yield
    except Exception as error:
        if not is_full(error):
            raise
        raise _full(path, needed) from error


def free_bytes(path: Path) -> int:
    """Return the bytes that are free where a path is or will be; `UNKNOWN` on a file system that reports no size."""
    place = next((one for one in (path, *path.parents) if one.is_dir()), Path())
    try:
        found = shutil.disk_usage(place)
    except OSError:  # some network and FUSE file systems do not answer, others say that they have no bytes at all
        return UNKNOWN
    return found.free if found.total else UNKNOWN


def _full(path: Path, needed: int | None) -> ResourceError:
    wanted = "" if needed is None else f" {needed:,} bytes are needed, and"
    free = free_bytes(path)
    left = "how many are free is not known" if free == UNKNOWN else f"{free:,} are free"
    message = f"{path}: the disk is full:{wanted} {left}."
    return ResourceError("DISK-006", message, "Free some space there, and go on.")
