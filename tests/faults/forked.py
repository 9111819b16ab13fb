"""Running the command line in a forked child: what it says, its seconds, and by how many bytes it grew.

python tests/faults/forked.py    # the process that forks, which has everything imported
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from hostile_files import CASES, Build
from mutations import VALID

from lightune.cli.main import main
from lightune.models import embedded

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


def ask(server: subprocess.Popen[str], name: str, folder: Path) -> Outcome:
    """Let the server make the case of this name in a folder, and run its command."""
    assert server.stdin
    assert server.stdout
    print(json.dumps([name, str(folder)]), file=server.stdin, flush=True)
    return Outcome(**json.loads(server.stdout.readline()))


def serve() -> None:
    """Answer each line of the standard input, a name and a folder, with an Outcome in JSON.

    What this process has used is only what reading data needs: a fork of one that has trained may wait for threads that
    the child does not have.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        name, folder = json.loads(line)
        build = CASES[name][0]
        (Path(folder) / "given").mkdir()
        answer = Path(folder) / "answer.json"
        print(json.dumps(asdict(_found(build, Path(folder), answer))), file=answers, flush=True)


def _found(build: Build, folder: Path, answer: Path) -> Outcome:
    """Make a case and run its command, each in a child: what the first allocates is no memory that the other has."""
    _in_child(lambda: answer.write_text(json.dumps(build(folder / "given", folder / "canary")), encoding="utf-8"))
    arguments = json.loads(answer.read_bytes())
    answer.unlink()
    status = _in_child(lambda: _run(arguments, answer))
    if not answer.is_file():
        return Outcome(-1, f"killed by {status}", MOST_SECONDS, MOST_BYTES)
    return Outcome(**json.loads(answer.read_bytes()))


def _in_child(work: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1]


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


def import_everything() -> None:
    """Read one file of each kind, and hash the embedded model once, so that no child has to."""
    found = embedded.folder()
    embedded.folder = lambda: found
    with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(sys.stderr):
        for number, (kind, content) in enumerate(VALID):
            path = Path(place) / f"{number}.{kind}"
            path.write_bytes(content)
            assert main(["check", str(path)]) in {0, 3}


if __name__ == "__main__":
    import_everything()
    serve()
