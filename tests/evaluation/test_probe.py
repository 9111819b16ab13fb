"""The baselines against scikit-learn on features computed here, text by text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import ARCHITECTURES, sentences
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from lightune.data.encoding import encode
from lightune.data.task import Split, Task
from lightune.evaluation.probe import (
    PROBE_STRENGTHS,
    TFIDF_STRENGTHS,
    fit_logistic,
    majority_class,
    mean_pooled,
    probe,
    tfidf,
)

LABELS = ["negative", "positive"]


def _split(rows: list[tuple[str, str]]) -> Split:
    return Split([(text,) for text, _ in rows], [LABELS.index(label) for _, label in rows])


@pytest.fixture(scope="module")
def task() -> Task:
    rows = sentences(120, seed=5)
    return Task(
        "made up", None, ["text"], "label", LABELS, _split(rows[:60]), _split(rows[60:84]), _split(rows[84:]), []
    )


@pytest.fixture(scope="module")
def loaded(load_lively):
    return load_lively()


def _encoded(loaded, task):
    return {
        name: encode(loaded.tokenizer, getattr(task, name).texts, loaded.max_length)
        for name in ("train", "validation", "test")
    }


def _pooled_alone(loaded, split: Split) -> np.ndarray:
    vectors = []
    with torch.no_grad():
        for (text,) in split.texts:
            hidden = loaded.model.base_model(**loaded.tokenizer(text, return_tensors="pt")).last_hidden_state
            vectors.append(hidden[0].mean(dim=0).numpy())
    return np.stack(vectors)


def _chosen_on_validation(train, labels, validation, expected, strengths):
    """Return the first (strongest-penalty) regression with the best validation accuracy."""
    fits = [LogisticRegression(C=strength, max_iter=2000).fit(train, labels) for strength in strengths]
    scores = [np.mean(fit.predict(validation) == expected) for fit in fits]
    return fits[int(np.argmax(scores))]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_pooling_takes_the_mean_over_real_tokens_only(load_lively, task, architecture):
    loaded = load_lively(architecture)
    encoded = encode(loaded.tokenizer, task.test.texts, loaded.max_length)
    assert len(set(encoded.lengths[:8])) > 1, "without padding this would show nothing"
    found = mean_pooled(loaded.model.base_model, loaded.tokenizer, encoded, 8)
    np.testing.assert_allclose(found, _pooled_alone(loaded, task.test), atol=2e-5)


def test_the_probe_equals_scikit_learn_on_features_computed_elsewhere(loaded, task):
    features = {name: _pooled_alone(loaded, getattr(task, name)) for name in ("train", "validation", "test")}
    mean, spread = features["train"].mean(axis=0), features["train"].std(axis=0)
    scaled = {name: (value - mean) / spread for name, value in features.items()}
    best = _chosen_on_validation(
        scaled["train"], task.train.labels, scaled["validation"], task.validation.labels, PROBE_STRENGTHS
    )
    found = probe(loaded.model.base_model, loaded.tokenizer, task, _encoded(loaded, task), 16)
    assert found.fields["C"] == best.C
    assert found.fields["accuracy"] == best.score(scaled["test"], task.test.labels)
    expected = best.predict_proba(scaled["test"])
    assert found.fields["loss"] == pytest.approx(log_loss(task.test.labels, expected), abs=1e-3)
    np.testing.assert_allclose(np.exp(found.log_probabilities), expected, atol=1e-3)


def test_the_penalty_is_chosen_on_validation_labels():
    """One strong feature that lies on half the validation rows: only a strong penalty spreads the weight."""
    draw = np.random.default_rng(4)
    train, validation = draw.normal(size=(30, 20)), draw.normal(size=(40, 20))
    labels, expected = draw.integers(0, 2, 30).tolist(), draw.integers(0, 2, 40).tolist()
    strengths = (0.001, 0.1, 10.0)
    mean, spread = train.mean(axis=0), train.std(axis=0)
    fits = [LogisticRegression(C=c, max_iter=2000).fit((train - mean) / spread, labels) for c in strengths]
    for truth in (expected, *(fit.predict((validation - mean) / spread).tolist() for fit in fits)):
        scores = [fit.score((validation - mean) / spread, truth) for fit in fits]
        found = fit_logistic(train, Split([], labels), validation, Split([], truth), strengths)
        assert found[-1].C == strengths[int(np.argmax(scores))]


def test_test_rows_and_labels_change_neither_the_fit_nor_each_others_answers(loaded, task):
    whole = probe(loaded.model.base_model, loaded.tokenizer, task, _encoded(loaded, task), 16)
    part = replace(task, test=Split(task.test.texts[:5], [1 - label for label in task.test.labels[:5]]))
    again = probe(loaded.model.base_model, loaded.tokenizer, part, _encoded(loaded, part), 16)
    assert again.fields["C"] == whole.fields["C"]
    np.testing.assert_allclose(again.log_probabilities, whole.log_probabilities[:5], atol=1e-4)


def test_a_label_without_training_rows_is_never_answered_but_has_its_column(loaded, task):
    three = replace(task, labels=["absent", *LABELS])
    for name in ("train", "validation", "test"):
        split = getattr(task, name)
        three = replace(three, **{name: Split(split.texts, [label + 1 for label in split.labels])})
    found = probe(loaded.model.base_model, loaded.tokenizer, three, _encoded(loaded, three), 16)
    assert found.log_probabilities.shape == (36, 3)
    assert set(found.log_probabilities.argmax(axis=1)) == {1, 2}


def test_the_majority_class_by_hand(task):
    train = Split([("a",)] * 5, [1, 1, 0, 1, 0])
    test = Split([("b",)] * 4, [1, 0, 0, 0])
    found = majority_class(replace(task, train=train, test=test))
    # Always "positive": precision 1/4, recall 1, F1 0.4; "negative" is never answered.
    assert found == {"label": "positive", "accuracy": 0.25, "f1_macro": pytest.approx(0.2)}


def test_word_counts_equal_scikit_learns_tfidf_fitted_on_training_texts_alone(task):
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"\S+")
    train = words.fit_transform([text for (text,) in task.train.texts])
    validation, test = (words.transform([text for (text,) in split.texts]) for split in (task.validation, task.test))
    best = _chosen_on_validation(train, task.train.labels, validation, task.validation.labels, TFIDF_STRENGTHS)
    found = tfidf(task)
    assert found["C"] == best.C
    assert found["accuracy"] == best.score(test, task.test.labels)
    assert found["loss"] == pytest.approx(log_loss(task.test.labels, best.predict_proba(test)), abs=1e-3)
