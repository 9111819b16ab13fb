"""How many validation texts are answered at a bound on the confidence, and rightly, counted by hand."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from lightune.errors import RecipeError
from lightune.tasks.classification import Classification
from lightune.tasks.coverage import Coverage, Covered, require_bound
from lightune.tasks.multi_label import MultiLabel
from lightune.tasks.regression import Regression

TWO = Classification(("no", "yes"))
# Confidences 0.9, 0.8, 0.6 and 0.5; the second is wrong.
LOGITS = np.array([[0, np.log(9)], [np.log(4), 0], [0, np.log(1.5)], [1, 1]])
TARGETS = np.array([1, 1, 1, 0])


def test_four_texts_by_hand():
    found = Coverage.of(TWO, lambda: (LOGITS, TARGETS))
    assert found is not None
    assert found.at(0) == Covered(0.0, 4, 1.0, 0.75)
    assert found.at(0.55) == Covered(0.55, 4, 0.75, 2 / 3)
    assert found.at(0.7) == Covered(0.7, 4, 0.5, 0.5)
    assert found.at(0.85) == Covered(0.85, 4, 0.25, 1.0)
    assert found.at(0.854).below == 0.85, "to two decimals"
    assert found.at(1) == Covered(1.0, 4, 0.0, None)


def test_a_set_of_labels_is_as_sure_as_its_least_certain_label_and_right_if_all_are():
    """Shares 0.9, 0.3 with cuts 0.5, 0.2: both are answered, the second with 0.3; 0.1, 0.1: none, each with 0.9."""
    task = MultiLabel(("a", "b"), thresholds=(0.5, 0.2))
    shares = np.array([[0.9, 0.3], [0.1, 0.1], [0.9, 0.1]])
    logits, targets = np.log(shares / (1 - shares)), np.array([[1, 1], [0, 0], [1, 1]])
    assert task.confidences(logits) == pytest.approx([0.3, 0.9, 0.9])
    assert task.are_right(logits, targets).tolist() == [True, True, False]
    found = Coverage.of(task, lambda: (logits, targets))
    assert found is not None
    assert found.at(0.2) == Covered(0.2, 3, 1.0, 2 / 3)
    assert found.at(0.5) == Covered(0.5, 3, 2 / 3, 0.5)


def test_numbers_have_none_and_their_texts_are_not_computed():
    def never() -> Any:
        raise AssertionError("computed in vain")

    assert Coverage.of(Regression(), never) is None


def test_json_gives_it_back_and_what_cannot_be_counts_is_refused():
    found = Coverage.of(TWO, lambda: (LOGITS, TARGETS))
    assert found is not None
    read = TypeAdapter(Coverage | None).validate_python
    written = asdict(found)
    assert read({name: list(value) if isinstance(value, tuple) else value for name, value in written.items()}) == found
    for change in (
        {"examples": 5},
        {"answered": written["answered"][:-1]},
        {"answered": written["answered"][::-1]},
        {"right": (5, *written["right"][1:])},
        {"right": None},
    ):
        with pytest.raises(ValueError, match=r"coverage|right"):
            read({**written, **change})


@pytest.mark.parametrize("bound", [-0.1, 1.1, float("nan")])
def test_a_bound_that_is_no_probability_is_refused(bound: float):
    with pytest.raises(RecipeError, match="not a probability") as caught:
        require_bound(TWO, bound)
    assert caught.value.code == "RECIPE-096"
