"""`lightune run`: flags become the recipe, the summary goes to stdout and progress to stderr."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from lightune import experiment
from lightune.cli.main import main
from lightune.sections import ReloadCheck
from tiny import sentences, write_csv


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Training, validation and test rows with columns of other names."""
    place, rows = tmp_path_factory.mktemp("files"), sentences(120, seed=9)
    parts = {"train": rows[:60], "validation": rows[60:80], "test": rows[80:]}
    return {name: write_csv(place / f"{name}.csv", part, header=("said", "stars")) for name, part in parts.items()}


@pytest.fixture(scope="module")
def flags(files, tiny_models):
    texts = {name: str(path) for name, path in files.items()}
    return [
        "run", "--model", str(tiny_models["distilbert"]), "--train", texts["train"],
        "--validation", texts["validation"], "--test", texts["test"], "--text-column", "said",
        "--label-column", "stars", "--train-examples", "50", "--validation-examples", "10", "--test-examples", "30",
        "--method", "head", "--epochs", "1", "--learning-rate", "0.02", "--seed", "7", "--device", "cpu",
        "--precision", "fp32", "--set", "name=mine", "--set", "evaluation.per_device_eval_batch_size=8",
    ]  # fmt: skip


@pytest.fixture
def reload_result(monkeypatch):
    """Return a function that sets what the fresh process finds; starting it is tested elsewhere and takes seconds."""

    def set_to(largest: float, reason: str) -> None:
        found = ReloadCheck(passed=not reason, examples=30, largest_logit_difference=largest)
        monkeypatch.setattr(experiment, "check_reload", lambda *_: (found, reason))

    return set_to


@pytest.fixture
def finished(flags, reload_result, tmp_path, capfd):
    """One run with every flag."""
    reload_result(0.0, "")
    status = main([*flags, "--output", str(tmp_path / "run")])
    printed = capfd.readouterr()
    results = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    return SimpleNamespace(status=status, out=printed.out, err=printed.err, results=results, folder=tmp_path / "run")


def test_every_flag_arrives_in_the_recipe_and_the_summary_on_stdout(finished, files):
    assert finished.status == 0
    recipe = finished.results["recipe"]
    assert recipe == yaml.safe_load((finished.folder / "recipe.yaml").read_text(encoding="utf-8"))
    assert recipe["data"]["source"] == {name: str(path) for name, path in files.items()}
    chosen = [recipe["data"][name] for name in ("text_column", "label_column", "train_examples", "test_examples")]
    assert chosen == ["said", "stars", 50, 30]
    trained = [recipe["training"][name] for name in ("num_train_epochs", "learning_rate", "seed", "precision")]
    assert trained == [1, 0.02, 7, "fp32"]
    assert (recipe["name"], recipe["method"]["name"], recipe["device"]) == ("mine", "head", "cpu")
    assert recipe["evaluation"]["per_device_eval_batch_size"] == 8
    data = finished.results["data"]
    assert (data["train_examples"], data["validation_examples"], data["test_examples"]) == (50, 10, 30)
    _summary_is_readable(finished)


def _summary_is_readable(finished) -> None:
    assert f"{finished.results['after']['accuracy']:.3f} accuracy" in finished.out.splitlines()[0]
    assert "linear probe" in finished.out
    assert str(finished.folder) in finished.out
    assert "\x1b" not in finished.out + finished.err, "no terminal, no colours"
    assert "Training with head" in finished.err
    assert "Training with head" not in finished.out


def test_json_is_all_that_stands_on_stdout(flags, reload_result, tmp_path, capfd):
    reload_result(0.0, "")
    assert main([*flags, "--output", str(tmp_path / "run"), "--json"]) == 0
    printed = capfd.readouterr()
    assert json.loads(printed.out) == json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    assert "Training with head" in printed.err


@pytest.mark.parametrize(("flag", "kept"), [("--no-fingerprints", False), ("--fingerprints", True), (None, True)])
def test_fingerprints_are_kept_unless_they_are_not_wanted(flags, reload_result, tmp_path, flag, kept):
    reload_result(0.0, "")
    assert main([*flags, *filter(None, [flag]), "--output", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "adapter" / "fingerprints.safetensors").exists() == kept
    assert yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())["data"]["fingerprints"] == kept


def test_a_failed_reload_check_ends_with_4_and_is_said(flags, reload_result, tmp_path, capsys):
    reload_result(0.5, "the logits differ by up to 0.5")
    assert main([*flags, "--output", str(tmp_path / "run")]) == 4
    results = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    assert results["status"] == "reload_failed"
    assert "The reload check failed: the logits differ by up to 0.5." in results["notes"]
    assert "Do not use it." in capsys.readouterr().out


def test_runs_are_numbered_and_never_overwritten(flags, reload_result, tmp_path, monkeypatch, capsys):
    reload_result(0.0, "")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "mine-1").mkdir(parents=True)
    assert main(flags) == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["mine-1", "mine-2"]
    before = (tmp_path / "runs" / "mine-2" / "results.json").read_bytes()
    assert main([*flags, "--output", "runs/mine-2"]) == 2
    assert "RECIPE-060" in capsys.readouterr().err
    assert (tmp_path / "runs" / "mine-2" / "results.json").read_bytes() == before


def test_the_learning_rate_of_a_recipe_gives_way_to_another_methods_default_and_that_is_said(
    tiny_recipe, reload_result, tmp_path, capsys
):
    reload_result(0.0, "")
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(tiny_recipe().model_dump(mode="json")), encoding="utf-8")
    assert main(["run", str(path), "--method", "head", "--epochs", "1", "--output", str(tmp_path / "run")]) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    assert results["training"]["learning_rate"] == 5e-3, "head's own default; the recipe said the same for lora"
    assert "head uses its own default" in " ".join(capsys.readouterr().out.split())


def test_short_flags_and_train_are_the_long_ones_and_run(monkeypatch, tmp_path):
    asked = []

    def note(recipe, output, reporter, notes):
        asked.append((recipe, output))
        return SimpleNamespace(status="completed", model_dump=lambda mode: {})

    monkeypatch.setattr(experiment, "run", note)
    monkeypatch.chdir(tmp_path)
    Path("a.csv").touch()
    short = "-m ./mine --train a.csv --text-column premise,hypothesis --batch-size 4 --lr 1e-3 -o runs/x --json"
    long = (
        "--model ./mine --train a.csv --set data.text_column=premise,hypothesis --learning-rate 0.001 "
        "--set training.per_device_train_batch_size=4 --output runs/x --json"
    )
    assert [main(["train", *short.split()]), main(["run", *long.split()])] == [0, 0]
    assert asked[0] == asked[1]
    recipe = asked[0][0]
    assert (recipe.model, recipe.training.per_device_train_batch_size, asked[0][1]) == ("./mine", 4, "runs/x")


def test_a_batch_of_no_text_is_refused_by_its_key(capsys):
    assert main(["run", "--batch-size", "0"]) == 2
    assert "training.per_device_train_batch_size" in capsys.readouterr().err


WITHOUT_TORCH = """
import sys
from lightune.cli.main import main
print(main(sys.argv[1:]), "torch" in sys.modules)
"""


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["run", "--train", "none.csv"], 3, "DATA-001"),
        (["run", "--train", "{train}", "--test", "none.csv"], 3, "DATA-001"),
        (["run", "--data", "none.csv"], 3, "DATA-001"),
        (["run", "--train", "{train}", "--output", "{folder}"], 2, "RECIPE-0"),
        (["resume", "none"], 2, "RECIPE-066"),
        (["predict", "./none", "a text"], 4, "ARTIFACT-009"),
        (["predict", "{folder}", "--file", "none.csv"], 3, "DATA-001"),
        (["evaluate", "./none", "--test", "{train}"], 4, "ARTIFACT-009"),
        (["evaluate", "{folder}", "--test", "none.csv"], 3, "DATA-001"),
    ],
)
def test_a_name_that_is_wrong_is_said_before_torch_is_imported(arguments, status, said, files):
    places = {"train": str(files["train"]), "folder": str(files["train"].parent)}
    given = [one.format(**places) for one in arguments]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *given], capture_output=True, text=True, encoding="utf-8"
    )
    assert done.stdout.split() == [str(status), "False"], done.stderr
    assert said in done.stderr
