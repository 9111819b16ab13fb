"""The training loop, on Accelerate: epochs of steps, with a validation after each epoch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from lightune import heap
from lightune.data.encoding import Encoded
from lightune.evaluation.cost import Meter, Spent
from lightune.execution.fast_modules import lean
from lightune.execution.precision_probe import Precision
from lightune.execution.unpadding import padding_free, supported
from lightune.interruptions import Resumed, Saved, SmallerMicroBatch
from lightune.recipe import SettledTraining
from lightune.sections import Epoch
from lightune.training.best import Best
from lightune.training.cache_frozen import CacheChoice, Cached, cache_frozen
from lightune.training.checkpoint import STATE, Checkpoint, Checkpoints
from lightune.training.checkpoint_state import require_state
from lightune.training.epochs import Epochs, Parts
from lightune.training.forward_backward import Passes, recomputing
from lightune.training.interrupt import StopRequest
from lightune.training.journal import Journal
from lightune.training.step import Step
from lightune.training.validation import Validation


@dataclass(frozen=True)
class Fitted:
    """What training did, what it cost, and whether frozen layers were cached."""

    steps: int
    samples: int
    best_epoch: int
    epochs: list[Epoch]
    spent: Spent
    cached: CacheChoice
    resumed: list[Resumed] = field(default_factory=list)
    saved: Saved | None = None
    smaller: list[SmallerMicroBatch] = field(default_factory=list)


@dataclass(frozen=True)
class Loop:
    """Trains a model once, epoch by epoch. `in_bf16` says whether frozen layers compute in bf16.

    Made only by train.py.
    """

    step: Step
    validation: Validation
    checkpoints: Checkpoints
    journal: Journal
    settings: SettledTraining
    in_bf16: bool
    precision: Precision

    def fit(self, start: Checkpoint | None = None) -> Fitted:
        """Train, keep the weights of the best epoch (or, if so set, of the last), and return what was done.

        With a checkpoint it goes on from there, exactly as if it had never stopped. Raises TrainingDivergedError before
        an optimizer step whose loss or gradient is not finite, and after an epoch whose validation loss is not finite.
        Raises InterruptedRunError, after writing a checkpoint, when the process is asked to stop.
        """
        if start is not None:
            require_state(start.folder / STATE, [metric.name for metric in self.validation.task.metrics])
        passes, folder = self.step.passes, self.checkpoints.folder
        device, texts = passes.accelerator.device, self.validation.examples.encoded
        # On a CPU padding costs more than additional calls; on a GPU the calls cost more.
        cuts_batches = device.type == "cpu" and not supported(passes.model)
        how = self.settings, self.precision, cuts_batches
        parts = Parts(self.step, self.validation, self.checkpoints, self.journal, *how)
        surroundings = while_training(passes, texts, self.settings, folder, self.in_bf16)
        with StopRequest() as stop, surroundings as cached:
            self.journal.begin(0 if start is None else int(start.state["step"]))
            progress = self.journal.reporter.steps("training", self.step.schedule.total)
            with Meter(device) as meter, progress as advance:
                best = Best(self.validation.task.metric(self.settings.metric_for_best_model))
                epochs = Epochs(parts, cached, stop, meter, advance, best)
                self._begin_estimates(cached)
                if start is not None:
                    epochs.go_on(start, self.journal.recomputed)
                elif self.journal.recomputed:  # ended before the first checkpoint
                    epochs.resumed.append(Resumed(from_step=0, recomputed_steps=self.journal.recomputed))
                epochs.run()
        self._keep_weights(epochs.best_epoch)
        return Fitted(
            steps=self.step.count,
            samples=epochs.samples,
            best_epoch=epochs.best_epoch,
            epochs=epochs.done,
            spent=meter.spent,
            cached=cached.choice,
            resumed=epochs.resumed,
            saved=epochs.saved,
            smaller=self.step.micro_batches.smaller,
        )

    def _begin_estimates(self, cached: Cached) -> None:
        ahead, choice = self.step.micro_batches.ahead, cached.choice
        if ahead is not None:
            ahead.begin(choice.bytes if choice.place == "memory" else 0)

    def _keep_weights(self, best_epoch: int) -> None:
        self.step.optimizer.zero_grad(set_to_none=True)
        passes = self.step.passes
        model = passes.accelerator.unwrap_model(passes.model, keep_fp32_wrapper=False)
        self.step.average.keep()
        if self.settings.load_best_model_at_end:
            self.checkpoints.restore_best(best_epoch)
        model.eval()


@contextmanager
def while_training(
    passes: Passes, validation: Encoded, settings: SettledTraining, folder: Path, in_bf16: bool
) -> Iterator[Cached]:
    """Let the model of the passes run as it does in training; yield what is cached.

    `validation` are the texts of the validation after each epoch, `folder` is where a cache may be.
    """
    import torch

    # The order matters. The caller's RNG state is saved before anything draws, and is always restored. bf16, in
    # `lean`, depends on the model's attention function, which `padding_free` replaces. The cache comes last: it calls
    # the model once to see the outputs of its layers, packed and in bf16 as they are in training; and its stand-ins
    # have to put the layers back before the other contexts undo their changes to them.
    # The heap is given back last, when all of that is freed. Who recomputes activations has little memory, and kept
    # blocks leave holes.
    keeps = passes.accelerator.device.type == "cpu" and not settings.gradient_checkpointing
    with (
        heap.kept() if keeps else nullcontext(),
        torch.random.fork_rng(),
        recomputing(passes.plain_model, settings.gradient_checkpointing),
        padding_free(passes.model, logits_only=True),
        lean(passes.model, in_bf16),
        cache_frozen(passes.model, passes, validation, settings, folder) as cached,
    ):
        yield cached
