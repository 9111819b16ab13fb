"""Which column is the text and which the label: guessed by name, or stated."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from lightune import tasks
from lightune.data import columns
from lightune.data.label_columns import label_columns
from lightune.data.tables import Table
from lightune.errors import DataError

USUAL = tasks.label_columns()


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
    assert label_columns(table, None, [text], USUAL) == ([label], True)


def test_stated_columns_are_taken_as_stated():
    table = table_named("text", "label", "premise", "hypothesis", "answer")
    assert columns.text_columns(table, "premise") == (["premise"], False)
    assert columns.text_columns(table, ("premise", "hypothesis")) == (["premise", "hypothesis"], False)
    assert label_columns(table, ["answer"], ["premise"], USUAL) == (["answer"], False)


@pytest.mark.parametrize(("kind", "wrong", "right"), [("text", "haedline", "headline"), ("label", "verdct", "verdict")])
def test_a_misspelt_column_is_answered_with_the_closest_and_all_of_them(kind: str, wrong: str, right: str):
    table = table_named("headline", "verdict")
    find = columns.text_columns if kind == "text" else functools.partial(label_columns, texts=["headline"], usual=USUAL)
    with pytest.raises(DataError) as caught:
        find(table, wrong if kind == "text" else [wrong])
    assert str(caught.value) == (
        f'DATA-024 a.csv: there is no {kind} column "{wrong}".\nDid you mean "{right}"? Columns: headline, verdict.'
    )


def test_a_label_that_no_name_tells_apart_has_to_be_stated():
    with pytest.raises(DataError, match="the names do not show which column is the label") as caught:
        label_columns(table_named("text", "this", "that"), None, ["text"], USUAL)
    assert "--label-column" in caught.value.hint


def test_a_table_without_words_has_no_text():
    with pytest.raises(DataError, match="which column is the text") as caught:
        columns.text_columns(table_of(a=[1, 2], label=["x", "y"]), None)
    assert "--text-column" in caught.value.hint


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
