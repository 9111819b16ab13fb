"""Classifiers that were trained elsewhere: any checkpoint with a head of its own, from a folder or the Hub."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import lightune
from lightune.cli.main import main
from lightune.errors import ArtifactError, DataError, HubError, RecipeError
from lightune.inference.labelled_evaluation import evaluate_file, evaluate_own_test
from small_hub import COMMIT
from tiny import write_csv

TEXTS = ["the film was lovely", "the dull plot was dreadful", "my soup is cold here"]


@pytest.fixture(scope="module")
def stock(tiny_run, tmp_path_factory) -> Path:
    """The tiny run's model as transformers writes it, labels negative and positive."""
    folder = tmp_path_factory.mktemp("stock") / "model"
    lightune.load(tiny_run.folder).save_pretrained(folder)
    return folder


def _with_config(stock: Path, target: Path, **changes: object) -> Path:
    """Return a copy of the model with another config.json; None takes a key away."""
    shutil.copytree(stock, target)
    config = json.loads((target / "config.json").read_text(encoding="utf-8")) | changes
    config = {name: value for name, value in config.items() if value is not None}
    (target / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return target


def _relabelled(source: Path, target: Path, names: dict[str, str]) -> Path:
    with source.open(encoding="utf-8", newline="") as file:
        rows = [(row["text"], names[row["label"]]) for row in csv.DictReader(file)]
    return write_csv(target, rows)


def _same_as_the_run(found, tiny_run) -> None:
    assert found.accuracy == tiny_run.record.after.accuracy
    assert found.confusion_matrix == tiny_run.record.after.confusion_matrix
    assert found.loss == pytest.approx(tiny_run.record.after.loss, abs=1e-5)


def test_a_model_folder_answers_as_the_run_that_it_was_saved_from(stock, tiny_run):
    found, run = lightune.load(stock), lightune.load(tiny_run.folder)
    assert found.labels == ["negative", "positive"]
    assert [str(answer) for answer in found.predict(TEXTS)] == [str(answer) for answer in run.predict(TEXTS)]


def test_names_are_matched_whatever_their_case(stock, tiny_run, tiny_data, tmp_path):
    names = {"negative": "NEGATIVE", "positive": "Positive"}
    path = _relabelled(tiny_data["test"], tmp_path / "t.csv", names)
    _same_as_the_run(evaluate_file(lightune.load(stock), path), tiny_run)


def test_unnamed_labels_are_matched_by_number(stock, tiny_run, tiny_data, tmp_path):
    folder = _with_config(stock, tmp_path / "model", id2label=None, label2id=None)
    path = _relabelled(tiny_data["test"], tmp_path / "t.csv", {"negative": "0", "positive": "1"})
    classifier = lightune.load(folder)
    assert classifier.labels == ["LABEL_0", "LABEL_1"]
    _same_as_the_run(evaluate_file(classifier, path), tiny_run)


def test_labels_in_another_order_keep_their_names(stock, tiny_run, tiny_data, tmp_path):
    """The head's first row is then called positive, so that every answer is turned round."""
    folder = _with_config(
        stock, tmp_path / "model", id2label={"0": "positive", "1": "negative"}, label2id={"positive": 0, "negative": 1}
    )
    found = evaluate_file(lightune.load(folder), tiny_data["test"])
    assert found.accuracy == pytest.approx(1 - tiny_run.record.after.accuracy)


def test_other_labels_are_an_error_that_names_both_sets(stock, tmp_path):
    path = write_csv(tmp_path / "t.csv", [("a film", "good"), ("a book", "bad")])
    with pytest.raises(DataError, match=r"\(good, bad\).*\(negative, positive\)"):
        evaluate_file(lightune.load(stock), path)


def test_an_unknown_label_among_known_ones_is_named_by_line(stock, tmp_path):
    path = write_csv(tmp_path / "t.csv", [("a film", "POSITIVE"), ("a book", "neutral")])
    with pytest.raises(DataError) as caught:
        evaluate_file(lightune.load(stock), path)
    assert caught.value.code == "DATA-014"
    assert f"{path}:3" in str(caught.value)


def test_a_model_from_elsewhere_has_no_test_split_of_its_own(stock):
    with pytest.raises(ArtifactError, match="no test split"):
        evaluate_own_test(lightune.load(stock), stock)


def test_a_cached_model_of_the_hub_is_loaded_by_its_name(stock, tmp_path, monkeypatch):
    repository = tmp_path / "models--somebody--finished"
    shutil.copytree(stock, repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT, encoding="utf-8")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert repr(lightune.load("somebody/finished")) == "<Classifier somebody/finished: negative, positive>"
    with pytest.raises(HubError, match=r"HUB-001.*\nThere is no folder") as caught:
        lightune.load("somebody/unfinished")
    assert caught.value.exit_code == 7


# What is no finished classifier


def test_a_model_without_a_head_is_refused(tiny_models):
    with pytest.raises(ArtifactError, match="no finished classification head") as caught:
        lightune.load(tiny_models["distilbert"])
    assert caught.value.code == "ARTIFACT-013"


@pytest.mark.parametrize(
    ("changes", "task"),
    [
        ({}, "classification"),
        ({"problem_type": "single_label_classification"}, "classification"),
        ({"problem_type": "multi_label_classification"}, "multi_label"),
        ({"problem_type": "regression"}, "regression"),
    ],
)
def test_a_model_does_the_task_that_its_configuration_names(stock, tmp_path, changes, task):
    classifier = lightune.load(_with_config(stock, tmp_path / "model", **changes))
    assert classifier.task.name == task
    wanted = lightune.load(stock).logits(TEXTS)
    np.testing.assert_allclose(classifier.logits(TEXTS), wanted, atol=1e-6)


def test_more_labels_than_the_head_has_are_refused(stock, tmp_path):
    names = {str(index): name for index, name in enumerate(("negative", "neutral", "positive"))}
    with pytest.raises(ArtifactError, match="no finished classification head"):
        lightune.load(_with_config(stock, tmp_path / "model", id2label=names, label2id=None))


def test_a_folder_that_is_neither_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"neither a run folder .* nor a model folder"):
        lightune.load(tmp_path)


def test_a_misspelt_run_folder_is_not_looked_for_on_the_hub(tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtifactError, match="runs/quickstart-9: there is no such folder"):
        lightune.load("runs/quickstart-9")


def test_a_damaged_configuration_is_refused(stock, tmp_path):
    folder = Path(shutil.copytree(stock, tmp_path / "model"))
    (folder / "config.json").write_bytes(b'{"id2label": ')
    with pytest.raises(ArtifactError, match="cannot be understood"):
        lightune.load(folder)


def test_a_base_model_goes_with_a_run_only(stock):
    with pytest.raises(RecipeError, match="goes with a run folder"):
        lightune.load(stock, base_model="minilm")


# The command line


def test_evaluate_and_predict_take_a_model_folder(stock, tiny_run, tiny_data, capsys):
    assert main(["evaluate", str(stock), "--test", str(tiny_data["test"]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == tiny_run.record.after.accuracy
    assert main(["predict", str(stock), TEXTS[0], "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["predictions"]
    assert answer["label"] == lightune.load(tiny_run.folder).predict(TEXTS[0])[0].label
    assert main(["evaluate", str(stock)]) == 4
    assert "Pass --test FILE." in capsys.readouterr().err
