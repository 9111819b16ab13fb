"""A disk that kills its own process at a drawn call, or after a step; nothing can be tidied up after that."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from lightune import durable
from lightune.durable import Disk

KINDS = tuple(name for name in vars(Disk) if not name.startswith("_"))
HAVE_PARTS = {"write", "append", "remove"}  # the others happen, or do not


@dataclass(frozen=True)
class Kill:
    """Where to kill: before, within or after call number `number` (from 1) of this kind, or after a step."""

    kind: str
    number: int
    moment: str = "after"

    @classmethod
    def drawn(cls, kind: str, calls: int, draw: random.Random) -> Kill:
        """Return one of so many calls of a kind, and a moment that it has."""
        moments = ["before", "after", *(["within"] if kind in HAVE_PARTS else [])]
        return cls(kind, draw.randint(1, calls), draw.choice(moments))

    def now(self, note: Path) -> None:
        """Note what was hit, and end the process as `kill -9` does."""
        note.write_text(json.dumps(asdict(self)), encoding="utf-8")
        os.kill(os.getpid(), signal.SIGKILL)


def count_calls(counts: dict[str, int]) -> None:
    """Let the one disk count its calls by kind from now on."""
    counts.update(dict.fromkeys(KINDS, 0))

    def counted(kind: str) -> Callable[..., None]:
        plain = getattr(Disk, kind)

        def call(self: Disk, *arguments: Any) -> None:
            counts[kind] += 1
            plain(self, *arguments)

        return call

    durable.disk.__class__ = type("Counting", (Disk,), {kind: counted(kind) for kind in KINDS})


def kill_at_call(kill: Kill, note: Path) -> None:
    """Let the one disk kill the process at this call; "within" a write or a removal it is half done."""
    plain, done = getattr(Disk, kill.kind), 0

    def call(self: Disk, *arguments: Any) -> None:
        nonlocal done
        done += 1
        if done != kill.number:
            plain(self, *arguments)
            return
        if kill.moment == "within":
            _half(kill.kind, arguments)
        if kill.moment == "after":
            plain(self, *arguments)
        kill.now(note)

    durable.disk.__class__ = type("Killing", (Disk,), {kill.kind: call})


def _half(kind: str, arguments: tuple[Any, ...]) -> None:
    """Do half of a call that has parts."""
    path: Path = arguments[0]
    if kind == "write":
        _write_half(path, arguments[1])
    elif kind == "append":
        with path.open("ab") as log:
            log.write(arguments[1][: len(arguments[1]) // 2])
    elif kind == "remove" and path.is_dir():
        for entry in islice(path.iterdir(), 1):
            entry.unlink() if entry.is_file() else None


def _write_half(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    content = bytes(chain.from_iterable(parts))
    path.write_bytes(content[: len(content) // 2])
