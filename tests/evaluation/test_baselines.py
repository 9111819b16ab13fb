"""The baselines against scikit-learn on features computed here, text by text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold

from lightune.data.dataset import DataSplits, Split
from lightune.data.encoding import encode
from lightune.evaluation.baselines import PROBE_STRENGTHS, TFIDF_STRENGTHS, baselines, majority_class, probe, tfidf
from lightune.evaluation.features import watch_texts
from lightune.tasks.linear import fit_logistic
from tiny import sentences

LABELS = ["negative", "positive"]


def _split(rows: list[tuple[str, str]]) -> Split:
    return Split([(text,) for text, _ in rows], [LABELS.index(label) for _, label in rows])


@pytest.fixture(scope="module")
def task() -> DataSplits:
    rows = sentences(120, seed=5)
    return DataSplits(
        "made up", None, ["text"], "label", LABELS, _split(rows[:60]), _split(rows[60:84]), _split(rows[84:]), []
    )


@pytest.fixture(scope="module")
def loaded(load_lively):
    return load_lively()


def _pooled(loaded, task):
    found = {}
    for name in ("train", "validation", "test"):
        encoded = encode(loaded.tokenizer, getattr(task, name).texts, loaded.max_length)
        found[name] = watch_texts(loaded.model, loaded.model.classifier, loaded.tokenizer, encoded, 16).pooled
    return found


def _pooled_alone(loaded, split: Split) -> np.ndarray:
    vectors = []
    with torch.no_grad():
        for (text,) in split.texts:
            hidden = loaded.model.base_model(**loaded.tokenizer(text, return_tensors="pt")).last_hidden_state
            vectors.append(hidden[0].mean(dim=0).numpy())
    return np.stack(vectors)


def _fitted(fold_features, labels, strengths):
    """Return the regression whose C has the least cross-validated log loss, by scikit-learn's own search over C."""
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    losses = []
    for strength in strengths:
        found = []
        for fit, held in folds.split(np.zeros(len(labels)), labels):
            train, test = fold_features(fit, held)
            model = LogisticRegression(C=strength, max_iter=2000).fit(train, np.asarray(labels)[fit])
            found.append(log_loss(np.asarray(labels)[held], model.predict_proba(test)))
        losses.append(np.mean(found))
    return strengths[int(np.argmin(losses))]


def test_the_probe_equals_scikit_learn_on_features_computed_elsewhere(loaded, task):
    fitting = np.concatenate([_pooled_alone(loaded, task.train), _pooled_alone(loaded, task.validation)])
    labels = [*task.train.targets.tolist(), *task.validation.targets.tolist()]

    def scaled(fit, held):
        mean, spread = fitting[fit].mean(axis=0), fitting[fit].std(axis=0)
        return (fitting[fit] - mean) / spread, (fitting[held] - mean) / spread

    found = probe(_pooled(loaded, task), task)
    assert _fitted(scaled, labels, PROBE_STRENGTHS) == found.section.C
    mean, spread = fitting.mean(axis=0), fitting.std(axis=0)
    test = (_pooled_alone(loaded, task.test) - mean) / spread
    expected = LogisticRegression(C=found.section.C, max_iter=2000).fit((fitting - mean) / spread, labels)
    assert found.section.accuracy == expected.score(test, task.test.targets.tolist())
    assert found.section.loss == pytest.approx(
        log_loss(task.test.targets.tolist(), expected.predict_proba(test)), abs=1e-3
    )
    np.testing.assert_allclose(np.exp(found.scores), expected.predict_proba(test), atol=1e-3)


def test_noise_gets_the_strongest_penalty():
    draw = np.random.default_rng(4)
    features, labels = draw.normal(size=(60, 40)), draw.integers(0, 2, 60).tolist()
    assert fit_logistic(features, labels, (10.0, 0.0001, 0.1))[-1].C == 0.0001


def test_a_class_of_one_example_is_fitted_without_cross_validation():
    assert fit_logistic(np.eye(5), [0, 0, 0, 0, 1], (0.1, 1.0))[-1].C == 0.1


def test_test_rows_and_labels_change_neither_the_fit_nor_each_others_answers(loaded, task):
    whole = probe(_pooled(loaded, task), task)
    part = replace(task, test=Split(task.test.texts[:5], [1 - label for label in task.test.targets.tolist()[:5]]))
    again = probe(_pooled(loaded, part), part)
    assert again.section.C == whole.section.C
    np.testing.assert_allclose(again.scores, whole.scores[:5], atol=1e-4)


def test_a_label_without_training_rows_is_never_answered_but_has_its_column(loaded, task):
    three = replace(task, labels=["absent", *LABELS])
    for name in ("train", "validation", "test"):
        split = getattr(task, name)
        three = replace(three, **{name: Split(split.texts, [label + 1 for label in split.labels])})
    found = probe(_pooled(loaded, three), three)
    assert found.scores.shape == (36, 3)
    assert set(found.scores.argmax(axis=1)) == {1, 2}


def test_the_majority_class_by_hand(task):
    train = Split([("a",)] * 5, [1, 1, 0, 1, 0])
    test = Split([("b",)] * 4, [1, 0, 0, 0])
    found = majority_class(replace(task, train=train, test=test))
    # Always "positive": precision 1/4, recall 1, F1 0.4; "negative" is never answered.
    assert found.section.model_dump() == {"label": "positive", "accuracy": 0.25, "f1_macro": pytest.approx(0.2)}
    assert found.scores.argmax(axis=1).tolist() == [1, 1, 1, 1]


def test_word_counts_equal_scikit_learns_tfidf_fitted_without_the_test_texts(task):
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
    fitting = words.fit_transform([text for (text,) in [*task.train.texts, *task.validation.texts]])
    labels = [*task.train.targets.tolist(), *task.validation.targets.tolist()]
    found = tfidf(task)
    assert _fitted(lambda fit, held: (fitting[fit], fitting[held]), labels, TFIDF_STRENGTHS) == found.section.C
    expected = LogisticRegression(C=found.section.C, max_iter=2000).fit(fitting, labels)
    test = words.transform([text for (text,) in task.test.texts])
    assert found.section.accuracy == expected.score(test, task.test.targets.tolist())
    assert found.section.loss == pytest.approx(
        log_loss(task.test.targets.tolist(), expected.predict_proba(test)), abs=1e-3
    )
    assert found.scores.argmax(axis=1).tolist() == expected.predict(test).tolist()


def test_every_baseline_keeps_its_answers_text_by_text(loaded, task):
    found = baselines(_pooled(loaded, task), task)
    assert list(found) == ["majority_class", "tfidf", "probe"]
    for name, baseline in found.items():
        assert baseline.scores.shape == (36, 2), name
        right = baseline.scores.argmax(axis=1) == np.asarray(task.test.targets.tolist())
        assert right.mean() == baseline.section.accuracy, name
