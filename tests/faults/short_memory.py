"""Trainings on tiny models that run out of memory where a test wants it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lightune.data.encoding import encode
from lightune.methods import make_method
from lightune.progress import Silent
from lightune.recipe import SettledTraining
from lightune.tasks import TASKS
from lightune.tasks.columns import LabelColumn, Wishes
from lightune.training.batch_loss import Examples
from lightune.training.forward_backward import Passes
from lightune.training.loop import Fitted, Loop
from lightune.training.train import Job, Surroundings, Texts, attach, make_loop
from lightune.training.training_state import trained_parameters
from tiny import sentences

TEXTS = 52  # not a multiple of a step's texts, so that the last step of an epoch is a smaller one
CELLS: dict[str, Callable[[int, str], Any]] = {
    "classification": lambda row, label: label,
    "multi_label": lambda row, label: [label, *["third"] * (row % 3 == 0)],
    "regression": lambda row, label: row % 7 + 3.0 * (label == "positive"),
}


@dataclass
class Notes(Silent):
    """Keeps what is said."""

    said: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Keep it."""
        self.said.append(text)


@dataclass
class Training:
    """A loop on a tiny model without dropout, ready to be fitted once."""

    loop: Loop
    model: Any
    folder: Path
    notes: Notes

    def fit(self, start: Any = None) -> Fitted:
        """Train, or go on from a checkpoint."""
        return self.loop.fit(start)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What was logged of each step."""
        return [json.loads(line) for line in (self.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]

    @property
    def weights(self) -> torch.Tensor:
        """All trained weights, one after the other."""
        return torch.cat([value.flatten() for value in trained_parameters(self.model).values()]).clone()


def examples(tokenizer: Any, task: str, limit: int, way: Any) -> Examples:
    """Return sentences with the targets of a task; `limit` and `way` say what happens to long ones."""
    rows = sentences(TEXTS, seed=5)
    cells = [CELLS[task](row, label) for row, (_, label) in enumerate(rows)]
    made = TASKS[task].of(LabelColumn("label", "made_up.csv", cells, len(rows)), Wishes(task))
    targets, read = made.targets(len(rows)), made.reader(())
    for row, cell in enumerate(cells):
        targets[row] = read(cell)
    return Examples(encode(tokenizer, [(text,) for text, _ in rows], limit, way), targets)


def training(
    loaded: Any, folder: Path, task: str = "classification", method: str = "lora", limit: int = 64, **settings: Any
) -> Training:
    """Return a training of a loaded tiny model; a low `limit` makes windows of long texts."""
    cells = [CELLS[task](row, label) for row, (_, label) in enumerate(sentences(TEXTS, seed=5))]
    made = TASKS[task].of(LabelColumn("label", "made_up.csv", cells, len(cells)), Wishes(task))
    loaded = replace(loaded, task=made)
    if made.outputs != loaded.model.num_labels:
        layer = loaded.model.get_submodule(loaded.anatomy.output_layer)
        drawn = torch.randn(made.outputs, layer.in_features, generator=torch.Generator().manual_seed(3))
        layer.weight, layer.bias = torch.nn.Parameter(drawn * 0.1), torch.nn.Parameter(torch.zeros(made.outputs))
    for module in loaded.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    given = {"num_train_epochs": 2, "seed": 1, "learning_rate": 3e-3, "precision": "fp32", **settings}
    block, way, notes = SettledTraining(**given), "windows" if limit < 64 else "cut", Notes()
    texts = Texts(*[examples(loaded.tokenizer, task, limit, way)] * 2)
    made_by = make_method(method, {"dropout": 0.0} if method == "lora" else {})
    folder.mkdir(exist_ok=True)
    model = attach(loaded, made_by, texts.train, block).model
    job = Job(model, made_by, made, loaded.tokenizer, texts, block, Surroundings(folder, notes))
    return Training(make_loop(job, job.precision()), model, folder, notes)


@dataclass
class Shortage:
    """Passes fail with more than `most` texts, from the pass `after` on; `where` is forward or backward.

    `largest` are the texts of each pass that went through.
    """

    most: int
    where: str = "forward"
    after: int = 0
    kind: type[BaseException] = torch.OutOfMemoryError
    message: str = "CUDA out of memory. Tried to allocate 2.00 GiB."
    passes: int = 0
    failed: int = 0
    sizes: list[int] = field(default_factory=list)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the passes of all trainings fail so."""
        logits, backward = Passes._logits, Passes._backward

        def short_logits(passes: Any, inputs: Any, windows: Any, *rest: Any) -> Any:
            found = logits(passes, inputs, windows, *rest)
            self._count(len(windows), "forward")
            return found

        def short_backward(passes: Any, found: Any, targets: Any, rows: Any, weight: float) -> Any:
            loss = backward(passes, found, targets, rows, weight)  # its gradients are there when it fails
            self._count(len(rows), "backward")
            self.sizes.append(len(rows))
            return loss

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Passes, "_logits", short_logits)
            patch.setattr(Passes, "_backward", short_backward)
            yield

    def _count(self, texts: int, where: str) -> None:
        self.passes += where == "forward"
        if where == self.where and texts > self.most and self.passes > self.after:
            self.failed += 1
            raise self.kind(self.message)


def largest_difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the largest difference of two trainings' weights."""
    return float(np.abs(one.numpy() - other.numpy()).max())


def require_same(enough: Any, first: Any, short: Any, second: Any) -> float:
    """Require the same steps on the same texts; return the largest difference of the final weights."""
    assert (second.steps, second.samples, second.best_epoch) == (first.steps, first.samples, first.best_epoch)
    for one, other in zip(short.lines, enough.lines, strict=True):
        assert one["samples"] == other["samples"]
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4, abs=1e-5)
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-3, abs=1e-5)
    return largest_difference(enough.weights, short.weights)
