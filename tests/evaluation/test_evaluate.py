"""Answers in bulk against the model asked one text at a time, without any of our batching."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lightune.data.dataset import Split
from lightune.data.encoding import encode
from lightune.evaluation.evaluate import Labelled, evaluate, measure_by_group, predict_logits
from tiny import REPRESENTATIVE, classes, sentences

ROWS = sentences(17, seed=8)
TEXTS = [(text,) for text, _ in ROWS]


def _one_by_one(loaded) -> np.ndarray:
    with torch.no_grad():
        batches = [loaded.tokenizer(text, return_tensors="pt") for (text,) in TEXTS]
        return torch.cat([loaded.model(**batch).logits for batch in batches]).numpy()


@pytest.mark.parametrize("architecture", REPRESENTATIVE)
@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_logits_come_in_the_order_of_the_texts_and_equal_those_of_each_text_alone(
    load_lively, architecture, batch_size
):
    loaded = load_lively(architecture)
    expected = _one_by_one(loaded)
    assert np.abs(np.diff(expected, axis=0)).max() > 0.1, "the texts are too alike for this test"
    encoded = encode(loaded.tokenizer, TEXTS, loaded.max_length)
    assert len(set(encoded.lengths)) > 3
    found = predict_logits(loaded.model, loaded.tokenizer, encoded, batch_size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("architecture", REPRESENTATIVE)
def test_a_text_by_itself_gets_the_logits_of_the_model_alone(load_lively, architecture):
    loaded = load_lively(architecture)
    expected = _one_by_one(loaded)
    rows = [encode(loaded.tokenizer, [text], loaded.max_length) for text in TEXTS]
    found = [predict_logits(loaded.model, loaded.tokenizer, row, 64) for row in rows]
    np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-5)


def test_each_part_of_a_model_gets_its_own_mode_back(load_lively):
    loaded = load_lively()
    frozen, dropping = list(loaded.model.children())[:2]
    loaded.model.train()
    frozen.eval()
    seen = []
    hook = loaded.model.register_forward_pre_hook(
        lambda model, args: seen.append(any(m.training for m in model.modules()))
    )
    predict_logits(loaded.model, loaded.tokenizer, encode(loaded.tokenizer, TEXTS, loaded.max_length), 64)
    hook.remove()
    assert seen == [False]
    assert (loaded.model.training, frozen.training, dropping.training) == (True, False, True)


def test_dropout_is_off_while_predicting_and_the_mode_comes_back(load_lively):
    loaded = load_lively()
    encoded = encode(loaded.tokenizer, TEXTS, loaded.max_length)
    loaded.model.train()
    found = predict_logits(loaded.model, loaded.tokenizer, encoded, 4)
    assert loaded.model.training
    np.testing.assert_allclose(predict_logits(loaded.model.eval(), loaded.tokenizer, encoded, 4), found, atol=1e-6)
    assert not loaded.model.training


def test_an_evaluation_counts_right_answers_overall_and_by_group(load_lively):
    loaded = load_lively()
    encoded = encode(loaded.tokenizer, TEXTS, loaded.max_length)
    answers = _one_by_one(loaded).argmax(axis=1)
    # The first three labels are wrong on purpose: two of group a, one of group b.
    labels = [1 - int(answer) if row < 3 else int(answer) for row, answer in enumerate(answers)]
    split = Split(TEXTS, np.array(labels), {"kind": ["a", "a", *["b"] * 15]})
    logits, found = evaluate(loaded.model, loaded.tokenizer, encoded, Labelled(loaded.task, split), batch_size=4)
    assert logits.shape == (17, 2)
    assert (found.examples, found.accuracy) == (17, 14 / 17)
    assert sum(map(sum, found.confusion_matrix)) == 17
    groups = found.groups["kind"]
    assert (groups["a"].examples, groups["a"].accuracy) == (2, 0.0)
    assert (groups["b"].examples, groups["b"].accuracy) == (15, 14 / 15)
    # No text is longer than 12 tokens, so that all of them are less than 4 texts of 64.
    assert max(encoded.lengths) <= 12
    assert found.samples_per_second / found.steps_per_second == pytest.approx(17)
    assert found.samples_per_second == pytest.approx(17 / found.runtime)


def test_metrics_by_group_by_hand():
    """Right with 0.8, wrong with 0.2 left for the truth, right with 0.6, right with 0.5 and a bit."""
    shares = np.array([[0.8, 0.2], [0.2, 0.8], [0.4, 0.6], [0.49, 0.51]])
    labels = np.array([0, 0, 1, 1])
    groups = {"kind": ["plain", "plain", "irony", "irony"], "length": ["long", "short", "long", "long"]}
    split = Split([(str(row),) for row in range(4)], labels, groups)
    found = measure_by_group(classes(["no", "yes"]), np.log(shares), split)
    sizes = {column: {name: group.examples for name, group in values.items()} for column, values in found.items()}
    assert sizes == {"kind": {"irony": 2, "plain": 2}, "length": {"long": 3, "short": 1}}
    plain, irony, long = found["kind"]["plain"], found["kind"]["irony"], found["length"]["long"]
    assert plain.accuracy == 0.5
    assert plain.loss == pytest.approx(-(math.log(0.8) + math.log(0.2)) / 2)
    assert plain.f1_macro == pytest.approx((2 / 3 + 0) / 2)  # label 0: precision 1, recall 1/2; label 1: none right
    irony_loss = pytest.approx(-(math.log(0.6) + math.log(0.51)) / 2)
    assert irony.metrics == {"accuracy": 1.0, "loss": irony_loss, "f1_macro": 1.0}
    assert irony.model_dump() == {"examples": 2, "metrics": irony.metrics, "details": {}, **irony.metrics}
    assert (long.accuracy, long.f1_macro) == (1.0, 1.0)
