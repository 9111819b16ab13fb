"""Metrics of answers that are one label each, against hand calculations and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import classification_report, confusion_matrix, log_loss, precision_recall_fscore_support

from case_table import case
from lightune.tasks.class_scores import per_label, probabilities
from tiny import classes

# Four texts, three labels; the third text is answered wrongly: true label 2, answer 0.
SHARES = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.1, 0.4], [0.6, 0.3, 0.1]])
LABELS = np.array([0, 1, 2, 0])
THREE = classes(["a", "b", "c"])


def test_metrics_of_four_answers_by_hand():
    found = THREE.measure(np.log(SHARES), LABELS)
    assert list(found) == ["accuracy", "f1_macro", "loss"]
    assert found["accuracy"] == 3 / 4
    assert found["loss"] == pytest.approx(-(math.log(0.7) + math.log(0.8) + math.log(0.4) + math.log(0.6)) / 4)
    # Label 0: precision 2/3, recall 1, F1 0.8; label 1: F1 1; label 2: never answered, F1 0.
    assert found["f1_macro"] == pytest.approx((0.8 + 1 + 0) / 3)
    assert THREE.details(np.log(SHARES), LABELS)["confusion_matrix"] == [[2, 0, 0], [0, 1, 0], [1, 0, 0]]


def test_logits_and_their_log_probabilities_measure_the_same():
    logits = np.log(SHARES) + np.array([[5.0], [-3.0], [100.0], [0.0]])
    assert THREE.measure(logits, LABELS)["loss"] == pytest.approx(THREE.measure(np.log(SHARES), LABELS)["loss"])


def test_loss_equals_scikit_learns_on_random_logits():
    draw = np.random.default_rng(0)
    logits, labels = draw.normal(size=(50, 4)).astype(np.float32) * 3, draw.integers(0, 4, 50)
    found = classes("abcd").measure(logits, labels)["loss"]
    assert found == pytest.approx(log_loss(labels, probabilities(logits)), abs=1e-6)


def test_a_label_that_neither_occurs_nor_is_answered_counts_as_zero():
    two = np.log(SHARES[:2]), LABELS[:2]
    assert THREE.measure(*two)["f1_macro"] == pytest.approx(2 / 3)
    assert THREE.details(*two)["confusion_matrix"] == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_in_a_part_of_the_texts_such_a_label_does_not_count():
    two = np.log(SHARES[:2]), LABELS[:2]
    assert THREE.measure_part(*two) == THREE.measure(*two) | {"f1_macro": 1.0}


def test_probabilities_of_known_logits_and_of_huge_ones():
    found = probabilities(np.array([[0.0, math.log(3.0)], [1000.0, 0.0], [-1000.0, -1000.0]]))
    np.testing.assert_allclose(found, [[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]])


@pytest.mark.parametrize(
    ("count", "examples", "answers"),
    [
        (2, 50, [0, 1]),
        (4, 60, [0, 1, 2, 3]),
        pytest.param(
            3, 40, [0, 2], id="never-answered",
            marks=case("a label that is never answered", "no figure of it anywhere", "recall 0, F1 0, answered 0",
                       "as scikit-learn's report has it with zero_division=0"),
        ),
        pytest.param(
            3, 40, [1], id="one-answer",
            marks=case("a model with one answer to every text", "only in the confusion matrix",
                       "one label has recall 1, all others 0", "a macro F1 alone does not say which"),
        ),
        pytest.param(
            77, 300, list(range(77)), id="many-labels",
            marks=case("77 labels", "one macro F1", "five figures of each of the 77", "a mean hides its worst members"),
        ),
    ],
)  # fmt: skip
def test_figures_per_label_equal_scikit_learns(count, examples, answers):
    draw = np.random.default_rng(count)
    true, said = draw.integers(0, count, examples), draw.choice(answers, examples)
    names = [f"label {index}" for index in range(count)]
    found = per_label(confusion_matrix(true, said, labels=range(count)).tolist(), names)
    expected = precision_recall_fscore_support(true, said, labels=range(count), zero_division=0)
    report = classification_report(
        true, said, labels=range(count), target_names=names, output_dict=True, zero_division=0
    )
    assert list(found) == names
    for index, (name, scores) in enumerate(found.items()):
        assert [scores[key] for key in ("precision", "recall", "f1")] == pytest.approx(
            [values[index] for values in expected[:3]], abs=1e-12
        )
        assert scores["examples"] == expected[3][index] == report[name]["support"]
        assert scores["answered"] == (said == index).sum()
        assert scores["f1"] == pytest.approx(report[name]["f1-score"])
    logits, task = np.eye(count)[said], classes(names)
    assert np.mean([scores["f1"] for scores in found.values()]) == pytest.approx(task.measure(logits, true)["f1_macro"])
    assert task.details(logits, true)["per_label"] == found


def test_figures_per_label_by_hand():
    """Rows true, columns answered: of a three are right and one is called b; b is right twice; c occurs nowhere."""
    found = per_label([[3, 1, 0], [0, 2, 0], [0, 0, 0]], ["a", "b", "c"])
    assert found == {
        "a": {"precision": 1.0, "recall": 0.75, "f1": 6 / 7, "examples": 4, "answered": 3},
        "b": {"precision": 2 / 3, "recall": 1.0, "f1": 0.8, "examples": 2, "answered": 3},
        "c": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "examples": 0, "answered": 0},
    }
