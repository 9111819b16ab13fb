"""A step's forward and backward passes over its micro-batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightune.evaluation.evaluate import Around, to_device
from lightune.training.batch_loss import RowLoss

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

    from lightune.methods import Method


@dataclass
class Passes:
    """Forward and backward passes as they are called."""

    model: Any
    method: Method
    row_loss: RowLoss
    accelerator: Accelerator

    # Makes a context for each call of the model on rows of the training texts, within `calling`.
    around: Around | None = None
    # Whether passes may be recorded; then gradients keep their places in memory from step to step.
    records = False

    def __post_init__(self) -> None:
        # Asking for it takes a look at every module.
        self.plain_model = self.accelerator.unwrap_model(self.model)

    @contextmanager
    def calling(self, around: Around | None) -> Iterator[None]:
        """Let `around` make a context for each call, for as long as this one lasts."""
        self.around = around
        try:
            yield
        finally:
            self.around = None

    @property
    def about(self) -> dict[str, int]:
        """What environment.json says of recordings; nothing where there are none."""
        return {}

    def run(self, rows: Sequence[int], epoch: int, weight: float) -> torch.Tensor:
        """Add `weight` times a micro-batch's gradient to the gradients, and return its plain mean loss."""
        return self.run_batch(self.row_loss.batch(rows, epoch), rows, weight)

    def run_batch(self, batch: dict[str, torch.Tensor], rows: Sequence[int], weight: float) -> torch.Tensor:
        """Do so for rows that are a batch already, on the CPU."""
        found = to_device(batch, self.accelerator.device)
        with nullcontext() if self.around is None else self.around(rows, batch["attention_mask"]):
            answer = self.model(**found)
        loss, plain = self.row_loss.of(answer, found["labels"], rows)
        loss = loss + self.method.penalty(self.plain_model)
        self.accelerator.backward(loss * weight)
        return plain


@contextmanager
def recomputing(model: Any, on: bool) -> Iterator[None]:
    """Let a model's layers be computed again in the backward pass, if so set, instead of being kept in memory."""
    if on:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    try:
        yield
    finally:
        if on:
            model.gradient_checkpointing_disable()
