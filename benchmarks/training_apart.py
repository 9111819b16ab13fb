"""Arms of training that take turns, each in a process of its own, whose heap and memory are then its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.measuring import whole_machine
from benchmarks.peak_memory import Arm, held
from benchmarks.training import DEFAULT, encoded, ours, ready
from lightune import heap

# The profiler's names of matrix products; attention's own, inside a fused kernel, are not among them.
PRODUCTS = ("mm", "bmm", "addmm", "baddbmm", "_addmm_activation", "mkldnn_linear", "_linear_pointwise")


@dataclass(frozen=True)
class Work:
    """What every arm trains: default LoRA on the model of a folder, with these texts, so many in a batch."""

    model: str
    texts: list[str]
    labels: list[int]
    batch: int


@dataclass(frozen=True)
class Apart:
    """An arm in another process; `ask` names one of its answers (`_answers`)."""

    pipe: Any

    def ask(self, what: str) -> Any:
        """Have the process do something, and return what comes of it; EOFError where it has ended."""
        self.pipe.send(what)
        return self.pipe.recv()


@contextmanager
def apart(arms: Mapping[str, Arm], work: Work) -> Iterator[dict[str, Apart]]:
    """Start a process for each arm, made ready one after the other, and end them behind."""
    with ExitStack() as started:
        yield {name: started.enter_context(_process(arm, work)) for name, arm in arms.items()}


@contextmanager
def _process(arm: Arm, work: Work) -> Iterator[Apart]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    child = context.Process(target=_serve, args=(there, arm, work), daemon=True)
    with whole_machine():
        child.start()
    there.close()
    try:
        here.recv()  # it is ready
        yield Apart(here)
    finally:
        here.close()
        child.join()


def _serve(pipe: Any, arm: Arm, work: Work) -> None:
    """Answer until the other end is closed.

    lightune's heap is kept from round to round, as it is from step to step in a training of more steps than a round.
    """
    is_ours = isinstance(arm, partial) and arm.func is ours
    answers = _answers(arm, work)
    with heap.kept() if is_ours else nullcontext():
        pipe.send(None)
        while True:
            try:
                asked = pipe.recv()
            except EOFError:
                return
            pipe.send(answers[asked]())


def _answers(arm: Arm, work: Work) -> dict[str, Callable[[], Any]]:
    """Return what can be asked for: seconds of a round or of its first batch, peak in MB, products, and bf16."""
    began = held("VmRSS")
    one = ready(work.model, DEFAULT, work.texts, work.labels)
    first = encoded(one.loaded, work.texts[: work.batch], work.labels[: work.batch])
    run = arm(one)
    return {
        "round": run,
        "first batch": arm(replace(one, examples=first)),
        "peak": lambda: held("VmHWM") - began,
        "products": lambda: in_products(run, -(-len(work.texts) // work.batch)),
        "bf16": lambda: one.dtype == torch.bfloat16,
    }


def in_products(arm: Callable[[], float], steps: int) -> dict[str, float]:
    """Return the share of an arm's time that its matrix products take, and their number in a step, by the profiler."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        seconds = arm()
    products = [event for event in seen.key_averages() if event.key.split("::")[-1] in PRODUCTS]
    spent = sum(event.self_cpu_time_total for event in products) / 1e6
    return {"share in products": spent / seconds, "products in a step": sum(one.count for one in products) / steps}
