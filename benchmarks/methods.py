"""What every method costs on a model beside LoRA: processor time of a step, peak memory, and the loss after some steps.

python -m benchmarks.methods MODEL [--texts FILE] [--method NAME ...] [--steps 8] [--limit 120] [--json FILE] [--save]

MODEL is a folder or a known name. Each method has its default options and a process of its own, and LoRA is measured
again right before it, so that other work on the machine weighs on both. Time is that of the processor, best with
OMP_NUM_THREADS=1. A method that has not done its steps after
--limit seconds is stopped; what its steps took until then counts. --json keeps the figures, and a method that is in
that file is not measured again; --save writes them to src/lightune/methods/costs.json, which `lightune methods` and
the warning before training read. Linux only.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import load_for, load_texts, machine
from benchmarks.peak_memory import held
from benchmarks.training import BATCH
from lightune.data.encoding import encode
from lightune.methods import METHODS, make_method
from lightune.progress import Silent
from lightune.recipe import SettledTraining
from lightune.training.batch_loss import Examples
from lightune.training.train import Surroundings, Texts, attach, train

BESIDE = "lora"
STEPS = 8
LIMIT = 120.0
HELD_OUT = 64
COSTS = Path(__file__).resolve().parent.parent / "src" / "lightune" / "methods" / "costs.json"


@dataclass(frozen=True)
class Asked:
    """What one process measures: a method on a model, with so many steps on these texts."""

    model: str
    method: str
    texts: Path | None
    steps: int
    limit: float


@dataclass(frozen=True)
class Measured:
    """What a method's process found; a loss of None means that it was stopped before it had one."""

    seconds: float
    peak: float
    trained: int
    steps: int
    loss: float | None
    said: str = ""


class Told(Silent):
    """Tells another process after each step what it took of the processor, and the peak of memory so far."""

    def __init__(self, sender: Connection) -> None:
        self._sender = sender

    @contextmanager
    def steps(self, title: str, total: int) -> Iterator[Callable[..., None]]:
        """Time each step of the loop."""
        before = time.process_time()

        def advance(detail: str = "") -> None:
            nonlocal before
            now = time.process_time()
            self._sender.send({"seconds": now - before, "held": held("VmHWM")})
            before = time.process_time()

        yield advance


def main() -> None:
    """Measure the requested methods, print the table, and keep the figures."""
    given = command_line().parse_args()
    found: dict[str, Any] = json.loads(given.json.read_text("utf-8")) if given.json and given.json.exists() else {}
    for name in given.method or METHODS:
        if name in found:
            continue
        pair = [measured(Asked(given.model, one, given.texts, given.steps, given.limit)) for one in (BESIDE, name)]
        found[name] = beside(*pair)
        print(line(name, found[name]), flush=True)
        if given.json:
            given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(table(found))
    if given.save:
        COSTS.write_text(json.dumps(saved(given.model, found), indent=1) + "\n", encoding="utf-8")


def command_line() -> argparse.ArgumentParser:
    """Return the options of the command."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("model", help="a folder, or a known name")
    found.add_argument("--texts", type=Path, help="a csv with the columns text and label; else the embedded reviews")
    found.add_argument("--method", action="append", choices=list(METHODS))
    found.add_argument("--steps", type=int, default=STEPS, help=f"steps of {BATCH} texts")
    found.add_argument("--limit", type=float, default=LIMIT, help="seconds of training after which a method is stopped")
    found.add_argument("--json", type=Path, help="where the figures are kept")
    found.add_argument("--save", action="store_true", help=f"write {COSTS.name} of the package")
    return found


def measured(asked: Asked) -> Measured:
    """Return what a fresh process measures, or what it had told when its time was over."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_measure, args=(sender, asked))
    child.start()
    sender.close()
    told: dict[str, Any] = {"began": 0.0, "held": 0.0}
    seconds: list[float] = []
    deadline = math.inf
    try:
        while receiver.poll(max(0.0, min(deadline - time.monotonic(), 3600.0))):
            news = receiver.recv()
            seconds += [news.pop("seconds")] if "seconds" in news else []
            deadline = min(deadline, time.monotonic() + asked.limit) if "trained" in news else deadline
            told |= news
        told["held"] = held("VmHWM", child.pid or 0)
        child.kill()
    except EOFError:  # it has finished
        child.join()
    counted = seconds[1:] or seconds  # the first step warms up
    usual = statistics.median(counted) if counted else asked.limit
    peak = told["held"] - told["began"]
    return Measured(usual, peak, told.get("trained", 0), len(seconds), told.get("loss"), told.get("said", ""))


def _measure(sender: Connection, asked: Asked) -> None:
    """Train, and send what happens: the trained numbers, each step, the loss on texts that were held out."""
    sender.send({"began": held("VmRSS")})
    count = asked.steps * BATCH
    _, found, labels = load_texts(asked.texts, count + HELD_OUT)
    loaded, method = load_for(asked.model), make_method(asked.method)
    examples = [
        Examples(encode(loaded.tokenizer, [(text,) for text in found[part]], loaded.max_length),
                 np.asarray(labels[part], np.int32))
        for part in (slice(count), slice(count, None))
    ]  # fmt: skip
    settings = SettledTraining.model_validate({"num_train_epochs": 1, "load_best_model_at_end": False})
    try:
        attached = attach(loaded, method, examples[0], settings)
        trained = sum(value.numel() for value in attached.model.parameters() if value.requires_grad)
        sender.send({"trained": trained})
        with tempfile.TemporaryDirectory() as folder:
            surroundings = Surroundings(Path(folder), Told(sender), eval_batch_size=BATCH)
            done = train(loaded, method, Texts(*examples), settings, surroundings, attached)
        sender.send({"loss": done.fitted.epochs[-1].validation_loss, "held": held("VmHWM")})
    except Exception as error:
        sender.send({"said": str(error).splitlines()[0]})


def beside(lora: Measured, method: Measured) -> dict[str, Any]:
    """Return a method's figures as multiples of LoRA's, with those that they come from."""
    return {
        "time": method.seconds / lora.seconds,
        "memory": method.peak / lora.peak,
        "loss": method.loss,
        "lora_loss": lora.loss,
        "trained": method.trained,
        "measured": {"lora": asdict(lora), "method": asdict(method)},
    }


def line(name: str, row: dict[str, Any]) -> str:
    """Return one row of the table."""
    method = row["measured"]["method"]
    loss = method["said"] or (f"{row['loss']:.2f}" if row["loss"] is not None else f"stopped after {method['steps']}")
    return (
        f"| {name} | {row['trained']:,} | {method['seconds']:.2f} | {row['time']:.1f} "
        f"| {method['peak'] / 1000:.1f} | {row['memory']:.1f} | {loss} |"
    )


def table(found: dict[str, dict[str, Any]]) -> str:
    """Return the table of all methods."""
    titles = ("method", "trained", "s a step", "times LoRA's", "peak in GB", "times LoRA's", "loss")
    rows = [line(name, row) for name, row in found.items()]
    return "\n".join([f"| {' | '.join(titles)} |", f"|{' --- |' * len(titles)}", *rows])


def saved(model: str, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what the package keeps: on what it was measured, and each method's multiples of LoRA's cost."""
    about = machine()
    return {
        "model": Path(model).name,
        "texts_in_a_step": BATCH,
        "processor": about["processor"],
        "threads": about["threads"],
        "methods": {
            name: {"time": round(row["time"], 2), "memory": round(row["memory"], 2)} for name, row in found.items()
        },
    }


if __name__ == "__main__":
    main()
