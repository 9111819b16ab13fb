"""One optimizer step: forward and backward passes over its micro-batches, then the update of the weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightune import memory, runtime
from lightune.errors import TrainingDivergedError
from lightune.execution.unpadding import supported
from lightune.recipe import SettledTraining
from lightune.training.batch_loss import RowLoss
from lightune.training.batches import steps_per_epoch
from lightune.training.distributed import Ranks, all_ranks
from lightune.training.forward_backward import Passes
from lightune.training.head_rate import head_rate_factors
from lightune.training.micro_batches import MicroBatches
from lightune.training.optimizer import Schedule, make_optimizer
from lightune.training.step_memory import step_memory
from lightune.training.weight_averaging import WeightAverage
from lightune.tuners.checked import forget_failed_call

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

    from lightune.methods import Method


@dataclass
class Step:
    """Takes optimizer steps, and counts them.

    `trained` are the tensors that the optimizer changes, `peak_rate` is the learning rate that the schedule starts
    from, and `average` includes the weights after each step.
    """

    passes: Passes
    micro_batches: MicroBatches
    optimizer: Any  # as the accelerator prepared it
    schedule: Schedule
    average: WeightAverage
    trained: list[torch.Tensor]
    ranks: Ranks
    settings: SettledTraining
    peak_rate: float
    count: int = 0

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return self.schedule.learning_rate

    def take(self, shares: Sequence[Sequence[Sequence[int]]], epoch: int) -> tuple[float, float]:
        """Train on the micro-batches of each rank; return (mean loss over all rows, gradient norm before clipping).

        Raises TrainingDivergedError, and leaves the weights unchanged, if one of the two is not finite.
        """
        import torch

        mine, plain = self._run_passes(shares, epoch)
        self.ranks.sum_gradients(self.trained)
        norm = self.passes.accelerator.clip_grad_norm_(self.trained, self.settings.max_grad_norm or math.inf)
        *means, norm = torch.stack([*plain, norm]).tolist()  # the only place that waits for a GPU
        rows = sum(len(batch) for share in shares for batch in share)
        loss = sum(mean * (len(batch) / rows) for mean, batch in zip(means, mine, strict=True))
        loss, norm = self._finite(self.ranks.sum(loss), "loss"), self._finite(norm, "gradient norm")
        self._update()
        return loss, norm

    def diverged(self, message: str) -> TrainingDivergedError:
        """Return the error for training that diverged, with the method's default learning rate, or a lower one."""
        usual = self.passes.method.default_learning_rate
        advised = usual if self.peak_rate > usual else self.peak_rate / 10
        told = f"it was {self.learning_rate:.2g}; this method's default is {usual:.2g}"
        return TrainingDivergedError(
            "TRAIN-001", message, f"Lower the learning rate ({told}): --learning-rate {advised:.2g}"
        )

    def look(self, batches: Sequence[Sequence[int]], epoch: int, step: int) -> None:
        """Call the model on the micro-batches of a step that was taken, so that frozen layers' outputs are cached."""

        def looked(number: int, rows: Sequence[int]) -> None:
            self.passes.look(rows, epoch)

        self.micro_batches.run(batches, step, looked, self._undo)

    def _run_passes(
        self, shares: Sequence[Sequence[Sequence[int]]], epoch: int
    ) -> tuple[list[list[int]], list[torch.Tensor]]:
        """Add this rank's part of the step's gradient to the gradients; return its micro-batches and their mean losses.

        The step's loss is sum(w_i l_i) / sum(w_i) over its rows, w_i being 1 without class weights. A micro-batch m
        yields its own weighted mean L_m. With W_m = sum of its w_i, the step's loss is sum_m (W_m / sum_m W_m) L_m
        over the micro-batches of all ranks.
        """
        weight = self.passes.row_loss.weight
        whole = sum(weight(batch) for share in shares for batch in share)

        def passed(number: int, batch: Sequence[int]) -> torch.Tensor:
            # The first rank draws the same numbers as a single process.
            key = (epoch, self.count, number, self.ranks.rank)
            runtime.reseed(self.settings.seed, "dropout", *(key if self.ranks.rank else key[:3]))
            return self.passes.run(batch, epoch, weight(batch) / whole)

        return self.micro_batches.run(shares[self.ranks.rank], self.count + 1, passed, self._undo)

    def _undo(self) -> None:
        """Drop the gradients of an unfinished step, and what it left in memory."""
        for value in self.trained:
            value.grad = None
        self.passes.forget()
        forget_failed_call(self.passes.model)
        memory.release(self.passes.accelerator.device)

    def _finite(self, value: float, what: str) -> float:
        if math.isfinite(value):
            return value
        raise self.diverged(
            f"step {self.count + 1}: the {what} is {value}; training was stopped before the weights were changed."
        )

    def _update(self) -> None:
        self.optimizer.step()
        self.count += 1
        self.passes.method.after_step(self.passes.plain_model, self.count)
        self.optimizer.zero_grad(set_to_none=not self.passes.records)
        self.schedule.step()
        self.average.update(self.count)


def make_step(
    model: Any,
    method: Method,
    row_loss: RowLoss,
    accelerator: Accelerator,
    settings: SettledTraining,
    learning_rate: float,
) -> Step:
    """Prepare to train a model that has the method attached; nothing is trained yet."""
    ranks = all_ranks()
    total = steps_per_epoch(len(row_loss.lengths), settings, ranks.count) * settings.num_train_epochs
    ranks.broadcast_model(model)
    method.before_training(model, total)
    of_head = head_rate_factors(model, settings.learning_rate, method.default_learning_rate)
    factors = {**of_head, **method.rate_factors(model)}
    optimizer = make_optimizer(model, settings, learning_rate, factors)
    # Without DistributedDataParallel, since `ranks` does its work; in one process, `prepare` would do the same.
    model = accelerator.prepare_model(model, evaluation_mode=True)
    trained = [value for value in model.parameters() if value.requires_grad]
    on_cpu = accelerator.device.type == "cpu"  # elsewhere an allocation that fails can be caught
    ahead = step_memory(model, method, row_loss, settings) if on_cpu else None
    return Step(
        passes=make_passes(model, method, row_loss, accelerator, settings),
        micro_batches=MicroBatches(row_loss, ahead),
        optimizer=accelerator.prepare_optimizer(optimizer),
        schedule=Schedule(optimizer, settings, total),
        average=WeightAverage(trained, settings.weight_averaging, total),
        trained=trained,
        ranks=ranks,
        settings=settings,
        peak_rate=learning_rate,
    )


def make_passes(
    model: Any, method: Method, row_loss: RowLoss, accelerator: Accelerator, settings: SettledTraining
) -> Passes:
    """Return recorded passes where they are requested and possible, else plain ones."""
    fits = (
        settings.cuda_graphs
        and accelerator.device.type == "cuda"
        and supported(model)
        and method.base_is_frozen
        and runtime.ranks() == 1
        and not row_loss.has_windows
        and not (settings.gradient_checkpointing or settings.class_weights != "none")
    )
    if not fits:
        return Passes(model, method, row_loss, accelerator)
    from lightune.training.cuda_graphs import GraphedPasses

    return GraphedPasses(model, method, row_loss, accelerator)
