"""ROC and precision-recall curves against hand calculations and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from lightune.tasks.classification import Classification
from lightune.tasks.curves import MOST_POINTS, curve, label_curves, thinned
from lightune.tasks.multi_label import MultiLabel


def test_four_texts_by_hand():
    """In order: right, wrong, right, wrong. Of two positives and two negatives."""
    found = curve("yes", np.array([0.9, 0.8, 0.7, 0.1]), np.array([1, 0, 1, 0], bool))
    assert found["roc"] == [[0, 0, 0.5, 0.5, 1], [0, 0.5, 0.5, 1, 1]]
    assert found["roc_auc"] == 0.75
    assert found["average_precision"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    recall, precision = found["precision_recall"]
    assert (recall[0], recall[-1]) == (0, 1)
    assert set(zip(recall, precision, strict=True)) <= {(0, 1), (0.5, 1), (0.5, 0.5), (1, 0.6667), (1, 0.5)}
    assert {(0.5, 1), (1, 0.5)} & set(zip(recall, precision, strict=True))


@pytest.mark.parametrize("texts", [30, 5_000])
def test_a_thinned_curve_has_points_of_the_whole_one_and_its_ends(texts: int):
    draw = np.random.default_rng(texts)
    true = draw.random(texts) < 0.3
    scores = draw.random(texts) + 0.4 * true
    found = curve(None, scores, true)
    assert found["roc_auc"] == roc_auc_score(true, scores)
    assert found["average_precision"] == average_precision_score(true, scores)
    false_rate, true_rate, _ = roc_curve(true, scores)
    precision, recall, _ = precision_recall_curve(true, scores)
    for points, whole in ((found["roc"], (false_rate, true_rate)), (found["precision_recall"], (recall, precision))):
        assert len(points[0]) == len(points[1]) <= MOST_POINTS
        all_points = {tuple(point) for point in np.round(np.stack(whole, axis=1), 4).tolist()}
        assert set(zip(*points, strict=True)) <= all_points
        assert (points[0][0], points[0][-1]) == (0, 1)
        assert points[0] == sorted(points[0])
    area = np.trapezoid(found["roc"][1], found["roc"][0])
    assert area == pytest.approx(found["roc_auc"], abs=0.01), "nothing of its form is lost"


def test_few_points_all_stay():
    line = np.linspace(0, 1, 40) ** 3
    assert thinned(line, line**2, along=line) == [np.round(each, 4).tolist() for each in (line, line**2)]


def test_two_labels_have_one_curve_and_few_have_one_each():
    draw = np.random.default_rng(1)
    targets = draw.integers(0, 2, 60)
    (found,) = Classification(("no", "yes")).details(draw.normal(size=(60, 2)), targets)["curves"]
    assert found["label"] == "yes"
    six = Classification(tuple("abcdef"))
    logits, targets = draw.normal(size=(200, 6)), draw.integers(0, 6, 200)
    assert [each["label"] for each in six.details(logits, targets)["curves"]] == list("abcdef")
    shares = six.probabilities(logits)
    wanted = [roc_auc_score(targets == place, shares[:, place]) for place in range(6)]
    assert [each["roc_auc"] for each in six.details(logits, targets)["curves"]] == pytest.approx(wanted)


def test_many_labels_have_the_micro_average_alone():
    draw = np.random.default_rng(1)
    logits, targets = draw.normal(size=(200, 7)), draw.integers(0, 7, 200)
    task = Classification(tuple("abcdefg"))
    (found,) = task.details(logits, targets)["curves"]
    assert found["label"] is None
    true = np.eye(7)[targets]
    assert found["average_precision"] == pytest.approx(
        average_precision_score(true, task.probabilities(logits), average="micro")
    )


def test_sets_of_labels_have_the_micro_average_beside_each_label():
    draw = np.random.default_rng(1)
    logits, targets = draw.normal(size=(90, 3)), (draw.random((90, 3)) < 0.3).astype(np.uint8)
    found = MultiLabel(("a", "b", "c")).details(logits, targets)["curves"]
    assert [each["label"] for each in found] == [None, "a", "b", "c"]
    assert found[0]["roc_auc"] == pytest.approx(roc_auc_score(targets, logits, average="micro"))
    assert found[2]["average_precision"] == pytest.approx(average_precision_score(targets[:, 1], logits[:, 1]))


def test_a_label_that_no_text_has_or_every_text_has_no_curve():
    shares = np.random.default_rng(1).random((20, 3))
    true = np.zeros((20, 3), bool)
    true[:, 1] = True
    true[:5, 2] = True
    assert [each["label"] for each in label_curves(("a", "b", "c"), shares, true, True)["curves"]] == [None, "c"]
    assert label_curves(("a", "b", "c"), shares, true & False, True) == {"curves": []}
