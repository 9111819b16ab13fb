"""Columns of numbers to predict: which are claimed, and what is said of cells that are none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from lightune.errors import DataError
from lightune.faults import Fault
from lightune.tasks import find_task
from lightune.tasks.columns import Beside, LabelColumn, Wishes
from lightune.tasks.number_column import NumberReader
from lightune.tasks.regression import Regression

NAMED = Wishes("regression")


def column(values: Sequence[Any], names: Sequence[str] = (), parts: tuple[str, ...] = ()) -> LabelColumn:
    values = [Beside(value) for value in values] if parts else list(values)
    return LabelColumn(", ".join(parts) or "score", "a.csv", values, len(values), names, parts)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([1.5, 2.5, 3.5], "holds numbers, 1.5 to 3.5"),
        (["1.5", "2", "-3.25"], "holds numbers, -3.25 to 2"),
        ([".5", "1e-05", "+2.5"], "holds numbers, 1e-05 to 2.5"),
        ([Decimal("0.1"), Decimal("0.2")], "holds numbers, 0.1 to 0.2"),
        (np.array([0.5, 1.5], np.float32), "holds numbers, 0.5 to 1.5"),
        (range(0, 42, 2), "holds 21 different whole numbers, 0 to 40"),
        ([*range(0, 60, 2), *range(0, 60, 2), "unknown"], "holds 30 different whole numbers, 0 to 58"),
        ([1.5, 2.5, None, "", "nan", "N/A"], "holds numbers, 1.5 to 2.5"),
        (["3,5", "4,0", "2,5"], "holds numbers, 2.5 to 4"),
    ],
)
def test_numbers_with_fractions_and_many_whole_numbers_are_claimed(values: Sequence[Any], why: str):
    chosen = find_task(column([*values] * 3), Wishes())
    assert (chosen.task.name, chosen.task.columns) == ("regression", ("score",))
    assert chosen.why == f"Task: regression; column score {why}."


@pytest.mark.parametrize(
    ("values", "names", "wishes"),
    [
        pytest.param(list(range(20)) * 3, (), Wishes(), id="20 whole numbers"),
        pytest.param(list(range(77)) * 3, [f"intent {n}" for n in range(77)], Wishes(), id="class names"),
        pytest.param(list(range(1, 61)), (), Wishes(), id="row counts"),
        pytest.param([f"{n:03d}" for n in range(40)] * 3, (), Wishes(), id="codes"),
        pytest.param(["2e5", "3e7", "5e5"] * 9, (), Wishes(), id="codes with an e"),
        pytest.param([1.5, 2.5, 3.5] * 3, (), Wishes(label_kind="class"), id="said to be classes"),
        pytest.param(["good", "bad", "1.5"] * 9, (), Wishes(), id="words"),
        pytest.param([True, False] * 9, (), Wishes(), id="truths"),
        pytest.param([[1.5], [2.5]] * 9, (), Wishes(), id="lists"),
        pytest.param(["12%", "15.5%"] * 9, (), Wishes(), id="percent"),
        pytest.param(["2026-01-01", "2026-01-02"] * 9, (), Wishes(), id="dates"),
        pytest.param(["v1.5", "v2.5"] * 9, (), Wishes(), id="versions"),
        pytest.param([None, ""] * 9, (), Wishes(), id="nothing"),
    ],
)
def test_what_is_no_quantity_is_not_claimed(values: list[Any], names: Sequence[str], wishes: Wishes):
    assert Regression.claims(column(values, names), wishes) == ""


def test_whole_numbers_that_count_the_rows_are_ids_and_the_same_twice_are_not():
    assert Regression.claims(column(range(50)), Wishes()) == ""
    assert Regression.claims(column([*range(50), 3]), Wishes()) != ""
    assert Regression.claims(column(range(0, 100, 2)), Wishes()) != ""


def test_several_columns_of_numbers_are_claimed_whatever_they_hold():
    chosen = find_task(column([(1, 5), (3, 2), (2, 4)], parts=("valence", "arousal")), Wishes())
    assert chosen.why == "Task: regression; columns valence, arousal hold numbers, 1 to 5."
    assert (chosen.task.columns, chosen.task.low, chosen.task.high) == (("valence", "arousal"), (1, 2), (3, 5))
    flags = column([(1, 0), (0, 1)], parts=("valence", "arousal"))
    assert find_task(flags, Wishes()).task.name == "multi_label"
    assert find_task(flags, NAMED).task.columns == ("valence", "arousal")


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        (3, 3), ("3", 3), (" 2.50 ", 2.5), ("-1e-3", -0.001), (Decimal("4.5"), 4.5), (np.float32(0.5), 0.5),
        (np.int64(7), 7), ("+5", 5), (".5", 0.5), ("5.", 5), ("007", 7), ("1e10", 1e10), (0, 0),
    ],
)  # fmt: skip
def test_numbers_are_read_as_python_reads_them(cell: Any, number: float):
    assert NumberReader(("score",))(cell).tolist() == [number]


@pytest.mark.parametrize(
    ("cell", "text", "remedy"),
    [
        ("3,5", 'is "3,5", not a number', "a point in place of the comma: 3.5"),
        ("-3,5", 'is "-3,5"', "a point in place of the comma: -3.5."),
        ("1,204", 'is "1,204"', "without the comma, 1204, or with a point, 1.204"),
        ("1,204.5", 'is "1,204.5"', "Write it as 1204.5"),
        ("1.204,5", 'is "1.204,5"', "Write it as 1204.5"),
        ("1,204,567", "not a number", "Write it as 1204567"),
        ("1.204.567", "not a number", "Write it as 1204567"),
        ("1 204", "not a number", "Write it as 1204"),
        ("\u22125", "not a number", "Write it as -5"),
        ("12%", 'is "12%"', "without a unit"),
        ("$5", 'is "$5"', "without a unit"),
        ("5 \u20ac", "not a number", "without a unit"),
        ("5 stars", "not a number", "without a unit"),
        ("inf", 'is "inf", not a finite number', "leave it out"),
        ("-Infinity", "not a finite number", "leave it out"),
        ("nan", 'is "nan", not a finite number', "data.on_missing=drop_words"),
        (float("inf"), "not a finite number", "leave it out"),
        (Decimal("Infinity"), "not a finite number", "leave it out"),
        (1e31, "is 1e+31, beyond 1e+30", "larger unit"),
        ("1e400", "not a finite number", "larger unit"),
        (10**400, "not a finite number", "larger unit"),
        (True, "is true, not a number", "1 for true and 0 for false"),
        (np.bool_(False), "is false, not a number", "1 for true and 0 for false"),
        ("false", 'is "false"', "1 for true and 0 for false"),
        ([3.5], "is a list, not a number", "--label-columns"),
        ((1, 2), "is a list, not a number", "--label-columns"),
        ({"score": 3}, "is an object, not a number", "Fix the row"),
        (b"3", "is of type bytes", "Fix the row"),
        (date(2026, 1, 2), "is of type date", "A date or time is no number"),
        (datetime(2026, 1, 2), "is of type datetime", "A date or time is no number"),
        ("2026-01-02", "not a number", "A date or time is no number"),
        ("24.12.2026", "not a number", "A date or time is no number"),
        ("12:30", "not a number", "A date or time is no number"),
        ("good", 'is "good", not a number', "Fix the row, or leave it out"),
        ("1_000", "not a number", "the number alone"),
        ("", "is missing", "data.on_missing=drop"),
        ("  ", "is missing", "data.on_missing=drop"),
        (None, "is missing", "data.on_missing=drop"),
        (float("nan"), "is missing", "data.on_missing=drop"),
    ],
)
def test_a_cell_that_is_no_number_is_a_fault_with_a_remedy(cell: Any, text: str, remedy: str):
    for reader, named, given in (
        (NumberReader(("score",)), "the target ", cell),
        (NumberReader(("valence", "arousal")), "arousal ", Beside((1.0, cell))),
    ):
        found = reader(given)
        assert isinstance(found, Fault)
        assert found.code == "DATA-013"
        assert found.text.startswith(named)
        assert text in found.text
        assert remedy in found.hint


@pytest.mark.parametrize("cell", ["1|2.5", [1, 2.5], (1, "2.5"), Beside((1, 2.5))])
def test_several_numbers_may_stand_in_one_cell(cell: Any):
    assert NumberReader(("valence", "arousal"))(cell).tolist() == [1, 2.5]


@pytest.mark.parametrize("cell", ["1", 1.5, [1, 2, 3], "1|2|3"])
def test_another_number_of_numbers_is_a_fault(cell: Any):
    found = NumberReader(("valence", "arousal"))(cell)
    assert "2 are needed (valence, arousal)" in found.text


@pytest.mark.parametrize(
    ("values", "names", "code", "text", "remedy"),
    [
        (["good", "bad"], (), "DATA-021", 'words ("good"), not numbers', "--task classification"),
        ([True, False], (), "DATA-021", "true and false, not numbers", "--task classification"),
        ([["a"], ["b"]], (), "DATA-021", "lists, not numbers", "--task multi_label"),
        ([{"a": 1}], (), "DATA-021", "values of type dict", "--label-column"),
        ([0, 1], ("negative", "positive"), "DATA-021", "classes, whose names the file has", "--task classification"),
        (["", None], (), "DATA-022", "no number in any row", "--label-column"),
    ],
)
def test_a_column_without_numbers_is_refused(
    values: list[Any], names: Sequence[str], code: str, text: str, remedy: str
):
    with pytest.raises(DataError) as caught:
        find_task(column(values * 5, names), NAMED)
    assert (caught.value.code, text in caught.value.message, remedy in caught.value.hint) == (code, True, True)


@pytest.mark.parametrize("values", [["3,5", "4,5"], ["12%", "15%"], ["2026-01-02", "2026-01-03"], ["$5", "$6"]])
def test_a_column_of_numbers_that_are_written_otherwise_is_left_to_its_rows(values: list[str]):
    """Each says how it is to be written."""
    read = find_task(column(values * 5), NAMED).task.reader(())
    assert all(isinstance(read(value), Fault) for value in values)
