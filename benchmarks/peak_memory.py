"""Peak memory of training above that of the imports, against the Trainer with batches padded to their longest text.

python -m benchmarks.peak_memory [--model minilm] [--method prefix] [--texts FILE] [--json]

Each arm runs in a fresh process: it imports, loads the model from its folder and trains. Its peak is the one that the
system counted, minus the memory after the imports. Linux only.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

# lightune validates after its epoch, with these; the Trainer does not validate. So both arms import them.
import scipy.special  # noqa: F401
import sklearn.metrics  # noqa: F401

from benchmarks.measuring import Row, load_for, load_texts, parser, show
from benchmarks.training import BATCH, asked_for, choosing, ours, peer, ready

STEPS = 6
Arm = Callable[..., Callable[[], float]]


def main() -> None:
    """Measure the requested model and method, or all."""
    given = choosing(parser(__doc__, rounds=2)).parse_args()
    source, texts, labels = load_texts(given.texts, (given.steps or STEPS) * BATCH)
    rows = []
    for model, method in asked_for(given):
        with tempfile.TemporaryDirectory() as folder:
            peaks = peaks_of(saved(model, folder), method, texts, labels, given.rounds)
        rows.append(Row(f"peak memory of training, {model}, {method}", "MB", source, peaks, kind="memory"))
    show(rows, given.json)


def saved(model: str, folder: str) -> str:
    """Save a model into a folder and return the folder, so that random weights are read from their own file."""
    loaded = load_for(model)
    loaded.model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    return folder


def peaks_of(model: str, method: str, texts: list[str], labels: list[int], rounds: int) -> dict[str, list[float]]:
    """Return the megabytes of each arm, measured alternately."""
    arms: dict[str, Arm] = {
        "Trainer, padded to the longest of a batch": peer,
        "lightune, exact fp32": ours,
        "lightune, precision auto": partial(ours, precision="auto"),
    }
    peaks: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(rounds):
        for name, arm in arms.items():
            peaks[name].append(peak_of(arm, model, method, texts, labels))
    return peaks


def peak_of(arm: Arm, model: str, method: str, texts: list[str], labels: list[int]) -> float:
    """Return a fresh process's peak in megabytes, above its memory after the imports."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_measure, args=(sender, arm, model, method, texts, labels))
    child.start()
    sender.close()
    found = float(receiver.recv())
    child.join()
    return found


def _measure(sender: Any, arm: Arm, model: str, method: str, texts: list[str], labels: list[int]) -> None:
    began = held("VmRSS")
    arm(ready(model, method, texts, labels))()
    sender.send(held("VmHWM") - began)  # getrusage's peak would include the parent's memory


def held(what: str, process: int | str = "self") -> float:
    """Return the megabytes that the system counts for a process: VmRSS now, VmHWM at its peak."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{what}:"))


if __name__ == "__main__":
    main()
