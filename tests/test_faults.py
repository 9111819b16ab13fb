"""Faults: many become one error, and an error becomes faults again."""

from __future__ import annotations

import pytest

from lightune.errors import DataError
from lightune.faults import Fault, as_error, beside, data_error, faults_of, raise_faults


def test_no_faults_raise_nothing():
    raise_faults([])


def test_one_fault_keeps_its_words():
    with pytest.raises(DataError) as caught:
        raise_faults([Fault("DATA-013", "a.csv:3", "text is empty", "Fix the row.")])
    assert str(caught.value) == "DATA-013 a.csv:3: text is empty\nFix the row."


def test_faults_of_several_kinds_carry_their_codes_and_each_remedy_once():
    faults = [
        Fault("DATA-014", "a.csv:2", 'label "x" is odd.', 'Did you mean "y"? Fix the row, or drop it.'),
        Fault("DATA-014", "a.csv:4", 'label "z" is odd.', "Fix the row, or drop it."),
        Fault("DATA-030", "", "the test split is empty.", "Give more rows."),
    ]
    assert str(as_error(faults)) == (
        "DATA-014 3 faults:\n"
        '  DATA-014 a.csv:2: label "x" is odd. Did you mean "y"?\n'
        '  DATA-014 a.csv:4: label "z" is odd.\n'
        "  DATA-030 the test split is empty.\n"
        "Fix the rows, or drop it.\nGive more rows."
    )


def test_of_each_kind_ten_are_listed():
    faults = [Fault(code, f"a.csv:{line}", "is bad") for code in ("DATA-013", "DATA-007") for line in range(12)]
    message = as_error(faults).message
    assert message.count("is bad") == 20
    assert message.count("and 2 more") == 2


def test_an_error_keeps_the_faults_it_tells_of_more_than_it_lists():
    faults = [Fault("DATA-013", f"a.csv:{line}", "is bad", "Fix it.") for line in range(12)]
    assert faults_of(as_error(faults)) == faults
    assert faults_of(data_error("DATA-024", "a: b.csv", "no column: x", "Name it.")) == [
        Fault("DATA-024", "a: b.csv", "no column: x", "Name it.")
    ]


def test_an_error_that_keeps_none_is_one_fault_without_a_place():
    assert faults_of(DataError("DATA-001", "a.csv: gone", "Look.")) == [Fault("DATA-001", "", "a.csv: gone", "Look.")]


def test_a_place_beside_another_in_the_same_file_is_a_line():
    assert beside("a.csv:7", "a.csv:3") == "line 7"
    assert beside("b.csv:7", "a.csv:3") == "b.csv:7"
