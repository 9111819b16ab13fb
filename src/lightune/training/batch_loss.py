"""The loss of some rows of the training texts, and their weight in a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from lightune.data.encoding import Encoded, collate
from lightune.recipe import SettledTraining
from lightune.tasks.base import Task
from lightune.tasks.columns import Wishes
from lightune.training.token_masking import TokenMasking

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Examples:
    """Encoded texts and their targets."""

    encoded: Encoded
    targets: NDArray[Any]


class RowLoss:
    """The task's loss on rows of the training texts, with the class weights and token masking of the settings."""

    def __init__(
        self, task: Task, tokenizer: PreTrainedTokenizerBase, train: Examples, settings: SettledTraining
    ) -> None:
        self._task, self._tokenizer, self._train = task, tokenizer, train
        self._weights = task.weights(train.targets, Wishes(class_weights=settings.class_weights))
        self._masking = TokenMasking(tokenizer, settings.token_masking, settings.seed)

    @property
    def lengths(self) -> list[int]:
        """The number of tokens of each row."""
        return self._train.encoded.lengths

    def batch(self, rows: Sequence[int], epoch: int, multiple: int = 1) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Return (rows as a padded batch, their targets), on the CPU; its width is a multiple of `multiple`."""
        texts = [(row, self._train.encoded.rows[row]) for row in rows]
        batch = collate(self._tokenizer, self._masking.rows(texts, epoch), multiple)
        return batch, self._task.collate(self._train.targets[list(rows)], batch["input_ids"].shape[1])

    def of(self, logits: torch.Tensor, targets: torch.Tensor, rows: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (the loss to train on, the plain mean to report) of some rows.

        With weights w_i the first is sum(w_i l_i) / sum(w_i) over the rows' losses l_i.
        """
        import torch

        if self._weights is None:
            loss = self._task.mean_loss(logits, targets)
            return loss, loss.detach()
        losses = self._task.losses(logits, targets)
        given = torch.tensor(self._weights[list(rows)].tolist(), dtype=losses.dtype, device=losses.device)
        if losses.shape != given.shape:  # which would be multiplied with the weights all the same
            raise ValueError(
                f"losses of the task {self._task.name}: {tuple(losses.shape)}, weights {tuple(given.shape)}"
            )
        return (losses * given).sum() / given.sum(), losses.mean().detach()

    def weight(self, rows: Sequence[int]) -> float:
        """Return the weight of rows in their step: their number, or the sum of their weights."""
        return len(rows) if self._weights is None else sum(self._weights[list(rows)].ravel().tolist())
