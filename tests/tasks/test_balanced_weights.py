"""Class weights: n / (k n_c), and the weighted mean of the losses is torch's own weighted cross-entropy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from torch.nn.functional import cross_entropy

from lightune.tasks.columns import Wishes
from tiny import classes

TARGETS = np.array([0] * 7 + [1] * 2 + [2] * 3, np.int32)
TASK = classes(["a", "b", "c"])
BALANCED = Wishes(class_weights="auto")


def test_balanced_weights_are_scikit_learns():
    by_class = compute_class_weight("balanced", classes=np.arange(3), y=TARGETS)
    found = TASK.weights(TARGETS, BALANCED)
    assert found == pytest.approx(by_class[TARGETS])
    assert found == pytest.approx(compute_sample_weight("balanced", TARGETS))


def test_balanced_weights_by_hand():
    """8 rows, 2 labels: 8 / (2 * 6) and 8 / (2 * 2)."""
    found = TASK.weights(np.array([0] * 6 + [1] * 2, np.int32), BALANCED)
    assert found == pytest.approx([8 / 12] * 6 + [2.0] * 2)


def test_without_the_wish_all_weigh_the_same():
    assert TASK.weights(TARGETS, Wishes()) is None


def test_the_weighted_mean_of_the_losses_is_torchs_and_the_plain_mean_stays_plain():
    logits, targets = torch.randn(12, 3, generator=torch.Generator().manual_seed(2)), TASK.collate(TARGETS, 1)
    weights = torch.from_numpy(TASK.weights(TARGETS, BALANCED))
    losses = TASK.losses(logits, targets)
    by_class = torch.tensor([12 / (3 * 7), 12 / (3 * 2), 12 / (3 * 3)])
    weighted = (losses * weights).sum() / weights.sum()
    assert weighted.item() == pytest.approx(cross_entropy(logits, targets, weight=by_class).item(), rel=1e-6)
    assert losses.mean().item() == pytest.approx(cross_entropy(logits, targets).item(), rel=1e-6)
    assert TASK.mean_loss(logits, targets).item() == cross_entropy(logits, targets).item()
