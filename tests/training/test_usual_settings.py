"""What the settings of a training are where the recipe leaves them to the data."""

from __future__ import annotations

from typing import Any

import pytest

from lightune.recipe import TrainingBlock
from lightune.training.usual_settings import (
    FEWEST_EPOCHS,
    MOST_EPOCHS,
    UsualTask,
    settled,
    usual_epochs,
    usual_notes,
)

TASK = UsualTask("f1_macro", "probe", 2)


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


@pytest.mark.parametrize(
    ("texts", "outputs", "epochs"),
    # (4000 + 50 outputs) / texts: 4100 / 80 = 51.25, 4100 / 400 = 10.25, 7850 / 400 = 19.6, 7850 / 1600 = 4.9
    [
        (80, 2, MOST_EPOCHS),
        (400, 2, 11),
        (400, 77, 20),
        (800, 48, 8),
        (1600, 77, FEWEST_EPOCHS),
        (10**6, 2, FEWEST_EPOCHS),
    ],
)
def test_epochs_show_about_as_many_texts_at_any_size(texts: int, outputs: int, epochs: int):
    assert usual_epochs(texts, outputs) == epochs


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({}, ["Epochs by the number", "The last epoch is kept: 20 validation texts"]),
        ({"num_train_epochs": 3}, ["The last epoch is kept: 20 validation texts"]),
        ({"num_train_epochs": 1}, []),
        ({"num_train_epochs": 3, "load_best_model_at_end": False}, []),
    ],
)
def test_a_run_says_what_the_number_of_texts_decided_and_nothing_else(stated: dict[str, Any], said: list[str]):
    training = TrainingBlock(**stated)
    notes = usual_notes(training, settled(training, 80, 20, TASK), 20)
    assert len(notes) == len(said)
    assert all(note.startswith(start) for note, start in zip(notes, said, strict=True))
