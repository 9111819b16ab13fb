"""The loss of some rows of the training texts, and how much they weigh among others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lightune.data.encoding import Encoded, collate
from lightune.recipe import TrainingBlock
from lightune.training.class_weights import balanced_weights, weighted_loss
from lightune.training.token_masking import TokenMasking

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Examples:
    """Encoded texts and their label indices."""

    encoded: Encoded
    labels: list[int]


class RowLoss:
    """Class weights and hidden tokens, as the settings say, applied to rows of the training texts."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, train: Examples, settings: TrainingBlock) -> None:
        self._tokenizer, self._train = tokenizer, train
        self._class_weights = balanced_weights(train.labels) if settings.class_weights == "auto" else {}
        self._masking = TokenMasking(tokenizer, settings.token_masking, settings.seed)

    @property
    def lengths(self) -> list[int]:
        """The number of tokens of each row."""
        return self._train.encoded.lengths

    def batch(self, rows: Sequence[int], epoch: int, multiple: int = 1) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Return (the inputs of the model, padded to a multiple of `multiple` positions; the targets) on the CPU."""
        import torch

        texts = [(row, self._train.encoded.rows[row]) for row in rows]
        inputs = collate(self._tokenizer, self._masking.rows(texts, epoch), multiple)
        return inputs, torch.tensor([self._train.labels[row] for row in rows])

    def of(self, logits: torch.Tensor, targets: torch.Tensor, rows: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (the loss to train on, the plain mean to report); they differ with class weights.

        Shapes: logits (rows, labels), targets (rows,). Without class weights the loss is the mean of the rows'
        cross-entropies, which is what the models of transformers compute when they are given labels.
        """
        from torch.nn.functional import cross_entropy

        if self._class_weights:
            return weighted_loss(logits, targets, self._weights(rows))
        loss = cross_entropy(logits.view(-1, logits.shape[-1]), targets)
        return loss, loss.detach()

    def weight(self, rows: Sequence[int]) -> float:
        """Return how much rows weigh in their step: their number, or the sum of their class weights."""
        return sum(self._weights(rows)) if self._class_weights else len(rows)

    def _weights(self, rows: Sequence[int]) -> list[float]:
        return [self._class_weights[self._train.labels[row]] for row in rows]
