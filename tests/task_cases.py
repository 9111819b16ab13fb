"""The cases of the contract of tasks: an example column for each, and what follows from it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np
import torch

from lightune.faults import Fault
from lightune.tasks import TASKS, Task
from lightune.tasks.columns import LabelColumn, SplitTargets, Wishes
from lightune.tasks.targets import UNSEEN

WIDTH = 6  # positions of the padded texts, for tasks that answer for each token


@dataclass(frozen=True)
class Example:
    """A column that such a task is made of: its different cells, which are repeated.

    `faults` are cells that are no target, with the code of what is wrong. `best` is the best headline that answers can
    reach, None where free logits do not come near it. `is_found` says whether `task: auto` takes the column for it.
    `reads_alike` are pairs of cells that are one target.
    """

    cells: tuple[Any, ...]
    faults: Mapping[Any, str]
    repeated: int = 12
    best: float | None = 1.0
    is_found: bool = True
    reads_alike: tuple[tuple[Any, Any], ...] = ()

    @property
    def column(self) -> LabelColumn:
        """The column of a made-up file."""
        values = list(self.cells) * self.repeated
        return LabelColumn("label", "made_up.csv", values, len(values))


# One for each task of the package.
EXAMPLES: dict[str, Example] = {
    "classification": Example(
        ("good", "bad", "so-so"),
        {"dreadful": UNSEEN, None: "DATA-013", " ": "DATA-013"},
        reads_alike=((" good ", "good"),),
    ),
    "multi_label": Example(
        (["food"], ["food", "price"], ["food"], [], ["staff", "food"]),
        {"dreadful": UNSEEN, ("food", "dreadful"): UNSEEN, None: "DATA-013", (("food",), "price"): "DATA-013"},
        reads_alike=(
            ("food|price", ["price", "food"]),
            (" food ", ["food"]),
            ("", []),
            ("['food', 'price']", ("food", "price")),
        ),
    ),
    "regression": Example(
        (1, 2.5, "3", 4.25, 2.5, Decimal("4.5"), 1.25),
        {"good": "DATA-013", None: "DATA-013", "": "DATA-013", "3,5": "DATA-013", True: "DATA-013", (1, 2): "DATA-013"},
        reads_alike=((" 2.50 ", 2.5), ("1e0", 1)),
    ),
}
# A package beside lightune gives the example of its task in the task's module.
EXAMPLES |= {
    name: Example(**given)
    for name, kind in TASKS.items()
    if (given := getattr(sys.modules[kind.__module__], "CONTRACT_EXAMPLE", None))
}
OWN = {name for name, kind in TASKS.items() if kind.__module__.startswith("lightune.")}
NAMES = [name for name in TASKS if name in EXAMPLES]


@dataclass(frozen=True)
class TaskCase:
    """A task made of its example."""

    name: str

    @property
    def example(self) -> Example:
        """The column."""
        return EXAMPLES[self.name]

    @cached_property
    def task(self) -> Task:
        """The task of the column."""
        return TASKS[self.name].of(self.example.column, Wishes(self.name))

    @cached_property
    def targets(self) -> Any:
        """The targets of all cells, in the room that the task makes for them."""
        read, cells = self.task.reader(()), list(self.example.column.values)
        found = self.task.targets(len(cells))
        for row, cell in enumerate(cells):
            target = read(cell)
            assert not isinstance(target, Fault), f"{cell!r}: {target}"
            found[row] = target
        return found

    @property
    def texts(self) -> int:
        """How many there are."""
        return len(self.targets)

    @property
    def split(self) -> SplitTargets:
        """The targets as a training split, every row of which is used."""
        rows = np.arange(self.texts)
        return SplitTargets("train", "made_up.csv", self.targets, rows, rows, lambda row: f"made_up.csv:{row + 2}")

    def collated(self, rows: Any = slice(None)) -> torch.Tensor:
        """Return targets as a batch has them."""
        return self.task.collate(self.targets[rows], WIDTH)

    def logits(self, seed: int = 0, texts: int | None = None) -> Any:
        """Return logits that know nothing, in fp32 as a model's."""
        return np.random.default_rng(seed).normal(size=self.shape(texts)).astype(np.float32)

    def shape(self, texts: int | None = None) -> tuple[int, ...]:
        """Return the shape of logits: an answer for each text, or for each of its tokens."""
        count = self.texts if texts is None else texts
        return (count, self.task.outputs) if self.task.reads == "text" else (count, WIDTH, self.task.outputs)

    @cached_property
    def learnt(self) -> Any:
        """Logits that the task's own loss has led to, each text's free."""
        logits = torch.zeros(self.shape(), requires_grad=True)
        optimizer = torch.optim.Adam([logits], lr=0.1)
        for _ in range(400):
            optimizer.zero_grad()
            self.task.mean_loss(logits, self.collated()).backward()
            optimizer.step()
        return logits.detach().numpy()

    def is_no_worse(self, logits: Any, others: Any) -> bool:
        """Say whether the headline of logits is at least as good as that of others; an undefined one is the worst."""
        metric = self.task.metrics[0]
        sign = 1 if metric.higher_is_better else -1
        found, other = (self.task.measure(each, self.targets)[metric.name] for each in (logits, others))
        return other is None or (found is not None and sign * found >= sign * other - 1e-9)

    @cached_property
    def features(self) -> Any:
        """Features (texts, width) from which a linear model can tell the targets apart, with a little noise."""
        groups = np.unique(self.targets, axis=0, return_inverse=True)[1].reshape(self.texts)
        return np.eye(groups.max() + 1)[groups] * 3 + np.random.default_rng(1).normal(size=(self.texts, 1)) * 0.02
