"""The main job on tiny models: the run folder, the figures in it, and what failures leave behind."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import lightune
from lightune import experiment
from lightune.cli.main import main
from lightune.errors import ArtifactError, DataError, HubError, RecipeError, TrainingDivergedError
from lightune.record import RunRecord
from lightune.run_files import few_texts
from lightune.sections import ReloadCheck
from reloading_here import reloading_here
from tiny import write_csv

# DESIGN's contract: the files of a run folder and the keys of results.json.
FILES = {
    "recipe.yaml",
    "environment.json",
    "metrics.jsonl",
    "results.json",
    "predictions.csv",
    "report.html",
    "README.md",
    "adapter/adapter_model.safetensors",
    "adapter/lightune.json",
    "adapter/tokenizer.json",
    "adapter/tokenizer_config.json",
    "adapter/fingerprints.safetensors",
    "adapter/MANIFEST.json",
}
EVALUATION = {"examples", "accuracy", "loss", "f1_macro", "confusion_matrix", "per_label"}
COST = {"runtime", "samples_per_second", "steps_per_second", "memory_before_bytes", "peak_memory_bytes"}
SPEED = {"latency_ms_p50", "latency_ms_p95", "samples_per_second"}
KEYS = {
    "model": {
        "name",
        "revision",
        "architecture",
        "parameters",
        "trainable_parameters",
        "trainable_percent",
        "adapter_bytes",
    },
    "data": {
        "source",
        "train_examples",
        "validation_examples",
        "test_examples",
        "labels",
        "sha256",
        "truncated_examples",
    },
    "before": EVALUATION | COST,
    "after": EVALUATION | COST,
    "training": COST | {"steps", "best_epoch", "epochs"},
    "inference": {f"{prefix}{name}" for prefix in ("", "base_", "merged_") for name in SPEED},
    "comparison": {
        "accuracy_gain",
        "accuracy_gain_ci95",
        "mcnemar_p_value",
        "verdict",
        "probe_gain",
        "probe_gain_ci95",
        "probe_mcnemar_p_value",
        "probe_verdict",
        "gains",
        "best_baseline",
    },
    "reload_check": {"passed", "largest_logit_difference"},
}
TOP = {"schema_version", "status", "run_folder", "recipe", "environment", "baselines", "notes", *KEYS}
RUNS = ["distilbert-lora", "bert-lora", "gpt2-lora", "distilbert-full", "distilbert-head"]


@pytest.fixture(scope="module")
def finished(tiny_run, tiny_recipe, tmp_path_factory):
    """Return a function that gives the run folder of "architecture-method"; each run is made once."""
    made: dict[str, Path] = {"distilbert-lora": tiny_run.folder}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name) / "run"
            with reloading_here():
                experiment.run(tiny_recipe(*name.split("-"), num_train_epochs=3), made[name])
        return made[name]

    return folder


def _results(folder: Path) -> dict:
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def _predictions(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", RUNS)
def test_a_run_folder_holds_exactly_the_files_of_the_contract(finished, name):
    folder = finished(name)
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == FILES | ({"adapter/adapter_config.json"} if name.endswith("lora") else set())
    assert not (folder / "checkpoints").exists()


@pytest.mark.parametrize("name", RUNS)
def test_the_results_hold_every_key_of_the_contract(finished, name):
    found = _results(finished(name))
    RunRecord.model_validate(found)
    assert set(found) >= TOP
    for section, keys in KEYS.items():
        assert set(found[section]) >= keys, section
    assert set(found["baselines"]) >= {"majority_class", "probe"}
    assert found["status"] == "completed"
    assert found["reload_check"]["passed"] is True
    assert found["reload_check"]["largest_logit_difference"] <= 1e-4


@pytest.mark.parametrize("name", RUNS)
def test_the_predictions_agree_with_the_results(finished, tiny_data, name):
    rows, found = _predictions(finished(name)), _results(finished(name))
    for column, section in (
        ("prediction", found["after"]),
        ("before_prediction", found["before"]),
        ("probe_prediction", found["baselines"]["probe"]),
        ("tfidf_prediction", found["baselines"]["tfidf"]),
    ):
        assert section["accuracy"] == np.mean([row[column] == row["label"] for row in rows]), column
    labels = found["data"]["labels"]
    counts = [
        [sum(row["label"] == true and row["prediction"] == said for row in rows) for said in labels] for true in labels
    ]
    assert found["after"]["confusion_matrix"] == counts
    gain = found["after"]["accuracy"] - found["baselines"]["probe"]["accuracy"]
    assert found["comparison"]["probe_gain"] == pytest.approx(gain)
    shares = {name: value["accuracy"] for name, value in found["baselines"].items()}
    assert shares[found["comparison"]["best_baseline"]] == max(shares.values())
    for name, share in {**shares, "before": found["before"]["accuracy"]}.items():
        gain = found["comparison"]["gains"][name]
        assert gain["value"] == pytest.approx(found["after"]["accuracy"] - share), name
    for label, scores in found["after"]["per_label"].items():
        answers = [row["label"] == label for row in rows if row["prediction"] == label]
        assert (scores["answered"], scores["examples"]) == (len(answers), sum(row["label"] == label for row in rows))
        assert scores["precision"] == pytest.approx(np.mean(answers) if answers else 0)
    with tiny_data["test"].open(encoding="utf-8", newline="") as file:
        assert [(row["text"], row["label"]) for row in rows] == [
            (row["text"], row["label"]) for row in csv.DictReader(file)
        ]


@pytest.mark.parametrize("name", RUNS)
def test_before_is_the_stock_model_with_an_untrained_head_on_the_same_examples(finished, name):
    """Nothing was trained yet, so its answers are about chance: its loss is that of two equal shares."""
    found = _results(finished(name))
    assert found["before"]["examples"] == found["after"]["examples"] == found["data"]["test_examples"] == 40
    assert found["before"]["loss"] == pytest.approx(np.log(2), abs=0.05)
    assert found["before"]["loss"] != found["after"]["loss"]


def test_a_checkpoint_with_a_head_for_these_labels_starts_from_what_it_knows(tiny_run, tiny_recipe, tmp_path):
    """A finished classifier, saved as a stock model and adapted again: its before is the first run's after."""
    lightune.load(tiny_run.folder).save_pretrained(tmp_path / "published")
    recipe = tiny_recipe("distilbert", "head", num_train_epochs=1)
    recipe = recipe.model_copy(update={"model": str(tmp_path / "published")})
    with reloading_here():
        found = lightune.run(recipe, tmp_path / "run")
    first = tiny_run.record.after
    assert (found.before.accuracy, found.before.confusion_matrix) == (first.accuracy, first.confusion_matrix)
    assert found.before.loss == pytest.approx(first.loss, abs=1e-5)
    assert (found.model.head, tiny_run.record.model.head) == ("checkpoint", "new")
    assert "The checkpoint's own head was used: its labels are those of the data." in found.notes
    assert found.reload_check.passed


def test_the_counts_of_a_run_by_hand(tiny_run):
    """64 texts in batches of 16 for 8 epochs; the model has 21,858 parameters by transformers' own count."""
    found = _results(tiny_run.folder)
    assert found["training"]["steps"] == 4 * 8
    assert [epoch["epoch"] for epoch in found["training"]["epochs"]] == list(range(1, 9))
    assert found["training"]["samples_per_second"] == pytest.approx(64 * 8 / found["training"]["runtime"])
    accuracies = [epoch["validation_accuracy"] for epoch in found["training"]["epochs"]]
    assert accuracies[found["training"]["best_epoch"] - 1] == max(accuracies)
    base = AutoModelForSequenceClassification.from_pretrained(found["model"]["name"], num_labels=2)
    assert found["model"]["parameters"] == base.num_parameters()
    # LoRA: 8 * (in + out) for q, k, v, out (32 + 32) and the two of the feed-forward (32 + 64), two layers; the head
    # of 32 * 32 + 32 and 2 * 32 + 2.
    trained = 2 * 8 * (4 * 64 + 2 * 96) + 32 * 32 + 32 + 2 * 32 + 2
    assert found["model"]["trainable_parameters"] == trained
    assert found["model"]["trainable_percent"] == pytest.approx(100 * trained / base.num_parameters())
    weights = tiny_run.folder / "adapter" / "adapter_model.safetensors"
    assert found["model"]["adapter_bytes"] == weights.stat().st_size


def test_the_losses_of_the_steps_make_up_those_of_the_epochs(tiny_run):
    lines = [json.loads(line) for line in (tiny_run.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 33))
    for epoch in _results(tiny_run.folder)["training"]["epochs"]:
        losses = [line["loss"] for line in lines if line["epoch"] == epoch["epoch"]]
        assert epoch["train_loss"] == pytest.approx(np.mean(losses))


def test_the_run_folder_describes_itself(tiny_run):
    found = _results(tiny_run.folder)
    assert RunRecord.model_validate(found) == tiny_run.record
    assert json.loads((tiny_run.folder / "environment.json").read_text(encoding="utf-8")) == found["environment"]
    assert yaml.safe_load((tiny_run.folder / "recipe.yaml").read_text(encoding="utf-8")) == found["recipe"]
    assert found["run_folder"] == str(tiny_run.folder)


def test_the_recipe_left_in_the_folder_repeats_the_run_to_the_last_answer(tiny_run, tmp_path, capfd):
    """Through the command line: the JSON on stdout is results.json, and nothing else is there."""
    again = tmp_path / "again"
    with reloading_here():
        assert main(["run", str(tiny_run.folder / "recipe.yaml"), "--output", str(again), "--json"]) == 0
    printed = capfd.readouterr().out
    assert json.loads(printed) == _results(again)
    assert (again / "predictions.csv").read_bytes() == (tiny_run.folder / "predictions.csv").read_bytes()
    first, second = _results(tiny_run.folder), _results(again)
    assert first["training"]["epochs"] == second["training"]["epochs"]
    assert first["comparison"] == second["comparison"]
    assert first["data"] == second["data"]
    for name in ("adapter_model.safetensors", "fingerprints.safetensors"):
        assert (tiny_run.folder / "adapter" / name).read_bytes() == (again / "adapter" / name).read_bytes()


@pytest.mark.parametrize("name", [name for name in RUNS if name.endswith("lora")])
def test_peft_alone_reads_the_adapter_and_computes_the_same_logits(finished, name):
    folder = finished(name)
    texts = [row["text"] for row in _predictions(folder)[:6]]
    place = _results(folder)["model"]["name"]
    base = AutoModelForSequenceClassification.from_pretrained(place, num_labels=2)
    model, tokenizer = PeftModel.from_pretrained(base, folder / "adapter").eval(), AutoTokenizer.from_pretrained(place)
    with torch.no_grad():
        logits = [model(**tokenizer(text, return_tensors="pt")).logits[0].numpy() for text in texts]
    np.testing.assert_allclose(logits, lightune.load(folder).logits(texts), atol=1e-5)


def test_another_base_model_is_refused_with_exit_code_4(finished, tiny_models, capsys):
    with pytest.raises(ArtifactError, match="is not the base model") as caught:
        lightune.load(finished("distilbert-lora"), base_model=str(tiny_models["bert"]))
    assert caught.value.exit_code == 4
    command = ["predict", str(finished("distilbert-lora")), "a film", "--base-model", str(tiny_models["bert"])]
    assert main(command) == 4
    assert "ARTIFACT-007" in capsys.readouterr().err


def test_a_moved_base_model_is_found_where_one_says(finished, tiny_models, tmp_path):
    (tmp_path / "moved").symlink_to(tiny_models["distilbert"], target_is_directory=True)
    folder = finished("distilbert-lora")
    found = lightune.load(folder, base_model=str(tmp_path / "moved")).logits(["a film"])
    np.testing.assert_array_equal(found, lightune.load(folder).logits(["a film"]))


def _refused(recipe, tmp_path: Path, error: type[Exception]) -> str:
    """Run into an error, check that nothing was left, and return its message."""
    place = tmp_path / "place"
    place.mkdir()
    with pytest.raises(error) as caught:
        experiment.run(recipe, place / "run")
    assert list(place.iterdir()) == []
    return str(caught.value)


def test_a_learning_rate_that_blows_up_ends_with_exit_code_5_and_leaves_nothing(tiny_recipe, tmp_path):
    message = _refused(tiny_recipe("distilbert", "full", learning_rate=1e30), tmp_path, TrainingDivergedError)
    assert TrainingDivergedError.exit_code == 5
    assert message.startswith("TRAIN-001")
    assert "this method's default is 0.0001): --learning-rate 0.0001" in message


def test_a_last_step_that_blows_up_is_noticed_too(tiny_recipe, tmp_path):
    """One step alone: no later loss would show that its weights are beyond repair."""
    recipe = tiny_recipe(
        "distilbert",
        "full",
        learning_rate=1e37,
        num_train_epochs=1,
        per_device_train_batch_size=64,
        lr_scheduler_type="constant",
    )
    _refused(recipe, tmp_path, TrainingDivergedError)


def test_an_unknown_method_leaves_nothing(tiny_recipe, tmp_path):
    assert 'Did you mean "lora"?' in _refused(tiny_recipe("distilbert", "lorra"), tmp_path, RecipeError)


def test_a_missing_file_leaves_nothing(tiny_recipe, tmp_path):
    recipe = tiny_recipe()
    data = recipe.data.model_copy(update={"source": recipe.data.source.model_copy(update={"train": "nowhere.csv"})})
    message = _refused(recipe.model_copy(update={"data": data}), tmp_path, DataError)
    assert "nowhere.csv: there is no such file" in message


def test_a_missing_model_leaves_nothing(tiny_recipe, tmp_path):
    recipe = tiny_recipe()
    _refused(recipe.model_copy(update={"model": "./nowhere"}), tmp_path, RecipeError)
    tmp_path.joinpath("place").rmdir()
    _refused(recipe.model_copy(update={"model": "nobody/nothing"}), tmp_path, HubError)


def test_a_folder_that_holds_something_is_not_touched(tiny_recipe, tmp_path):
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(RecipeError, match="not empty"):
        experiment.run(tiny_recipe(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_pair_of_text_columns_and_three_labels_go_all_the_way(tiny_recipe, tmp_path, monkeypatch):
    """Without the fresh process, which the other runs pay for; groups and pairs are the subject here."""
    rows = [(f"the film was {word}", f"my {thing}", label, kind)
            for word, label in (("lovely", "a"), ("dull", "b"), ("warm", "c"))
            for thing in ("soup", "lamp", "plot", "song", "chair")
            for kind in ("x", "y")]  # fmt: skip
    rows = [(f"{first} {kind * (number % 7 + 1)}", *rest, kind) for number, (first, *rest, kind) in enumerate(rows)]
    path = write_csv(tmp_path / "pairs.csv", rows, header=("premise", "hypothesis", "label", "kind"))
    recipe = tiny_recipe("bert", "head", num_train_epochs=1)
    data = {
        "source": {"train": str(path), "test": str(path)},
        "text_column": ["premise", "hypothesis"],
        "max_length": 6,
    }
    mapping = {**recipe.model_dump(mode="json"), "data": {**data, "on_duplicate": "keep", "label_column": "label"}}
    monkeypatch.setattr(
        experiment,
        "check_reload",
        lambda *_: (ReloadCheck(passed=True, examples=0, largest_logit_difference=0.0), ""),
    )
    record = lightune.run(mapping, tmp_path / "run")
    # The shortest pair has three special tokens, five words before them and two after: each of the 60 is cut at six.
    assert record.data.truncated_examples == 60
    assert any("60 of 60 texts were truncated to 6 tokens" in note for note in record.notes)
    assert record.data.text_column == ["premise", "hypothesis"]
    assert record.data.labels == ["a", "b", "c"]
    assert {name: group.examples for name, group in record.after.groups["kind"].items()} == {"x": 15, "y": 15}
    found = _predictions(tmp_path / "run")
    assert [(row["text"], row["text_pair"], row["kind"]) for row in found] == [(a, b, kind) for a, b, _, kind in rows]


@pytest.mark.parametrize(
    "method",
    [
        "prefix",
        pytest.param("lora", marks=pytest.mark.long),
        pytest.param({"name": "bottleneck", "preset": "par_bn"}, marks=pytest.mark.long),
    ],
)
def test_the_card_s_code_for_peft_answers_as_the_run_does(method, tiny_recipe, tmp_path, monkeypatch):
    """Run as it stands in the card by a fresh process, which knows of our tuners only what the code says."""
    monkeypatch.chdir(tmp_path)
    recipe = tiny_recipe("distilbert", method, num_train_epochs=1, learning_rate=2e-2)
    lightune.run(recipe, "run-1")
    code = re.findall(r"^```python\n(.*?)^```$", Path("run-1/README.md").read_text(), flags=re.MULTILINE | re.DOTALL)[1]
    assert ("tuners.register_all()" in code) == (method != "lora")
    code = code.replace('name, adapter = "distilbert"', f"name, adapter = {recipe.model!r}")  # the card holds no path
    code += "print(logits.tolist())\n"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    classifier = lightune.load("run-1", device="cpu")
    *_, shown, logits = answer.stdout.splitlines()
    np.testing.assert_allclose(json.loads(logits), classifier.logits(["A text to classify."]), atol=1e-5)
    label, confidence = shown.split()
    (wanted,) = classifier.predict("A text to classify.")
    assert (label, float(confidence)) == (wanted.label, pytest.approx(wanted.confidence, abs=1e-4))


@pytest.mark.parametrize(
    ("examples", "said"), [(1, ["Only 1 test example:"]), (29, ["Only 29 test examples:"]), (30, [])]
)
def test_a_verdict_on_few_test_texts_is_qualified(examples: int, said: list[str]):
    assert [caution[: len(start)] for caution, start in zip(few_texts(examples), said, strict=True)] == said


def test_the_qualification_stands_in_the_record(tiny_recipe, tmp_path):
    recipe = tiny_recipe("distilbert", "head", num_train_epochs=1)
    few = recipe.model_copy(update={"data": recipe.data.model_copy(update={"test_examples": 8})})
    with reloading_here():
        record = experiment.run(few, tmp_path / "run")
    assert record.comparison.cautions[0].startswith("Only 8 test examples:")
