"""Kill runs at drawn steps and at drawn calls of the writer, go on with each, and compare what comes out.

python tests/faults/prove_kills.py FOLDER COUNT RUNS    # writes FOLDER/kills.json, one entry for each kill

Each run is a child that is forked from this process, which has everything imported.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from killing import KINDS, Kill, count_calls, kill_at_call

import lightune
from interrupting import AfterStep
from lightune.errors import LightuneError
from lightune.progress import Reporter
from lightune.recipe import Recipe, parse_recipe
from reloading_here import reloading_here
from tiny import build_tiny_model, sentences

SAVE_STEPS = 3
TRIES = 5  # for a call that a run did not make this time: how many epochs are saved depends on the clock
ADAPTER = "adapter/adapter_model.safetensors"
# Different methods, tasks and settings; all saves every three steps.
RUNS: dict[str, dict[str, Any]] = {
    "LoRA, one label": {"model": "distilbert", "method": "lora", "task": "classification"},
    "full, averaged weights": {
        "model": "bert", "method": "full", "task": "classification", "training": {"weight_averaging": 0.6},
    },
    "prefix, several labels": {"model": "distilbert", "method": "prefix", "task": "multi_label"},
    "AdaLoRA, numbers, accumulation": {
        "model": "distilbert", "method": "adalora", "task": "regression",
        "training": {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2},
    },
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A run: its recipe, and what it gives when nothing interrupts it."""

    name: str
    recipe: Recipe
    calls: Mapping[str, int]
    steps: int
    adapter: str


@dataclass(frozen=True)
class Found:
    """What came of a kill: steps taken and the step gone on from, and whether the weights are those wanted."""

    run: str
    kill: Kill
    outcome: str
    steps_before: int
    from_step: int
    recomputed: int
    equal: bool


def main(folder: Path, count: int, runs: int) -> None:
    """Draw kills for each of the first runs in turn, and write what came of each."""
    os.chdir(folder)
    models = {name: build_tiny_model(folder / name, name) for name in ("distilbert", "bert")}
    cases = [_case(name, run, models, folder) for name, run in islice(RUNS.items(), runs)]
    draw, found = random.Random(18), list[Found]()
    while len(found) < count:
        case, number = cases[len(found) % len(cases)], len(found) // len(cases)
        one = _prove(case, partial(_drawn, case, number, draw), folder / f"kill-{len(found)}")
        found.append(one)
        print(one, flush=True)
    (folder / "kills.json").write_text(json.dumps([asdict(one) for one in found]), encoding="utf-8")


def _drawn(case: Case, number: int, draw: random.Random) -> Kill:
    """Return a step for even numbers, a call of each kind in turn for odd ones."""
    if number % 2 == 0:
        return Kill("step", draw.randint(1, case.steps))
    made = [kind for kind in KINDS if case.calls[kind]]
    kind = made[number // 2 % len(made)]
    return Kill.drawn(kind, case.calls[kind], draw)


def _prove(case: Case, draw: Callable[[], Kill], place: Path) -> Found:
    """Kill a run and go on with it; RuntimeError where no drawn place was reached."""
    place.mkdir()
    for attempt in range(TRIES):
        output, note, kill = place / f"out-{attempt}", place / f"note-{attempt}", draw()
        signalled = _forked(partial(_run, case.recipe, output, kill, note))
        if note.is_file() and signalled == signal.SIGKILL:
            return _gone_on(case, kill, output)
    raise RuntimeError(f"{case.name}: no drawn kill was reached in {TRIES} tries")


def _gone_on(case: Case, kill: Kill, output: Path) -> Found:
    unfinished = output.with_name(f"{output.name}.partial")
    before = _steps(unfinished if unfinished.is_dir() else output)
    outcome = "finished" if output.is_dir() and not unfinished.is_dir() else "resumed"
    if outcome == "resumed" and (not unfinished.is_dir() or _forked(lambda: _resume(output)) != 0):
        outcome = "begun again"
        _forked(lambda: _run(case.recipe, output))
    resumed = json.loads((output / "results.json").read_bytes())["training"]["resumed"] if output.is_dir() else []
    start = before if outcome == "finished" else sum(one["from_step"] for one in resumed)
    equal = output.is_dir() and _sha256(output / ADAPTER) == case.adapter
    return Found(case.name, kill, outcome, before, start, before - start, equal)


def _case(name: str, run: Mapping[str, Any], models: Mapping[str, Path], folder: Path) -> Case:
    """Run it without interruption."""
    block = {"num_train_epochs": 2, "learning_rate": 5e-3, "save_steps": SAVE_STEPS, "load_best_model_at_end": True}
    recipe = parse_recipe({
        "name": "killed", "device": "cpu", "task": run["task"], "model": str(models[run["model"]]),
        "method": run["method"], "data": {"source": data_of(run["task"], folder)},
        "training": {**block, "precision": "fp32", **run.get("training", {})},
    })  # fmt: skip
    output, calls = folder / f"whole-{run['model']}-{run['task']}", folder / "calls.json"

    def counted() -> None:
        counts: dict[str, int] = {}
        count_calls(counts)
        _run(recipe, output)
        calls.write_text(json.dumps(counts), encoding="utf-8")

    if _forked(counted) != 0:
        raise RuntimeError(f"{name}: does not run")
    return Case(name, recipe, json.loads(calls.read_bytes()), _steps(output), _sha256(output / ADAPTER))


def data_of(task: str, folder: Path) -> dict[str, str]:
    """Write three files of texts for a task, and return their paths."""
    rows = [{"text": text, "label": _label(task, text, label)} for text, label in sentences(128, seed=3)]
    found = {}
    for name, part in {"train": rows[:64], "validation": rows[64:88], "test": rows[88:]}.items():
        path = folder / f"{task}-{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in part), encoding="utf-8")
        found[name] = str(path)
    return found


def _label(task: str, text: str, label: str) -> Any:
    if task == "multi_label":
        return [*([label] if len(text) % 3 else []), "long" if len(text) > 30 else "short"]
    return len(text) / 10 if task == "regression" else label


def _run(recipe: Recipe, output: Path, kill: Kill | None = None, note: Path = Path(os.devnull)) -> None:
    reporter: Reporter | None = None
    if kill is not None and kill.kind == "step":
        reporter = AfterStep(kill.number, partial(kill.now, note))
    elif kill is not None:
        kill_at_call(kill, note)
    with reloading_here():
        lightune.run(recipe, output, reporter)


def _resume(output: Path) -> None:
    with reloading_here():
        lightune.resume(output)


def _forked(work: Callable[[], None]) -> int:
    """Do the work in a child; return the signal that ended it, 0 if it was done, -1 after an error."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except LightuneError as error:
            print(f"{error.code} {error}", flush=True)
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status)


def _steps(folder: Path) -> int:
    """Return the steps that were taken, by the log."""
    path = folder / "metrics.jsonl"
    return len(path.read_bytes().splitlines()) if path.is_file() else 0


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), int(sys.argv[2]), int(sys.argv[3]))
