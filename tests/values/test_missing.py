"""Whether a cell holds something."""

from __future__ import annotations

import pytest

from lightune.values.missing import is_missing


@pytest.mark.parametrize("nothing", [None, float("nan"), "", " \t"])
def test_a_cell_without_anything_is_missing(nothing: object):
    assert is_missing(nothing)


@pytest.mark.parametrize("something", [0, False, 0.0, "0"])
def test_zero_is_not_missing(something: object):
    assert not is_missing(something)
