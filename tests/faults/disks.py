"""Disks for tests: one that fails or ends the process at a call, one that knows what a power cut would leave."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightune.durable import Disk

KINDS = ("make", "write", "append", "settle", "sync", "rename", "remove")


class Killed(BaseException):
    """What stands for the end of the process: nothing may be tidied up after it, since nothing could be."""


class FailingDisk(Disk):
    """Counts the calls; at call `at` (from 1) it raises, in the middle of a write if it is one.

    With `kill` all further calls raise too, as a process that is gone makes none.
    """

    def __init__(self, at: int = 0, kill: bool = False) -> None:
        self.calls: list[str] = []
        self._at, self._kill = at, kill

    def _count(self, kind: str) -> bool:
        self.calls.append(kind)
        reached = len(self.calls)
        if self._kill and self._at and reached > self._at:
            raise Killed
        return reached == self._at

    def _end(self) -> BaseException:
        return Killed() if self._kill else OSError(errno.ENOSPC, "No space left on device")

    def make(self, folder: Path) -> None:
        if self._count("make"):
            raise self._end()
        super().make(folder)

    def write(self, path: Path, parts: Iterable[bytes | memoryview]) -> None:
        if not self._count("write"):
            super().write(path, parts)
            return
        whole = b"".join(map(bytes, parts))
        path.write_bytes(whole[: len(whole) // 2])
        raise self._end()

    def append(self, path: Path, content: bytes) -> None:
        if not self._count("append"):
            super().append(path, content)
            return
        super().append(path, content[: len(content) // 2])
        raise self._end()

    def settle(self, path: Path) -> None:
        if self._count("settle"):
            raise self._end()
        super().settle(path)

    def sync(self, folder: Path) -> None:
        if self._count("sync"):
            raise self._end()
        super().sync(folder)

    def rename(self, old: Path, new: Path) -> None:
        if self._count("rename"):
            raise self._end()
        super().rename(old, new)

    def remove(self, path: Path) -> None:
        if self._count("remove"):
            raise self._end()
        super().remove(path)


@dataclass
class Entry:
    """A file with its bytes, or a folder with its entries: as they are, and as they surely are on disk."""

    content: bytes | None = None
    now: dict[str, Entry] = field(default_factory=dict)
    sure: dict[str, Entry] = field(default_factory=dict)


class Recorder(Disk):
    """Does the calls below a folder, and keeps them for `after_power_cut`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls: list[tuple[Any, ...]] = []

    def make(self, folder: Path) -> None:
        self.calls.append(("make", folder))
        super().make(folder)

    def write(self, path: Path, parts: Iterable[bytes | memoryview]) -> None:
        content = b"".join(map(bytes, parts))
        self.calls.append(("write", path, content))
        super().write(path, [content])

    def append(self, path: Path, content: bytes) -> None:
        self.calls.append(("append", path, content))
        super().append(path, content)

    def settle(self, path: Path) -> None:
        super().settle(path)
        self.calls.append(("write", path, path.read_bytes()))  # its bytes are on disk only now

    def sync(self, folder: Path) -> None:
        self.calls.append(("sync", folder))
        super().sync(folder)

    def rename(self, old: Path, new: Path) -> None:
        self.calls.append(("rename", old, new))
        super().rename(old, new)

    def remove(self, path: Path) -> None:
        self.calls.append(("remove", path))
        super().remove(path)

    def after_power_cut(self, cut: int, target: Path) -> None:
        """Write below `target` what is surely on disk if the power fails after so many calls.

        The bytes of a file are on disk when `write` returns; a name in a folder is when that folder is synced.
        """
        top = Entry()
        for kind, path, *more in self.calls[:cut]:
            if kind == "make":
                self._folder(top, path)
            elif kind == "write":
                self._folder(top, path.parent).now[path.name] = Entry(more[0])
            elif kind == "append":  # no call says that it is on disk
                pass
            elif kind == "sync":
                folder = self._folder(top, path)
                folder.sure = dict(folder.now)
            elif kind == "rename":
                moved = self._folder(top, path.parent).now.pop(path.name)
                self._folder(top, more[0].parent).now[more[0].name] = moved
            else:
                self._folder(top, path.parent).now.pop(path.name, None)
        _put(top, target)

    def _folder(self, top: Entry, path: Path) -> Entry:
        found = top
        for part in path.relative_to(self.root).parts:
            found = found.now.setdefault(part, Entry())
        return found


def _put(folder: Entry, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name, entry in folder.sure.items():
        if entry.content is None:
            _put(entry, target / name)
        else:
            (target / name).write_bytes(entry.content)
