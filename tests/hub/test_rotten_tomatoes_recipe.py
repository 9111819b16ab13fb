"""The shipped recipe rotten-tomatoes, end to end on a cache laid out as the Hub's own library lays it out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from lightune.recipe import parse_recipe
from small_hub import counting_and_closing, environment
from tiny import build_tiny_model, sentences

MODEL = ("models--distilbert-base-uncased", "a" * 39 + "1")
DATA = ("datasets--cornell-movie-review-data--rotten_tomatoes", "b" * 39 + "2")
ROWS = {"train": 520, "validation": 60, "test": 510}
README = """---
dataset_info:
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': neg
          '1': pos
  splits:
  - name: train
    num_examples: 520
  - name: validation
    num_examples: 60
  - name: test
    num_examples: 510
configs:
- config_name: default
  data_files:
  - split: train
    path: train.parquet
  - split: validation
    path: validation.parquet
  - split: test
    path: test.parquet
---
"""


def _snapshot(hub: Path, repository: str, commit: str) -> Path:
    """Return the empty snapshot folder of a commit that `main` points to."""
    folder = hub / repository / "snapshots" / commit
    folder.mkdir(parents=True)
    (hub / repository / "refs").mkdir()
    (hub / repository / "refs" / "main").write_text(commit, encoding="utf-8")
    return folder


def _write_parquet(folder: Path) -> None:
    import datasets

    kinds = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    rows, start = sentences(sum(ROWS.values()), seed=15), 0
    for split, count in ROWS.items():
        part = rows[start : start + count]
        start += count
        columns = {"text": [text for text, _ in part], "label": [int(label == "positive") for _, label in part]}
        datasets.Dataset.from_dict(columns, features=kinds).to_parquet(folder / f"{split}.parquet")


@pytest.fixture(scope="module")
def tomatoes(tmp_path_factory):
    """What `lightune run rotten-tomatoes --json` left and printed, with a Hub that hangs up on everybody."""
    home, place = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("work")
    build_tiny_model(_snapshot(home / "hub", *MODEL), "distilbert")
    data = _snapshot(home / "hub", *DATA)
    _write_parquet(data)
    (data / "README.md").write_text(README, encoding="utf-8")
    command = [sys.executable, "-m", "lightune", "run", "rotten-tomatoes", "--json"]
    with counting_and_closing() as (endpoint, calls):
        env = environment(home / "hub", endpoint, HF_HUB_OFFLINE="0")
        done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return SimpleNamespace(folder=place / "runs" / "rotten-tomatoes-1", printed=json.loads(done.stdout), calls=calls)


def test_the_run_lies_in_the_next_free_folder_and_what_was_printed_is_its_record(tomatoes):
    assert json.loads((tomatoes.folder / "results.json").read_text(encoding="utf-8")) == tomatoes.printed
    assert tomatoes.printed["status"] == "completed"
    assert tomatoes.printed["reload_check"]["passed"] is True
    assert tomatoes.printed["reload_check"]["largest_logit_difference"] <= 1e-4


def test_the_hub_was_asked_once_and_then_left_alone(tomatoes):
    """For the data set; neither the model, nor any library, nor the fresh process of the reload check asks again."""
    assert len(tomatoes.calls) == 1
    assert "/api/models" in tomatoes.calls[0]


def test_the_commits_are_recorded(tomatoes):
    assert tomatoes.printed["model"]["name"] == "distilbert-base-uncased"
    assert tomatoes.printed["model"]["revision"] == MODEL[1]
    assert tomatoes.printed["data"]["source"] == "cornell-movie-review-data/rotten_tomatoes"
    assert tomatoes.printed["data"]["revision"] == DATA[1]
    recipe = parse_recipe(yaml.safe_load((tomatoes.folder / "recipe.yaml").read_text(encoding="utf-8")))
    assert (recipe.model_revision, recipe.data.revision) == (MODEL[1], DATA[1])
    assert recipe.model_dump(mode="json") == tomatoes.printed["recipe"]
    adapter = json.loads((tomatoes.folder / "adapter" / "lightune.json").read_text(encoding="utf-8"))
    assert (adapter["base_model"], adapter["base_revision"]) == ("distilbert-base-uncased", MODEL[1])


def test_the_examples_are_400_to_fit_100_to_choose_and_500_to_test(tomatoes):
    found = tomatoes.printed["data"]
    assert (found["train_examples"], found["validation_examples"], found["test_examples"]) == (400, 100, 500)
    # Half the rows of each split are positive, and the draw is stratified.
    assert tomatoes.printed["after"]["examples"] == 500
    assert [sum(row) for row in tomatoes.printed["after"]["confusion_matrix"]] == [250, 250]


def test_the_class_names_of_the_data_set_are_the_labels(tomatoes):
    assert tomatoes.printed["data"]["labels"] == ["neg", "pos"]
    first = (tomatoes.folder / "predictions.csv").read_text(encoding="utf-8").splitlines()[1]
    assert {"neg", "pos"} & set(first.split(","))


def test_the_training_is_the_tutorials(tomatoes):
    found = tomatoes.printed["training"]
    assert found["steps"] == 5 * 400 // 16
    assert found["learning_rate"] == 5e-5
    lines = [json.loads(line) for line in (tomatoes.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    rates = [line["learning_rate"] for line in lines]
    # Warm-up over a tenth of 125 steps, rounded up, then a straight line down to zero after the last step.
    assert rates[0] == 0
    assert rates[13] == pytest.approx(5e-5)
    assert rates[124] == pytest.approx(5e-5 / (125 - 13))
    assert all(line["samples"] == 16 for line in lines)
