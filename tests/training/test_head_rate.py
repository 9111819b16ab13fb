"""A head with a hidden layer learns at most at 5e-3; any other parameter at the rate of the method."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lightune.data.encoding import encode
from lightune.methods import METHODS, make_method
from lightune.recipe import SettledTraining
from lightune.training import step
from lightune.training.batch_loss import Examples
from lightune.training.head_rate import DEEP_HEAD_RATE, head_rate_factors, head_rate_notes
from lightune.training.optimizer import make_optimizer
from lightune.training.train import Surroundings, Texts, train
from tiny import sentences

HIDDEN = {"mpnet": "classifier", "roberta": "classifier", "distilbert": "pre_classifier"}


def attached(load_tiny: Callable[..., Any], architecture: str, method: str) -> Any:
    loaded = load_tiny(architecture)
    return make_method(method).attach(loaded.model, loaded.anatomy, 1).model


def rates(model: Any, usual: float, stated: float | None = None) -> dict[str, float]:
    factors = head_rate_factors(model, stated, usual)
    optimizer = make_optimizer(model, SettledTraining(), stated or usual, factors)
    found = {id(value): group["lr"] for group in optimizer.param_groups for value in group["params"]}
    return {name: found[id(value)] for name, value in model.named_parameters() if value.requires_grad}


def test_the_rate_is_that_of_training_the_head_alone() -> None:
    assert METHODS["head"].default_learning_rate == DEEP_HEAD_RATE


@pytest.mark.parametrize("architecture", HIDDEN)
@pytest.mark.parametrize("method", ["prompt_tuning", "ia3", "bitfit", "bottleneck", "full"])
def test_a_deep_head_learns_slower_than_what_is_trained_below_it(
    load_tiny: Callable[..., Any], architecture: str, method: str
) -> None:
    model = attached(load_tiny, architecture, method)
    found = rates(model, 0.3)
    head = {name for name in found if "classifier" in name}
    assert {round(found[name], 9) for name in head} == {5e-3}
    assert {found[name] for name in set(found) - head} == {0.3}
    assert len(head) == 4
    (note,) = head_rate_notes(model, None, 0.3)
    assert "it learns at 0.005 instead of 0.3" in note


@pytest.mark.parametrize("stated", [0.3, 3e-2, 1e-2])
def test_a_lower_rate_that_is_stated_is_never_a_higher_one_for_the_head(
    load_tiny: Callable[..., Any], stated: float
) -> None:
    """After a default run at 0.3 and 0.005 the advice is a tenth of it: 0.03."""
    model = attached(load_tiny, "mpnet", "prompt_tuning")
    found = rates(model, 0.3, stated)
    assert {round(rate, 9) for name, rate in found.items() if "classifier" in name} == {5e-3}
    assert {rate for name, rate in found.items() if "classifier" not in name} == {stated}
    (note,) = head_rate_notes(model, stated, 0.3)
    assert f"it learns at 0.005 instead of {stated:g}." in note


def test_a_rate_that_is_stated_below_that_of_deep_heads_is_for_all(load_tiny: Callable[..., Any]) -> None:
    model = attached(load_tiny, "mpnet", "prompt_tuning")
    assert set(rates(model, 0.3, stated=5e-3).values()) == {5e-3}
    assert set(rates(model, 0.3, stated=1e-3).values()) == {1e-3}
    assert head_rate_notes(model, 1e-3, 0.3) == []


def test_a_rate_above_it_is_for_all_where_the_method_is_usually_below(load_tiny: Callable[..., Any]) -> None:
    model = attached(load_tiny, "mpnet", "lora")
    assert set(rates(model, 1e-3, stated=1e-2).values()) == {1e-2}


def test_training_at_the_usual_rate_uses_it(load_tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """make_step gives the optimizer the factors, the same ones where the usual rate is stated, as a rerun does."""
    seen: list[Any] = []
    monkeypatch.setattr(step, "make_optimizer", lambda *given: seen.append(given[3]) or make_optimizer(*given))
    for stated in (None, 3e-2):
        loaded = load_tiny("mpnet")
        texts = [(text,) for text, _ in sentences(8, 1)]
        some = Examples(encode(loaded.tokenizer, texts, 16), np.zeros(8, np.int32))
        block = SettledTraining(num_train_epochs=1, learning_rate=stated, load_best_model_at_end=False)
        with tempfile.TemporaryDirectory() as folder:
            train(loaded, make_method("ia3"), Texts(some, some), block, Surroundings(Path(folder)))
    assert seen[0] == seen[1]
    assert list(seen[0].values()) == pytest.approx([5e-3 / 3e-2] * 4)


@pytest.mark.parametrize(
    ("architecture", "method", "rate"),
    [
        ("bert", "ia3", 0.3),  # one layer
        ("llama", "prompt_tuning", 0.3),
        ("mpnet", "head", 0.3),  # nothing else is trained
        ("mpnet", "lora", 1e-3),  # not above
        ("mpnet", "bottleneck", 3e-3),
    ],
)
def test_all_other_heads_learn_at_the_rate_of_the_method(
    load_tiny: Callable[..., Any], architecture: str, method: str, rate: float
) -> None:
    model = attached(load_tiny, architecture, method)
    assert set(rates(model, rate).values()) == {rate}
    assert head_rate_notes(model, None, rate) == []
