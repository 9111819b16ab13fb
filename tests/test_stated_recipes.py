"""The tutorial's set-ups state all that their results depend on, and are what they were when they were first given."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from lightune.methods import METHODS, make_method
from lightune.recipe import DataBlock, Recipe, TrainingBlock, parse_recipe
from lightune.recipes.compose import compose, read_recipe

# Keys that need not be stated, and why a later default of theirs could not change a result.
EXEMPT = {
    "name": "which configuration, of data sets that have several: this one has one",
    "revision": "a commit of one data set can be no default",
    "label_columns": "another way to name the labels, and label_column is stated",
    "label_separator": "parts the labels of a cell, and the task that has one label in each is stated",
    "label_kind": "which columns are refused as labels; what is accepted is the same",
    "separator": "how text files are written, and the data set is none",
    "encoding": "how text files are written, and the data set is none",
    "header_row": "how files are written, and the data set is none",
    "column_names": "how files are written, and the data set is none",
    "sheet": "how workbooks are written, and the data set is none",
    "decimal": "how numbers are written in files, and the data set is none",
    "on_unreadable": "whether broken rows of files are dropped, and the data set is none",
    "on_alike_label": "whether labels that look alike are merged, and the data set has none",
    "on_rare_label": "whether labels with one text are left out, and the data set has none",
    "on_missing": "whether rows without text or label are dropped, and the data set has none",
    "fingerprints": "what is kept beside the adapter",
    "gradient_checkpointing": "computes the same with less memory",
    "cuda_graphs": "computes the same with fewer launches",
    "cache_frozen": "computes the same with fewer layers",
    "save_steps": "what is written in between",
    "report_to": "who is told",
}
# Beside the blocks: where it runs, how many texts are evaluated at once, a commit of the model.
EXEMPT_ABOVE = {"device", "evaluation", "model_revision"}

DATA: dict[str, Any] = {
    "source": "cornell-movie-review-data/rotten_tomatoes", "name": None, "revision": None, "text_column": "text",
    "label_column": "label", "train_examples": 500, "validation_examples": None, "test_examples": 500,
    "max_length": None, "long_texts": "cut", "on_unseen_label": "error", "on_duplicate": "drop", "label_kind": "auto",
    "fingerprints": True,
    "label_columns": None, "label_separator": None, "separator": None, "encoding": None, "on_missing": "error",
    "on_unreadable": "error", "header_row": None, "column_names": None, "sheet": None, "decimal": None,
    "on_alike_label": "error", "on_rare_label": "error",
}  # fmt: skip
LORA: dict[str, Any] = {
    "rank": 8, "alpha": 16, "dropout": 0.0,
    "roles": ["query", "key", "value", "attention_out", "ffn_in", "ffn_out"], "target_modules": None,
    "use_rslora": False, "use_dora": False, "init_lora_weights": "default", "loraplus_lr_ratio": 1.0,
}  # fmt: skip
TRAINING: dict[str, Any] = {
    "num_train_epochs": 5, "per_device_train_batch_size": 16, "gradient_accumulation_steps": 1,
    "train_sampling_strategy": "random", "learning_rate": 5e-5, "weight_decay": 0.01, "adam_beta1": 0.9,
    "adam_beta2": 0.999, "adam_epsilon": 1e-8, "warmup_steps": 0.1, "lr_scheduler_type": "linear",
    "lr_scheduler_kwargs": {}, "max_grad_norm": 1.0, "gradient_checkpointing": False, "cuda_graphs": True, "seed": 42,
    "precision": "auto", "head_start": "random", "class_weights": "none", "calibration": "auto",
    "metric_for_best_model": "accuracy", "load_best_model_at_end": True, "weight_averaging": 0.0, "token_masking": 0.0,
    "cache_frozen": "auto",
    "early_stopping_patience": None, "save_steps": None, "report_to": [],
}  # fmt: skip
TUNED_TRAINING = {
    **TRAINING, "num_train_epochs": 8, "learning_rate": 5e-4, "train_sampling_strategy": "group_by_length",
    "head_start": "probe", "token_masking": 0.1, "weight_averaging": 0.5, "load_best_model_at_end": False,
}  # fmt: skip
# What the recipes came to before they stated it (27 November 2026): data, LoRA's options, training.
WERE = {
    "rotten-tomatoes": (DATA, LORA, TRAINING),
    "rotten-tomatoes-tuned": ({**DATA, "validation_examples": 10}, {**LORA, "dropout": 0.1}, TUNED_TRAINING),
}


@pytest.mark.parametrize("name", WERE)
def test_the_recipe_is_what_it_was(name: str):
    data, lora, training = WERE[name]
    found = parse_recipe(read_recipe(name)).model_dump(mode="json")
    assert found["model"] == "distilbert-base-uncased"
    assert (found["model_precision"], found["task"], found["device"]) == ("fp32", "classification", "auto")
    assert found["data"] == data
    assert found["training"] == training
    method = dict(found["method"])
    assert method.pop("name") == "lora"
    assert make_method("lora", method).options() == lora


@pytest.mark.parametrize("name", WERE)
def test_the_recipe_states_all_that_its_result_depends_on(name: str):
    stated = read_recipe(name)
    blocks = {
        "data": set(DataBlock.model_fields),
        "training": set(TrainingBlock.model_fields),
        "method": {"name", *(field.name for field in fields(METHODS["lora"]))},
    }
    for block, keys in blocks.items():
        exempt = set() if block == "method" else EXEMPT.keys()
        assert keys - set(stated[block]) - exempt == set(), f"{block}: state these in {name}.yaml"
    assert set(Recipe.model_fields) - set(stated) == EXEMPT_ABOVE
    assert all(EXEMPT.values())


def test_no_exemption_outlives_its_key():
    assert EXEMPT.keys() <= {*DataBlock.model_fields, *TrainingBlock.model_fields}
    assert set(Recipe.model_fields) >= EXEMPT_ABOVE


@pytest.mark.parametrize("name", WERE)
def test_flags_and_other_data_change_what_they_name_and_nothing_else(name: str):
    """--train takes the recipe's columns and test size away, which were said of another data set."""
    flags = {"model": "minilm", "train": "train.csv", "test": "test.csv", "seed": 43}
    found = compose(name, flags).recipe.model_dump(mode="json")
    data, _, training = WERE[name]
    source = {"train": "train.csv", "validation": None, "test": "test.csv"}
    assert found["data"] == {**data, "source": source, "text_column": None, "label_column": None, "test_examples": None}
    assert found["training"] == {**training, "seed": 43}
    assert compose(name, {"method": "ia3"}).recipe.method.options == {}
