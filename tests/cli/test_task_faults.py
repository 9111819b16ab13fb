"""Wrong files of each task: `check` and `run` name file, row and remedy, before a model is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import multi_label_plants
import regression_plants
from planted import Plant

PLANTED = {"multi_label": multi_label_plants.PLANTS, "regression": regression_plants.PLANTS}
EVERY = [pytest.param(plant, id=f"{task}-{plant.name}") for task, plants in PLANTED.items() for plant in plants]


@pytest.mark.parametrize("task", PLANTED)
def test_there_are_thirty_and_more(task: str):
    assert len({plant.name for plant in PLANTED[task]}) == len(PLANTED[task]) >= 30


@pytest.mark.parametrize("plant", EVERY)
def test_check_names_the_planted_fault(plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any):
    monkeypatch.chdir(tmp_path)
    plant.is_named_by_check(tmp_path, capsys)


@pytest.mark.parametrize("plant", EVERY)
def test_run_refuses_it_before_it_reads_a_model(
    plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    monkeypatch.chdir(tmp_path)
    plant.is_refused_by_run(tmp_path, capsys)
