"""JSON as it is written: indented, and a row of a matrix on one line."""

from __future__ import annotations

import json

import pytest

from example_record import example_record
from lightune.safe_files import json_text


@pytest.mark.parametrize(
    "value",
    [
        None,
        1.5,
        "a",
        [],
        {},
        [[]],
        {"a": []},
        [1, "a", None],
        {"é": [True, 2], "b": [{"c": [0.5]}, "[1,\n 2]"]},
        (1, 2),
    ],
)
def test_the_values_are_those_of_json(value):
    for ensure_ascii in (True, False):
        text = json_text(value, ensure_ascii)
        assert json.loads(text) == json.loads(json.dumps(value))
        assert text.isascii() or not ensure_ascii


def test_it_is_indented_as_jsons_own_but_for_rows_of_numbers():
    record = {"name": "a", "texts": ["b", "c"], "none": {}, "matrix": [[1, 2], [3, 4]]}
    plain = json.dumps({**record, "matrix": ["[1, 2]", "[3, 4]"]}, indent=2)
    assert json_text(record) == plain.replace('"[', "[").replace(']"', "]")


def test_a_matrix_of_many_labels_takes_little_more_than_its_numbers():
    record = example_record().model_dump(mode="json")
    matrix = [[0] * 300] * 300
    record["after"]["confusion_matrix"] = record["after"]["details"]["confusion_matrix"] = matrix
    assert len(json_text(record)) < 2 * 3.2 * 300 * 300 + 20_000
