"""What a method costs beside LoRA: the figures that benchmarks/methods.py measured on a model of usual size."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

FILE = "costs.json"
BESIDE = "lora"
DEAR = 2.0  # times LoRA's time or memory, from which on it is said before training


@dataclass(frozen=True)
class Cost:
    """How many times LoRA's time a step takes, and how many times LoRA's memory."""

    time: float
    memory: float

    @property
    def is_dear(self) -> bool:
        """Whether it is said before training."""
        return max(self.time, self.memory) >= DEAR


@dataclass(frozen=True)
class Measured:
    """The costs by method, and on what they were measured."""

    model: str
    parameters: int
    texts_in_a_step: int
    processor: str
    methods: dict[str, Cost]

    @property
    def where(self) -> str:
        """The model and the processor, in words."""
        return f"{self.model}, {self.parameters / 1e6:.0f} million parameters, on one core of {self.processor}"


@cache
def measured_costs() -> Measured:
    """Return the figures of costs.json."""
    found = json.loads((resources.files("lightune.methods") / FILE).read_text(encoding="utf-8"))
    return Measured(**{**found, "methods": {name: Cost(**row) for name, row in found["methods"].items()}})


def cost_of(method: str) -> Cost | None:
    """Return what a method costs with its default options; None where it was not measured."""
    return measured_costs().methods.get(method)


def cost_notes(method: str) -> list[str]:
    """Return what to say before a training: a line for a method that costs several times what LoRA does."""
    cost = cost_of(method)
    if cost is None or not cost.is_dear:
        return []
    return [
        f"{method} costs more than {BESIDE}: {cost.time:.1f} times the time of a step and {cost.memory:.1f} times the "
        f"memory (its default options, {measured_costs().where}). --method {BESIDE} is the cheaper choice."
    ]
