"""What the labels of a column are called; what is no classification is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from lightune.errors import DataError
from lightune.tasks.columns import LabelColumn
from lightune.tasks.label_names import names_in_column


def column(values: list[Any], class_names: Sequence[str] = ()) -> LabelColumn:
    """Return the label column of a made-up file."""
    return LabelColumn("label", "a.csv", values, len(values), class_names)


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["pos", "neg", "pos", "neg"], ["neg", "pos"]),
        (["10", "9", "2", "9"], ["2", "9", "10"]),
        ([1, 0, 1, 0], ["0", "1"]),
        ([1.0, 0.0, None, 0.0], ["0", "1"]),
        ([True, False, True, True], ["false", "true"]),
        ([" pos", "neg", "pos ", ""], ["neg", "pos"]),
        (["nan", "b", "2", "10", "nan", "b"], ["2", "10", "b", "nan"]),
    ],
)
def test_label_names_are_the_values_numbers_by_size_then_words(values: list[Any], names: list[str]):
    assert names_in_column(column(values)) == names


def test_the_files_own_class_names_keep_their_order_and_unused_ones():
    assert names_in_column(column([1, 0], ["zebra", "ape", "owl"])) == ["zebra", "ape", "owl"]


@pytest.mark.parametrize(
    ("values", "code", "word"),
    [
        ([0.5, 1.0, 0.5, 2.0], "DATA-020", "regression"),
        (["0.5", "1.0", "0.5", "2"], "DATA-020", "regression"),
        ([["a"], ["a", "b"], ["b"]], "DATA-021", "--task multi_label"),
        ([{"a": 1}, {"b": 1}], "DATA-021", "holds objects"),
        (["a", "a", "a"], "DATA-022", "two or more"),
        (["", None, "a"], "DATA-022", "two or more"),
        ([f"text {number}" for number in range(40)], "DATA-023", "40 different labels in 40 rows"),
    ],
)
def test_what_is_no_classification_is_refused(values: list[Any], code: str, word: str):
    with pytest.raises(DataError, match=word) as caught:
        names_in_column(column(values))
    assert caught.value.code == code
    assert caught.value.exit_code == 3
    assert caught.value.message.startswith("a.csv: ")


def test_words_that_hold_a_number_are_no_regression():
    assert names_in_column(column(["v1.5", "2.5", "v1.5", "2.5"])) == ["2.5", "v1.5"]
