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
        """Add `weight` times a micro-batch's gradient to the gradients, and return its plain mean loss.

        Of a text with more windows than a micro-batch has texts, only so many are in memory at a time: their
        activations are computed again in the backward pass, with the same random numbers.
        """
        parts = self.row_loss.windows(rows)
        batches = [self.row_loss.inputs(part, epoch) for part in parts]
        targets = self.row_loss.targets(rows, batches[0]["input_ids"].shape[1])
        if len(parts) == 1:
            return self._backward(self._logits(batches[0], parts[0]), targets, rows, weight)
        import torch
        from torch.utils.checkpoint import checkpoint

        # Given as an argument so that the state of this device's random numbers is kept, not only the CPU's.
        of_device = torch.empty(0, device=self.accelerator.device)
        found = [
            checkpoint(self._logits, inputs, part, of_device, use_reentrant=False)
            for inputs, part in zip(batches, parts, strict=True)
        ]
        return self._backward(torch.cat(found), targets, rows, weight)

    def look(self, rows: Sequence[int], epoch: int) -> None:
        """Call the model on a micro-batch as `run` does, only so that frozen layers' outputs are cached."""
        for part in self.row_loss.windows(rows):
            self._logits(self.row_loss.inputs(part, epoch), part)

    def forget(self) -> None:
        """Drop what is kept for later passes."""

    def run_batch(
        self, inputs: dict[str, torch.Tensor], targets: torch.Tensor, rows: Sequence[int], weight: float
    ) -> torch.Tensor:
        """Do the same for rows of one window each that are already a batch, on the CPU."""
        return self._backward(self._logits(inputs, self.row_loss.windows(rows)[0]), targets, rows, weight)

    def _logits(self, inputs: dict[str, torch.Tensor], windows: Sequence[int], *_: torch.Tensor) -> torch.Tensor:
        """Call the model on windows that are a batch, on the CPU."""
        around = nullcontext() if self.around is None else self.around(windows, inputs["attention_mask"])
        with around, on_device(self.plain_model, inputs, self.accelerator.device) as moved:
            logits: torch.Tensor = self.model(**moved).logits
        return logits

    def _backward(
        self, logits: torch.Tensor, targets: torch.Tensor, rows: Sequence[int], weight: float
    ) -> torch.Tensor:
        """Add the gradient of rows with these logits of their windows, and return their plain mean loss."""
        pooled, device = self.row_loss.pooled(logits, rows), self.accelerator.device
        loss, plain = self.row_loss.of(pooled, runtime.sent(targets, device), rows)
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
