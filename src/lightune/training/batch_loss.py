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
    """The task's loss on rows of the training texts, with the class weights and token masking of the settings.

    A row is a text, which may be several rows of tokens: its windows. The logits of a text are the mean of theirs. At
    most `most_windows` are in memory at a time.
    """

    def __init__(
        self, task: Task, tokenizer: PreTrainedTokenizerBase, train: Examples, settings: SettledTraining
    ) -> None:
        self._task, self._tokenizer, self._train = task, tokenizer, train
        self.most_windows = settings.per_device_train_batch_size
        self._weights = task.weights(train.targets, Wishes(class_weights=settings.class_weights))
        self._masking = TokenMasking(tokenizer, settings.token_masking, settings.seed)

    @property
    def lengths(self) -> list[int]:
        """The number of tokens of each row."""
        return self._train.encoded.lengths

    @property
    def window_lengths(self) -> list[int]:
        """The number of tokens of each window; a text that is not longer than the model's limit is one."""
        return self._train.encoded.row_lengths

    @property
    def has_windows(self) -> bool:
        """Whether some text is several windows."""
        return self._train.encoded.firsts is not None

    def micro_batches(self, rows: Sequence[int], most: int) -> list[list[int]]:
        """Cut a micro-batch into parts of at most so many windows, or of one longer text."""
        found: list[list[int]] = []
        room = 0
        for row, windows in zip(rows, self._train.encoded.rows_of(rows), strict=True):
            if len(windows) > room:
                found.append([])
                room = most
            found[-1].append(row)
            room -= len(windows)
        return found

    def windows(self, rows: Sequence[int]) -> list[list[int]]:
        """Return the windows of rows, at most `most_windows` in each part; without any, one part."""
        if not self.has_windows:
            return [list(rows)]
        every = [window for windows in self._train.encoded.rows_of(rows) for window in windows]
        return [every[first : first + self.most_windows] for first in range(0, len(every), self.most_windows)]

    def inputs(self, windows: Sequence[int], epoch: int, multiple: int = 1) -> dict[str, torch.Tensor]:
        """Return windows as a padded batch, on the CPU; its width is a multiple of `multiple`."""
        rows = self._masking.rows(((window, self._train.encoded.rows[window]) for window in windows), epoch)
        return collate(self._tokenizer, rows, multiple)

    def targets(self, rows: Sequence[int], width: int) -> torch.Tensor:
        """Return the targets of rows, on the CPU; `width` is the number of positions in their batch."""
        return self._task.collate(self._train.targets[list(rows)], width)

    def batch(self, rows: Sequence[int], epoch: int, multiple: int = 1) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Return (rows of one window each as a padded batch, their targets), on the CPU, likewise."""
        batch = self.inputs([window for part in self.windows(rows) for window in part], epoch, multiple)
        return batch, self.targets(rows, batch["input_ids"].shape[1])

    def pooled(self, logits: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        """Return the logits of rows, (rows, outputs), from those of all their windows, one after the other."""
        import torch

        counts = [len(windows) for windows in self._train.encoded.rows_of(rows)]
        if len(logits) == len(rows):
            return logits
        return torch.stack([own.mean(0) for own in logits.split(counts)])

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
