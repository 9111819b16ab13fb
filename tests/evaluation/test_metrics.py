"""Metrics against hand calculations and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import classification_report, confusion_matrix, log_loss, precision_recall_fscore_support

from case_table import case
from lightune.evaluation.metrics import measure, measure_by_group, per_label, probabilities

# Four texts, three labels; the third text is answered wrongly: true label 2, answer 0.
SHARES = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.1, 0.4], [0.6, 0.3, 0.1]])
LABELS = np.array([0, 1, 2, 0])


def test_metrics_of_four_answers_by_hand():
    found = measure(np.log(SHARES), LABELS)
    assert found.accuracy == 3 / 4
    assert found.loss == pytest.approx(-(math.log(0.7) + math.log(0.8) + math.log(0.4) + math.log(0.6)) / 4)
    # Label 0: precision 2/3, recall 1, F1 0.8; label 1: F1 1; label 2: never answered, F1 0.
    assert found.f1_macro == pytest.approx((0.8 + 1 + 0) / 3)
    assert found.confusion_matrix == [[2, 0, 0], [0, 1, 0], [1, 0, 0]]


def test_logits_and_their_log_probabilities_measure_the_same():
    logits = np.log(SHARES) + np.array([[5.0], [-3.0], [100.0], [0.0]])
    assert measure(logits, LABELS).loss == pytest.approx(measure(np.log(SHARES), LABELS).loss)


def test_loss_equals_scikit_learns_on_random_logits():
    draw = np.random.default_rng(0)
    logits, labels = draw.normal(size=(50, 4)).astype(np.float32) * 3, draw.integers(0, 4, 50)
    assert measure(logits, labels).loss == pytest.approx(log_loss(labels, probabilities(logits)), abs=1e-6)


def test_a_label_that_neither_occurs_nor_is_answered_counts_as_zero():
    found = measure(np.log(SHARES[:2]), LABELS[:2])
    assert found.f1_macro == pytest.approx(2 / 3)
    assert found.confusion_matrix == [[1, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_probabilities_of_known_logits_and_of_huge_ones():
    found = probabilities(np.array([[0.0, math.log(3.0)], [1000.0, 0.0], [-1000.0, -1000.0]]))
    np.testing.assert_allclose(found, [[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]])


def test_metrics_by_group_by_hand():
    """Right with 0.8, wrong with 0.2 left for the truth, right with 0.6, right with 0.5 and a bit."""
    shares = np.array([[0.8, 0.2], [0.2, 0.8], [0.4, 0.6], [0.49, 0.51]])
    labels = np.array([0, 0, 1, 1])
    groups = {"kind": ["plain", "plain", "irony", "irony"], "length": ["long", "short", "long", "long"]}
    found = measure_by_group(np.log(shares), labels, groups)
    sizes = {column: {name: group.examples for name, group in values.items()} for column, values in found.items()}
    assert sizes == {"kind": {"irony": 2, "plain": 2}, "length": {"long": 3, "short": 1}}
    plain, irony, long = found["kind"]["plain"], found["kind"]["irony"], found["length"]["long"]
    assert plain.accuracy == 0.5
    assert plain.loss == pytest.approx(-(math.log(0.8) + math.log(0.2)) / 2)
    assert plain.f1_macro == pytest.approx((2 / 3 + 0) / 2)  # label 0: precision 1, recall 1/2; label 1: none right
    assert irony.model_dump() == {
        "examples": 2, "accuracy": 1.0, "loss": pytest.approx(-(math.log(0.6) + math.log(0.51)) / 2), "f1_macro": 1.0
    }  # fmt: skip
    assert (long.accuracy, long.f1_macro) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("classes", "examples", "answers"),
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
def test_figures_per_label_equal_scikit_learns(classes, examples, answers):
    draw = np.random.default_rng(classes)
    true, said = draw.integers(0, classes, examples), draw.choice(answers, examples)
    names = [f"label {index}" for index in range(classes)]
    found = per_label(confusion_matrix(true, said, labels=range(classes)).tolist(), names)
    expected = precision_recall_fscore_support(true, said, labels=range(classes), zero_division=0)
    report = classification_report(
        true, said, labels=range(classes), target_names=names, output_dict=True, zero_division=0
    )
    assert list(found) == names
    for index, (name, scores) in enumerate(found.items()):
        assert (scores.precision, scores.recall, scores.f1) == pytest.approx(
            [values[index] for values in expected[:3]], abs=1e-12
        )
        assert scores.examples == expected[3][index] == report[name]["support"]
        assert scores.answered == (said == index).sum()
        assert scores.f1 == pytest.approx(report[name]["f1-score"])
    logits = np.eye(classes)[said]
    assert np.mean([scores.f1 for scores in found.values()]) == pytest.approx(measure(logits, true).f1_macro)


def test_figures_per_label_by_hand():
    """Rows true, columns answered: of a three are right and one is called b; b is right twice; c occurs nowhere."""
    found = per_label([[3, 1, 0], [0, 2, 0], [0, 0, 0]], ["a", "b", "c"])
    assert {name: scores.model_dump() for name, scores in found.items()} == {
        "a": {"precision": 1.0, "recall": 0.75, "f1": 6 / 7, "examples": 4, "answered": 3},
        "b": {"precision": 2 / 3, "recall": 1.0, "f1": 0.8, "examples": 2, "answered": 3},
        "c": {"precision": 0.0, "recall": 0.0, "f1": 0.0, "examples": 0, "answered": 0},
    }
