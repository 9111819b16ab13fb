"""Data from a Python program: what it may be, what is refused, and the run that it makes."""

from __future__ import annotations

import csv
import io
import sqlite3
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np
import pandas
import pydantic
import pytest
import torch

import lightune
from case_table import case
from lightune.data.dataset import load_splits
from lightune.data.python_data import NO_SOURCE, python_tables
from lightune.errors import DataError
from lightune.recipe import DataBlock
from lightune.sections import ReloadCheck
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


Y = COLUMNS["label"]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param((COLUMNS["text"], Y), id="lists"),
        pytest.param((tuple(COLUMNS["text"]), tuple(Y)), id="tuples"),
        pytest.param((np.array(COLUMNS["text"]), np.array(Y)), id="numpy"),
        pytest.param((np.array(COLUMNS["text"], object), Y), id="objects"),
        pytest.param((pandas.Series(COLUMNS["text"], [7, 5, 3]), pandas.Series(Y, dtype="category")), id="pandas"),
        pytest.param(tuple(zip(*PAIRS, strict=True)), id="unzipped"),
        pytest.param({"train": (np.array(COLUMNS["text"]), np.array(Y))}, id="split"),
    ],
)
def test_texts_and_labels_in_a_tuple_are_two_columns(data: Any):
    assert python_tables(data).train.columns == COLUMNS


def test_texts_and_labels_of_polars_are_two_columns():
    polars = pytest.importorskip("polars")
    found = python_tables((polars.Series(COLUMNS["text"]), polars.Series(Y))).train
    assert found.columns == COLUMNS


@pytest.mark.parametrize("make", [list, np.array, lambda pairs: [list(pair) for pair in pairs]])
def test_texts_that_are_pairs_are_two_text_columns(make: Callable[..., Any]):
    found = python_tables((make([("a b", "c d"), ("e f", "g h"), ("i j", "k l")]), [0, 1, 0])).train
    assert found.columns == {"text": ["a b", "e f", "i j"], "text_pair": ["c d", "g h", "k l"], "label": [0, 1, 0]}


def test_labels_of_several_a_text_stay_together():
    assert python_tables((["a", "b", "c"], [["x"], ["x", "y"], []])).train.columns["label"] == [["x"], ["x", "y"], []]
    flags = python_tables((["a", "b", "c"], np.array([[0, 1], [1, 1], [0, 0]]))).train.columns["label"]
    assert flags == [[0, 1], [1, 1], [0, 0]]


def test_two_rows_of_two_cells_stay_rows():
    assert python_tables((("fine", "pos"), ("dull", "neg"))).train.columns["text"] == ["fine", "dull"]


def test_splits_may_have_any_of_their_names_and_others_are_left_out_aloud():
    tables = python_tables({"train": PAIRS, "dev": DICTS[:1], "test": DATASET, "unsupervised": PAIRS})
    assert [len(table) for table in (tables.train, tables.validation, tables.test)] == [3, 1, 3]
    assert tables.validation_was_given
    assert tables.notes == ["<python>: left out, not named after a split: unsupervised."]
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


class Named(NamedTuple):
    """A row whose fields stand the other way round."""

    label: str
    text: str


@dataclass
class Record:
    """A row of a program's own."""

    label: str
    text: str


class Model(pydantic.BaseModel):
    """A row that was validated."""

    label: str
    text: str


class Rows(torch.utils.data.Dataset[tuple[str, str]]):
    """A data set of torch: items by their number, nothing to pass over."""

    def __len__(self) -> int:
        return len(PAIRS)

    def __getitem__(self, number: int) -> tuple[str, str]:
        return PAIRS[number]


def database() -> sqlite3.Cursor:
    base = sqlite3.connect(":memory:")
    base.row_factory = sqlite3.Row
    base.execute("create table rows (label, text)")
    base.executemany("insert into rows values (?, ?)", [(label, text) for text, label in PAIRS])
    return base.execute("select label, text from rows order by rowid")


NEITHER = "DATA-067: neither a dict nor a (text, label) pair"
NAMES_COUNT = "the names of its fields say which is which"


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(
            lambda: [Named(label, text) for text, label in PAIRS], id="named-tuples",
            marks=case("named tuples (label, text)", "read as (text, label)", "read by their names", NAMES_COUNT),
        ),
        pytest.param(
            lambda: pandas.DataFrame(DICTS)[["label", "text"]].itertuples(index=False), id="itertuples",
            marks=case("frame[['label', 'text']].itertuples()", "read as (text, label)", "read by names", NAMES_COUNT),
        ),
        pytest.param(
            lambda: [Record(label, text) for text, label in PAIRS], id="dataclasses",
            marks=case("dataclass instances", NEITHER, "read by their names", NAMES_COUNT),
        ),
        pytest.param(
            lambda: [Model(label=label, text=text) for text, label in PAIRS], id="pydantic",
            marks=case("pydantic models", NEITHER, "read by their names", NAMES_COUNT),
        ),
        pytest.param(
            database, id="sqlite",
            marks=case("rows of sqlite3.Row", NEITHER, "read by their names", "they have keys()"),
        ),
        pytest.param(
            lambda: [row for _, row in pandas.DataFrame(DICTS).iterrows()], id="series",
            marks=case("a list of Series, one a row", NEITHER, "read by their names", "they have keys()"),
        ),
        pytest.param(
            lambda: list(np.array([pair[::-1] for pair in PAIRS], dtype=[("label", "U9"), ("text", "U9")])), id="void",
        ),
        pytest.param(lambda: zip(COLUMNS["text"], COLUMNS["label"], strict=True), id="zip"),
        pytest.param(lambda: (row for row in DICTS), id="generator"),
        pytest.param(lambda: [np.array(pair) for pair in PAIRS], id="arrays",
            marks=case("a list of arrays of two", NEITHER, "pairs", "lists of two are pairs")),
        pytest.param(lambda: csv.DictReader(io.StringIO("label,text\npos,fine\nneg,dull\npos,sweet\n")), id="csv"),
        pytest.param(lambda: [{" text": text, "label ": label} for text, label in PAIRS], id="blanks"),
        pytest.param(
            Rows, id="torch",
            marks=case("a data set of torch", "DATA-067: cannot be read", "its rows", "it has items and a length"),
        ),
    ],
)  # fmt: skip
def test_rows_that_name_their_cells_are_read_by_name(make: Callable[[], Any]):
    assert {name: python_tables(make()).train.columns[name] for name in COLUMNS} == COLUMNS


def test_more_fields_of_a_named_tuple_are_further_columns():
    row = namedtuple("Pandas", ["Index", "text", "label"])  # as pandas makes it
    found = python_tables([row(number, *pair) for number, pair in enumerate(PAIRS)]).train
    assert found.columns == {"Index": [0, 1, 2], **COLUMNS}


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
        ({"text": ["a", "b"], "label": ["c"]}, "DATA-067 <python>: the columns differ in length: text 2, label 1."),
        ((["a", "b", "c"], ["d"]), "DATA-067 <python>: the columns differ in length: text 3, label 1."),
        (b"a,b", "DATA-067 <python>: data of type bytes cannot be read."),
        ([pandas.DataFrame(DICTS)], "DATA-067 <python>:1: neither a dict nor a (text, label) pair, but DataFrame"),
        (io.StringIO("a,b"), "DATA-067 <python>: data of type StringIO cannot be read."),
        ([{"a", "b"}], "DATA-067 <python>:1: neither a dict nor a (text, label) pair, but set"),
        ([["a", "b", "c"]], "DATA-067 <python>:1: neither a dict nor a (text, label) pair, but list of 3"),
        pytest.param(
            set(PAIRS), "DATA-067 <python>: data of type set cannot be read.\nThe order of a set is not defined",
            marks=case("a set of pairs", "its rows in another order each time", "DATA-067", "no run could be repeated"),
        ),
        pytest.param(
            [{"text": "a", "label": 1}, {"text": "b", "label": 0, "label ": 1}],
            'DATA-006 <python>:2: 2 columns are called "label"',
            marks=case("a row with label and 'label '", "label is taken, no word", "DATA-006", "csv is refused for it"),
        ),
        pytest.param(
            csv.DictReader(io.StringIO("text,label\nfine,pos\nso, so,neg\n")),
            "DATA-007 <python>:2: more cells than there are columns",
            marks=case("csv.DictReader, a row of three cells", "the label is a part of the text", "DATA-007",
                       "as for a csv file"),
        ),
        ({}, "DATA-011 <python>: there is no split called train."),
    ],
)  # fmt: skip
def test_what_is_no_data_is_refused(data: Any, told: str):
    with pytest.raises(DataError) as caught:
        python_tables(data)
    assert str(caught.value).startswith(told)


def test_a_row_that_cannot_be_used_is_named():
    rows = [*[(f"good {row}", row % 2) for row in range(20)], ("", 1)]
    with pytest.raises(DataError, match=r"<python>:21: text is empty"):
        load_splits(DataBlock.model_validate(NO_SOURCE), 1, tables=python_tables(rows))


def test_a_source_that_was_a_program_cannot_be_read_again():
    with pytest.raises(DataError, match="DATA-067 this data came from a Python program"):
        load_splits(DataBlock.model_validate(NO_SOURCE), 1)


def test_a_run_on_data_from_python_records_it(tiny_recipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    passed = ReloadCheck(passed=True, examples=30, largest_logit_difference=0.0)
    monkeypatch.setattr(
        "lightune.experiment.check_reload", lambda *_: (passed, None)
    )  # a whole process, shown elsewhere
    rows = sentences(90, seed=5)
    recipe = tiny_recipe(num_train_epochs=1)
    record = lightune.run(recipe, tmp_path / "run", data={"train": rows[:60], "test": rows[60:]})
    tables = python_tables({"train": rows[:60], "test": rows[60:]})
    splits = load_splits(recipe.data, recipe.training.seed, tables=tables)
    assert (record.data.source, record.data.sha256) == ("<python>", splits.sha256())
    assert record.recipe["data"]["source"] == "<python>"
    assert record.data.train_examples + record.data.validation_examples == 60
    assert record.data.test_examples == 30
    assert recipe.data.source != "<python>"


@case(
    "data with dev and validation",
    "one of them left out, no word",
    "DATA-067 names both",
    "both are the validation split",
)
@pytest.mark.parametrize(("first", "second"), [("dev", "validation"), ("test", "testing"), ("val", "valid")])
def test_two_names_of_one_split_are_refused(first, second):
    rows = [("a text", "a"), ("b text", "b")]
    with pytest.raises(DataError, match=f"DATA-067 .*{first} and {second}"):
        python_tables({"train": rows, first: rows, second: rows})
