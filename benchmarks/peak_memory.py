"""Peak memory of training above what the imports take, against the Trainer with batches padded to their longest.

python -m benchmarks.peak_memory [--texts FILE] [--json]

Each arm runs in a process of its own, forked after the imports, and its peak is what the system counted. Linux only.
"""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measuring import Row, load_texts, parser, show
from benchmarks.training import BATCH, ours, peer, ready

MEGABYTE = 2**20


def main() -> None:
    """Measure LoRA on query and value."""
    found = parser(__doc__, rounds=3)
    found.add_argument("--model", choices=["minilm", "distilbert"], action="append")
    found.add_argument("--steps", type=int, default=6, help="batches of 16")
    given = found.parse_args()
    rows = []
    for model in given.model or ["minilm", "distilbert"]:
        source, texts, labels = load_texts(given.texts, given.steps * BATCH)
        arms: dict[str, Callable[..., Callable[[], float]]] = {
            "Trainer, padded to the longest of a batch": peer,
            "lightune, exact fp32": ours,
            "lightune, precision auto": partial(ours, precision="auto"),
        }
        peaks: dict[str, list[float]] = {name: [] for name in arms}
        for _ in range(given.rounds):
            for name, arm in arms.items():
                peaks[name].append(peak_of(arm, model, texts, labels))
        rows.append(
            Row(f"peak memory of training, {model}, LoRA on query and value", "MB", source, peaks, kind="memory")
        )
    show(rows, given.json)


def peak_of(arm: Callable[..., Callable[[], float]], model: str, texts: list[str], labels: list[int]) -> float:
    """Return the megabytes that a process needed at most, above what it began with."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_measure, args=(sender, arm, model, texts, labels))
    child.start()
    sender.close()
    found = float(receiver.recv())
    child.join()
    return found


def _measure(
    sender: Any, arm: Callable[..., Callable[[], float]], model: str, texts: list[str], labels: list[int]
) -> None:
    began = _resident()
    arm(ready(model, "LoRA on query and value", texts, labels))()
    sender.send((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - began) / MEGABYTE)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main()
