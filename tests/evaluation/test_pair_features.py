"""Features of pairs, against a plain forward pass of each text alone."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cosine as cosine_distance

from lightune.evaluation import every_baseline, pair_features
from lightune.evaluation.every_baseline import all_baselines
from lightune.evaluation.pair_features import pair_features as features_of
from tiny import sentences

WORDS = [text for text, _ in sentences(14, seed=6)]
# Texts that stand in several pairs, on either side, and one beside itself.
PAIRS = [(WORDS[row], WORDS[13 - row]) for row in range(12)] + [(WORDS[0], WORDS[0]), (WORDS[3], WORDS[5])]


def alone(loaded: Any, text: str) -> Any:
    """Return the mean over all tokens of the last hidden states of a text that is passed alone."""
    with torch.no_grad():
        hidden = loaded.model.base_model(**loaded.tokenizer(text, return_tensors="pt")).last_hidden_state
    return hidden[0].mean(dim=0).numpy()


def found_of(loaded: Any, pairs: Any = PAIRS, batch_size: int = 4) -> Any:
    return features_of(loaded, pairs, batch_size)


@pytest.mark.parametrize("architecture", ["distilbert", "bert", "gpt2", "modernbert"])
def test_the_features_are_those_of_each_text_alone(load_lively: Callable[..., Any], architecture: str):
    loaded = load_lively(architecture)
    found = found_of(loaded)
    for row, (one, other) in enumerate(PAIRS):
        u, v = alone(loaded, one), alone(loaded, other)
        np.testing.assert_allclose(found.joined[row], np.concatenate([u, v, abs(u - v), u * v]), atol=5e-5)
        assert found.cosines[row, 0] == pytest.approx(1 - cosine_distance(u, v), abs=1e-5)
    assert found.joined.shape == (len(PAIRS), 4 * 32)
    assert found.cosines.shape == (len(PAIRS), 1)


def test_a_text_beside_itself_has_a_cosine_of_1_and_no_difference(load_lively: Callable[..., Any]):
    found = found_of(load_lively(), [(WORDS[0], WORDS[0])])
    assert found.cosines[0, 0] == pytest.approx(1)
    assert not found.joined[0, 64:96].any()


def test_the_cosine_by_hand(monkeypatch: pytest.MonkeyPatch, load_tiny: Callable[..., Any]):
    """(3, 4) and (4, 3): 24 / 25; a vector of zeros has no direction, and counts as 0."""
    known = {"a": [3.0, 4.0], "b": [4.0, 3.0], "nothing": [0.0, 0.0]}

    def watch(model: Any, layer: Any, tokenizer: Any, encoded: Any, batch_size: int) -> Any:
        return SimpleNamespace(pooled=np.array(list(known.values())))

    monkeypatch.setattr(pair_features, "watch_texts", watch)
    found = found_of(load_tiny(), [("a", "b"), ("b", "nothing"), ("nothing", "a")])
    assert found.cosines[:, 0].tolist() == pytest.approx([24 / 25, 0, 0])
    assert found.joined[0].tolist() == [3, 4, 4, 3, 1, 1, 12, 12]


def test_each_different_text_is_encoded_once(monkeypatch: pytest.MonkeyPatch, load_tiny: Callable[..., Any]):
    loaded, seen = load_tiny(), []
    forward = loaded.model.forward

    def counted(*given: Any, **named: Any) -> Any:
        seen.append(len(named["input_ids"]))
        return forward(*given, **named)

    monkeypatch.setattr(loaded.model, "forward", counted)
    found_of(loaded)
    assert sum(seen) == len({text for pair in PAIRS for text in pair}) < 2 * len(PAIRS)


def test_the_order_of_the_texts_matters_to_the_features_and_not_to_the_cosine(load_lively: Callable[..., Any]):
    loaded = load_lively()
    one, other = found_of(loaded), found_of(loaded, [(second, first) for first, second in PAIRS])
    np.testing.assert_allclose(one.cosines, other.cosines, atol=1e-6)
    np.testing.assert_allclose(one.joined[:, :32], other.joined[:, 32:64], atol=1e-5)
    np.testing.assert_allclose(one.joined[:, 64:], other.joined[:, 64:], atol=1e-5)
    assert not np.allclose(one.joined[:, :32], other.joined[:, :32])


def test_pairs_get_features_of_their_two_texts_and_single_texts_those_they_have(
    monkeypatch: pytest.MonkeyPatch, load_tiny: Callable[..., Any]
):
    given: list[Any] = []
    monkeypatch.setattr(every_baseline, "baselines", lambda *taken: given.append(taken) or {})
    loaded, parts = load_tiny(), {name: SimpleNamespace(texts=PAIRS[:3]) for name in ("train", "validation", "test")}
    pooled = {name: np.zeros((3, 32)) for name in parts}
    all_baselines(loaded, SimpleNamespace(text_columns=["a", "b"], **parts), pooled, 0.0, 8)
    all_baselines(loaded, SimpleNamespace(text_columns=["text"], **parts), pooled, 0.0, 8)
    (joined, _, _, cosines), (plain, *_) = given
    assert {name: found.shape for name, found in joined.items()} == dict.fromkeys(parts, (3, 128))
    assert {name: found.shape for name, found in cosines.items()} == dict.fromkeys(parts, (3, 1))
    assert plain is pooled
