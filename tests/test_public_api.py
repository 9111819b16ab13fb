"""The names a program may rely on."""

from __future__ import annotations

import doctest

import pytest

import lightune
from lightune.record import RunRecord


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
