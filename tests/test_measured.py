"""How figures are written: three decimals, unless these show nothing of a number in the data's own unit."""

from __future__ import annotations

import pytest

from lightune.measured import Metric


@pytest.mark.parametrize(
    ("value", "of_share", "of_data"),
    [
        (0.8344, "0.834", "0.834"),
        (0.0, "0.000", "0.000"),
        (-0.0, "0.000", "0.000"),
        (1204.5, "1,204.500", "1,204.500"),
        (1.356e-7, "0.000", "1.356e-07"),
        (-0.0004, "0.000", "-0.0004"),
        (1396103830173.917, "1,396,103,830,173.917", "1.396e+12"),
    ],
)
def test_tiny_and_huge_figures_of_the_data_keep_their_digits(value: float, of_share: str, of_data: str):
    assert Metric(name="f1", title="F1", unit="share").shown(value) == of_share
    assert Metric(name="rmse", title="RMSE").shown(value) == of_data
