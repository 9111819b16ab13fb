"""A package beside lightune brings a method and a task: both keep the contracts, train, report and reload.

The code is that of docs/adding_a_method.md and docs/adding_a_task.md, word for word. No file of lightune knows of it.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tiny import FILLER, THINGS, write_csv

ROOT = Path(__file__).resolve().parent.parent
WORDS = {"1": "dreadful", "2": "stale", "3": "plain", "4": "tasty", "5": "superb"}
METADATA = "Metadata-Version: 2.1\nName: lightune-ratings\nVersion: 1.0\n"


def blocks(page: str) -> list[str]:
    """The Python blocks of a page."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `pip install` leaves it: two modules, and their entry points."""
    folder = tmp_path_factory.mktemp("site")
    task, example = blocks("adding_a_task.md")
    (folder / "lightune_ratings.py").write_text(f"{task}\n\n{example}", encoding="utf-8")
    (folder / "lightune_scaling.py").write_text(blocks("adding_a_method.md")[0], encoding="utf-8")
    about = folder / "lightune_ratings-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(METADATA, encoding="utf-8")
    points = "[lightune.tasks]\nratings = lightune_ratings\n\n[lightune.methods]\noutput_scale = lightune_scaling\n"
    (about / "entry_points.txt").write_text(points, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def ratings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Texts whose rating depends on one word."""
    folder, draw = tmp_path_factory.mktemp("ratings"), random.Random(4)
    rows: dict[str, str] = {}
    while len(rows) < 140:
        rating = "12345"[len(rows) % 5]
        words = [draw.choice(FILLER) for _ in range(draw.randint(3, 8))]
        rows.setdefault(" ".join([*words, WORDS[rating], draw.choice(THINGS)]), rating)
    found = list(rows.items())
    parts = {"train": found[:100], "test": found[100:]}
    return {name: write_csv(folder / f"{name}.csv", part, ("text", "stars")) for name, part in parts.items()}


def python(site: Path | None, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a fresh Python that sees the package, or does not."""
    path = os.pathsep.join(filter(None, [str(site) if site else "", os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=environment, cwd=ROOT)


SEVERAL = """
import contextlib, io, json, sys
from lightune.cli.main import main
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        status = main(arguments)
    print(json.dumps({"status": status, "out": out.getvalue(), "err": err.getvalue()}))
"""


def said_by(site: Path | None, *commands: Sequence[object]) -> list[dict[str, Any]]:
    """Return each command's status, out and err; one process for all, because each would import torch again."""
    done = python(site, "-c", SEVERAL, json.dumps([list(map(str, command)) for command in commands]))
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def answers(site: Path, *commands: Sequence[object]) -> list[Any]:
    """Return the JSON that each command prints."""
    said = said_by(site, *([*command, "--json"] for command in commands))
    assert [one["status"] for one in said] == [0] * len(said), said
    return [json.loads(one["out"]) for one in said]


@pytest.fixture(scope="module")
def run(site: Path, ratings: dict[str, Path], tiny_models: dict[str, Path], tmp_path_factory: Any) -> dict[str, Any]:
    """The record of a run with both, in a folder of its own."""
    output = tmp_path_factory.mktemp("runs") / "ratings"
    data = ["--train", ratings["train"], "--test", ratings["test"], "--label-column", "stars"]
    how = ["--task", "ratings", "--method", "output_scale", "--epochs", 8, "--learning-rate", "0.05"]
    more = ["--set", "training.metric_for_best_model=loss", "--output", output]
    found: dict[str, Any]
    (found,) = answers(site, ["run", "--model", tiny_models["bert"], *data, *how, *more])
    return found


def test_the_pages_file_is_one_file_of_under_100_lines():
    assert len(blocks("adding_a_task.md")[0].splitlines()) < 100


def test_both_pass_the_contract_untouched(site: Path):
    least = {"tests/methods/test_contract.py": 60, "tests/tasks/test_task_contract.py": 20}
    names = "output_scale or ratings"
    found = python(site, "-m", "pytest", "-p", "no:cacheprovider", "-vv", *least, "-k", names)
    said = found.stdout + found.stderr
    assert found.returncode == 0, said
    for file, count in least.items():
        assert len(re.findall(rf"^{file}::.* PASSED", said, re.MULTILINE)) >= count, said


def test_both_are_listed_with_the_package_that_they_come_from(site: Path):
    *listed, shown = said_by(site, ["methods", "--json"], ["tasks", "--json"], ["tasks"])
    of_methods, of_tasks = (json.loads(one["out"]) for one in listed)
    methods = {row["name"]: row for row in of_methods["methods"]}
    tasks = {row["name"]: row for row in of_tasks["tasks"]}
    assert methods["output_scale"]["package"] == tasks["ratings"]["package"] == "lightune-ratings"
    assert list(tasks) == ["classification", "multi_label", "regression", "ratings"]
    assert [metric["name"] for metric in tasks["ratings"]["metrics"]] == ["mae", "kappa", "loss"]
    assert "from the package lightune-ratings" in shown["out"]


def test_a_run_learns_reports_and_reloads_in_a_fresh_process(run: dict[str, Any]):
    assert run["status"] == "completed"
    assert run["reload_check"]["passed"]
    assert (run["task"]["name"], run["task"]["labels"]) == ("ratings", list("12345"))
    assert run["recipe"]["task"] == "ratings"
    assert run["task"]["package"] == "lightune-ratings"
    card = (Path(run["run_folder"]) / "README.md").read_text(encoding="utf-8")
    assert "comes from the package lightune-ratings" in card
    assert set(run["after"]["metrics"]) == {"mae", "kappa", "loss"}
    assert run["after"]["mae"] < run["before"]["mae"]
    assert list(run["baselines"]) == ["median", "tfidf", "probe"]
    gain = run["comparison"]["gains"]["before"]
    assert (gain["metric"], gain["unit"], gain["test"]) == ("mae", "", "permutation test")
    assert gain["value"] == pytest.approx(run["before"]["mae"] - run["after"]["mae"])  # above zero is better
    assert "mcnemar_p_value" not in run["comparison"]
    losses = [epoch["validation_loss"] for epoch in run["training"]["epochs"]]
    assert run["training"]["best_epoch"] == 1 + losses.index(min(losses))
    page = (Path(run["run_folder"]) / "report.html").read_text(encoding="utf-8")
    assert "mean absolute error" in page
    assert "quadratic kappa" in page


def test_the_metrics_are_those_of_the_answers_that_were_written(run: dict[str, Any]):
    """Computed again from predictions.csv, by hand and by scikit-learn."""
    import csv

    from sklearn.metrics import cohen_kappa_score

    with (Path(run["run_folder"]) / "predictions.csv").open(encoding="utf-8", newline="") as source:
        rows = list(csv.DictReader(source))
    pairs = [(int(row["label"]), int(row["prediction"])) for row in rows]
    assert run["after"]["mae"] == pytest.approx(sum(abs(true - said) for true, said in pairs) / len(pairs))
    true, said = zip(*pairs, strict=True)
    kappa = cohen_kappa_score(true, said, labels=[1, 2, 3, 4, 5], weights="quadratic")
    assert run["after"]["kappa"] == pytest.approx(kappa)


def test_every_command_takes_the_run(site: Path, run: dict[str, Any], ratings: dict[str, Path]):
    folder = run["run_folder"]
    again, other, one, rows, reported, checked = answers(
        site,
        ["evaluate", folder],
        ["evaluate", folder, "--test", ratings["train"]],
        ["predict", folder, "a superb film"],
        ["predict", folder, "--file", ratings["test"]],
        ["report", folder],
        ["check", ratings["train"], "--task", "ratings", "--label-column", "stars"],
    )
    assert again["mae"] == run["after"]["mae"]
    assert other["known_examples"] == 100
    (said,) = one["predictions"]
    assert said["label"] in "12345"
    assert sum(said["probabilities"].values()) == pytest.approx(1)
    assert rows["known"]["metrics"] == {"mae": pytest.approx(run["after"]["mae"])}
    assert reported["after"] == run["after"]
    assert checked["usable"]


SAVED = """
import json, sys, lightune
from lightune.cli.main import main
one = lightune.load(sys.argv[1])
said = one.predict("a superb film")
one.save_pretrained(sys.argv[2])
again = lightune.load(sys.argv[2])
print(json.dumps([again.task == one.task, again.predict("a superb film")[0].label == said[0].label]), flush=True)
sys.exit(main(["run", "--model", sys.argv[2], "--task", "classification", *sys.argv[3:]]))
"""


def test_a_stock_model_that_was_saved_is_of_the_same_task(site: Path, run: dict[str, Any], tmp_path: Path):
    """Its configuration looks like that of a classifier with four labels, and says that it is none."""
    few = ["--train-examples", 40, "--epochs", 1, "--test-examples", 20, "--output", tmp_path / "run"]
    done = python(site, "-c", SAVED, run["run_folder"], tmp_path / "stock", *few)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[0]) == [True, True]
    assert "is for another task; a new one was" in done.stderr + done.stdout
    other = python(None, "-c", "import lightune, sys; lightune.load(sys.argv[1])", tmp_path / "stock")
    assert 'trained for the task "ratings", which is not installed here' in other.stderr


def test_settings_that_the_task_lacks_are_refused_before_anything_is_measured(site: Path, ratings: dict[str, Path]):
    codes = {"class_weights=auto": "RECIPE-017", "head_start=probe": "RECIPE-016"}
    begun = ["run", "--train", ratings["train"], "--label-column", "stars", "--task", "ratings"]
    said = said_by(site, *([*begun, "--set", f"training.{setting}"] for setting in codes))
    for one, code in zip(said, codes.values(), strict=True):
        assert one["status"] == 2, one
        assert code in one["err"]
        assert "Before:" not in one["err"]


def test_without_the_package_a_run_says_what_is_missing(run: dict[str, Any]):
    asked, shown = said_by(None, ["predict", run["run_folder"], "a superb film"], ["report", run["run_folder"]])
    assert asked["status"] == 4
    assert 'trained for the task "ratings", which is not installed here' in asked["err"]
    assert shown["status"] == 0, shown["err"]  # a record says all that a report needs
    assert "mean absolute error" in shown["out"]


def test_a_column_that_holds_no_ratings_is_refused_in_the_words_of_the_task(site: Path, tmp_path: Path):
    path = write_csv(tmp_path / "words.csv", [(f"text {row}", "good" if row % 2 else "bad") for row in range(20)])
    done = python(site, "-m", "lightune", "check", path, "--task", "ratings")
    assert done.returncode == 3
    assert "RATINGS-001" in done.stdout
