"""What every method costs on a model beside LoRA: processor time of a step, peak memory, and the loss after some steps.

python -m benchmarks.methods MODEL [--texts FILE] [--method NAME ...] [--rounds 2] [--json FILE] [--save]

MODEL is a folder or a known name. Each method has its default options and a process of its own, and LoRA is measured
again before every five of them, so that other work on the machine weighs on both. Time is that of the processor, best
with OMP_NUM_THREADS=1. A method that has not done its steps after --limit seconds is stopped; what its steps took until
then counts. --json keeps the figures, and rounds that are in that file are not measured again, if they are of the same
set-up; --save writes them to src/lightune/methods/costs.json, which `lightune methods` and the note before a training
read. Linux only.
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
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import peft  # noqa: F401  (imported here so that no process counts it as its own memory, nor the next ones)
import sklearn.metrics  # noqa: F401
from transformers import (  # noqa: F401
    DistilBertForSequenceClassification,
    LlamaForSequenceClassification,
    MPNetForSequenceClassification,
)

from benchmarks.measuring import figures_file, load_for, load_texts, machine, of_bf16
from benchmarks.peak_memory import held
from benchmarks.training import BATCH
from lightune.data.encoding import encode
from lightune.methods import METHODS, make_method
from lightune.progress import Silent
from lightune.recipe import SettledTraining
from lightune.training.batch_loss import Examples
from lightune.training.train import Surroundings, Texts, attach, train

BESIDE = "lora"
TOGETHER = 5  # methods between two measurements of LoRA
STEPS = 6
ROUNDS = 2
LIMIT = 120.0
HELD_OUT = 32
Pair = dict[str, dict[str, Any]]  # what LoRA and the method measured
COSTS = Path(__file__).resolve().parent.parent / "src" / "lightune" / "methods" / "costs.json"


@dataclass(frozen=True)
class Asked:
    """What one process measures: a method on a model, with so many steps on these texts."""

    model: str
    method: str
    texts: Path | None
    steps: int
    limit: float
    precision: str = "auto"

    def set_up(self) -> dict[str, Any]:
        """Return what the figures of all methods share, without the folders of this machine."""
        texts = "embedded reviews" if self.texts is None else "/".join(self.texts.resolve().parts[-2:])
        about = {"model": Path(self.model).name, "texts": texts, "steps": self.steps, "precision": self.precision}
        return {**about, "processor": processor()}


@dataclass(frozen=True)
class Measured:
    """What a method's process found; a loss of None means that it was stopped before it had one."""

    seconds: float
    peak: float
    trained: int
    steps: int
    loss: float | None
    parameters: int = 0
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
    parser = command_line()
    given = parser.parse_args()
    if min(given.rounds, given.steps) < 1:
        parser.error("--rounds and --steps have to be 1 or more")
    about = Asked(given.model, BESIDE, given.texts, given.steps, given.limit, given.precision)
    kept = opened(given.json, about)
    found: dict[str, list[Pair]] = kept["methods"]
    names = given.method or [name for name in METHODS if name != BESIDE]
    missing = [name for turn in range(given.rounds) for name in names if len(found.get(name, [])) <= turn]
    for place, name in enumerate(missing):
        if place % TOGETHER == 0:
            lora = measured(about)
            if lora.said:
                raise SystemExit(f"{BESIDE}, beside which all are shown, cannot be measured: {lora.said}")
        pair = {"lora": asdict(lora), "method": asdict(measured(replace(about, method=name)))}
        found.setdefault(name, []).append(pair)
        print(line(name, found[name]), flush=True)
        if given.json:
            given.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print(table(found))
    if given.save:
        COSTS.write_text(json.dumps(saved(given.model, found), indent=1) + "\n", encoding="utf-8")


def opened(path: Path | None, asked: Asked) -> dict[str, Any]:
    """Return the saved figures, or none yet; SystemExit where they are of another set-up, or do not say of which."""
    set_up = asked.set_up()
    if path is None or not path.is_file():
        return {"setup": set_up, "methods": {}}
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    known = kept.get("setup", "which they do not state")
    if known != set_up:
        raise SystemExit(f"{path} has figures of another set-up, {known}. Name another file with --json.")
    return kept


def command_line() -> argparse.ArgumentParser:
    """Return the options of the command."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("model", help="a folder, or a known name")
    found.add_argument("--texts", type=Path, help="a csv with the columns text and label; else the embedded reviews")
    found.add_argument("--method", nargs="+", choices=list(METHODS), help="only these")
    found.add_argument("--steps", type=int, default=STEPS, help=f"steps of {BATCH} texts")
    found.add_argument("--rounds", type=int, default=ROUNDS, help="how often each method is measured, at least once")
    found.add_argument("--limit", type=float, default=LIMIT, help="seconds of training after which a method is stopped")
    found.add_argument("--precision", default="auto", help="fp32 or bf16, instead of what is measured to be faster")
    found.add_argument("--json", type=figures_file, help="where the figures are kept")
    found.add_argument("--save", action="store_true", help=f"write {COSTS.name} of the package")
    return found


def measured(asked: Asked) -> Measured:
    """Return what a process of its own measures, or what it had told when its time was over."""
    context = multiprocessing.get_context("fork")  # after the imports, which are the same for all
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
    if "trained" not in told:
        told.setdefault("said", f"its process ended before it could train, with status {child.exitcode}")
    counted = seconds[1:] or seconds  # the first step warms up
    usual = statistics.median(counted) if counted else asked.limit
    peak = told["held"] - told["began"]
    rest = {key: told[key] for key in ("parameters", "said") if key in told}
    return Measured(usual, peak, told.get("trained", 0), len(seconds), told.get("loss"), **rest)


def _measure(sender: Connection, asked: Asked) -> None:
    """Send what happens in a training, or why there is none."""
    sender.send({"began": held("VmRSS")})
    try:
        _train(sender, asked)
    except Exception as error:
        sender.send({"said": f"{type(error).__name__}: {error}".splitlines()[0]})


def _train(sender: Connection, asked: Asked) -> None:
    """Train, and send the trained numbers, each step, the loss on texts that were held out."""
    count = asked.steps * BATCH
    _, found, labels = load_texts(asked.texts, count + HELD_OUT)
    loaded, method = load_for(asked.model), make_method(asked.method)
    examples = [
        Examples(encode(loaded.tokenizer, [(text,) for text in found[part]], loaded.max_length),
                 np.asarray(labels[part], np.int32))
        for part in (slice(count), slice(count, None))
    ]  # fmt: skip
    settings = SettledTraining.model_validate(
        {"num_train_epochs": 1, "load_best_model_at_end": False, "precision": asked.precision}
    )
    sender.send({"parameters": loaded.model.num_parameters()})
    attached = attach(loaded, method, examples[0], settings)
    trained = sum(value.numel() for value in attached.model.parameters() if value.requires_grad)
    sender.send({"trained": trained})
    with tempfile.TemporaryDirectory() as folder:
        surroundings = Surroundings(Path(folder), Told(sender), eval_batch_size=BATCH)
        done = train(loaded, method, Texts(*examples), settings, surroundings, attached)
    sender.send({"loss": done.fitted.epochs[-1].validation_loss, "held": held("VmHWM")})


def processor() -> str:
    """Return the processor, and whether it has bf16: two of a name may differ in that."""
    found = machine()
    return f"{found['processor']} {of_bf16(found)}"


def times(pairs: list[Pair], what: str) -> float:
    """Return how many times LoRA's a method's seconds or peak are, in the least disturbed of the rounds.

    Other work on a machine only adds: to the time of a step, and to the pages of the weights' file that are in memory.
    """
    least = {arm: min(pair[arm][what] for pair in pairs) for arm in ("lora", "method")}
    return float(least["method"] / least["lora"])


def line(name: str, pairs: list[Pair]) -> str:
    """Return one row of the table."""
    method = pairs[-1]["method"]
    if method["said"]:
        return f"| {name} | - | - | - | - | - | {method['said']} |"
    least = {what: min(pair["method"][what] for pair in pairs) for what in ("seconds", "peak")}
    loss = f"{method['loss']:.2f}" if method["loss"] is not None else f"stopped after {method['steps']} steps"
    return (
        f"| {name} | {method['trained']:,} | {least['seconds']:.2f} | {times(pairs, 'seconds'):.1f} "
        f"| {least['peak'] / 1000:.1f} | {times(pairs, 'peak'):.1f} | {loss} |"
    )


def table(found: dict[str, list[Pair]]) -> str:
    """Return the table of all methods."""
    titles = ("method", "trained", "s a step", "times LoRA's", "peak in GB", "times LoRA's", "loss")
    rows = [line(name, pairs) for name, pairs in sorted(found.items())]
    return "\n".join([f"| {' | '.join(titles)} |", f"|{' --- |' * len(titles)}", *rows])


def saved(model: str, found: dict[str, list[Pair]]) -> dict[str, Any]:
    """Return what the package keeps: methods that were refused are left out, and what was measured before on the same
    machine and model stays."""
    about = {
        "model": Path(model).name,
        "parameters": max(pairs[0]["lora"]["parameters"] for pairs in found.values()),
        "texts_in_a_step": BATCH,
        "processor": processor(),
    }
    kept = json.loads(COSTS.read_text(encoding="utf-8")) if COSTS.is_file() else {}
    known = kept["methods"] if {key: kept.get(key) for key in about} == about else {}
    done = {name: pairs for name, pairs in found.items() if not pairs[-1]["method"]["said"]}
    new = {
        name: {"time": round(times(pairs, "seconds"), 2), "memory": round(times(pairs, "peak"), 2)}
        for name, pairs in done.items()
    }
    return {**about, "methods": dict(sorted({**known, **new, BESIDE: {"time": 1.0, "memory": 1.0}}.items()))}


if __name__ == "__main__":
    main()
