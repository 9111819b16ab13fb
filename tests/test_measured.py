"""How figures are written: three decimals, unless these show nothing of a number in the data's own unit."""

from __future__ import annotations

import pytest

from lightune.measured import Metric
from lightune.report.gains import difference
from lightune.sections import Gain


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


def test_a_pure_number_has_three_decimals_and_no_unit():
    """R2 of the training mean on other texts is a little below 0, for example -0.00005."""
    r2 = Metric(name="r2", title="R2", unit="1")
    assert [r2.shown(value) for value in (-5.061e-05, 0.8344, -3.2)] == ["0.000", "0.834", "-3.200"]
    gain = Gain(metric="r2", unit="1", value=0.21, ci95=(0.1, 0.3), p_value=0.01, verdict="better")
    assert str(gain) == "+0.210 (95%: 0.100 to 0.300): better"
    assert difference(gain.value, "1") == "0.210"
