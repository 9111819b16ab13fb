"""Class weights: each label gets the same say in training, however rare it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def balanced_weights(labels: Sequence[int]) -> dict[int, float]:
    """Return n / (k * n_c) for each label c: n rows, k labels, n_c rows of c (scikit-learn's "balanced")."""
    counts = Counter(labels)
    return {label: len(labels) / (len(counts) * count) for label, count in counts.items()}


def weighted_loss(
    logits: torch.Tensor, labels: torch.Tensor, weights: Sequence[float]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (the weighted mean, the plain mean) of the rows' cross-entropies l_i.

    The weighted mean is sum(w_i l_i) / sum(w_i), which is torch's cross_entropy(weight=...). Shapes: (rows, classes),
    (rows,), rows.
    """
    import torch
    from torch.nn.functional import cross_entropy

    losses = cross_entropy(logits.float(), labels, reduction="none")
    given = torch.tensor(weights, dtype=losses.dtype, device=losses.device)
    return (losses * given).sum() / given.sum(), losses.mean().detach()
