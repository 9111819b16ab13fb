"""The table of docs/performance.md with a line for each architecture, length of texts and batch, from the figures."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

from benchmarks.measuring import Row, conditions
from benchmarks.usual_sizes import BASES

OURS = "lightune, precision auto"
PADDED, EXPERT = "Trainer, padded, fp32", "Trainer, grouped"
PADDED_ANSWERS = "Trainer.predict, padded, fp32"
HEAD = """## Every architecture

Each architecture at its usual base size: default LoRA on all linear layers, `precision: auto`, texts as they are
(short) or joined to 200 to 384 tokens (long). "Padded" is Trainer in fp32, padded to the longest of a batch. "Expert's"
has texts of similar length together, in bf16 where the processor has it; of its two ways to answer in bf16 the faster
one counts. The numbers are ratios as above, of memory how many times less. "Products" is the share of the time of
training in matrix products, lightune's and the expert's; those inside fused attention are not among them. "Bound" is
what the ratio to the expert's would be if all but its products took no time: both sides need nearly the same ones.
"Gradient" is the relative difference from the padded model's in fp32; OPT's ReLUs turn rounding near zero into more,
and in fp64 it is 6e-15. Random weights have minilm's vocabulary, or Qwen2's a small one of its kind. Answering,
lightune takes batches of its own size, and Trainer those of the row. A round of long texts is one batch, which both
Trainers pad alike in training. Each arm trains in a process of its own, and lightune keeps its heap from round to round
there, as it does from step to step ([ADR 25](adr/0025-the-heap-of-a-training.md)); most lines of short texts were
measured before that, in one process. The expert's products of long texts include the system's time for the memory that
they are written to, so a ratio may lie above the bound.
"""
BASE_NAMES = list(BASES)
COLUMNS = (
    "base, layers x width", "texts", "batch", "training, padded", "training, expert's", "answering, padded",
    "answering, expert's", "memory, padded", "memory, expert's", "products", "bound", "gradient",
)  # fmt: skip
THINNED = (
    "Where layers were left out, the usual size takes too long here. That favours lightune with a decoder: in the last"
    " feed-forward part it computes one token of each text, and that part is then more of the whole."
)


def architectures(kept: Mapping[str, Mapping[str, Any]], goal: float = 1.3) -> list[str]:
    """Return the section with a table for each kind of processor; nothing where no figures are saved."""
    found = [[_Combination(name, one) for name, one in of_kind.items()] for of_kind in kept.values() if of_kind]
    if not found:
        return []
    is_thinned = any(one.base["thinned"] for of_kind in found for one in of_kind)
    tables = [line for of_kind in found for line in table(of_kind, goal)]
    return [HEAD, *([fill(THINNED, 120), ""] if is_thinned else []), *tables]


def table(found: Sequence[_Combination], goal: float) -> list[str]:
    """Return what one kind of processor reaches in words, a line for each combination, and the conditions."""
    ordered = sorted(found, key=lambda one: BASE_NAMES.index(one.model))
    lines = [fill(summary(ordered, goal), 120), "", f"| {' | '.join(COLUMNS)} |", "| --- " * len(COLUMNS) + "|"]
    lines += [f"| {' | '.join(one.cells())} |" for one in ordered]
    machines = dict.fromkeys(conditions(one.machine) for one in ordered)
    return [*lines, "", *(line for machine in machines for line in (machine, ""))]


class _Combination:
    """The saved figures of one base model in one setting."""

    def __init__(self, name: str, saved: Mapping[str, Any]) -> None:
        self.name, self.base, self.machine = name, saved["base"], saved["machine"]
        self.model, self.length, self.batch = name.split(", ")
        rows = [Row(**given) for given in saved["rows"]]
        self.training, self.answering, self.memory, self.gradients = rows

    def ratios(self) -> list[tuple[float, float, float]]:
        """Return ours against each peer: training, answering, memory; padded first, then the expert's."""
        answers = [arm for arm in self.answering.seconds if arm not in (OURS, PADDED_ANSWERS)]
        fastest = min(answers, key=lambda arm: statistics.median(self.answering.seconds[arm]))
        return [
            self.training.ratio(OURS, PADDED),
            self.training.ratio(OURS, EXPERT),
            self.answering.ratio(OURS, PADDED_ANSWERS),
            self.answering.ratio(OURS, fastest),
            self.memory.ratio(OURS, PADDED),
            self.memory.ratio(OURS, EXPERT),
        ]

    def cells(self) -> list[str]:
        """Return the line of the table."""
        notes, base = self.training.notes, self.base
        random = "" if base["weights"] == "real weights" else ", random"
        share = [f"{100 * notes[f'share in products, {arm}']:.0f}%" for arm in (OURS, EXPERT)]
        return [
            f"{self.model}, {base['size']}{random}", f"{self.length}, {base['tokens']} tokens", self.batch,
            *map(_shown, self.ratios()), " / ".join(share), f"{1 / notes[f'share in products, {EXPERT}']:.1f}",
            f"{self.gradients.speed(OURS):.0e}",
        ]  # fmt: skip


def summary(found: Sequence[_Combination], goal: float) -> str:
    """Return in words how many lines reach the goal in training and stay level in answering, memory and gradient."""
    training = {one.name: one.ratios()[1][0] for one in found}
    answering = {one.name: one.ratios()[3][0] for one in found}
    memory = {one.name: min(one.ratios()[4][0], one.ratios()[5][0]) for one in found}
    worst = max(one.gradients.speed(OURS) for one in found)
    return (
        f"Measured so far: {_measured(found)}. Lines in which training is at least {goal:g} times as fast as the"
        f" expert's: {_reached(training, goal)} of {len(found)} (lowest: {_lowest(training)}); in which answering is"
        f" at least as fast as it: {_reached(answering, 1)} (lowest: {_lowest(answering)}); in which training needs"
        f" no more memory than either Trainer: {_reached(memory, 1)} (lowest: {_lowest(memory)}). The largest"
        f" difference of gradients is {worst:.0e}."
    )


def _measured(found: Sequence[_Combination]) -> str:
    """Return how many of the base models were measured in which settings: "5 of 19 base models (short, 16)"."""
    counts = Counter((one.length, one.batch) for one in found)
    return ", ".join(f"{count} of {len(BASES)} base models ({', '.join(name)})" for name, count in counts.items())


def _reached(ratios: Mapping[str, float], goal: float) -> int:
    return sum(ratio >= goal for ratio in ratios.values())


def _lowest(ratios: Mapping[str, float]) -> str:
    name = min(ratios, key=ratios.__getitem__)
    return f"{ratios[name]:.2f}, {name}"


def _shown(ratio: tuple[float, float, float]) -> str:
    middle, low, high = (f"{value:.2f}" for value in ratio)
    return middle if low == middle == high else f"{middle} ({low} to {high})"
