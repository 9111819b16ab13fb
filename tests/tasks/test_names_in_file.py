"""What a file calls the labels of a model from elsewhere: by name, by number, or not at all."""

from __future__ import annotations

import pytest

from lightune.errors import DataError
from lightune.tasks.columns import LabelColumn
from lightune.tasks.label_names import names_in_file
from tiny import classes


def _column(values: list[object], class_names: list[str] | None = None) -> LabelColumn:
    return LabelColumn("label", "t.csv", values, len(values), class_names or ())


GENERIC = ["LABEL_0", "LABEL_1", "LABEL_2"]
MATCHES = [
    (["NEGATIVE", "POSITIVE"], ["positive", "Negative", "positive"], None, ["Negative", "positive"]),
    (["no", "yes"], ["yes", "yes"], None, ["no", "yes"]),
    (["a", "A"], ["A", "a"], None, ["a", "A"]),
    (["x", "y"], ["X", "x"], None, ["x", "y"]),
    (GENERIC, ["2", "0"], None, ["0", "1", "2"]),
    (GENERIC, [0, 1], None, ["0", "1", "2"]),
    (GENERIC, ["label_1", "LABEL_0"], None, ["LABEL_0", "label_1", "LABEL_2"]),
    (GENERIC[:2], [0, 1], ["neg", "pos"], ["neg", "pos"]),
    (["pos", "neg"], [0, 1], ["neg", "pos"], ["pos", "neg"]),
    (["positive", "negative"], ["Positive", "neutral"], None, ["Positive", "negative"]),
]


@pytest.mark.parametrize(("labels", "values", "class_names", "expected"), MATCHES)
def test_labels_are_matched(labels, values, class_names, expected):
    column = _column(values, class_names)
    assert names_in_file(labels, column) == expected
    assert classes(labels).in_words_of(column) == classes(expected)


@pytest.mark.parametrize(
    ("labels", "values", "class_names", "theirs"),
    [
        (["negative", "positive"], ["0", "1"], None, "0, 1"),  # which is which would be a guess
        (["negative", "positive"], ["good", "bad", "good", None], None, "good, bad"),
        (GENERIC, ["good", "bad"], None, "good, bad"),
        (GENERIC, ["1", "2"], None, "1, 2"),  # counted from 0 or from 1: a guess
        (GENERIC, [0, 1], ["neg", "pos"], "neg, pos"),
    ],
)
def test_without_a_match_both_sets_are_named(labels, values, class_names, theirs):
    with pytest.raises(DataError) as caught:
        names_in_file(labels, _column(values, class_names))
    assert caught.value.code == "DATA-051"
    assert f"({theirs})" in caught.value.message
    assert f"({', '.join(labels)})" in caught.value.message
