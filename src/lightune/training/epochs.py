"""The epochs of a fit: steps, a validation after each epoch, checkpoints, and going on from one."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from lightune.errors import ArtifactError, InterruptedRunError, ResourceError
from lightune.evaluation.cost import Meter
from lightune.execution.precision_probe import Precision
from lightune.interruptions import Resumed, Saved
from lightune.progress import Advance
from lightune.recipe import SettledTraining
from lightune.sections import Epoch
from lightune.training.batches import parts_of_similar_length, shared_steps
from lightune.training.best import Best
from lightune.training.cache_frozen import Cached
from lightune.training.checkpoint import Checkpoint, Checkpoints
from lightune.training.interrupt import StopRequest
from lightune.training.journal import Journal
from lightune.training.step import Step
from lightune.training.training_state import frozen_sha256, require_finite, restore, state_of
from lightune.training.validation import Validated, Validation

# Of the time of training: all checkpoints of epochs together cost at most so much, after the first.
MOST_SHARE = 0.01
# One step: for each rank its micro-batches of row numbers.
Shares = list[list[list[int]]]


@dataclass(frozen=True)
class Parts:
    """What a fit works with; see Loop."""

    step: Step
    validation: Validation
    checkpoints: Checkpoints
    journal: Journal
    settings: SettledTraining
    precision: Precision
    cuts_batches: bool


@dataclass
class Epochs:
    """The epochs so far, and the best of them; `steps` have been taken in epoch `epoch`, whose losses sum to `losses`.

    With a checkpoint to go on from, they are what it says.
    """

    parts: Parts
    cached: Cached
    stop: StopRequest
    meter: Meter
    advance: Advance
    best: Best
    epoch: int = 1
    steps: int = 0
    losses: float = 0.0
    samples: int = 0
    done: list[Epoch] = field(default_factory=list)
    resumed: list[Resumed] = field(default_factory=list)
    saved: Saved = field(default_factory=lambda: Saved(count=0, runtime=0.0, bytes=0))
    saved_step: int = 0
    frozen: str = ""
    told: int = 0

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights are kept."""
        return self.best.epoch if self.parts.settings.load_best_model_at_end else len(self.done)

    def run(self) -> None:
        """Train epoch by epoch, validate after each, and end early where the settings or a signal ask for it."""
        settings = self.parts.settings
        if self.cached.choice.used:
            self.parts.journal.reporter.note(self.cached.choice.note)
        while self.epoch <= settings.num_train_epochs and not self._is_over():
            loss = self._train()
            self.meter.pause()
            with self.parts.step.average.applied():
                self._validate(loss)
            self.epoch, self.steps, self.losses = self.epoch + 1, 0, 0.0
            self._stop_if_asked()
            self._save_where_cheap()
            self.meter.resume()
        if self.saved_step < self.parts.step.count:  # what is measured next takes longer than the steps may have
            self.saved = self.saved.model_copy(update={"skipped": self.saved.skipped - 1})
            self._save()

    def _is_over(self) -> bool:
        """Say whether the last epochs brought nothing better, and no more are wanted then."""
        patience, best = self.parts.settings.early_stopping_patience, self.best
        if not (patience and best.epoch and len(self.done) - best.epoch >= patience):
            return False
        noun = "epoch" if patience == 1 else "epochs"
        self.parts.journal.reporter.note(
            f"stopped early after epoch {len(self.done)}: {patience} {noun} without a better {best.metric.title}"
        )
        return True

    def _shares(self, epoch: int) -> Iterator[Shares]:
        """Yield the steps of an epoch, their micro-batches cut where that saves memory or padding."""
        step, lengths = self.parts.step, self.parts.step.passes.row_loss.lengths
        row_loss = step.passes.row_loss
        for shares in shared_steps(lengths, self.parts.settings, epoch, step.ranks.count):
            found = shares
            if row_loss.has_windows:
                # By the setting, whatever memory has since allowed: a resumed run cuts them so, too.
                most = self.parts.settings.per_device_train_batch_size
                found = [[part for batch in share for part in row_loss.micro_batches(batch, most)] for share in found]
            if self.parts.cuts_batches:
                found = [
                    [part for batch in share for part in parts_of_similar_length(batch, lengths)] for share in found
                ]
            yield found

    def _train(self) -> float:
        """Run the steps of the epoch that are left; return the mean loss over its texts."""
        step, settings = self.parts.step, self.parts.settings
        step.passes.model.train()
        for number, shares in enumerate(self._shares(self.epoch)):
            if number < self.steps:
                continue
            rate, rows = step.learning_rate, sum(len(batch) for share in shares for batch in share)
            loss, norm = self._taken(shares)
            self._tell_of_memory()
            self.losses += loss * rows
            self.samples += rows
            self.steps += 1
            line = {"step": step.count, "epoch": self.epoch, "loss": loss, "learning_rate": rate, "grad_norm": norm}
            self.parts.journal.step({**line, "samples": rows})
            self.advance(f"epoch {self.epoch}  loss {loss:.3f}")
            self._stop_if_asked()
            if settings.save_steps and step.count % settings.save_steps == 0:
                self.meter.pause()
                self._save()
                self.meter.resume()
        return self.losses / len(step.passes.row_loss.lengths)

    def _taken(self, shares: Shares) -> tuple[float, float]:
        step = self.parts.step
        try:
            return step.take(shares, self.epoch)
        except ResourceError:  # before the weights were changed
            self.meter.pause()
            if step.ranks.count == 1 and step.count > self.saved_step:
                self._save()
            raise

    def _tell_of_memory(self) -> None:
        found = self.parts.step.micro_batches.smaller
        for one in found[self.told :]:
            self.parts.journal.reporter.note(one.note)
        self.told = len(found)

    def _validate(self, train_loss: float) -> None:
        step, found, epoch = self.parts.step, self.parts.validation.measure(self.cached.validation), self.epoch
        if not math.isfinite(found.loss):
            raise step.diverged(f"epoch {epoch}: the validation loss is {found.loss}; training was stopped.")
        figures, rate = found.metrics, step.learning_rate
        self.done.append(
            Epoch(epoch=epoch, train_loss=train_loss, metrics=figures, learning_rate=rate, validation_loss=found.loss)
        )
        step.schedule.after_validation(found.loss)
        self.parts.journal.epoch(self.done[-1], self.parts.validation.task.metrics[0], step.count)
        self._keep_if_best(epoch, found)

    def _keep_if_best(self, epoch: int, found: Validated) -> None:
        step = self.parts.step
        is_settled = step.passes.method.is_settled(step.passes.plain_model, step.count)
        is_best = is_settled and self.best.improved(epoch, found.metrics, found.loss)
        if is_best and self.parts.settings.load_best_model_at_end:
            self.parts.checkpoints.save_best(epoch)

    def _save_where_cheap(self) -> None:
        """Write a checkpoint unless all of them would then cost more than a hundredth of the training.

        Where `save_steps` led to one of this very step, none is missing.
        """
        saved, mean = self.saved, self.saved.runtime / max(1, self.saved.count)
        too_dear = saved.runtime + mean > MOST_SHARE * self.meter.spent.runtime
        if saved.count and self.parts.step.ranks.any_signal(int(too_dear)):
            is_missing = self.saved_step < self.parts.step.count
            self.saved = saved.model_copy(update={"skipped": saved.skipped + is_missing})
        else:
            self._save()

    def _save(self) -> None:
        """Write a checkpoint of now; the clock of training stands still."""
        step, began = self.parts.step, time.perf_counter()
        step.micro_batches.agree(step.ranks, step.count)
        files, numbers = state_of(step)
        require_finite(step, files)
        self.frozen = self.frozen or frozen_sha256(step.passes.plain_model)
        between = 0 if self.steps else len(self.done)
        size = self.parts.checkpoints.save(step.count, files, {**numbers, **self._progress()}, between)
        seconds = self.saved.runtime + time.perf_counter() - began
        self.saved_step = step.count
        written = {"count": self.saved.count + 1, "runtime": seconds, "bytes": size}
        self.saved = self.saved.model_copy(update=written)

    def _progress(self) -> dict[str, Any]:
        """Return where these epochs are, as JSON values."""
        return {
            "epoch": self.epoch,
            "steps_in_epoch": self.steps,
            "losses": self.losses,
            "samples": self.samples,
            "epochs": [epoch.model_dump() for epoch in self.done],
            "best": self.best.as_json(),
            "keeps_best": self.parts.settings.load_best_model_at_end,
            "runtime": self.meter.spent.runtime,
            "resumed": [one.model_dump() for one in self.resumed],
            "saved": self.saved.model_dump(),
            "precision": asdict(self.parts.precision),
            "frozen_sha256": self.frozen,
            "smaller": [one.model_dump() for one in self.parts.step.micro_batches.smaller],
        }

    def go_on(self, found: Checkpoint, recomputed: int) -> None:
        """Go on from a checkpoint, after which `recomputed` steps had been taken that are taken again."""
        state, step = found.state, self.parts.step
        restore(step, found)
        step.micro_batches.restore(state["smaller"])
        self.told = len(step.micro_batches.smaller)
        self.epoch, self.steps, self.losses = state["epoch"], state["steps_in_epoch"], state["losses"]
        self.samples, self.done = state["samples"], [Epoch.model_validate(one) for one in state["epochs"]]
        self.best.restore(state["best"])
        self.meter.spent.runtime += state["runtime"]
        self.resumed = [Resumed.model_validate(one) for one in state["resumed"]]
        self.saved_step = step.count
        self.resumed.append(Resumed(from_step=step.count, recomputed_steps=recomputed))
        self.saved, self.frozen = Saved.model_validate(state["saved"]), state["frozen_sha256"]
        if frozen_sha256(step.passes.plain_model) != self.frozen:
            message = f"{found.folder}: the weights that are not trained are others than when the run was interrupted."
            raise ArtifactError("ARTIFACT-048", message, "Give the base model back that it had, or run again.")
        for _ in range(step.count):
            self.advance()
        self._fill_cache()

    def _fill_cache(self) -> None:
        """Compute again what frozen layers gave for the texts so far, in the batches in which they were first seen.

        The same text in another batch may differ in the last bit.
        """
        if not self.cached.choice.used:
            return
        step = self.parts.step
        step.passes.model.train()
        for number, shares in enumerate(self._shares(1)):
            if self.epoch == 1 and number >= self.steps:
                break
            step.look(shares[step.ranks.rank], 1, number + 1)
        if self.epoch > 1:
            self.parts.validation.measure(self.cached.validation)

    def _stop_if_asked(self) -> None:
        step = self.parts.step
        number = step.ranks.any_signal(self.stop.number)
        if number is None:
            return
        self.meter.pause()
        self._save()
        message = f"interrupted after step {step.count}; a checkpoint was written."
        raise InterruptedRunError("RUN-001", message, signal_number=number)
