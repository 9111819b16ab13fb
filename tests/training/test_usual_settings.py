"""What the settings of a training are where the recipe leaves them to the data."""

from __future__ import annotations

from typing import Any

import pytest

from lightune.recipe import TrainingBlock
from lightune.training.usual_settings import FEWEST_EPOCHS, MOST_EPOCHS, UsualTask, settled, usual_epochs

TASK = UsualTask("f1_macro", "probe")


def of(training: dict[str, Any], texts: int = 400, validation_texts: int = 100) -> dict[str, Any]:
    return settled(TrainingBlock(**training), texts, validation_texts, TASK).model_dump()


def test_what_is_stated_stays():
    stated = {"num_train_epochs": 3, "load_best_model_at_end": False, "head_start": "random", "weight_decay": 0.2}
    assert of(stated) == TrainingBlock(**stated).model_dump() | {"metric_for_best_model": "f1_macro"}


def test_nothing_is_left_to_the_data():
    found = of({})
    assert "auto" not in (found["num_train_epochs"], found["load_best_model_at_end"], found["head_start"])
    assert (found["head_start"], found["metric_for_best_model"]) == ("probe", "f1_macro")


@pytest.mark.parametrize(("validation_texts", "chooses"), [(1, False), (99, False), (100, True), (5000, True)])
def test_the_best_epoch_is_kept_where_enough_validation_texts_choose_it(validation_texts: int, chooses: bool):
    assert of({}, validation_texts=validation_texts)["load_best_model_at_end"] is chooses


@pytest.mark.parametrize("asked", [{"metric_for_best_model": "f1_macro"}, {"early_stopping_patience": 2}])
def test_the_best_epoch_is_kept_where_the_recipe_names_how_it_is_found(asked: dict[str, Any]):
    assert of(asked, validation_texts=20)["load_best_model_at_end"] is True


def test_fewer_texts_are_seen_more_often():
    epochs = [usual_epochs(texts) for texts in (1, 80, 400, 1600, 10**6)]
    assert epochs == sorted(epochs, reverse=True)
    assert (epochs[0], epochs[-1]) == (MOST_EPOCHS, FEWEST_EPOCHS)
