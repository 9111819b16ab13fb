"""What is said of numbers before training: all equal, far from all others, few, beyond training, too fine for fp32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lightune.tasks.columns import SplitTargets
from lightune.tasks.number_warnings import all_equal, number_warnings


def split(values: Any, name: str = "train") -> SplitTargets:
    found = np.array(values, float).reshape(len(values), -1)
    rows = np.arange(len(found))
    return SplitTargets(name, f"{name}.csv", found, rows, rows, lambda row: f"{name}.csv:{row + 2}")


def said(train: Any, test: Any = None, names: tuple[str, ...] = ("score",)) -> list[tuple[str, str, str]]:
    splits = {"train": split(train)} | ({} if test is None else {"test": split(test, "test")})
    faults, warnings = number_warnings(splits, names)
    assert all(fault.hint for fault in [*faults, *warnings])
    return [(fault.code, fault.place, fault.text) for fault in [*faults, *warnings]]


SPREAD = [row / 4 for row in range(40)]


def test_of_ordinary_numbers_nothing_is_said():
    assert said(SPREAD, SPREAD[3:9]) == []


def test_numbers_that_are_all_the_same_are_a_fault():
    assert said([2.5] * 9) == [("DATA-022", "train.csv", "score is 2.5 in every training row.")]
    both = said([[row, 3] for row in SPREAD], names=("valence", "arousal"))
    assert both == [("DATA-022", "train.csv", "arousal is 3 in every training row.")]
    (drawn,) = all_equal(np.array([[1.0, 3], [2, 3]]), ("valence", "arousal"), "train.csv")
    assert (drawn.code, "the same arousal." in drawn.text) == ("DATA-032", True)


@pytest.mark.parametrize("odd", [-999, 9999, 1e9])
def test_a_number_far_from_all_others_is_named_with_its_row(odd: float):
    ((code, place, text),) = said([*SPREAD, odd])
    assert (code, place) == ("DATA-119", "train.csv:42")
    assert "1 training row" in text


def test_few_different_numbers_may_be_classes():
    ((code, _, text),) = said([1.5, 2.5, 1.5, 2.5])
    assert (code, text) == ("DATA-120", "score has only the values 1.5, 2.5.")


def test_numbers_beyond_those_of_training_are_named_with_their_row():
    ((code, place, text),) = said(SPREAD, [3, 12, 4, -1])
    assert (code, place) == ("DATA-121", "test.csv:3")
    assert "2 test rows" in text


@pytest.mark.parametrize(("middle", "is_lost"), [(1e4, False), (1e6, False), (1e8, True), (-1e8, True), (2e9, True)])
def test_numbers_that_fp32_cannot_tell_apart_are_a_fault(middle: float, is_lost: bool):
    """Of 40 numbers in steps of a quarter, as many as fp32 keeps apart."""
    values = [middle + value for value in SPREAD]
    kept = len(np.unique(np.array(values, np.float32)))
    assert (kept < 10) == is_lost
    assert [code for code, *_ in said(values)] == ["DATA-038"] * is_lost


def test_numbers_too_small_for_fp32_are_to_be_divided_and_not_moved():
    """The smallest number of fp32 is 1.4e-45."""
    faults, _ = number_warnings({"train": split([1e-47 * (value - 5) for value in SPREAD])}, ("score",))
    assert [(fault.code, fault.hint) for fault in faults] == [
        ("DATA-038", "Divide all of them by 3e-47, in every file.")
    ]


def test_large_prices_of_a_skewed_column_are_not_odd():
    """Of a lognormal distribution (deviation 1.3 in logarithms) the largest of 2,000 is usually 60 times the median."""
    prices = np.random.default_rng(5).lognormal(4, 1.3, 2000)
    assert prices.max() > np.quantile(prices, 0.75) + 10 * np.ptp(np.quantile(prices, [0.25, 0.75]))
    assert said(prices.tolist()) == []
    ((code, _, text),) = said([*prices.tolist(), 1e9])
    assert (code, "1 training row" in text) == ("DATA-119", True)
