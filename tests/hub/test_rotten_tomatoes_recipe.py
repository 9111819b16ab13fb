"""The shipped recipe rotten-tomatoes, end to end on a cache laid out as the Hub's own library lays it out."""

from __future__ import annotations

import json
import shutil
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
    folder = place / "runs" / "rotten-tomatoes-1"
    return SimpleNamespace(folder=folder, printed=json.loads(done.stdout), calls=calls, home=home)


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
    theirs = json.loads((tomatoes.folder / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert (theirs["base_model_name_or_path"], theirs["revision"]) == ("distilbert-base-uncased", MODEL[1])


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


# Everything that reads a run folder, in one fresh process: Python, the reload check, the commands.
READ = """
import contextlib, io, json, sys
from pathlib import Path
import lightune
from lightune.cli.main import main
from lightune.inference.reload_check import check_reload

run, text = Path(sys.argv[1]), sys.argv[2]
classifier = lightune.load(run)
check, why = check_reload(run / "adapter", [(text,)], classifier.logits([text]), "cpu")
printed = []
for command in (["evaluate", str(run), "--json"], ["predict", str(run), text, "--json"], ["report", str(run)]):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        status = main(command)
    printed.append((status, out.getvalue()))
told = {
    "passed": check.passed, "why": why, "statuses": [status for status, _ in printed],
    "accuracy": json.loads(printed[0][1])["accuracy"], "answer": json.loads(printed[1][1])["predictions"][0]["label"],
    "expected": classifier.predict(text)[0].label,
}
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def read_elsewhere(tomatoes, tmp_path_factory):
    """What a process says of the run in another folder, with the Hub's cache in another home and no Hub."""
    there = tmp_path_factory.mktemp("elsewhere")
    run = Path(shutil.copytree(tomatoes.folder, there / "a run"))
    shutil.copytree(tomatoes.home / "hub", there / "home" / "hub", symlinks=True)
    away = tomatoes.folder.rename(tomatoes.folder.with_name("away")), tomatoes.home.rename(f"{tomatoes.home}-away")
    try:
        with counting_and_closing() as (endpoint, _):
            env = environment(there / "home" / "hub", endpoint, HF_HUB_OFFLINE="0", HOME=str(there / "home"))
            command = [sys.executable, "-c", READ, str(run), "a lovely film"]
            done = subprocess.run(command, cwd=there, env=env, capture_output=True, text=True, encoding="utf-8")
    finally:
        away[0].rename(tomatoes.folder)
        away[1].rename(tomatoes.home)
    assert done.returncode == 0, done.stderr
    return SimpleNamespace(run=run, told=json.loads(done.stdout.splitlines()[-1]), said=done.stderr)


def test_a_run_that_moved_is_read_in_an_environment_built_anew(read_elsewhere):
    told = read_elsewhere.told
    assert (told["passed"], told["why"], told["statuses"]) == (True, "", [0, 0, 0]), read_elsewhere.said
    assert told["answer"] == told["expected"]


def test_the_test_accuracy_is_measured_again_from_there(read_elsewhere, tomatoes):
    assert read_elsewhere.told["accuracy"] == tomatoes.printed["after"]["accuracy"]


def test_the_report_names_the_new_place(read_elsewhere, tomatoes):
    page = (read_elsewhere.run / "report.html").read_text(encoding="utf-8")
    assert read_elsewhere.run.name in page
    assert str(read_elsewhere.run) not in page, "it may be passed on"
    assert str(tomatoes.folder) not in page
