"""The sentences and figures, worked out by hand."""

from __future__ import annotations

import pytest

from example_record import example_record, with_accuracy, with_gain
from lightune.report import gains, words


def _record(accuracy: float = 0.764, name: str = "probe", **gain: object):
    return with_accuracy(with_gain(example_record(), name, **gain), accuracy)


@pytest.mark.parametrize(
    ("accuracy", "gain", "ci95", "verdict", "expected"),
    [
        (
            0.764, 0.021, (-0.003, 0.045), "no clear difference",
            "0.764 accuracy, 2.1 points above a linear probe of the untouched model "
            "(95%: -0.3 to 4.5): no clear difference.",
        ),
        (
            0.8, 0.06, (0.0312, 0.09), "better",
            "0.800 accuracy, 6.0 points above a linear probe of the untouched model (95%: 3.1 to 9.0): better.",
        ),
        (
            0.701, -0.012, (-0.0204, -0.004), "worse",
            "0.701 accuracy, 1.2 points below a linear probe of the untouched model (95%: -2.0 to -0.4): worse.",
        ),
        (
            0.7, -0.0004, (-0.01, 0.0098), "no clear difference",
            "0.700 accuracy, level with a linear probe of the untouched model (95%: -1.0 to 1.0): no clear difference.",
        ),
    ],
)  # fmt: skip
def test_headline(accuracy, gain, ci95, verdict, expected):
    record = _record(accuracy, value=gain, ci95=ci95, verdict=verdict)
    assert gains.headline(record) == expected


@pytest.mark.parametrize(
    ("gain", "ci95", "verdict", "expected"),
    [
        (
            0.258, (0.194, 0.321), "better",
            "25.8 points above before, the untrained head, which can only guess (95%: 19.4 to 32.1): better.",
        ),
        (
            -0.05, (-0.09, -0.01), "worse",
            "5.0 points below before, the untrained head, which can only guess (95%: -9.0 to -1.0): worse.",
        ),
        (
            0.0, (-0.02, 0.02), "no clear difference",
            "Level with before, the untrained head, which can only guess (95%: -2.0 to 2.0): no clear difference.",
        ),
    ],
)  # fmt: skip
def test_before_sentence_always_says_what_before_is(gain, ci95, verdict, expected):
    record = _record(name="before", value=gain, ci95=ci95, verdict=verdict)
    assert gains.before_sentence(record) == expected


def test_the_checkpoints_own_head_is_not_called_untrained():
    model = example_record().model.model_copy(update={"head": "checkpoint"})
    record = _record(name="before", value=0.012, ci95=(-0.003, 0.027), verdict="no clear difference")
    expected = "1.2 points above before, the checkpoint's own head (95%: -0.3 to 2.7): no clear difference."
    assert gains.before_sentence(record.model_copy(update={"model": model})) == expected


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (words.seconds(0.418), "0.42 s"),
        (words.seconds(3.42), "3.4 s"),
        (words.seconds(9.97), "10 s"),
        (words.seconds(48.2), "48 s"),
        (words.seconds(59.6), "1 min 00 s"),
        (words.seconds(125.3), "2 min 05 s"),
        (words.seconds(3599.7), "1 h 00 min"),
        (words.seconds(3725), "1 h 02 min"),
        (words.size(512), "512 B"),
        (words.size(3_640_000), "3.6 MB"),
        (words.size(999_960), "1.0 MB"),
        (words.size(1_432_000_000), "1.43 GB"),
        (words.rate(123.4), "123 /s"),
        (words.rate(4.56), "4.6 /s"),
        (words.rate(0.456), "0.46 /s"),
        (words.milliseconds(9.61), "9.6 ms"),
        (words.milliseconds(112.4), "112 ms"),
        (words.p_value(0.0123), "p = 0.012"),
        (words.p_value(0.00099), "p < 0.001"),
        (words.p_value(0.001), "p = 0.001"),
        (words.points(-0.0003), "0.0"),
        (words.points(-0.003), "-0.3"),
        (words.percent(0.01954, 2), "1.95%"),
        (words.count(22_810_370), "22,810,370"),
        (words.learning_rate(5e-5), "5e-05"),
        (words.logit_difference(0.0), "0"),
        (words.logit_difference(1.23e-6), "1.2e-06"),
        (words.score(float("nan")), "not finite"),
    ],
)
def test_figures_with_units(shown, expected):
    assert shown == expected


@pytest.mark.parametrize(
    "function",
    [
        words.seconds, words.size, words.rate, words.milliseconds, words.p_value, words.points, words.percent,
        words.count, words.score, words.learning_rate, words.logit_difference,
    ],
)  # fmt: skip
def test_none_is_not_measured(function):
    assert function(None) == "not measured"


def test_printable_keeps_a_text_from_steering_the_terminal():
    assert words.printable("a\x1b[2Jb\n c") == r"a\x1b[2Jb c"
