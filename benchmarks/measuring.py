"""What all rows share: the command line, texts, models, and measuring arms alternately."""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import random
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

SEED = 20261126
STEPS_ON_GPU = 60


@dataclass
class Row:
    """One comparison: seconds (or megabytes) of each arm by round, the peer first, and notes.

    `work` is how many units a round does. With `kind` "memory" less is better and nothing is divided; with
    "difference" the arms are not compared with each other.
    """

    name: str
    unit: str
    texts: str
    seconds: dict[str, list[float]]
    work: float = 1.0
    notes: dict[str, Any] = field(default_factory=dict)
    kind: str = "speed"

    def speed(self, arm: str) -> float:
        """Return the median of units per second, or of megabytes."""
        middle = statistics.median(self.seconds[arm])
        return self.work / middle if self.kind == "speed" else middle

    def ratio(self, arm: str, to: str) -> tuple[float, float, float]:
        """Return how many times faster, or smaller, an arm is than another: median and spread of the pairs."""
        return spread([b / a for a, b in zip(self.seconds[arm], self.seconds[to], strict=True)])


Arm = Callable[[], float | None]


def spread(ratios: Sequence[float]) -> tuple[float, float, float]:
    """Return the median and the quartiles, which lie within the values; of fewer than four the lowest and highest."""
    middle = statistics.median(ratios)
    if len(ratios) < 4:
        return middle, min(ratios), max(ratios)
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return middle, low, high


def in_turn(arms: Mapping[str, Arm], rounds: int, warming: Mapping[str, Arm] | None = None) -> dict[str, list[float]]:
    """Run arms A B C A B C ... and return their seconds; the first round is a warm-up, with its own arms if given.

    An arm that returns a number has timed itself; otherwise the whole call is timed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(rounds + 1):
        for name, arm in (warming or arms if turn == 0 else arms).items():
            started = time.perf_counter()
            own = arm()
            taken = time.perf_counter() - started if own is None else own
            if turn:
                seconds[name].append(taken)
    return seconds


def parser(description: str | None, rounds: int) -> argparse.ArgumentParser:
    """Return the command-line options that all rows have."""
    found = argparse.ArgumentParser(description=description)
    found.add_argument("--texts", type=Path, help="a csv with the columns text and label; else the embedded reviews")
    found.add_argument("--rounds", type=int, default=rounds, help="rounds that count")
    found.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where all arms compute")
    found.add_argument("--json", action="store_true", help="print JSON")
    return found


def figures_file(name: str) -> Path:
    """Return the file that figures are saved in, in a folder that is there: what was measured is not lost for it."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def steps_of(given: argparse.Namespace, on_cpu: int, on_gpu: int = STEPS_ON_GPU) -> int:
    """Return how many steps a round has; on a GPU as many as a short run, since some work is done once per shape."""
    steps: int = given.steps or (on_cpu if given.device == "cpu" else on_gpu)
    return steps


def load_texts(path: Path | None, count: int, seed: int = SEED) -> tuple[str, list[str], list[int]]:
    """Return (name of the source, texts, label numbers), in the same order for the same seed."""
    if path is None:
        from lightune.data.dataset import load_splits
        from lightune.recipe import DataBlock

        splits = load_splits(DataBlock.model_validate({"source": "reviews"}), SEED)
        source, rows = (
            "embedded reviews",
            [(text[0], label) for text, label in zip(splits.train.texts, splits.train.targets.tolist(), strict=True)],
        )
    else:
        with path.open(encoding="utf-8", newline="") as file:
            found = [(row["text"], row["label"]) for row in csv.DictReader(file)]
        names = sorted({label for _, label in found})
        source, rows = path.name, [(text, names.index(label)) for text, label in found]
    random.Random(seed).shuffle(rows)
    rows = [rows[at % len(rows)] for at in range(count)]
    return source, [text for text, _ in rows], [label for _, label in rows]


def load_for(name: str, seed: int = SEED, device: str = "cpu") -> Any:
    """Return a LoadedModel: minilm, a folder's, or a random DistilBERT of real size with minilm's tokenizer."""
    from dataclasses import replace

    import torch
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    from lightune.models.anatomy import anatomy_of
    from lightune.models.load import find_model, load_model
    from lightune.tasks import TASKS

    found = find_model("minilm" if name == "distilbert" else name)
    loaded = load_model(found, TASKS["classification"](("a", "b")), seed, None, "fp32", 0)
    if name == "distilbert":
        torch.manual_seed(seed)
        model = DistilBertForSequenceClassification(DistilBertConfig(vocab_size=len(loaded.tokenizer)))
        loaded = replace(loaded, model=model, anatomy=anatomy_of(model))
    loaded.model.to(torch.device(device))  # type: ignore[arg-type]
    return loaded


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    import peft
    import torch
    import transformers

    return {
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "bf16": computes_bf16(),
        "bf16_units": bf16_units(),
        "python": platform.python_version(),
        "torch": torch.__version__.split("+")[0],
        "transformers": transformers.__version__,
        "peft": peft.__version__,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_initialized() else None,
        "OMP_PROC_BIND": os.environ.get("OMP_PROC_BIND", ""),
        "measured": date.today().isoformat(),
    }


def kind_of(machine: Mapping[str, Any]) -> str:
    """Return the processor, its threads and its best instructions for bf16: what a ratio depends on most."""
    threads = "1 thread" if machine["threads"] == 1 else f"{machine['threads']} threads"
    return f"{machine['processor']}, {threads}, {of_bf16(machine)}"


def conditions(machine: Mapping[str, Any]) -> str:
    """Return a line on what the figures depend on."""
    gpu = f"{machine['gpu']}, " if machine.get("gpu") else ""
    return (
        f"*{gpu}{kind_of(machine)}; "
        f"Python {machine['python']}, torch {machine['torch']}, transformers {machine['transformers']}, "
        f"PEFT {machine['peft']}; measured {machine['measured']}.*"
    )


def of_bf16(machine: Mapping[str, Any]) -> str:
    """Return "with bf16", with the instructions for it where they are known, or "without bf16"."""
    units = f" ({machine['bf16_units']})" if machine.get("bf16_units") else ""
    return f"with bf16{units}" if machine["bf16"] else "without bf16"


def in_own_process(command: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    """Run a command, its threads bound to cores, and return its output and exit status.

    Where OMP_PROC_BIND is set for this process too, it is bound to one core, which the command would inherit; then the
    command may use all cores.
    """
    bound = {**os.environ, "OMP_PROC_BIND": "true"}
    is_bound = "OMP_PROC_BIND" in os.environ and hasattr(os, "sched_setaffinity")
    first = _use_all_cores if is_bound else None
    return subprocess.run(command, check=False, stdout=subprocess.PIPE, env=bound, preexec_fn=first)


def _use_all_cores() -> None:
    os.sched_setaffinity(0, range(os.cpu_count() or 1))


@contextmanager
def whole_machine() -> Iterator[None]:
    """Let this thread, and those started here, run on every core: under OMP_PROC_BIND it is bound to one."""
    if not hasattr(os, "sched_setaffinity"):  # Windows, macOS
        yield
        return
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)


@cache
def computes_bf16() -> bool:
    """Whether the processor has instructions for bf16; where it does not list them, whether bf16 is not far slower."""
    from lightune.execution.precision_probe import emulates_bf16

    # The probe takes milliseconds: on a busy machine it may answer either way, and all arms need the same answer.
    return bool(bf16_units()) or not (_flags() or emulates_bf16())


def bf16_units() -> str:
    """Return the name of the processor's best instructions for bf16: AMX, AVX512-bf16, bf16 on ARM, or none."""
    named = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-bf16", "bf16": "ARM bf16"}
    return next((name for flag, name in named.items() if flag in _flags()), "")


def _flags() -> set[str]:
    """Return the instructions that Linux lists for the processor; none elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return set(next((line for line in lines if line.lower().startswith(("flags", "features"))), "").split())


def show(rows: Sequence[Row], as_json: bool) -> None:
    """Print rows as JSON or as lines: each arm's speed, and how many times faster than the first."""
    if as_json:
        print(json.dumps({"machine": machine(), "rows": [asdict(row) for row in rows]}))
        return
    for row in rows:
        print(f"{row.name} ({row.texts})")
        first = next(iter(row.seconds))
        for arm in row.seconds:
            if row.kind == "difference":
                print(f"  {arm:44s} {row.speed(arm):9.1e}")
                continue
            middle, low, high = row.ratio(arm, first)
            unit = row.unit if row.kind == "memory" else f"{row.unit}/s"
            print(f"  {arm:44s} {row.speed(arm):9.2f} {unit:9s} {middle:5.2f} times ({low:.2f} to {high:.2f})")
        for name, value in row.notes.items():
            print(f"  {name}: {value:.3g}" if isinstance(value, float) else f"  {name}: {value}")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
