"""What libraries hold in columns: frames, Arrow tables, numpy arrays, data sets, dicts of columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas
import polars
import pyarrow
import pytest
import torch

from case_table import case
from lightune.data.dataset import load_splits
from lightune.data.python_data import python_tables
from lightune.errors import DataError
from lightune.recipe import DataBlock

TEXTS = ["fine", "dull", "sweet", "flat"]
LABELS = ["pos", "neg", "pos", "neg"]
CODES = [1, 0, 1, 0]
PAIRS = list(zip(TEXTS, LABELS, strict=True))
COLUMNS = {"text": TEXTS, "label": LABELS}
CODED = {"text": TEXTS, "label": CODES}
FEATURES = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
NAMED = datasets.Dataset.from_dict(CODED, features=FEATURES)
NOT_LATIN = pyarrow.array([b"fine", b"dull", "süß".encode("latin1"), b"flat"], pyarrow.binary())
TO_DICT = "TypeError: to_dict() takes 1 positional argument"
NO_SPLIT = 'DATA-067: no split called "text". Did you mean "test"?'
REFUSED = "DATA-067: cannot be read"


def of(given: str, before: str, why: str) -> pytest.MarkDecorator:
    """Return the mark of a case that is read now."""
    return case(given, before, "its rows", why)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(
            lambda: polars.DataFrame(COLUMNS), id="polars",
            marks=of("a polars DataFrame", TO_DICT, "it has named columns"),
        ),
        pytest.param(
            lambda: polars.DataFrame(COLUMNS).with_columns(polars.col("label").cast(polars.Categorical)),
            id="polars-categories", marks=of("polars categories", TO_DICT, "they are words"),
        ),
        pytest.param(
            lambda: polars.LazyFrame(COLUMNS), id="polars-lazy",
            marks=of("a polars LazyFrame", REFUSED, "it is a DataFrame once computed"),
        ),
        pytest.param(
            lambda: pyarrow.table(COLUMNS), id="arrow-table",
            marks=of("an Arrow table", REFUSED, "files of Parquet are read through one"),
        ),
        pytest.param(lambda: pyarrow.RecordBatch.from_pydict(COLUMNS), id="arrow-batch"),
        pytest.param(
            lambda: pyarrow.table(COLUMNS).to_reader(), id="arrow-reader",
            marks=of("a RecordBatchReader", "DATA-067: neither a dict nor a pair", "any stream of Arrow is a table"),
        ),
        pytest.param(
            lambda: pyarrow.table({name: pyarrow.array(cells).dictionary_encode() for name, cells in COLUMNS.items()}),
            id="arrow-dictionary",
        ),
        pytest.param(
            lambda: pyarrow.table({"text": pyarrow.array(TEXTS, pyarrow.large_string()), "label": LABELS}),
            id="arrow-large",
        ),
        pytest.param(
            lambda: np.array(PAIRS, dtype=[("text", "U9"), ("label", "U9")]), id="structured",
            marks=of("a structured numpy array", "DATA-067: neither dict nor pair", "its fields have names"),
        ),
        pytest.param(
            lambda: np.array([(label, text) for text, label in PAIRS], dtype=[("label", "U9"), ("text", "U9")]).view(
                np.recarray
            ),
            id="recarray",
        ),
        pytest.param(
            lambda: np.array(PAIRS), id="array-2d",
            marks=of("a numpy array of pairs", "DATA-067: neither dict nor pair", "as a list of lists"),
        ),
        pytest.param(
            lambda: pandas.DataFrame(COLUMNS).convert_dtypes(), id="pandas-nullable",
        ),
        pytest.param(
            lambda: pandas.DataFrame(COLUMNS).astype({"text": "string[pyarrow]", "label": "category"}),
            id="pandas-categorical",
        ),
        pytest.param(
            lambda: pandas.DataFrame(COLUMNS, index=[7, 7, 3, 1]), id="pandas-index",
        ),
        pytest.param(
            lambda: {name: pandas.Series(cells) for name, cells in COLUMNS.items()}, id="dict-of-series",
            marks=of("a dict of Series", NO_SPLIT, "a dict of lists is read"),
        ),
        pytest.param(
            lambda: {name: np.array(cells) for name, cells in COLUMNS.items()}, id="dict-of-arrays",
            marks=of("a dict of numpy arrays", NO_SPLIT, "a dict of lists is read"),
        ),
        pytest.param(
            lambda: {"text": polars.Series(TEXTS), "label": pyarrow.array(LABELS)}, id="dict-of-polars-and-arrow",
            marks=of("a dict of a polars Series and an Arrow array", NO_SPLIT, "a dict of lists is read"),
        ),
        pytest.param(
            lambda: {"text": (text for text in TEXTS), "label": iter(LABELS)}, id="dict-of-iterators",
            marks=of("a dict of generators", NO_SPLIT, "they are read once"),
        ),
        pytest.param(lambda: {"text ": TEXTS, "\tlabel": LABELS}, id="dict-blanks"),
    ],
)  # fmt: skip
def test_columns_of_any_library_are_the_same_table(make: Callable[[], Any]):
    found = python_tables(make()).train
    assert dict(found.columns) == COLUMNS
    assert found.place(2) == "<python>:3"
    splits = python_tables({"train": make(), "dev": make()})
    assert dict(splits.train.columns) == dict(splits.validation.columns) == COLUMNS


@pytest.mark.parametrize(
    ("make", "told"),
    [
        pytest.param(
            lambda: pandas.DataFrame([("a", "x", "y")] * 4, columns=["text", "label", "label"]),
            'DATA-006 <python>: 2 columns are called "label"', id="twins",
            marks=case("a DataFrame with two columns label", "the last is taken", "DATA-006", "csv is refused for it"),
        ),
        pytest.param(
            lambda: pandas.DataFrame([("a", "x", "y")] * 4, columns=["text", "label", "label "]),
            'DATA-006 <python>: 2 columns are called "label"', id="twins-but-for-blanks",
            marks=case("columns label and 'label '", "one of them is taken", "DATA-006", "csv is refused for it"),
        ),
        pytest.param(
            lambda: pyarrow.Table.from_arrays([pyarrow.array(TEXTS)] * 3, names=["text", "label", "label"]),
            'DATA-006 <python>: 2 columns are called "label"', id="arrow-twins",
        ),
        pytest.param(
            lambda: {**COLUMNS, "label ": LABELS}, 'DATA-006 <python>: 2 columns are called "label"', id="dict-twins",
            marks=case("a dict of label and 'label '", "label is taken, no word", "DATA-006", "csv is refused for it"),
        ),
        pytest.param(
            lambda: pandas.DataFrame(PAIRS, columns=["text", None]), "DATA-006 <python>: column 2 has no name",
            id="None",
            marks=case("a column called None", "the label column is called nan", "DATA-006", "csv is refused for it"),
        ),
        pytest.param(
            lambda: pandas.DataFrame(PAIRS, columns=pandas.MultiIndex.from_product([["a"], ["text", "label"]])),
            "DATA-067 <python>: the columns of this DataFrame have 2 levels", id="levels",
            marks=case("columns of two levels", "called ('a', 'text'); which is the text is guessed", "DATA-067",
                       "no name was given to a column"),
        ),
        pytest.param(lambda: pandas.DataFrame(), "DATA-004 <python>: there are no rows", id="empty"),
        pytest.param(lambda: pandas.DataFrame(COLUMNS)[:0], "DATA-004 <python>: there are no rows", id="no-rows"),
        pytest.param(lambda: {"text": [], "label": []}, "DATA-004 <python>: there are no rows", id="dict-no-rows"),
        pytest.param(
            lambda: pandas.Series(TEXTS), "DATA-067 <python>: data of type Series cannot be read.\nIt is one column",
            id="series",
            marks=case("a Series as data", "each row: neither dict nor pair", "DATA-067: it is one column", "so it is"),
        ),
        pytest.param(lambda: polars.Series(TEXTS), "DATA-067 <python>: data of type Series", id="polars-series"),
        pytest.param(
            lambda: polars.scan_csv("nowhere.csv"), "DATA-067 <python>: this LazyFrame cannot be computed", id="lazy",
        ),
        pytest.param(
            lambda: pyarrow.table({"text": NOT_LATIN.view(pyarrow.string()), "label": LABELS}),
            "DATA-003 <python>:3: text holds bytes that are not UTF-8", id="arrow-latin1",
        ),
        pytest.param(
            lambda: polars.DataFrame({"text": NOT_LATIN.to_pylist(), "label": LABELS}),
            "DATA-003 <python>:3: text holds bytes", id="polars-latin1",
        ),
        pytest.param(
            lambda: datasets.Dataset.from_dict({"text": NOT_LATIN.to_pylist(), "label": LABELS}),
            "DATA-003 <python>:3: text holds bytes", id="dataset-latin1",
            marks=case("a Dataset of bytes of latin1", "trains on b'...'", "DATA-003 with its row", "not UTF-8"),
        ),
        pytest.param(lambda: np.array("x"), "DATA-067 <python>: data of type ndarray cannot be read", id="array-0d",
            marks=case("an array without dimensions", "TypeError: iteration over a 0-d array", "DATA-067", "no rows")),
        pytest.param(
            lambda: np.array([(*pair, "x") for pair in PAIRS]),
            "DATA-067 4 faults:\n  <python>:1: neither a dict nor a (text, label) pair, but list of 3", id="array-wide",
        ),
        pytest.param(
            lambda: {"text": pandas.Series(TEXTS), "label": LABELS[:3]},
            "DATA-067 <python>: the columns differ in length: text 4, label 3.", id="lengths",
            marks=case("columns of unlike lengths", NO_SPLIT, "DATA-067 with each length", "that is what is wrong"),
        ),
        pytest.param(
            lambda: {"text": "fine", "label": "pos"}, 'DATA-067 <python>: column "text" is of type str', id="one-row",
            marks=case("one row as a dict", NO_SPLIT, "DATA-067: no list of values", "that is what is wrong"),
        ),
        pytest.param(
            lambda: {"text": set(TEXTS), "label": LABELS}, 'DATA-067 <python>: column "text" is of type set', id="set",
        ),
        pytest.param(
            lambda: pandas.DataFrame(COLUMNS).to_dict(), 'DATA-067 <python>: column "text" is of type dict',
            id="to_dict",
            marks=case("frame.to_dict()", NO_SPLIT, "DATA-067: no list of values", "it is a dict of dicts"),
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_columns_is_said(make: Callable[[], Any], told: str):
    with pytest.raises(DataError) as caught:
        python_tables(make())
    assert str(caught.value).startswith(told)


NAME_IS_CLEAN = "the readers of files clean names too"


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(pandas.DataFrame, id="pandas", marks=case(
            "D3: a DataFrame column 'Remark '", "DATA-024, meaning 'Remark '", "it is found", NAME_IS_CLEAN)),
        pytest.param(polars.DataFrame, id="polars", marks=case(
            "a polars column 'Remark '", "a TypeError, as of any polars frame", "it is found", NAME_IS_CLEAN)),
        pytest.param(pyarrow.table, id="arrow", marks=case(
            "an Arrow column 'Remark '", "DATA-067, as of any Arrow table", "it is found", NAME_IS_CLEAN)),
        datasets.Dataset.from_dict,
        dict,
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["Remark ", "\ufeffRemark", "Remark\u200b"])
def test_an_odd_name_is_found_as_it_stands_or_clean(kind: Callable[..., Any], name: str):
    data = kind({name: TEXTS, "Verdict": LABELS, "more": list("abcd")})
    for wanted in (name, "Remark"):
        block = DataBlock(source="<python>", text_column=wanted, label_column="Verdict")
        assert load_splits(block, 1, tables=python_tables(data, block)).text_columns == ["Remark"]


@pytest.mark.parametrize("kind", [pandas.DataFrame, polars.DataFrame, pyarrow.table, datasets.Dataset.from_dict, dict])
def test_a_column_is_found_with_blanks_around_its_name_or_without(kind: Callable[..., Any]):
    data = kind({"Remark ": TEXTS, " Verdict": LABELS, "more": list("abcd")})
    block = DataBlock(source="<python>", text_column="Remark ", label_column="Verdict")
    splits = load_splits(block, 1, tables=python_tables(data, block))
    assert (splits.text_columns, splits.label_columns) == (["Remark"], ["Verdict"])
    assert splits.task.labels == ("neg", "pos")


def test_whole_numbers_stay_whole_beside_a_missing_one():
    frame = pandas.DataFrame({**CODED, "count": pandas.array([1, None, 3, 4], "Int64"), 5: [1.5, None, 2, 3]})
    found = python_tables(frame).train
    assert found.columns["label"] == CODES
    assert found.columns["count"] == [1, None, 3, 4]
    assert found.columns["5"][0] == 1.5
    assert {type(code) for code in found.columns["label"]} == {int}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(
            {"text": TEXTS}, id="text-alone",
            marks=case("a dict of the column text", NO_SPLIT, "a table; its label is asked for", "text is no split"),
        ),
        {"text": [["a", "b"]] * 4, "label": LABELS},
        pytest.param(
            {**COLUMNS, "test": CODES}, id="column-called-test",
            marks=case("columns text, label and test", NO_SPLIT, "a table of three columns", "they are flat"),
        ),
        {"reviews": TEXTS, "stars": CODES},
    ],
)  # fmt: skip
def test_columns_are_never_taken_for_splits(data: dict[str, Any]):
    assert dict(python_tables(data).train.columns) == data


def test_a_mapping_of_splits_may_hold_every_form():
    data = {
        "train": {"text": pandas.Series(TEXTS), "label": np.array(LABELS)},
        "dev": polars.DataFrame(COLUMNS),
        datasets.Split.TEST: zip(TEXTS, LABELS, strict=True),
    }
    tables = python_tables(data)
    assert dict(tables.train.columns) == dict(tables.validation.columns) == dict(tables.test.columns) == COLUMNS


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(
            NAMED.to_iterable_dataset, id="iterable",
            marks=case("an IterableDataset with a ClassLabel", "labels 0, 1", "labels neg, pos", "a Dataset has them"),
        ),
        pytest.param(
            lambda: NAMED.to_iterable_dataset().with_format("torch"), id="iterable-torch",
            marks=case("the same in torch's format", "labels tensor(0), tensor(1)", "neg, pos", "a Dataset has them"),
        ),
        pytest.param(
            lambda: datasets.IterableDatasetDict(train=NAMED.to_iterable_dataset()), id="iterable-dict",
            marks=case("an IterableDatasetDict", "labels 0, 1", "labels neg, pos", "a DatasetDict has them"),
        ),
        pytest.param(lambda: NAMED.with_format("torch"), id="torch"),
        pytest.param(lambda: NAMED.with_format("numpy", columns=["label"]), id="numpy-columns"),
        pytest.param(lambda: NAMED.with_format("pandas"), id="pandas"),
        pytest.param(lambda: NAMED.with_transform(lambda rows: rows), id="transform"),
        pytest.param(lambda: NAMED.with_format("arrow")[:], id="arrow"),
        pytest.param(
            lambda: {"text": NAMED["text"], "label": NAMED["label"]}, id="columns",
            marks=case("a dict of a Dataset's columns", NO_SPLIT, "labels neg, pos", "the columns know their names"),
        ),
    ],
)  # fmt: skip
def test_label_names_of_a_dataset_are_kept(make: Callable[[], Any]):
    found = python_tables(make()).train
    assert dict(found.columns) == CODED
    assert found.class_names == {"label": ["neg", "pos"]}


def test_a_shuffled_selection_in_a_format_is_what_it_shows():
    rows = NAMED.shuffle(seed=3).select([2, 0]).with_format("torch")
    assert python_tables(rows).train.columns["text"] == list(rows["text"])


@case("a Dataset with a transform", "read without it, no word", "read through it", "that is what its rows are")
def test_the_transform_of_a_dataset_is_applied():
    shouted = NAMED.with_transform(lambda rows: {**rows, "text": [text.upper() for text in rows["text"]]})
    assert python_tables(shouted).train.columns["text"] == ["FINE", "DULL", "SWEET", "FLAT"]


def test_label_names_inside_lists_are_the_columns_and_inside_other_features_nobodys():
    tag = datasets.ClassLabel(names=["x", "y"])
    kinds = {"tags": datasets.List(tag), "about": {"tag": tag}, "pairs": datasets.List(datasets.List(tag))}
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.Value("string"), **kinds})
    more = {"tags": [[0], [1], [], [0]], "about": [{"tag": 0}] * 4, "pairs": [[[0]]] * 4}
    data = datasets.Dataset.from_dict({**COLUMNS, **more}, features=features)
    assert python_tables(data).train.class_names == {"tags": ["x", "y"]}


def test_an_iterable_dataset_is_read_once():
    passes: list[int] = []

    def rows() -> Any:
        passes.append(1)
        yield from ({"text": text, "label": label} for text, label in PAIRS)

    features = datasets.Features({name: datasets.Value("string") for name in COLUMNS})
    data = datasets.IterableDataset.from_generator(rows, features=features)
    assert len(python_tables(data).train) == 4
    assert len(passes) == 1


def test_a_tensor_of_labels_is_a_column():
    assert python_tables({"text": TEXTS, "label": torch.tensor(CODES)}).train.columns == CODED


def test_a_frame_of_an_unknown_library_is_refused_and_not_read_as_its_column_names():
    class Frame:
        columns = ("text", "label")

        def __iter__(self) -> Any:
            return iter(self.columns)

    with pytest.raises(DataError, match="DATA-067 <python>: data of type Frame cannot be read"):
        python_tables(Frame())


@pytest.mark.parametrize("path", ["train.csv", Path("train.csv")])
@case("data='train.csv'", "DATA-067: type str cannot be read", "DATA-067: where files are named", "a next step")
def test_a_path_is_told_where_it_belongs(path: Any):
    for data in (path, {"train": path}):
        with pytest.raises(DataError, match=r'lightune.run\(train="train.csv"\).*--train train.csv'):
            python_tables(data)
