"""Which column is the text and which the label: guessed by name, or stated; what is no classification is refused."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from lightune.data import cells, columns, labels
from lightune.data.tables import Table
from lightune.errors import DataError


def table_of(**given: list[Any]) -> Table:
    """Return a table of a made-up file with these columns."""
    return Table("a.csv", given, list(range(2, 2 + len(next(iter(given.values()))))))


def table_named(*names: str) -> Table:
    """Return a table with two rows of words under each name, the later columns with the longer words."""
    return table_of(**{name: ["x" * (place + 1), "y" * (place + 1)] for place, name in enumerate(names)})


@pytest.mark.parametrize(
    ("names", "text", "label"),
    [
        (("text", "label"), "text", "label"),
        (("id", "label", "Sentence"), "Sentence", "label"),
        (("Review", "Sentiment"), "Review", "Sentiment"),
        (("comment", "class", "x", "y"), "comment", "class"),
        (("label", "utterance"), "utterance", "label"),
        (("utterance", "verdict"), "verdict", "utterance"),
    ],
)
def test_the_columns_are_guessed_by_name_then_by_width(names: tuple[str, ...], text: str, label: str):
    table = table_named(*names)
    assert columns.text_columns(table, None) == ([text], True)
    assert columns.label_column(table, None, [text]) == (label, True)


def test_stated_columns_are_taken_as_stated():
    table = table_named("text", "label", "premise", "hypothesis", "answer")
    assert columns.text_columns(table, "premise") == (["premise"], False)
    assert columns.text_columns(table, ("premise", "hypothesis")) == (["premise", "hypothesis"], False)
    assert columns.label_column(table, "answer", ["premise"]) == ("answer", False)


@pytest.mark.parametrize(("kind", "wrong", "right"), [("text", "haedline", "headline"), ("label", "verdct", "verdict")])
def test_a_misspelt_column_is_answered_with_the_closest_and_all_of_them(kind: str, wrong: str, right: str):
    table = table_named("headline", "verdict")
    find = columns.text_columns if kind == "text" else functools.partial(columns.label_column, texts=["headline"])
    with pytest.raises(DataError) as caught:
        find(table, wrong)
    assert str(caught.value) == (
        f'DATA-024 a.csv: there is no {kind} column "{wrong}".\nDid you mean "{right}"? Columns: headline, verdict.'
    )


def test_a_label_that_no_name_tells_apart_has_to_be_stated():
    with pytest.raises(DataError, match="which column is the label cannot be told") as caught:
        columns.label_column(table_named("text", "this", "that"), None, ["text"])
    assert "--label-column" in caught.value.hint


def test_a_table_without_words_has_no_text():
    with pytest.raises(DataError, match="which column is the text") as caught:
        columns.text_columns(table_of(a=[1, 2], label=["x", "y"]), None)
    assert "--text-column" in caught.value.hint


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
    assert labels.label_names(table_of(label=values), "label") == names


def test_the_files_own_class_names_keep_their_order_and_unused_ones():
    table = Table("a.parquet", {"label": [1, 0]}, [1, 2], {"label": ["zebra", "ape", "owl"]})
    assert labels.label_names(table, "label") == ["zebra", "ape", "owl"]


@pytest.mark.parametrize(
    ("values", "code", "word"),
    [
        ([0.5, 1.0, 0.5, 2.0], "DATA-020", "regression"),
        (["0.5", "1.0", "0.5", "2"], "DATA-020", "regression"),
        ([["a"], ["a", "b"], ["b"]], "DATA-021", "multi-label"),
        ([{"a": 1}, {"b": 1}], "DATA-021", "multi-label"),
        (["a", "a", "a"], "DATA-022", "two or more"),
        (["", None, "a"], "DATA-022", "two or more"),
        ([f"text {number}" for number in range(40)], "DATA-023", "40 different labels in 40 rows"),
    ],
)
def test_what_is_no_classification_is_refused(values: list[Any], code: str, word: str):
    with pytest.raises(DataError, match=word) as caught:
        labels.label_names(table_of(label=values), "label")
    assert caught.value.code == code
    assert caught.value.exit_code == 3
    assert caught.value.message.startswith("a.csv: ")


def test_words_that_hold_a_number_are_no_regression():
    assert labels.label_names(table_of(label=["v1.5", "2.5", "v1.5", "2.5"]), "label") == ["2.5", "v1.5"]


@pytest.mark.parametrize(
    ("value", "shown"), [(True, "true"), (1.0, "1"), (3, "3"), (" Positive ", "Positive"), ("1.0", "1")]
)
def test_a_label_is_shown_as_people_write_it(value: object, shown: str):
    assert labels.label_text(value) == shown


@pytest.mark.parametrize("nothing", [None, float("nan"), "", " \t"])
def test_a_cell_without_anything_is_missing(nothing: object):
    assert cells.is_missing(nothing)


@pytest.mark.parametrize("something", [0, False, 0.0, "0"])
def test_zero_is_not_missing(something: object):
    assert not cells.is_missing(something)


def test_groups_are_the_other_columns_with_few_and_repeated_words():
    table = table_of(
        text=[f"text {number}" for number in range(20)],
        label=["a", "b"] * 10,
        kind=["plain", "irony"] * 10,
        identity=[str(number) for number in range(20)],
        rare=["often"] * 17 + ["seldom"] * 3,
        constant=["same"] * 20,
        number=[1, 2] * 10,
        gaps=["", "x"] * 10,
    )
    assert columns.group_columns(table, ["text", "label"]) == ["kind"]
