"""Data from a Python program: what it may be, what is refused, and the run that it makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pandas
import pytest

import lightune
from lightune.data.python_data import NO_SOURCE, python_tables
from lightune.data.task import load_task
from lightune.errors import DataError
from lightune.recipe import DataBlock
from tiny import sentences

PAIRS = [("fine", "pos"), ("dull", "neg"), ("sweet", "pos")]
DICTS = [{"text": text, "label": label} for text, label in PAIRS]
COLUMNS = {"text": [text for text, _ in PAIRS], "label": [label for _, label in PAIRS]}
DATASET = datasets.Dataset.from_list(DICTS)


@pytest.mark.parametrize(
    "data",
    [
        PAIRS,
        [list(pair) for pair in PAIRS],
        DICTS,
        tuple(DICTS),
        (pair for pair in PAIRS),
        DATASET,
        {"train": PAIRS},
        COLUMNS,
        pandas.DataFrame(DICTS),
    ],
    ids=["pairs", "lists", "dicts", "tuple", "generator", "dataset", "splits", "columns", "frame"],
)
def test_rows_in_any_of_their_forms_are_the_same_table(data: Any):
    tables = python_tables(data)
    assert tables.train.columns == {"text": ["fine", "dull", "sweet"], "label": ["pos", "neg", "pos"]}
    assert (tables.name, tables.validation, tables.test) == ("<python>", None, None)
    assert tables.train.place(2).endswith(":3")


def test_splits_may_have_any_of_their_names_and_others_are_left_out_aloud():
    tables = python_tables({"train": PAIRS, "dev": DICTS[:1], "test": DATASET, "unsupervised": PAIRS})
    assert [len(table) for table in (tables.train, tables.validation, tables.test)] == [3, 1, 3]
    assert tables.validation_was_given
    assert tables.notes == ["<python>: left out, being called like no split: unsupervised."]
    assert tables.test.place(0) == "<python>[test]:1"


def test_a_dataset_dict_keeps_its_class_names_and_its_order():
    """A shuffled Dataset is an index over rows that stay where they are."""
    kinds = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    rows = datasets.Dataset.from_dict({"text": ["a", "b", "c", "d"], "label": [0, 1, 1, 0]}, features=kinds)
    tables = python_tables(datasets.DatasetDict(train=rows.shuffle(seed=3), validation=rows.select([2, 0])))
    assert tables.train.class_names == {"label": ["neg", "pos"]}
    assert dict(zip(*tables.train.columns.values(), strict=True)) == {"a": 0, "b": 1, "c": 1, "d": 0}
    assert list(tables.train.columns["text"]) == rows.shuffle(seed=3)["text"][:]
    assert tables.validation.columns == {"text": ["c", "a"], "label": [1, 0]}
    assert not tables.validation_was_given


def test_a_key_that_a_row_lacks_is_missing_there():
    assert python_tables([{"text": "x"}, {"label": 1}]).train.columns == {"text": ["x", None], "label": [None, 1]}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ([], "DATA-004 <python>: there are no rows."),
        ("reviews.csv", "DATA-067 <python>: data of type str cannot be read."),
        (7, "DATA-067 <python>: data of type int cannot be read."),
        ({"train": 7}, "DATA-067 <python>[train]: data of type int cannot be read."),
        ([("a", "b"), "c"], "DATA-067 <python>:2: neither a dict nor a (text, label) pair, but str"),
        ([("a", "b", "c")], "DATA-067 <python>:1: neither a dict nor a (text, label) pair, but tuple"),
        ({"trian": PAIRS}, 'DATA-067 <python>: there is no split called "trian".\nDid you mean "train"?'),
        ({"test": PAIRS}, "DATA-011 <python>: there is no split called train."),
        ({"text": ["a", "b"], "label": ["c"]}, 'DATA-067 <python>: there is no split called "text".'),
        ({}, "DATA-011 <python>: there is no split called train."),
    ],
)
def test_what_is_no_data_is_refused(data: Any, told: str):
    with pytest.raises(DataError) as caught:
        python_tables(data)
    assert str(caught.value).startswith(told)


def test_a_row_that_cannot_be_used_is_named():
    rows = [*[(f"good {row}", row % 2) for row in range(20)], ("", 1)]
    with pytest.raises(DataError, match=r"<python>:21: text is empty"):
        load_task(DataBlock.model_validate(NO_SOURCE), 1, tables=python_tables(rows))


def test_a_source_that_was_a_program_cannot_be_read_again():
    with pytest.raises(DataError, match="DATA-067 this data came from a Python program"):
        load_task(DataBlock.model_validate(NO_SOURCE), 1)


def test_a_run_on_data_from_python_records_it(tiny_recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    passed = {"passed": True, "examples": 30, "largest_logit_difference": 0.0}
    monkeypatch.setattr(
        "lightune.experiment.check_reload", lambda *_: (passed, None)
    )  # a whole process, shown elsewhere
    rows = sentences(90, seed=5)
    recipe = tiny_recipe(num_train_epochs=1)
    record = lightune.run(recipe, tmp_path / "run", data={"train": rows[:60], "test": rows[60:]})
    task = load_task(recipe.data, recipe.training.seed, tables=python_tables({"train": rows[:60], "test": rows[60:]}))
    assert (record.data.source, record.data.sha256) == ("<python>", task.sha256())
    assert record.recipe["data"]["source"] == "<python>"
    assert record.data.train_examples + record.data.validation_examples == 60
    assert record.data.test_examples == 30
    assert recipe.data.source != "<python>"
