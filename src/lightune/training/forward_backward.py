"""A step's forward and backward passes over its micro-batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightune import runtime
from lightune.evaluation.evaluate import Around, on_device
from lightune.training.batch_loss import RowLoss

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

    from lightune.methods import Method


@dataclass
class Passes:
    """Forward and backward passes, run eagerly."""

    model: Any
    method: Method
    row_loss: RowLoss
    accelerator: Accelerator

    # Makes a context for each call of the model on rows of the training texts, within `calling`.
    around: Around | None = None
    # Whether passes may be recorded; then gradients keep their memory addresses from step to step.
    records = False

    def __post_init__(self) -> None:
        # Computed once, because unwrapping looks at every module.
        self.plain_model = self.accelerator.unwrap_model(self.model)

    @contextmanager
    def calling(self, around: Around | None) -> Iterator[None]:
        """Let `around` make a context for each call, while this context lasts."""
        self.around = around
        try:
            yield
        finally:
            self.around = None

    @property
    def about(self) -> dict[str, int]:
        """What environment.json says about recordings; empty without any."""
        return {}

    def run(self, rows: Sequence[int], epoch: int, weight: float) -> torch.Tensor:
        """Add `weight` times a micro-batch's gradient to the gradients, and return its plain mean loss."""
        return self.run_batch(*self.row_loss.batch(rows, epoch), rows, weight)

    def run_batch(
        self, inputs: dict[str, torch.Tensor], targets: torch.Tensor, rows: Sequence[int], weight: float
    ) -> torch.Tensor:
        """Do the same for rows that are already a batch, on the CPU."""
        device = self.accelerator.device
        around = nullcontext() if self.around is None else self.around(rows, inputs["attention_mask"])
        with around, on_device(self.plain_model, inputs, device) as moved:
            logits = self.model(**moved).logits
        loss, plain = self.row_loss.of(logits, runtime.sent(targets, device), rows)
        loss = loss + self.method.penalty(self.plain_model)
        self.accelerator.backward(loss * weight)
        return plain


@contextmanager
def recomputing(model: Any, on: bool) -> Iterator[None]:
    """Recompute a model's layers in the backward pass, if `on`, instead of keeping their activations in memory."""
    if on:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    try:
        yield
    finally:
        if on:
            model.gradient_checkpointing_disable()
