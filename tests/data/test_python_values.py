"""Cells that Python hands over become Python's own values; what has none is a fault where a text or label should be."""

from __future__ import annotations

import datetime
import enum
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow
import pytest
import torch

from case_table import case
from lightune.data.dataset import DataSplits, load_splits
from lightune.data.python_data import python_tables
from lightune.data.python_values import plain
from lightune.errors import DataError
from lightune.recipe import DataBlock

BLOCK = DataBlock(source="<python>")
TEXTS = [f"text {number}" for number in range(80)]
NAMES = ["neg", "pos"] * 40
DAY = datetime.date(2026, 5, 17)


class Tone(enum.Enum):
    """Labels as a program may keep them."""

    NEG = "neg"
    POS = "pos"


class Words(str):
    """A string of a program's own."""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (pandas.NA, None),
        (pandas.NaT, None),
        (np.datetime64("NaT"), None),
        (np.ma.masked, None),
        (Decimal("NaN"), None),
        (pyarrow.scalar(None, pyarrow.string()), None),
        (np.int8(-3), -3),
        (np.float32(0.5), 0.5),
        (np.longdouble(2), 2.0),
        (np.bool_(True), True),
        (torch.tensor(3), 3),
        (torch.tensor(1.5, dtype=torch.bfloat16), 1.5),
        (pyarrow.scalar(7), 7),
        (np.str_("a"), "a"),
        (Words("a"), "a"),
        (Tone.NEG, "neg"),
        (np.array("a"), "a"),
        ("é".encode(), "é"),
        (bytearray(b"a"), "a"),
        (memoryview(b"a"), "a"),
        (np.bytes_(b"a"), "a"),
        (("a", np.int64(1)), ["a", 1]),
        (np.array(["a", None], dtype=object), ["a", None]),
        (pandas.Series(["a", pandas.NA], dtype="string"), ["a", None]),
        (polars.Series(["a", None]), ["a", None]),
        (pyarrow.array(["a", None]), ["a", None]),
        (torch.tensor([1, 2]), [1, 2]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_of_any_library_becomes_pythons_own(value: Any, expected: Any):
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("value", [Decimal("1.0"), DAY, Path("a"), {1, 2}, {"a": 1}, 1j, np.datetime64(DAY, "ns")])
def test_what_has_no_plainer_form_stays_as_it_is(value: Any):
    assert plain(value) is value


def splits_of(texts: Any, labels: Any) -> DataSplits:
    rows = list(zip(texts, labels, strict=True))
    return load_splits(BLOCK, 1, tables=python_tables(rows, BLOCK))


OTHERWISE = "str() of anything gives a label, but none that anybody wrote"


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(
            np.bool_, ["false", "true"], id="np.bool_",
            marks=case("labels of np.bool_", "labels False, True", "false, true", "a list of bool gives these"),
        ),
        pytest.param(
            lambda number: list(Tone)[number], ["neg", "pos"], id="enum",
            marks=case("labels of an Enum", "labels Tone.NEG, Tone.POS", "their values neg, pos", OTHERWISE),
        ),
        pytest.param(
            torch.tensor, ["0", "1"], id="tensor",
            marks=case("labels as torch scalars", "labels tensor(0), tensor(1)", "0, 1", OTHERWISE),
        ),
        pytest.param(
            lambda number: NAMES[number].encode(), ["neg", "pos"], id="bytes",
            marks=case("labels as bytes", "labels b'neg', b'pos'", "neg, pos", "they are UTF-8"),
        ),
        pytest.param(
            lambda number: bytearray(NAMES[number].encode()), ["neg", "pos"], id="bytearray",
            marks=case("labels as bytearrays", "TypeError: unhashable type", "neg, pos", "they are UTF-8"),
        ),
        pytest.param(
            lambda number: pyarrow.scalar(NAMES[number]), ["neg", "pos"], id="pyarrow",
        ),
    ],
)  # fmt: skip
def test_labels_are_called_by_their_values(make: Any, expected: list[str]):
    assert splits_of(TEXTS, [make(number % 2) for number in range(80)]).task.labels == tuple(expected)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(
            str.encode, id="bytes",
            marks=case("texts as bytes", "trains on b'text 0'", "trains on text 0", "it is UTF-8"),
        ),
        pytest.param(
            lambda text: np.array([text.encode()])[0], id="np.bytes_",
            marks=case("texts in a numpy array of bytes", "trains on b'text 0'", "trains on text 0", "it is UTF-8"),
        ),
        pytest.param(
            lambda text: memoryview(text.encode()), id="memoryview",
            marks=case("texts as memoryviews", "trains on <memory at 0x...>", "trains on text 0", "it is UTF-8"),
        ),
        Words,
    ],
)  # fmt: skip
def test_texts_are_what_they_say(make: Any):
    splits = splits_of(map(make, TEXTS), NAMES)
    assert sorted(
        text for split in (splits.train, splits.validation, splits.test) for (text,) in split.texts
    ) == sorted(TEXTS)


NO_TEXT = "a text is a string; str() of an object makes one that nobody wrote"


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        pytest.param(
            "café".encode("latin1"), "DATA-003 <python>:61: text holds bytes that are not UTF-8", id="latin1",
            marks=case("one text in bytes of latin1", "trains on b'caf\\xe9'", "DATA-003 with its row", "not UTF-8"),
        ),
        pytest.param(
            Path("a.txt"), "DATA-067 <python>:61: text is of type PosixPath, not a text", id="path",
            marks=case("one text is a Path", "trains on the path, no word", "DATA-067 with its row", NO_TEXT),
        ),
        pytest.param(
            DAY, "DATA-067 <python>:61: text is of type date, not a text", id="date",
            marks=case("one text is a date", "trains on 2026-05-17, no word", "DATA-067 with its row", NO_TEXT),
        ),
        pytest.param(
            object(), "DATA-067 <python>:61: text is of type object, not a text", id="object",
            marks=case("one text is an object", "trains on <object at 0x...>", "DATA-067 with its row", NO_TEXT),
        ),
        pytest.param(
            {"a": 1}, "DATA-067 <python>:61: text is of type dict, not a text", id="dict",
            marks=case("a dict among the texts, at row 61", "trains on {'a': 1}", "DATA-067 with its row", NO_TEXT),
        ),
        pytest.param(
            ["a", "b"], "DATA-067 <python>:61: text is of type list, not a text", id="list",
            marks=case("a list among the texts, at row 61", "trains on ['a', 'b']", "DATA-067 with its row", NO_TEXT),
        ),
        pytest.param(
            {"a"}, "DATA-067 <python>:61: text is of type set, not a text", id="set",
            marks=case("a set among the texts", "trains on {'a'}", "DATA-067 with its row", NO_TEXT),
        ),
        pytest.param(
            pandas.NA, "DATA-013 <python>:61: text is empty", id="pd.NA",
            marks=case("pairs with pd.NA as a text", "TypeError: boolean value of NA", "DATA-013", "it is empty"),
        ),
    ],
)  # fmt: skip
def test_a_cell_that_is_no_text_is_a_fault_with_its_row(cell: Any, told: str):
    texts = [*TEXTS[:60], cell, *TEXTS[61:]]
    with pytest.raises(DataError) as caught:
        splits_of(texts, NAMES)
    assert str(caught.value).startswith(told.replace("PosixPath", type(Path()).__name__))


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        pytest.param(
            pandas.NA, "DATA-013 <python>:6: label is missing", id="pd.NA",
            marks=case("pairs with pd.NA as a label", "TypeError: boolean value of NA", "DATA-013", "it is missing"),
        ),
        pytest.param(
            {"pos"}, "DATA-067 <python>:6: label is of type set, not a label", id="set",
            marks=case("a set as a label", "TypeError: unhashable type: 'set'", "DATA-067 with its row", "no label"),
        ),
        pytest.param(
            np.array([0, 1]), "DATA-021 <python>: column label holds lists", id="array",
            marks=case("an array as a label", "TypeError: unhashable type", "DATA-021", "it is one for lists"),
        ),
        pytest.param(
            DAY, "DATA-067 <python>:6: label is of type date, not a label", id="date",
            marks=case("a date as a label", "DATA-034: a label 2026-05-17", "DATA-067", "labels are words or numbers"),
        ),
    ],
)  # fmt: skip
def test_a_cell_that_is_no_label_is_a_fault(cell: Any, told: str):
    with pytest.raises(DataError) as caught:
        splits_of(TEXTS, [*NAMES[:5], cell, *NAMES[6:]])
    assert str(caught.value).startswith(told)


TOKENS = "DATA-027 <python>: column text holds lists; token tasks"


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(
            lambda words: np.array(words, dtype=object), id="ndarray",
            marks=case("words in arrays", "ValueError: truth value of an array", "DATA-027", "lists do"),
        ),
        pytest.param(
            pandas.Series, id="series",
            marks=case("words in Series", "ValueError: truth value of a Series", "DATA-027", "lists do"),
        ),
        pytest.param(
            pyarrow.scalar, id="pyarrow",
            marks=case("words in an Arrow scalar", "trains on ['text', '0']", "DATA-027", "lists do"),
        ),
        pytest.param(tuple, id="tuple"),
    ],
)  # fmt: skip
def test_a_column_of_words_is_a_token_task_whatever_holds_them(make: Any):
    with pytest.raises(DataError, match=TOKENS):
        splits_of((make(text.split()) for text in TEXTS), NAMES)


def test_columns_that_are_not_used_may_hold_anything():
    more = {"when": [DAY] * 80, "where": [Path("a")] * 80, "blob": [b"\xff"] * 80, "set": [{1}] * 80}
    frame = pandas.DataFrame({"text": TEXTS, "label": NAMES, **more})
    assert len(python_tables(frame, BLOCK).train) == 80


def test_the_columns_that_the_recipe_names_are_looked_at():
    data = {"when": [DAY] * 80, "body": TEXTS, "text": TEXTS, "label": NAMES}
    assert len(python_tables(data, BLOCK).train) == 80
    with pytest.raises(DataError, match="when is of type date, not a text"):
        python_tables(data, BLOCK.model_copy(update={"text_column": "when"}))


def test_no_library_is_imported_to_know_its_values():
    code = (
        "import sys; from lightune.data.python_data import python_tables; python_tables([('a', 1), ('b', b'c')]);"
        "print({'pandas', 'polars', 'datasets', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr
