"""Runs of every task that are stopped at drawn steps go on to the same answers, with the same examples."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prove_kills import data_of

import lightune
from interrupting import AfterStep
from lightune.errors import InterruptedRunError
from lightune.recipe import Recipe, parse_recipe
from lightune.training.step import Step
from reloading_here import reloading_here
from task_cases import OWN

STEPS = 32
ALIKE = (
    "predictions.csv",
    "metrics.jsonl",
    "recipe.yaml",
    "adapter/adapter_model.safetensors",
    "adapter/lightune.json",
)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The rows of every step that is taken."""
    rows, take = list[Any](), Step.take

    def noted(step: Step, shares: Any, epoch: int) -> Any:
        rows.append(shares)
        return take(step, shares, epoch)

    monkeypatch.setattr(Step, "take", noted)
    return rows


def recipe_of(task: str, model: Path, folder: Path) -> Recipe:
    training = {"num_train_epochs": 2, "per_device_train_batch_size": 4, "learning_rate": 5e-3, "precision": "fp32"}
    return parse_recipe({
        "name": "stopped", "device": "cpu", "task": task, "model": str(model), "method": "lora", "training": training,
        "data": {"source": data_of(task, folder)},
    })  # fmt: skip


def require_equal_at(stops: int, task: str, model: Path, taken: list[Any], folder: Path) -> None:
    """Stop at so many drawn steps, and compare rows, weights, log, answers and metrics with those of the whole run."""
    recipe = recipe_of(task, model, folder)
    with reloading_here():
        whole = lightune.run(recipe, folder / "whole")
        rows = [*taken]
        assert len(rows) == whole.training.steps == STEPS
        for step in random.Random(task).sample(range(1, STEPS + 1), stops):
            taken.clear()
            output = folder / f"stopped-{step}"
            with pytest.raises(InterruptedRunError):
                lightune.run(recipe, output, AfterStep(step))
            assert len(taken) == step
            found = lightune.resume(output)
            assert taken == rows
            assert [one.from_step for one in found.training.resumed] == [step]
            assert found.after.metrics == whole.after.metrics
            assert different(output, folder / "whole") == []


def different(one: Path, other: Path) -> list[str]:
    """Return the files that differ."""
    return [name for name in ALIKE if content(one / name) != content(other / name)]


def content(path: Path) -> Any:
    return json.loads(path.read_bytes()) if path.suffix == ".json" else path.read_bytes()


@pytest.mark.parametrize("task", sorted(OWN))
def test_every_task(task: str, tiny_models: dict[str, Path], taken: list[Any], tmp_path: Path) -> None:
    require_equal_at(1, task, tiny_models["distilbert"], taken, tmp_path)


@pytest.mark.faults
@pytest.mark.guarantee("A run stopped at any step, every task: the same weights, log and answers")
@pytest.mark.parametrize("task", sorted(OWN))
def test_every_task_at_twenty_stops(
    task: str,
    tiny_models: dict[str, Path],
    taken: list[Any],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    require_equal_at(20, task, tiny_models["distilbert"], taken, tmp_path)
    record_property("figure", f"{len(OWN)} tasks, 20 drawn stops of {STEPS} steps each, the same rows in every step")
