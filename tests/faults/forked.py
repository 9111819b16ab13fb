"""Running the command line in a forked child: what it says, its seconds, and by how many bytes it grew."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from lightune.cli.main import main

GIGABYTE = 1_000_000_000
SECONDS = 5.0
# Where a bomb ends, so that it cannot take this machine down; the promise is a gigabyte.
MOST_BYTES, MOST_SECONDS = 3 * GIGABYTE, 20


@dataclass(frozen=True)
class Outcome:
    """How a command ended; `status` is -1 where the child was killed."""

    status: int
    said: str
    seconds: float
    grown: int


def made(build: Callable[[], list[str]], answer: Path) -> list[str]:
    """Call a function in a child and return what it returns: what it allocates is no memory that a later child has."""
    child = os.fork()
    if child == 0:
        try:
            answer.write_text(json.dumps(build()), encoding="utf-8")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    found: list[str] = json.loads(answer.read_text(encoding="utf-8"))
    answer.unlink()
    return found


def forked(arguments: Sequence[str], answer: Path) -> Outcome:
    """Run a command in a child that has everything imported; `answer` is a file to write. It reaches no network."""
    child = os.fork()
    if child == 0:
        try:
            _run(arguments, answer)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    if not answer.is_file():
        return Outcome(-1, f"killed by {status}", MOST_SECONDS, MOST_BYTES)
    found = Outcome(**json.loads(answer.read_text(encoding="utf-8")))
    answer.unlink()
    return found


def _run(arguments: Sequence[str], answer: Path) -> None:
    held = psutil.Process().memory_info()
    resource.setrlimit(resource.RLIMIT_AS, (held.vms + MOST_BYTES, held.vms + MOST_BYTES))
    signal.alarm(MOST_SECONDS)

    def refused(*given: object, **named: object) -> None:
        raise AssertionError("a socket was opened")

    socket.socket = refused  # type: ignore[misc, assignment]
    out, said = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    begun = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
        status = main(list(arguments))
    # The shorter of both clocks: a shared machine may stall, and a child may wait.
    seconds = min(time.perf_counter() - begun[0], time.process_time() - begun[1])
    for stream in (out, said):
        stream.seek(0)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - held.rss
    told = {"status": status, "said": (out.read() + said.read())[:20_000], "seconds": seconds, "grown": grown}
    answer.write_text(json.dumps(told), encoding="utf-8")
