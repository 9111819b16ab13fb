"""A process that is given hostile folders, one after the other, and says what came of each: a line of JSON."""

from __future__ import annotations

import contextlib
import io
import json
import resource
import sys
import time
from typing import Any


def peak() -> float:
    """Return the peak memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Read cases from stdin: lines with the name of a case and arguments of the command line."""
    import peft  # noqa: F401
    import torch  # noqa: F401

    from lightune.cli.main import main as lightune

    warm = json.loads(sys.stdin.readline())
    outcome(lightune, warm)
    for line in sys.stdin:
        print(json.dumps(outcome(lightune, json.loads(line))), flush=True)


def outcome(lightune: Any, case: Any) -> dict[str, Any]:
    """Return the exit status, what was said, the seconds and the growth of the peak memory in MB."""
    before, began, said = peak(), time.perf_counter(), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        status = lightune(case["arguments"])
    seconds = time.perf_counter() - began
    return {"name": case["name"], "status": status, "said": said.getvalue(), "seconds": seconds, "mb": peak() - before}


if __name__ == "__main__":
    main()
