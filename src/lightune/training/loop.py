"""The training loop, on Accelerate: epochs of steps, with a validation after each epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightune.data.encoding import Encoded
from lightune.errors import InterruptedRunError
from lightune.evaluation.cost import Meter, Spent
from lightune.execution.fast_modules import lean
from lightune.execution.unpadding import padding_free, supported
from lightune.progress import Advance
from lightune.recipe import SettledTraining
from lightune.sections import Epoch
from lightune.training.batches import parts_of_similar_length, shared_steps
from lightune.training.best import Best
from lightune.training.cache_frozen import CacheChoice, Cached, cache_frozen
from lightune.training.checkpoint import BEST, Checkpoints, checkpoint_name
from lightune.training.forward_backward import Passes, recomputing
from lightune.training.interrupt import StopRequest
from lightune.training.journal import Journal
from lightune.training.step import Step
from lightune.training.validation import Validated, Validation


@dataclass(frozen=True)
class Fitted:
    """What training did, what it cost, and whether frozen layers were cached."""

    steps: int
    samples: int
    best_epoch: int
    epochs: list[Epoch]
    spent: Spent
    cached: CacheChoice


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

    def fit(self) -> Fitted:
        """Train, keep the weights of the best epoch (or, if so set, of the last), and return what was done.

        Raises TrainingDivergedError before an optimizer step whose loss or gradient is not finite, and after an epoch
        whose validation loss is not finite. Raises InterruptedRunError, after writing a checkpoint, when the process is
        asked to stop.
        """
        passes, folder = self.step.passes, self.checkpoints.folder
        device, texts = passes.accelerator.device, self.validation.examples.encoded
        # On a CPU padding costs more than additional calls; on a GPU the calls cost more.
        cuts_batches = device.type == "cpu" and not supported(passes.model)
        surroundings = while_training(passes, texts, self.settings, folder, self.in_bf16)
        with StopRequest() as stop, self.journal, surroundings as cached:
            progress = self.journal.reporter.steps("training", self.step.schedule.total)
            with Meter(device) as meter, progress as advance:
                best = Best(self.validation.task.metric(self.settings.metric_for_best_model))
                epochs = _Epochs(self, cached, stop, meter, advance, cuts_batches, best)
                epochs.run()
        self._keep_weights()
        return Fitted(
            steps=self.step.count,
            samples=epochs.samples,
            best_epoch=epochs.best_epoch,
            epochs=epochs.done,
            spent=meter.spent,
            cached=cached.choice,
        )

    def _keep_weights(self) -> None:
        self.step.optimizer.zero_grad(set_to_none=True)
        passes = self.step.passes
        model = passes.accelerator.unwrap_model(passes.model, keep_fp32_wrapper=False)
        self.step.average.keep()
        if self.settings.load_best_model_at_end:
            self.checkpoints.restore(BEST)
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
    with (
        torch.random.fork_rng(),
        recomputing(passes.plain_model, settings.gradient_checkpointing),
        padding_free(passes.model, logits_only=True),
        lean(passes.model, in_bf16),
        cache_frozen(passes.model, passes, validation, settings, folder) as cached,
    ):
        yield cached


@dataclass
class _Epochs:
    """The completed epochs of a fit, and the best of them."""

    loop: Loop
    cached: Cached
    stop: StopRequest
    meter: Meter
    advance: Advance
    cuts_batches: bool
    best: Best
    samples: int = 0
    done: list[Epoch] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights are kept."""
        return self.best.epoch if self.loop.settings.load_best_model_at_end else len(self.done)

    def run(self) -> None:
        """Train epoch by epoch, validate after each, and end early where the settings or a signal ask for it."""
        settings, reporter = self.loop.settings, self.loop.journal.reporter
        if self.cached.choice.used:
            reporter.note(self.cached.choice.note)
        for epoch in range(1, settings.num_train_epochs + 1):
            loss = self._train(epoch)
            self.meter.pause()
            with self.loop.step.average.applied():
                self._validate(epoch, loss)
            self._stop_if_asked()
            self.meter.resume()
            patience = settings.early_stopping_patience
            if patience and self.best.epoch and epoch - self.best.epoch >= patience:
                noun = "epoch" if patience == 1 else "epochs"
                reporter.note(
                    f"stopped early after epoch {epoch}: {patience} {noun} without a better {self.best.metric.title}"
                )
                return

    def _train(self, epoch: int) -> float:
        """Run the steps of an epoch; return the mean loss over its texts."""
        step = self.loop.step
        step.passes.model.train()
        losses, lengths = 0.0, step.passes.row_loss.lengths
        for shares in shared_steps(lengths, self.loop.settings, epoch, step.ranks.count):
            if step.passes.row_loss.has_windows:
                shares = [
                    [part for batch in share for part in step.passes.row_loss.micro_batches(batch)] for share in shares
                ]
            if self.cuts_batches:
                shares = [
                    [part for batch in share for part in parts_of_similar_length(batch, lengths)] for share in shares
                ]
            rate, rows = step.learning_rate, sum(len(batch) for share in shares for batch in share)
            loss, norm = step.take(shares, epoch)
            losses += loss * rows
            self.samples += rows
            line = {"step": step.count, "epoch": epoch, "loss": loss, "learning_rate": rate, "grad_norm": norm}
            self.loop.journal.step({**line, "samples": rows})
            self.advance(f"epoch {epoch}  loss {loss:.3f}")
            self._stop_if_asked()
            if self.loop.settings.save_steps and step.count % self.loop.settings.save_steps == 0:
                self._save_latest()
        return losses / len(lengths)

    def _validate(self, epoch: int, train_loss: float) -> None:
        step, found = self.loop.step, self.loop.validation.measure(self.cached.validation)
        if not math.isfinite(found.loss):
            raise step.diverged(f"epoch {epoch}: the validation loss is {found.loss}; training was stopped.")
        figures, rate = found.metrics, step.learning_rate
        self.done.append(
            Epoch(epoch=epoch, train_loss=train_loss, metrics=figures, learning_rate=rate, validation_loss=found.loss)
        )
        step.schedule.after_validation(found.loss)
        self.loop.journal.epoch(self.done[-1], self.loop.validation.task.metrics[0], step.count)
        self._keep_if_best(epoch, found)

    def _keep_if_best(self, epoch: int, found: Validated) -> None:
        settings, step = self.loop.settings, self.loop.step
        is_settled = step.passes.method.is_settled(step.passes.plain_model, step.count)
        is_best = is_settled and self.best.improved(epoch, found.metrics, found.loss)
        if is_best and settings.load_best_model_at_end:
            self._save(BEST)

    def _save(self, name: str, optimizer: Any = None) -> Path:
        epochs = [epoch.model_dump() for epoch in self.done]
        state = {"step": self.loop.step.count, "epochs": epochs, "best_epoch": self.best.epoch}
        return self.loop.checkpoints.save(name, state, optimizer)

    def _save_latest(self) -> Path:
        self.meter.pause()
        step = self.loop.step
        folder = self._save(checkpoint_name(step.count), step.optimizer.optimizer)
        self.meter.resume()
        return folder

    def _stop_if_asked(self) -> None:
        step = self.loop.step
        number = step.ranks.any_signal(self.stop.number)
        if number is None:
            return
        place = self._save_latest()
        message = f"interrupted after step {step.count}; a checkpoint was written to {place}."
        folder = self.loop.checkpoints.folder
        hint = f"This version cannot resume from it; remove {folder} when you no longer need it."
        raise InterruptedRunError("RUN-001", message, hint, signal_number=number)
