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
from lightune.evaluation.baselines import PROBE_STRENGTHS, TFIDF_STRENGTHS, baselines, constant, probe, tfidf
from lightune.evaluation.features import watch_texts
from tiny import classes, sentences

LABELS = ["negative", "positive"]


def _split(rows: list[tuple[str, str]]) -> Split:
    return Split([(text,) for text, _ in rows], np.array([LABELS.index(label) for _, label in rows]))


@pytest.fixture(scope="module")
def splits() -> DataSplits:
    rows = sentences(120, seed=5)
    return DataSplits(
        "made up",
        None,
        ["text"],
        "label",
        classes(LABELS),
        _split(rows[:60]),
        _split(rows[60:84]),
        _split(rows[84:]),
        [],
    )


@pytest.fixture(scope="module")
def loaded(load_lively):
    return load_lively()


def _pooled(loaded, splits):
    found = {}
    for name in ("train", "validation", "test"):
        encoded = encode(loaded.tokenizer, getattr(splits, name).texts, loaded.max_length)
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


def test_the_probe_equals_scikit_learn_on_features_computed_elsewhere(loaded, splits):
    fitting = np.concatenate([_pooled_alone(loaded, splits.train), _pooled_alone(loaded, splits.validation)])
    labels = [*splits.train.targets.tolist(), *splits.validation.targets.tolist()]

    def scaled(fit, held):
        mean, spread = fitting[fit].mean(axis=0), fitting[fit].std(axis=0)
        return (fitting[fit] - mean) / spread, (fitting[held] - mean) / spread

    found = probe(_pooled(loaded, splits), splits)
    assert _fitted(scaled, labels, PROBE_STRENGTHS) == found.section.C
    mean, spread = fitting.mean(axis=0), fitting.std(axis=0)
    test = (_pooled_alone(loaded, splits.test) - mean) / spread
    expected = LogisticRegression(C=found.section.C, max_iter=2000).fit((fitting - mean) / spread, labels)
    assert found.section.accuracy == expected.score(test, splits.test.targets)
    assert found.section.loss == pytest.approx(log_loss(splits.test.targets, expected.predict_proba(test)), abs=1e-3)
    np.testing.assert_allclose(np.exp(found.scores), expected.predict_proba(test), atol=1e-3)


def test_test_rows_and_labels_change_neither_the_fit_nor_each_others_answers(loaded, splits):
    whole = probe(_pooled(loaded, splits), splits)
    part = replace(splits, test=Split(splits.test.texts[:5], 1 - splits.test.targets[:5]))
    again = probe(_pooled(loaded, part), part)
    assert again.section.C == whole.section.C
    np.testing.assert_allclose(again.scores, whole.scores[:5], atol=1e-4)


def test_a_label_without_training_rows_is_never_answered_but_has_its_column(loaded, splits):
    three = replace(splits, task=classes(["absent", *LABELS]))
    for name in ("train", "validation", "test"):
        split = getattr(splits, name)
        three = replace(three, **{name: Split(split.texts, split.targets + 1)})
    found = probe(_pooled(loaded, three), three)
    assert found.scores.shape == (36, 3)
    assert set(found.scores.argmax(axis=1)) == {1, 2}


def test_the_majority_class_by_hand(splits):
    train = Split([("a",)] * 5, np.array([1, 1, 0, 1, 0]))
    test = Split([("b",)] * 4, np.array([1, 0, 0, 0]))
    name, found = constant(replace(splits, train=train, test=test))
    assert name == "majority_class"
    # Always "positive": precision 1/4, recall 1, F1 0.4; "negative" is never answered. It has no loss.
    assert found.section.metrics == {"accuracy": 0.25, "f1_macro": pytest.approx(0.2)}
    assert found.section.details == {"label": "positive"}
    assert found.section.title == found.section.named == "always answering positive"
    assert found.section.runtime is None
    assert found.scores.argmax(axis=1).tolist() == [1, 1, 1, 1]


def test_word_counts_equal_scikit_learns_tfidf_fitted_without_the_test_texts(splits):
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
    fitting = words.fit_transform([text for (text,) in [*splits.train.texts, *splits.validation.texts]])
    labels = [*splits.train.targets.tolist(), *splits.validation.targets.tolist()]
    found = tfidf(splits)
    assert _fitted(lambda fit, held: (fitting[fit], fitting[held]), labels, TFIDF_STRENGTHS) == found.section.C
    expected = LogisticRegression(C=found.section.C, max_iter=2000).fit(fitting, labels)
    test = words.transform([text for (text,) in splits.test.texts])
    assert found.section.accuracy == expected.score(test, splits.test.targets)
    assert found.section.loss == pytest.approx(log_loss(splits.test.targets, expected.predict_proba(test)), abs=1e-3)
    assert found.scores.argmax(axis=1).tolist() == expected.predict(test).tolist()


def test_every_baseline_keeps_its_answers_text_by_text(loaded, splits):
    found = baselines(_pooled(loaded, splits), splits)
    assert list(found) == ["majority_class", "tfidf", "probe"]
    for name, baseline in found.items():
        assert baseline.scores.shape == (36, 2), name
        right = baseline.scores.argmax(axis=1) == splits.test.targets
        assert right.mean() == baseline.section.accuracy, name
