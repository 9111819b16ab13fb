"""The loss of some rows of the training texts, and how much they weigh among others."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightune.data.encoding import Encoded, collate
from lightune.evaluation.evaluate import Around, to_device
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
    """Class weights and hidden tokens, as the settings say, applied to rows of the training texts.

    `around`, where set, makes a context for each call of the model.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, train: Examples, settings: TrainingBlock) -> None:
        self._tokenizer, self._train = tokenizer, train
        self._class_weights = balanced_weights(train.labels) if settings.class_weights == "auto" else {}
        self._masking = TokenMasking(tokenizer, settings.token_masking, settings.seed)
        self.around: Around | None = None

    @property
    def lengths(self) -> list[int]:
        """The number of tokens of each row."""
        return self._train.encoded.lengths

    def of(self, model: Any, rows: Sequence[int], epoch: int, device: torch.device) -> tuple[torch.Tensor, float]:
        """Return (the loss to train on, the plain mean to report); class weights make the difference."""
        batch = self.batch(rows, epoch)
        with self.around(rows, batch["attention_mask"]) if self.around else nullcontext():
            batch = to_device(batch, device)
            found = model(**batch)
        loss, plain = found.loss, float(found.loss.item())
        if self._class_weights:
            loss, plain = weighted_loss(found.logits, batch["labels"], self._weights(rows))
        return loss, plain

    def batch(self, rows: Sequence[int], epoch: int) -> dict[str, torch.Tensor]:
        """Return the rows, padded, with their labels."""
        import torch

        texts = [(row, self._train.encoded.rows[row]) for row in rows]
        batch = collate(self._tokenizer, self._masking.rows(texts, epoch))
        return {**batch, "labels": torch.tensor([self._train.labels[row] for row in rows])}

    def weight(self, rows: Sequence[int]) -> float:
        """Return how much rows weigh in their step: their number, or the sum of their class weights."""
        return sum(self._weights(rows)) if self._class_weights else len(rows)

    def _weights(self, rows: Sequence[int]) -> list[float]:
        return [self._class_weights[self._train.labels[row]] for row in rows]
