"""What comes of a run: which baseline it is compared with, the figures per label, what it advises."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from lightune.data.dataset import DataSplits, Split
from lightune.evaluation.baselines import PROBE, TFIDF, Fitted, constant
from lightune.measured import Metric
from lightune.recipe import Recipe
from lightune.record import RunRecord
from lightune.report.card import render_card
from lightune.report.html import render_html
from lightune.run_files import Measured, Outcome, best_baseline
from lightune.sections import Baseline, Epoch, Evaluation, Inference, ModelRecord, ReloadCheck, Training
from tiny import classes

COST = {"runtime": 1.0, "samples_per_second": 1.0, "steps_per_second": 1.0}
SPEED = {"latency_ms_p50": 1.0, "latency_ms_p95": 1.0, "samples_per_second": 1.0}
EPOCH = Epoch(epoch=1, train_loss=1.0, metrics={"accuracy": 0.5, "f1_macro": 0.5, "loss": 1.0}, learning_rate=0.0)
TRAINING = Training(**COST, steps=20, best_epoch=1, learning_rate=5e-4, precision="fp32", epochs=[EPOCH] * 5)


MODEL = ModelRecord(
    name="m", revision=None, architecture="A", parameters=9, trainable_parameters=1, trainable_percent=11.1,
    adapter_bytes=4, peft_loadable=True,
)  # fmt: skip
INFERENCE = Inference(**SPEED, **{f"base_{name}": value for name, value in SPEED.items()})
CHECK = ReloadCheck(passed=True, examples=1, largest_logit_difference=0.0)


def _scores(labels: list[int], right: tuple[int, ...]) -> np.ndarray:
    """Return scores that are right for the first so many texts of each label, else of the next label."""
    seen, answers = dict.fromkeys(labels, 0), []
    for label in labels:
        answers.append(label if seen[label] < right[label] else (label + 1) % len(right))
        seen[label] += 1
    return np.log(np.eye(len(right))[answers] * 0.9 + 0.05)


def _record(examples: tuple[int, ...], **right: tuple[int, ...]) -> RunRecord:
    names = [f"label {index}" for index in range(len(examples))]
    labels = [index for index, count in enumerate(examples) for _ in range(count)]
    task, targets = classes(names), np.array(labels)
    split = Split([(f"text {row}",) for row in range(len(labels))], targets)
    splits = DataSplits("made up", None, ["text"], ["label"], task, split, split, split, [])
    scores = {name: _scores(labels, counts) for name, counts in right.items()}
    found = {name: task.measure(value, targets) for name, value in scores.items()}
    articles = {TFIDF: "", PROBE: "the"}
    fitted = {
        name: Fitted(
            scores[name],
            Baseline(title=title, article=article, metrics=found[name], details={"C": 1.0}, runtime=1.0),
        )
        for (name, title), article in articles.items()
    }
    majority, commonest = constant(splits)
    baselines = {majority: commonest, **fitted}
    seen = {
        name: Evaluation(examples=len(labels), metrics=found[name], details=task.details(scores[name], targets), **COST)
        for name in ("before", "after")
    }
    training = TRAINING.model_copy(update={"epochs": []})
    measured = Measured(MODEL, seen["before"], training, seen["after"], INFERENCE, CHECK)
    outcome = Outcome(
        Recipe(), splits, task, {}, scores["before"], scores["after"], baselines, measured, 0, 128, ["told on the way"]
    )
    return outcome.record(Path("runs/made-up-1"))


@pytest.mark.parametrize(
    ("examples", "right", "best"),
    [
        pytest.param((50, 50), {"after": (40, 40), "tfidf": (35, 35), "probe": (30, 30)}, "tfidf", id="tfidf"),
        pytest.param((50, 50), {"after": (40, 40), "tfidf": (30, 30), "probe": (35, 35)}, "probe", id="probe"),
        pytest.param((90, 10), {"after": (80, 5), "tfidf": (85, 2), "probe": (80, 8)}, "majority_class", id="majority"),
        pytest.param((50, 50), {"after": (40, 40), "tfidf": (35, 35), "probe": (30, 40)}, "probe", id="probe-first"),
        pytest.param((80, 20), {"after": (80, 9), "tfidf": (70, 10), "probe": (60, 9)}, "tfidf", id="then-tfidf"),
        pytest.param((80, 20), {"after": (80, 0), "tfidf": (80, 0), "probe": (80, 0)}, "probe", id="all-equal"),
    ],
)
def test_a_run_is_compared_with_every_baseline_and_the_best_is_named(examples, right, best):
    record = _record(examples, before=(0, examples[1]), **right)
    total = sum(examples)
    shares = {name: sum(counts) / total for name, counts in right.items()}
    shares |= {"majority_class": examples[0] / total, "before": examples[1] / total}
    assert record.comparison.best_baseline == record.comparison.rival == best
    assert set(record.comparison.gains) == {"majority_class", "tfidf", "probe", "before"}
    for name, gain in record.comparison.gains.items():
        assert gain.metric == "accuracy"
        assert gain.value == pytest.approx(shares["after"] - shares[name]), name
        assert gain.ci95[0] <= gain.value <= gain.ci95[1]
    # The names of the first version hold the same.
    probe, before = record.comparison.gains["probe"], record.comparison.gains["before"]
    assert (probe.value, probe.ci95) == (record.comparison.probe_gain, record.comparison.probe_gain_ci95)
    assert (before.p_value, before.verdict) == (record.comparison.mcnemar_p_value, record.comparison.verdict)


class Losing(type(classes(["no", "yes"]))):
    """A task whose headline is the loss, which goes down."""

    metrics = (Metric(name="loss", title="loss", higher_is_better=False),)


@pytest.mark.parametrize(
    ("losses", "best"),
    [
        ({"majority_class": 0.9, "tfidf": 0.4, "probe": 0.6}, "tfidf"),
        ({"majority_class": 0.9, "tfidf": 0.6, "probe": 0.6}, "probe"),
        ({"majority_class": None, "tfidf": 0.6}, "tfidf"),
        ({"majority_class": None}, None),
        ({}, None),
    ],
)
def test_the_best_baseline_is_the_lowest_where_the_metric_goes_down(losses, best):
    """Of equal ones the last; one without the metric does not count."""
    sections = {name: Baseline(title=name, metrics={"loss": loss}) for name, loss in losses.items()}
    assert best_baseline(Losing(("no", "yes")), sections) == best


@dataclass(frozen=True)
class Varied(type(classes(["no", "yes"]))):
    """A task whose headline is undefined where all answers are the same: the deviation of right from wrong answers."""

    metrics = (Metric(name="score", title="score", unit="share"),)

    def measure(self, logits, targets):
        """Return the headline."""
        found = float(self.headline(self.counts(logits, targets).sum(axis=0), len(targets)))
        return {"score": found if np.isfinite(found) else None}

    def counts(self, logits, targets):
        """Return what 1 - share of the most common answer of two needs, and whether the answer is right."""
        answers = logits.argmax(axis=1)
        return np.stack([answers, 1 - answers, answers == targets], axis=1).astype(float)

    def headline(self, sums, texts):
        """Return the share of right answers, or 0 / 0 where all answers are the same."""
        varied = (sums[..., 0] > 0) & (sums[..., 1] > 0)
        return np.where(varied, sums[..., 2] / texts, np.nan)

    def cautions(self, after, baselines, best):
        """Return none."""
        return []


@pytest.mark.parametrize(
    ("constant_one", "lacking"), [("before", {"before"}), ("after", {"probe", "before"}), (None, set())]
)
def test_a_gain_that_cannot_be_measured_is_null_and_a_note_says_why(constant_one, lacking):
    """results.json is JSON: it has no NaN; and everything that shows the gain says that it was not measured."""
    task, targets = Varied(("no", "yes")), np.array([0, 1] * 20)
    split = Split([(f"text {row}",) for row in range(40)], targets)
    splits = DataSplits("made up", None, ["text"], ["label"], task, split, split, split, [])
    scores = {"before": _scores([0, 1] * 20, (12, 10)), "after": _scores([0, 1] * 20, (18, 19)),
              "probe": _scores([0, 1] * 20, (15, 15))}  # fmt: skip
    if constant_one:
        scores[constant_one] = np.tile([[1.0, 0.0]], (40, 1))
    found = {name: task.measure(value, targets) for name, value in scores.items()}
    seen = {name: Evaluation(examples=40, metrics=found[name], **COST) for name in ("before", "after")}
    fitted = Fitted(scores["probe"], Baseline(title="linear probe", article="the", metrics=found["probe"]))
    measured = Measured(
        MODEL, seen["before"], TRAINING.model_copy(update={"epochs": []}), seen["after"], INFERENCE, CHECK
    )
    outcome = Outcome(
        Recipe(), splits, task, {}, scores["before"], scores["after"], {"probe": fitted}, measured, 0, 128, []
    )
    record = outcome.record(Path("runs/made-up-1"))
    written = json.dumps(record.model_dump(mode="json"), allow_nan=False)
    assert RunRecord.model_validate_json(written) == record
    gains = record.comparison.gains
    assert {name for name, gain in gains.items() if gain.value is gain.ci95 is gain.p_value is None} == lacking
    whose = "the trained model" if constant_one == "after" else "before"
    named = {"probe": "the linear probe", "before": "before"}
    assert record.notes == [
        f"The gain in score over {named[name]} was not measured: score is undefined for {whose}."
        for name in gains
        if name in lacking
    ]
    shown = [str(record), render_html(record, []), render_card(record)]
    assert all(("not measured" in text) >= bool(lacking) for text in shown)
    assert all(str(gains[name]) == "not measured" for name in lacking)


def test_p_values_of_the_gains_by_hand():
    """The model is right on 5 texts more than the word counts and on none less: p = 2 / 2^5, so no clear difference."""
    gains = _record((50, 50), before=(0, 50), after=(40, 45), tfidf=(40, 40), probe=(30, 30)).comparison.gains
    assert (gains["tfidf"].p_value, gains["tfidf"].verdict) == (pytest.approx(2 / 2**5), "no clear difference")
    assert (gains["probe"].p_value, gains["probe"].verdict) == (pytest.approx(2 / 2**25), "better")


def test_the_figures_per_label_are_in_the_record():
    found = _record((80, 20), before=(0, 20), after=(60, 5), tfidf=(50, 5), probe=(50, 5)).after.per_label
    # 60 of 80 and 5 of 20 are right: label 0 is answered 60 + 15 times, label 1 5 + 20 times.
    assert list(found) == ["label 0", "label 1"]
    first, second = found.values()
    assert first == {"precision": 0.8, "recall": 0.75, "f1": pytest.approx(24 / 31), "examples": 80, "answered": 75}
    assert second == {"precision": 0.2, "recall": 0.25, "f1": pytest.approx(2 / 9), "examples": 20, "answered": 25}
