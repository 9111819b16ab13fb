"""Temperatures, calibration errors and their bins, against the conditions and formulas that define them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.calibration import calibration_curve

from lightune.errors import ArtifactError
from lightune.tasks import task_from_json
from lightune.tasks.calibration import BINS, best_temperature, calibration_error, reliability
from lightune.tasks.classification import Classification
from lightune.tasks.multi_label import MultiLabel

THREE = Classification(("a", "b", "c"))
SETS = MultiLabel(("a", "b", "c"))


def single(texts: int, factor: float, seed: int = 1) -> tuple[Any, Any]:
    """Return logits, and labels that are drawn with the probabilities softmax(logits / factor)."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(texts, 3)) * 2 * factor
    return logits.astype(np.float32), np.array([draw.choice(3, p=row) for row in softmax(logits / factor, axis=1)])


def several(texts: int, factor: float, seed: int = 1) -> tuple[Any, Any]:
    """Return logits, and sets of labels that are drawn with the probabilities sigmoid(logits / factor)."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(texts, 3)) * 2 * factor
    return logits.astype(np.float32), (draw.random(logits.shape) < expit(logits / factor)).astype(np.uint8)


@pytest.mark.parametrize("factor", [0.4, 1.0, 2.5])
@pytest.mark.parametrize(("task", "draw"), [(THREE, single), (SETS, several)])
def test_the_temperature_that_the_labels_were_drawn_with_is_found(task: Any, draw: Any, factor: float):
    fitted, notes = task.calibrated(lambda: draw(20_000, factor))
    assert fitted == replace(task, temperature=fitted.temperature)
    assert fitted.temperature == pytest.approx(factor, rel=0.03)
    assert notes == []


def test_at_the_temperature_logits_are_as_large_as_their_probabilities_expect():
    """Where the loss is least in 1 / T, its derivative is 0: the mean of sum_k p_k z_k is that of z_y (of y z)."""
    logits, labels = single(300, 1.7)
    temperature = THREE.calibrated(lambda: (logits, labels))[0].temperature
    z = logits.astype(float)
    expected = (softmax(z / temperature, axis=1) * z).sum(axis=1).mean()
    assert expected == pytest.approx(z[np.arange(300), labels].mean(), abs=1e-4)
    logits, targets = several(300, 1.7)
    temperature = SETS.calibrated(lambda: (logits, targets))[0].temperature
    z = logits.astype(float)
    assert (expit(z / temperature) * z).mean() == pytest.approx((targets * z).mean(), abs=1e-4)


@pytest.mark.parametrize(("task", "draw"), [(THREE, single), (SETS, several)])
def test_a_temperature_needs_a_hundred_texts(task: Any, draw: Any):
    assert task.calibrated(lambda: draw(100, 3.0))[0].temperature > 1.5
    few, notes = replace(task, temperature=2.0).calibrated(lambda: draw(99, 3.0))
    assert few == task, "one of an earlier training does not stay"
    assert notes == [
        "Probabilities are not calibrated (temperature 1): a temperature is fitted from 100 validation texts on, and "
        "there are 99."
    ]


def test_where_every_answer_is_right_there_is_none():
    """The loss falls for ever as T falls, and below some T it is 0 in fp64."""
    logits = np.eye(3, dtype=np.float32)[np.arange(120) % 3] * 8
    task, notes = THREE.calibrated(lambda: (logits, np.arange(120) % 3))
    assert task.temperature == 1
    assert len(notes) == 1
    assert "as where all of them are right" in notes[0]
    sets, notes = SETS.calibrated(lambda: (logits - 4, (logits > 0).astype(np.uint8)))
    assert (sets.temperature, len(notes)) == (1, 1)
    wrong = np.arange(120) % 3
    wrong[0] = 1
    assert THREE.calibrated(lambda: (logits, wrong))[0].temperature > 1, "one wrong answer suffices"


def test_answers_that_say_nothing_get_the_highest_temperature():
    draw = np.random.default_rng(3)
    logits, labels = draw.normal(size=(200, 3)) * 40, np.zeros(200, int)
    labels[:] = logits.argmin(axis=1)
    assert THREE.calibrated(lambda: (logits, labels))[0].temperature == pytest.approx(100, rel=1e-3)


def test_a_loss_with_a_known_minimum():
    assert best_temperature(lambda t: (np.log(t) - np.log(3.5)) ** 2) == pytest.approx(3.5, abs=1e-3)
    assert best_temperature(lambda t: t) is None


@pytest.mark.parametrize("temperature", [0.01, 0.7, 3.0, 100.0])
def test_labels_never_change(temperature: float):
    """Nor do they where two logits are the next numbers to each other."""
    logits = np.random.default_rng(1).normal(size=(500, 3)).astype(np.float32)
    logits[:250, 1] = np.nextafter(logits[:250, 0], np.float32(np.inf))
    task = replace(THREE, temperature=temperature)
    wanted = [THREE.labels[place] for place in logits.argmax(axis=1)]
    assert [answer.label for answer in task.decode(logits)] == wanted
    assert [cells[0] for cells in task.cells(logits)] == wanted
    assert [float(cells[1]) for cells in task.cells(logits)] == pytest.approx(
        softmax(logits.astype(float) / temperature, axis=1).max(axis=1), abs=1e-6
    )


def test_thresholds_are_of_calibrated_probabilities():
    logits, targets = several(400, 2.0)
    task, _ = SETS.calibrated(lambda: (logits, targets))
    task, _ = task.fitted(lambda: (logits, targets))
    shares = expit(logits.astype(float) / task.temperature)
    answers = shares >= np.array(task.thresholds)
    assert (task.answered(logits) == answers).all()
    for row, answer, said in zip(shares, task.decode(logits), answers, strict=True):
        assert list(answer.probabilities.values()) == pytest.approx(row)
        assert answer.labels == tuple(np.array(SETS.labels)[said])
        assert answer.confidence == pytest.approx(np.where(said, row, 1 - row).min())
    plain, _ = SETS.fitted(lambda: (logits, targets))
    assert task.measure(logits, targets)["f1_micro"] == pytest.approx(plain.measure(logits, targets)["f1_micro"])


@pytest.mark.parametrize("seed", range(3))
def test_bins_are_those_of_scikit_learn(seed: int):
    draw = np.random.default_rng(seed)
    shares = np.concatenate([draw.random(400), np.linspace(0, 1, BINS + 1)])
    true = draw.random(len(shares)) < shares**2
    found = reliability(shares, true)
    accuracy, confidence = calibration_curve(true, shares, n_bins=BINS)
    assert [each["accuracy"] for each in found] == pytest.approx(accuracy)
    assert [each["confidence"] for each in found] == pytest.approx(confidence)
    assert sum(each["examples"] for each in found) == len(shares)


def test_the_error_is_the_formula_of_guo_et_al():
    shares = np.random.default_rng(5).random(1000)
    true = np.random.default_rng(6).random(1000) < 0.6
    wanted = 0.0
    for m in range(1, BINS + 1):
        inside = (shares > (m - 1) / BINS) & (shares <= m / BINS)
        if inside.any():
            wanted += inside.sum() / 1000 * abs(true[inside].mean() - shares[inside].mean())
    assert calibration_error(reliability(shares, true)) == pytest.approx(wanted)


def test_the_error_of_five_answers_by_hand():
    """(12/15, 13/15]: 0.81 and 0.85, one right: |0.5 - 0.83|; (8/15, 9/15]: 0.6, 0.55, right; 1 alone, right: 0."""
    found = reliability(np.array([0.81, 0.85, 0.6, 0.55, 1.0]), np.array([1, 0, 1, 1, 1]))
    assert [(each["examples"], round(each["low"] * 15), round(each["high"] * 15)) for each in found] == [
        (2, 8, 9),
        (2, 12, 13),
        (1, 14, 15),
    ]
    assert calibration_error(found) == pytest.approx(0.4 * (1 - 0.575) + 0.4 * (0.83 - 0.5))


def test_details_have_the_error_and_the_loss_before_and_after():
    logits, labels = single(2_000, 2.5)
    task = replace(THREE, temperature=2.5)
    found = json.loads(json.dumps(task.details(logits, labels)["calibration"], allow_nan=False))
    assert found["temperature"] == 2.5
    for factor, end in ((2.5, ""), (1.0, "_uncalibrated")):
        shares = softmax(logits.astype(float) / factor, axis=1)
        assert found[f"loss{end}"] == pytest.approx(-np.log(shares[np.arange(2_000), labels]).mean())
        right = shares.argmax(axis=1) == labels
        assert found[f"ece{end}"] == pytest.approx(calibration_error(reliability(shares.max(axis=1), right)))
        assert found[f"bins{end}"] == reliability(shares.max(axis=1), right)
    assert found["loss_uncalibrated"] == task.measure(logits, labels)["loss"]
    assert found["ece"] < 0.03 < found["ece_uncalibrated"]


def test_with_several_labels_each_decision_counts():
    logits, targets = several(500, 2.0)
    found = replace(SETS, temperature=2.0).details(logits, targets)["calibration"]
    shares = expit(logits.astype(float) / 2)
    assert found["ece"] == pytest.approx(calibration_error(reliability(shares.ravel(), targets.ravel() > 0)))
    wanted = -np.where(targets > 0, np.log(shares), np.log1p(-shares)).mean()
    assert found["loss"] == pytest.approx(wanted)
    assert sum(each["examples"] for each in found["bins"]) == 1500


def test_logits_that_are_not_finite_have_none():
    logits, labels = single(20, 1.0)
    logits[3, 1] = np.nan
    assert not {"calibration", "curves"} & set(THREE.details(logits, labels))


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf"), "warm", None])
def test_a_temperature_that_is_none_is_refused(temperature: Any):
    with pytest.raises(ArtifactError, match="temperature"):
        task_from_json({**THREE.as_json(), "temperature": temperature}, "here")


def test_a_task_of_an_older_version_has_the_temperature_one():
    for task in (THREE, SETS):
        older = {name: value for name, value in task.as_json().items() if name != "temperature"}
        assert task_from_json(older, "here").temperature == 1


@pytest.mark.parametrize("temperature", [1.0, 1.75])
def test_the_code_that_reads_logits_gives_the_same_answers(temperature: float, capsys: pytest.CaptureFixture[str]):
    import torch

    logits = np.array([[1.5, -0.2, 3.0]], np.float32)
    one, other = (
        replace(THREE, temperature=temperature),
        replace(SETS, temperature=temperature, thresholds=(0.69, 0.4, 0.5)),
    )
    for task in (one, other):
        exec("\n".join(task.reads_logits()), {"logits": torch.tensor(logits)})  # noqa: S102 (our own code)
    said, labels = capsys.readouterr().out.splitlines()
    (answer,) = one.decode(logits)
    assert said.split()[0] == answer.label
    assert float(said.split()[1]) == pytest.approx(answer.confidence, abs=1e-6)
    # sigmoid(1.5) is 0.82, sigmoid(1.5 / 1.75) is 0.702; sigmoid(-0.2) is 0.45.
    assert labels == repr(list(other.decode(logits)[0].labels)) == "['a', 'b', 'c']"
