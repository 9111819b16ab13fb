"""Metrics of predicted numbers, against scikit-learn and scipy; figures of ranges by counting."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from lightune.tasks.number_scores import by_range, histograms, number_metrics, of_one, per_target
from lightune.tasks.regression import Regression

NAMES = ("valence", "arousal")


def drawn(texts: int = 60, outputs: int = 2, seed: int = 4) -> tuple[Any, Any]:
    """Return (answers, targets) in unlike units, with ties among the targets."""
    draw = np.random.default_rng(seed)
    targets = np.round(draw.normal(size=(texts, outputs)) * [3, 250][:outputs] + [5, 1000][:outputs], 0)
    return targets + draw.normal(size=targets.shape) * [2, 200][:outputs], targets


def task_of(targets: Any, **more: Any) -> Regression:
    return replace(Regression(columns=NAMES[: targets.shape[1]]).for_training(targets), **more)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("outputs", [1, 2])
def test_the_metrics_are_those_of_scikit_learn_and_scipy(outputs: int, seed: int):
    answers, targets = drawn(outputs=outputs, seed=seed)
    found = number_metrics(answers, targets)
    columns = list(zip(answers.T, targets.T, strict=True))
    assert found["r2"] == pytest.approx(r2_score(targets, answers, multioutput="uniform_average"))
    assert found["rmse"] == pytest.approx(root_mean_squared_error(targets, answers))
    assert found["mae"] == pytest.approx(mean_absolute_error(targets, answers))
    assert found["spearman"] == pytest.approx(np.mean([spearmanr(*both).statistic for both in columns]))
    assert found["pearson"] == pytest.approx(np.mean([pearsonr(*both).statistic for both in columns]))


def test_a_model_before_folding_is_measured_in_the_unit_of_the_targets():
    answers, targets = drawn()
    task = task_of(targets)
    standardised = (answers - targets.mean(axis=0)) / targets.std(axis=0)
    assert task.measure(standardised, targets) == pytest.approx(number_metrics(answers, targets))
    assert replace(task, is_folded=True).measure(answers, targets) == pytest.approx(number_metrics(answers, targets))


@pytest.mark.parametrize("is_folded", [False, True])
def test_r2_follows_from_sums_over_texts(is_folded: bool):
    answers, targets = drawn()
    task = task_of(targets, is_folded=is_folded)
    logits = answers if is_folded else (answers - targets.mean(axis=0)) / targets.std(axis=0)
    draw = np.random.default_rng(0)
    for _ in range(5):
        rows = draw.integers(0, len(targets), len(targets))
        sums = task.counts(logits, targets)[rows].sum(axis=0)
        assert float(task.headline(sums, len(rows))) == pytest.approx(r2_score(targets[rows], answers[rows]))


def test_r2_of_sums_is_exact_where_the_mean_is_far_from_0():
    """Targets of 1e6 and a bit: their squares are rounded, and standardising keeps what is left."""
    draw = np.random.default_rng(1)
    targets = 1e6 + draw.normal(size=(50, 1))
    answers = targets + draw.normal(size=(50, 1)) * 0.5
    task = task_of(targets, is_folded=True)
    sums = task.counts(answers, targets).sum(axis=0)
    assert float(task.headline(sums, 50)) == pytest.approx(r2_score(targets, answers), abs=1e-6)


def test_what_is_undefined_is_none():
    answers, targets = drawn(outputs=1)
    same, one = np.full_like(targets, 3.0), targets[:1]
    for found in (number_metrics(answers, same), number_metrics(answers[:1], one)):
        assert {name for name, value in found.items() if value is None} == {"r2", "spearman", "pearson"}
    flat = number_metrics(np.full_like(targets, 3.0), targets)
    assert {name for name, value in flat.items() if value is None} == {"spearman", "pearson"}
    assert flat["r2"] == pytest.approx(r2_score(targets, np.full_like(targets, 3.0)))
    beside = number_metrics(np.hstack([answers, answers]), np.hstack([targets, same]))
    assert beside["r2"] is None, "of two numbers one has no R2"
    task = task_of(targets)
    assert np.isnan(task.headline(task.counts(answers, same).sum(axis=0), len(same)))


def test_the_loss_is_the_squared_error_of_standardised_targets():
    answers, targets = drawn()
    task = task_of(targets)
    mean, deviation = targets.mean(axis=0), targets.std(axis=0)
    wanted = ((((answers - targets) / deviation) ** 2).mean(axis=1)).tolist()
    standardised = torch.tensor((answers - mean) / deviation, dtype=torch.float32)
    folded = replace(task, is_folded=True)
    for each, logits in ((task, standardised), (folded, torch.tensor(answers, dtype=torch.float32))):
        assert each.losses(logits, each.collate(targets, 0)).tolist() == pytest.approx(wanted, rel=1e-3)


def test_the_figures_of_each_target():
    answers, targets = drawn()
    found = per_target(NAMES, answers, targets)
    for place, name in enumerate(NAMES):
        said, true = answers[:, place], targets[:, place]
        assert found[name]["r2"] == pytest.approx(r2_score(true, said))
        assert found[name]["spearman"] == pytest.approx(spearmanr(said, true).statistic)
        assert (found[name]["low"], found[name]["high"]) == (min(true), max(true))
        assert found[name]["answer_deviation"] == pytest.approx(np.sqrt(np.mean((said - said.mean()) ** 2)))
        assert found[name] | of_one(said, true) == found[name]


def test_the_figures_of_each_fifth_of_the_range():
    targets = np.array([0, 1, 2, 3, 9.5, 10.0])[:, None]
    answers = np.array([1, 1, 1, 4, 8.5, 8.0])[:, None]
    found = by_range(("score",), answers, targets)
    shown = [(part["low"], part["high"], part["examples"], part["mae"], part["bias"]) for part in found]
    assert shown == [(0, 2, 2, 0.5, 0.5), (2, 4, 2, 1.0, 0.0), (8, 10, 2, 1.5, -1.5)]
    assert [part["answer_mean"] for part in found] == [1, 2.5, 8.25]
    (only,) = by_range(("score",), answers[:2], np.full((2, 1), 7.0))
    assert (only["examples"], only["target_mean"]) == (2, 7.0)


def test_the_histogram_counts_every_text():
    draw = np.random.default_rng(2)
    splits = {"train": draw.normal(size=(50, 1)) * 3, "test": draw.normal(size=(20, 1)) * 5}
    (found,) = histograms(("score",), splits)
    ends = min(map(np.min, splits.values())), max(map(np.max, splits.values()))
    for column, split in ((1, "train"), (3, "test")):
        counts = [int(row[column]) for row in found.rows[:10]]
        assert counts == np.histogram(splits[split], bins=10, range=ends)[0].tolist()
        assert sum(counts) == len(splits[split])
    assert [row[0] for row in found.rows[10:]] == ["mean", "deviation"]
    assert float(found.rows[10][1]) == pytest.approx(splits["train"].mean(), abs=1e-3)
    (flat,) = histograms(("score",), {"train": np.full((4, 1), 2.0)})
    assert flat.rows[0][1] == "4"


def test_answers_that_hardly_vary_are_told():
    _, targets = drawn(outputs=1)
    task = task_of(targets, is_folded=True)
    flat = targets.mean() + 0.01 * (targets - targets.mean())
    (said,) = task.cautions(Shown(task.details(flat, targets)), {}, None)
    assert said.startswith("Its answers for valence hardly vary: ")
    assert task.cautions(Shown(task.details(targets, targets)), {}, None) == []


class Shown:
    """What a section has of a task's details."""

    def __init__(self, details: Any) -> None:
        self.details = details


def test_a_group_whose_values_hardly_differ_has_an_r2_far_below_zero_and_tables_by_group_say_so() -> None:
    """Targets 4.9, 5.0, 5.1 and answers 0.5 above: R2 = 1 - 3 * 0.25 / 0.02."""
    targets = np.array([[4.9], [5.0], [5.1]])
    found = number_metrics(targets + 0.5, targets)
    assert (found["r2"], found["mae"]) == (pytest.approx(-36.5), pytest.approx(0.5))
    assert {metric.name: "the group's own mean" in metric.by_group for metric in Regression.metrics} == {
        name: name == "r2" for name in ("r2", "rmse", "mae", "spearman", "pearson")
    }
