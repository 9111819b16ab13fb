"""The names a program may rely on."""

from __future__ import annotations

import doctest
from pathlib import Path

import numpy as np
import pytest

import lightune
from lightune.record import RunRecord
from reloading_here import reloading_here
from tiny import sentences


def test_the_example_in_the_package_runs():
    found = doctest.testmod(lightune)
    assert found.attempted >= 3
    assert found.failed == 0


def test_all_names_can_be_imported_and_no_other_is_promised():
    assert sorted(lightune.__all__) == sorted({*lightune._HOMES, "__version__"}) == dir(lightune)
    for name in lightune.__all__:
        assert getattr(lightune, name).__doc__, name
    namespace: dict = {}
    exec("from lightune import *", namespace)  # noqa: S102
    assert set(namespace) - {"__builtins__"} == set(lightune.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'runn'"):
        lightune.runn  # noqa: B018


def test_run_returns_the_record_and_load_gives_a_classifier_that_answers(tiny_run):
    """The shared run was made by `lightune.run(recipe, folder)`."""
    assert isinstance(tiny_run.record, lightune.RunRecord)
    assert lightune.RunRecord is RunRecord
    (answer,) = lightune.load(str(tiny_run.folder)).predict(["a quiet, devastating film"])
    assert isinstance(answer, lightune.Prediction)
    assert answer.label in {"negative", "positive"}


def test_a_recipe_in_python_is_the_recipe_in_yaml(tiny_recipe):
    recipe = tiny_recipe("distilbert", "lora", num_train_epochs=8, learning_rate=2e-2)
    again = lightune.Recipe(**recipe.model_dump())
    assert again == recipe
    assert lightune.Recipe().model == "minilm"


def test_every_error_is_a_lightune_error(tmp_path):
    with pytest.raises(lightune.LightuneError) as caught:
        lightune.load(tmp_path / "nowhere")
    assert caught.value.code == "ARTIFACT-009"
    assert str(caught.value).startswith("ARTIFACT-009 ")


def test_run_takes_the_flags_of_the_command_and_two_columns(tiny_models, tmp_path):
    rows = sentences(80, seed=8)
    texts, labels = np.array([text for text, _ in rows]), [int(label == "positive") for _, label in rows]
    how = {"method": "head", "epochs": 1, "batch_size": 8, "learning_rate": 1e-2, "device": "cpu", "seed": 3}
    with reloading_here():
        record = lightune.run(
            model=str(tiny_models["distilbert"]), data=(texts, labels), output=tmp_path / "run", **how
        )
    recipe = record.recipe
    assert (recipe["name"], recipe["data"]["source"], recipe["method"]["name"]) == ("python", "<python>", "head")
    training = recipe["training"]
    assert [training[key] for key in ("num_train_epochs", "per_device_train_batch_size", "learning_rate", "seed")] == [
        1, 8, 1e-2, 3,
    ]  # fmt: skip
    assert training["head_start"] == "random", "the quickstart's settings are for its own data"
    assert record.data.labels == ["0", "1"]
    assert record.data.train_examples + record.data.validation_examples + record.data.test_examples == 80


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"epoch": 3}, "RECIPE-013"),
        ({"data": (["a"], ["b"]), "test": "b.csv"}, "RECIPE-008"),
        ({"data": "nowhere.csv"}, "DATA-001"),
        ({"data": Path("nowhere.csv")}, "DATA-001"),
        ({"data": "reviews", "train": "a.csv"}, "RECIPE-008"),
    ],
)
def test_what_run_cannot_use_is_refused_before_anything_is_read(given, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(lightune.LightuneError) as caught:
        lightune.run(**given)
    assert caught.value.code == code
    assert list(tmp_path.iterdir()) == []
