"""Weights of several labels a text: n / (2 n_y) for each label, and a step's loss however it is cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn.functional import binary_cross_entropy_with_logits

from lightune.data.encoding import encode
from lightune.recipe import SettledTraining
from lightune.tasks.columns import Wishes
from lightune.tasks.multi_label import MultiLabel
from lightune.training.batch_loss import Examples, RowLoss

TASK = MultiLabel(("food", "price", "staff"))
# 8 texts: 6 about food, 2 about the price, 1 about the staff.
TARGETS = np.array([[1, 1, 0]] + [[1, 0, 0]] * 5 + [[0, 1, 1], [0, 0, 0]], np.uint8)
AUTO = Wishes(class_weights="auto")


@pytest.fixture
def row_loss(load_tiny: Callable[..., Any]) -> Callable[[str], RowLoss]:
    """Return a function that makes the loss of the texts with these class weights."""
    tokenizer = load_tiny("bert").tokenizer

    def make(class_weights: str) -> RowLoss:
        train = Examples(encode(tokenizer, [("the film",)] * len(TARGETS), 8), TARGETS)
        return RowLoss(TASK, tokenizer, train, SettledTraining(class_weights=class_weights))

    return make


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(8, 3, generator=torch.Generator().manual_seed(4))


def weights_by_hand() -> torch.Tensor:
    """8 / (2 * 6) with food and 8 / (2 * 2) without; 8 / (2 * 2) and 8 / (2 * 6); 8 / (2 * 1) and 8 / (2 * 7)."""
    having, lacking = torch.tensor([8 / 12, 8 / 4, 8 / 2]), torch.tensor([8 / 4, 8 / 12, 8 / 14])
    return torch.where(torch.from_numpy(TARGETS) > 0, having, lacking)


def test_the_weights_by_hand():
    np.testing.assert_allclose(TASK.weights(TARGETS, AUTO), weights_by_hand(), rtol=1e-6)
    assert TASK.weights(TARGETS, Wishes()) is None


def test_the_weights_of_each_label_are_scikit_learns():
    draw = np.random.default_rng(1)
    targets = (draw.random((50, 3)) < [0.5, 0.2, 0.9]).astype(np.uint8)
    found = TASK.weights(targets, AUTO)
    for label in range(3):
        wanted = compute_class_weight("balanced", classes=np.array([0, 1]), y=targets[:, label])
        np.testing.assert_allclose(found[:, label], wanted[targets[:, label]])
        assert found[:, label].sum() == pytest.approx(50), "the weights of a label add up to the number of texts"


def test_a_label_of_every_text_or_of_none_has_finite_weights():
    targets = np.array([[1, 0, 1], [1, 0, 0]], np.uint8)
    np.testing.assert_allclose(TASK.weights(targets, AUTO), [[0.5, 0.5, 1], [0.5, 0.5, 1]])


def test_the_weighted_mean_by_hand_and_the_plain_mean_stays_plain(row_loss: Any, logits: torch.Tensor):
    wanted = torch.from_numpy(TARGETS).float()
    loss, plain = row_loss("auto").of(logits, wanted, range(8))
    each, weights = binary_cross_entropy_with_logits(logits, wanted, reduction="none"), weights_by_hand()
    assert loss.item() == pytest.approx(((each * weights).sum() / weights.sum()).item(), rel=1e-6)
    assert plain.item() == pytest.approx(binary_cross_entropy_with_logits(logits, wanted).item(), rel=1e-6)
    unweighted, same = row_loss("none").of(logits, wanted, range(8))
    assert unweighted.item() == same.item() == pytest.approx(plain.item())


@pytest.mark.parametrize("class_weights", ["none", "auto"])
@pytest.mark.parametrize("parts", [[range(4), range(4, 8)], [[0], range(1, 6), [6, 7]], [[7, 2, 5], [0, 6, 1, 3, 4]]])
def test_micro_batches_add_up_to_the_whole_batch(row_loss: Any, logits: torch.Tensor, parts: Any, class_weights: str):
    """Each part's loss counts by its weight in the step, as the training loop adds them up."""
    losses, targets = row_loss(class_weights), torch.from_numpy(TARGETS).float()
    whole, _ = losses.of(logits, targets, range(8))
    total = sum(losses.weight(list(rows)) for rows in parts)
    assert total == pytest.approx(losses.weight(range(8)))
    added = sum(
        losses.of(logits[list(rows)], targets[list(rows)], list(rows))[0] * losses.weight(list(rows)) / total
        for rows in parts
    )
    assert added.item() == pytest.approx(whole.item(), rel=1e-6)


def test_weights_of_another_shape_are_refused(row_loss: Any, logits: torch.Tensor):
    losses = row_loss("auto")
    losses._weights = losses._weights[:, 0]
    with pytest.raises(ValueError, match="multi_label"):
        losses.of(logits, torch.from_numpy(TARGETS).float(), range(8))
