"""Metrics of answers with several labels, against scikit-learn; the figures of each label and pair by counting."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
)

from lightune.sections import Baseline, Evaluation
from lightune.tasks.label_cautions import Counts, all_alike
from lightune.tasks.multi_label import MultiLabel
from lightune.tasks.set_scores import MOST_LABELS, MOST_TOGETHER, overviews, set_metrics, sigmoid, sizes, together

LABELS = ("food", "price", "service", "staff")
TASK = MultiLabel(LABELS, thresholds=(0.5, 0.3, 0.7, 0.5))
COST = {"runtime": 1.0, "samples_per_second": 1.0, "steps_per_second": 1.0}


def drawn(texts: int = 80, seed: int = 3) -> tuple[Any, Any]:
    draw = np.random.default_rng(seed)
    targets = (draw.random((texts, len(LABELS))) < [0.5, 0.3, 0.1, 0.05]).astype(np.uint8)
    targets[0] = 1
    return draw.normal(size=targets.shape).astype(np.float32) + targets, targets


@pytest.mark.parametrize("seed", range(5))
def test_the_metrics_are_those_of_scikit_learn(seed: int):
    logits, targets = drawn(seed=seed)
    shares = 1 / (1 + np.exp(-logits.astype(float)))
    answers = (shares >= [0.5, 0.3, 0.7, 0.5]).astype(int)
    found = TASK.measure(logits, targets)
    assert found["f1_micro"] == pytest.approx(f1_score(targets, answers, average="micro"))
    assert found["f1_macro"] == pytest.approx(f1_score(targets, answers, average="macro", zero_division=0))
    assert found["exact_match"] == pytest.approx(accuracy_score(targets, answers))
    assert found["average_precision"] == pytest.approx(average_precision_score(targets, shares, average="macro"))
    each = [log_loss(targets[:, label], shares[:, label], labels=[0, 1]) for label in range(len(LABELS))]
    assert found["loss"] == pytest.approx(np.mean(each), rel=1e-6)


def test_the_loss_is_what_training_minimises():
    logits, targets = drawn()
    wanted = torch.nn.BCEWithLogitsLoss()(torch.tensor(logits), torch.tensor(targets, dtype=torch.float32)).item()
    assert TASK.measure(logits, targets)["loss"] == pytest.approx(wanted, rel=1e-5)
    assert TASK.mean_loss(torch.tensor(logits), TASK.collate(targets, 0)).item() == pytest.approx(wanted, rel=1e-5)


def test_what_is_undefined_is_none():
    """Without a label and an answer micro F1 is 0 / 0, and no label occurs whose precision could be averaged."""
    logits, targets = np.full((3, 4), -9.0), np.zeros((3, 4), np.uint8)
    found = TASK.measure(logits, targets)
    assert (found["f1_micro"], found["average_precision"]) == (None, None)
    assert found["exact_match"] == 1.0
    assert TASK.measure(-logits, targets)["f1_micro"] == 0.0


def test_a_label_that_never_occurs_counts_in_macro_f1_and_not_in_average_precision():
    logits, targets = drawn()
    targets[:, 3] = 0
    answers = TASK.answered(logits)
    found = set_metrics(logits, answers, targets)
    assert found["f1_macro"] == pytest.approx(f1_score(targets, answers, average="macro", zero_division=0))
    wanted = average_precision_score(targets[:, :3], logits[:, :3], average="macro")
    assert found["average_precision"] == pytest.approx(wanted)


def test_micro_f1_follows_from_sums_over_texts():
    logits, targets = drawn()
    draw = np.random.default_rng(0)
    for _ in range(5):
        rows = draw.integers(0, len(targets), len(targets))
        sums = TASK.counts(logits, targets)[rows].sum(axis=0)
        wanted = f1_score(targets[rows], TASK.answered(logits)[rows], average="micro")
        assert float(TASK.headline(sums, len(rows))) == pytest.approx(wanted)
    assert np.isnan(TASK.headline(np.zeros(2), 4))


def test_the_figures_of_each_label_are_those_of_scikit_learn():
    logits, targets = drawn()
    answers = TASK.answered(logits)
    found = TASK.details(logits, targets)["per_label"]
    figures = precision_recall_fscore_support(targets, answers, average=None, zero_division=0)
    for place, label in enumerate(LABELS):
        precision, recall, f1, support = (figure[place] for figure in figures)
        wanted = {"precision": precision, "recall": recall, "f1": f1, "examples": support}
        assert {key: found[label][key] for key in wanted} == pytest.approx(wanted)
        assert found[label]["answered"] == answers[:, place].sum()
        assert found[label]["threshold"] == TASK.thresholds[place]


def test_labels_that_go_together_are_counted():
    logits, targets = drawn()
    answers, counts = TASK.answered(logits), {}
    for one, other in itertools.combinations(range(len(LABELS)), 2):
        having = sum(bool(row[one] and row[other]) for row in targets)
        getting = sum(bool(row[one] and row[other]) for row in answers)
        counts[LABELS[one], LABELS[other]] = (having, getting)
    found = together(LABELS, answers, targets)
    assert {tuple(pair["labels"]): (pair["examples"], pair["answered"]) for pair in found} == {
        pair: both for pair, both in counts.items() if both[0]
    }
    assert [pair["examples"] for pair in found] == sorted((pair["examples"] for pair in found), reverse=True)
    many = np.ones((3, 20), np.uint8)
    assert len(together([str(name) for name in range(20)], many > 0, many)) == MOST_TOGETHER


def test_the_numbers_of_labels_are_counted():
    targets = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.uint8)
    found = sizes(np.array([[0, 0], [0, 0], [1, 0], [0, 1]], bool), targets)
    assert found == [
        {"labels": 0, "examples": 1, "answered": 2},
        {"labels": 1, "examples": 2, "answered": 2},
        {"labels": 2, "examples": 1, "answered": 0},
    ]


def test_the_overview_counts_texts_and_labels_of_each_split():
    splits = {"train": np.array([[1, 0], [1, 1], [0, 0], [0, 0]], np.uint8), "test": np.array([[1, 1]], np.uint8)}
    labels, numbers = overviews(("food", "price"), splits)
    assert labels.columns[0] == "label"
    assert labels.rows == [["food", "2", "50.0%", "1", "100.0%"], ["price", "1", "25.0%", "1", "100.0%"]]
    assert numbers.rows == [
        ["none", "2", "50.0%", "0", "0.0%"],
        ["1", "1", "25.0%", "0", "0.0%"],
        ["2", "1", "25.0%", "1", "100.0%"],
    ]


def test_of_very_many_labels_the_commonest_are_shown():
    targets = np.tri(60, 50, dtype=np.uint8)  # the first label is that of every row, the last of few
    found, _ = overviews([f"label {place}" for place in range(50)], {"train": targets})
    assert [row[0] for row in found.rows] == [f"label {place}" for place in range(MOST_LABELS)]
    assert found.columns[0] == f"label ({MOST_LABELS} of 50)"


def test_the_sigmoid_of_far_logits_is_finite():
    assert sigmoid(np.array([-800.0, 0.0, 800.0])).tolist() == [0.0, 0.5, 1.0]


def test_labels_that_are_never_answered_are_told():
    targets = np.zeros((40, 4), np.uint8)
    targets[::2, 0] = targets[::4, 3] = 1
    logits = np.where(targets > 0, 5.0, -5.0)
    logits[:, 3] = -5
    after = Evaluation(
        examples=40, metrics=TASK.measure(logits, targets), details=TASK.details(logits, targets), **COST
    )
    (said,) = TASK.cautions(after, {}, None)
    assert '"staff"' in said
    metrics = {"f1_micro": 0.5, "f1_macro": 0.9}
    told = TASK.cautions(after, {"probe": Baseline(title="linear probe", metrics=metrics)}, "probe")
    assert any(sentence.startswith("Macro F1 is") and "though micro F1 is not" in sentence for sentence in told)


@pytest.mark.parametrize(
    ("answered", "said"),
    [
        ([[1, 0], [1, 0], [1, 0]], 'All 3 test texts get the same answer, "food": nothing is told apart.'),
        ([[0, 0], [0, 0], [0, 0]], "All 3 test texts get the same answer, no label: nothing is told apart."),
        ([[1, 1], [1, 1], [1, 1]], 'All 3 test texts get the same answer, "food" and "price": nothing is told apart.'),
        ([[1, 0], [1, 0], [0, 0]], None),
    ],
)
def test_answers_that_are_all_alike_are_named(answered: list[list[int]], said: str | None) -> None:
    true = [[1, 0], [0, 1], [1, 1]]
    both = zip(("food", "price"), zip(*true, strict=True), zip(*answered, strict=True), strict=True)
    counts = [Counts(name, sum(given), sum(found), 0) for name, given, found in both]
    assert all_alike(counts, 3) == ([] if said is None else [said])
