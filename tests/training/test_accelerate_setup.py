"""The Accelerator of a run: trackers that are not there, and several runs in one process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from lightune import experiment
from lightune.errors import RecipeError
from lightune.extras import install_command
from lightune.recipe import parse_recipe
from lightune.training.accelerate_setup import make_accelerator

CPU = torch.device("cpu")


def test_a_tracker_nobody_knows_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_recipe({"training": {"report_to": ["tensorbord"]}})
    assert caught.value.exit_code == 2
    assert 'Did you mean "tensorboard"?' in caught.value.message
    assert "trackio, wandb" in caught.value.message


def test_a_tracker_that_is_not_installed_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # as if it were not installed
    with pytest.raises(RecipeError, match="wandb is not installed") as caught:
        make_accelerator(CPU, "fp32", ("tensorboard", "wandb"), tmp_path, "tiny", {})
    assert caught.value.exit_code == 2
    assert caught.value.hint == f"Install it: {install_command('track', 'wandb')}"
    assert list(tmp_path.iterdir()) == []


def test_a_run_says_so_before_it_reads_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    recipe = parse_recipe({"data": {"source": "no-such-file.csv"}, "training": {"report_to": "wandb"}})
    with pytest.raises(RecipeError, match="wandb is not installed"):
        experiment.run(recipe, tmp_path / "run")


def test_one_process_can_do_runs_of_different_precision(tmp_path: Path) -> None:
    found = [make_accelerator(CPU, precision, (), tmp_path, "tiny", {}) for precision in ("bf16", "fp32", "bf16")]
    assert [accelerator.mixed_precision for accelerator in found][-1] == "bf16"
    assert make_accelerator(CPU, "fp32", (), tmp_path, "tiny", {}).mixed_precision == "no"
    assert all(accelerator.device == CPU for accelerator in found)


def test_the_tracker_is_told_the_recipe_as_plain_values(tmp_path: Path) -> None:
    recipe = parse_recipe({"training": {"seed": 7}}).model_dump(mode="json")
    accelerator = make_accelerator(CPU, "fp32", ("tensorboard",), tmp_path, "tiny", recipe)
    accelerator.end_training()
    (told,) = (tmp_path / "trackers").rglob("hparams.yml")
    lines = told.read_text().splitlines()
    assert "training.seed: 7" in lines
    assert "method.name: lora" in lines
