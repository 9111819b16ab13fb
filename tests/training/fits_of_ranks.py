"""What test_ranks.py compares: fits and a run that every process of a torchrun does, and that one process does too.

As a script (FOLDER MODEL...): do them all, leave in FOLDER what this rank saw, and lose rank 1 at the end.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from trials import Trial

from lightune import runtime
from lightune.cli.main import main
from lightune.data.encoding import encode
from lightune.errors import LightuneError
from lightune.inference import speed
from lightune.methods import make_method
from lightune.models.load import ModelSource, load_model
from lightune.progress import Silent
from lightune.recipe import SettledTraining
from lightune.training.batch_loss import Examples
from lightune.training.checkpoint import load_checkpoint, newest
from lightune.training.distributed import all_ranks
from reloading_here import reloading_here
from tiny import classes, sentences

# Architecture, method, and settings for two processes; 61 texts in steps of 12 leave a last step of one text.
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "plain": ("distilbert", "lora", {}),
    "weighted": ("distilbert", "full", {"class_weights": "auto", "train_sampling_strategy": "group_by_length"}),
    "recomputed": ("bert", "lora", {"gradient_checkpointing": True}),
    "padded": ("deberta-v2", "lora", {"class_weights": "auto"}),
    "cached": ("llama", "top_layers", {"gradient_accumulation_steps": 6, "per_device_train_batch_size": 1}),
    "penalised": ("distilbert", "adalora", {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 3}),
}
COMMON = {"num_train_epochs": 2, "per_device_train_batch_size": 6, "max_grad_norm": 0.0, "seed": 1}


class Recording(Trial):
    """A trial that keeps the gradients and the generator's seed of its first step."""

    def fit(self) -> Any:
        self.gradients: dict[str, torch.Tensor] = {}
        self.seed_of_dropout = 0
        optimizer = self.loop.step.optimizer
        stepped = optimizer.step
        optimizer.step = lambda: self._keep() or stepped()
        return super().fit()

    def _keep(self) -> None:
        if not self.gradients:
            self.seed_of_dropout = torch.initial_seed()
            self.gradients = {
                name: value.grad.clone() for name, value in _trained(self.model) if value.grad is not None
            }


def _trained(model: Any) -> list[tuple[str, torch.Tensor]]:
    return [(name, value) for name, value in model.named_parameters() if value.requires_grad]


def make_loop(folder: Path, model: Path, method: str, reporter: Any = None, **settings: Any) -> Recording:
    """Return a loop over 61 texts, 46 of them of one label, without dropout; one parameter is in nobody's way."""
    block = SettledTraining(**{**COMMON, "learning_rate": 5e-3, **settings})
    loaded, chosen = load_model(ModelSource(model.name, model, None), classes(["no", "yes"]), 1), make_method(method)
    draw = torch.Generator().manual_seed(11)
    for value in loaded.model.parameters():
        if value.dim() == 2:
            value.data.copy_(torch.randn(value.shape, generator=draw) * 0.3)
    for module in loaded.model.modules():
        module.p = 0.0 if isinstance(module, torch.nn.Dropout) else vars(module).get("p")
    rows = sorted(sentences(92, seed=3), key=lambda row: row[1])[:61]
    examples = Examples(
        encode(loaded.tokenizer, [(text,) for text, _ in rows], 64),
        np.array([int(label == "positive") for _, label in rows]),
    )
    trial = Recording(loaded, chosen, examples, examples, block, folder, reporter or Silent())
    trial.model.register_parameter("unused", torch.nn.Parameter(torch.ones(3)))
    return trial


def fit_case(case: str, folder: Path, models: Path, processes: int) -> dict[str, Any]:
    """Fit a case with the effective batch of two processes; return the gradients, the weights and what was measured."""
    architecture, method, settings = CASES[case]
    size = {**COMMON, **settings}["per_device_train_batch_size"] * 2 // processes
    settings = {**settings, "per_device_train_batch_size": size}
    loop = make_loop(folder, models / architecture, method, **settings)
    done = loop.fit()
    weights = {name: value.detach().clone() for name, value in _trained(loop.model)}
    about = {
        "steps": done.steps,
        "samples": done.samples,
        "epochs": [epoch.model_dump() for epoch in done.epochs],
        "seed": loop.seed_of_dropout,
    }
    return {"gradients": loop.gradients, "weights": weights, "about": about}


def run_command(output: Path, model: Path, batch: int, data: list[str]) -> dict[str, Any]:
    """`lightune run` in this process; return its status and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    speed.WARM_UP = speed.SINGLE_TEXTS = speed.BULK_TEXTS = 1
    size = ["--set", f"training.per_device_train_batch_size={batch}", "--learning-rate", "0.01", "--epochs", "2"]
    given = ["run", "--model", str(model), *data, *size, "--output", str(output), "--device", "cpu", "--json"]
    with reloading_here(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(given)
    return {"status": status, "out": out.getvalue(), "err": err.getvalue()}


def interrupted(folder: Path, model: Path) -> dict[str, Any]:
    """The last rank alone is told to stop, during its third step."""

    class Stops(Silent):
        @contextlib.contextmanager
        def steps(self, title: str, total: int) -> Any:
            def advance(detail: str = "") -> None:
                if loop.loop.step.count == 3 and runtime.rank() == runtime.ranks() - 1:
                    os.kill(os.getpid(), signal.SIGTERM)

            yield advance

    loop = make_loop(folder, model, "lora", reporter=Stops())
    return _ended(loop)


def resumed(folder: Path, model: Path) -> dict[str, torch.Tensor]:
    """All ranks go on from the first one's checkpoint; return the weights at the end."""
    loop, ranks = make_loop(folder, model, "lora"), all_ranks()
    found = newest(folder) if ranks.is_first else None
    place = ranks.broadcast_text("" if found is None else str(found.folder))
    loop.loop.fit(load_checkpoint(Path(place)))
    return {name: value.detach().clone() for name, value in _trained(loop.model)}


def short_of_memory(folder: Path, model: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The last rank alone runs out of memory with more than two texts; return where it ended, and the weights."""
    loop = make_loop(folder, model, "lora")
    passes, logits = loop.loop.step.passes, loop.loop.step.passes._logits

    def called(inputs: Any, windows: Any, *rest: Any) -> Any:
        if len(windows) > 2 and runtime.rank() == runtime.ranks() - 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return logits(inputs, windows, *rest)

    passes._logits = called
    done = loop.fit()
    weights = {name: value.detach().clone() for name, value in _trained(loop.model)}
    return {"steps": done.steps, "smaller": [(one.from_step, one.texts) for one in done.smaller]}, weights


def diverged(folder: Path, model: Path) -> dict[str, Any]:
    """The loss of the last rank alone is no number in the second step."""
    loop = make_loop(folder, model, "lora")
    backward = loop.accelerator.backward
    is_last = runtime.rank() == runtime.ranks() - 1
    loop.accelerator.backward = lambda loss: backward(
        loss * float("nan") if is_last and loop.loop.step.count == 1 else loss
    )
    return _ended(loop)


def _ended(loop: Recording) -> dict[str, Any]:
    try:
        loop.fit()
    except LightuneError as error:
        signal_number = getattr(error, "signal_number", None)
        return {"code": error.code, "status": error.exit_code, "signal": signal_number, "steps": loop.loop.step.count}
    return {}


def lost() -> dict[str, Any]:
    """Rank 1 is gone when the other wants to add something up."""
    if runtime.rank():
        return {}
    try:
        all_ranks().sum(1.0)
    except LightuneError as error:
        return {"code": error.code}
    return {}


def do_all(folder: Path, models: Path, data: list[str]) -> None:
    """Do everything as a rank among others; the folders of the ranks are their own, but for the command's."""
    own = folder / f"rank-{runtime.rank()}"
    own.mkdir()
    found: dict[str, Any] = {}
    for case in CASES:
        fitted = fit_case(case, own / case, models, runtime.ranks())
        for kind in ("gradients", "weights"):
            save_file(fitted[kind], own / f"{case}-{kind}.safetensors")
        found[case] = fitted["about"]
    found["run"] = run_command(folder / "runs" / "together", models / "distilbert", 8, data)
    found["interrupted"] = interrupted(own / "interrupted", models / "distilbert")
    save_file(resumed(own / "interrupted", models / "distilbert"), own / "resumed-weights.safetensors")
    found["short"], weights = short_of_memory(own / "short", models / "distilbert")
    save_file(weights, own / "short-weights.safetensors")
    found["diverged"] = diverged(own / "diverged", models / "distilbert")
    found["told"] = all_ranks().broadcast_text(f"from {runtime.rank()}: ä")
    if runtime.rank() == 0:
        found["lost"] = lost()
    (own / "found.json").write_text(json.dumps(found))
    if runtime.rank():
        os._exit(0)


if __name__ == "__main__":
    do_all(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
