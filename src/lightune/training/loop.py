"""The training loop, on Accelerate: fit, epoch, step."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from lightune import runtime
from lightune.errors import InterruptedRunError, TrainingDivergedError
from lightune.evaluation.cost import Meter, Spent
from lightune.evaluation.evaluate import validate
from lightune.evaluation.metrics import Metrics
from lightune.progress import Reporter
from lightune.ragged.door import padding_free, supported
from lightune.recipe import TrainingBlock
from lightune.training.averaging import WeightAverage
from lightune.training.batches import parts_of_similar_length, shared_steps, steps_per_epoch
from lightune.training.best import Best
from lightune.training.cache_frozen import Cached, cache_frozen
from lightune.training.checkpoint import checkpoint_name, load_checkpoint, save_checkpoint
from lightune.training.interrupt import StopRequest
from lightune.training.lean import lean
from lightune.training.optimizer import Schedule, make_optimizer
from lightune.training.passes import Passes, make_passes, recomputing
from lightune.training.ranks import Ranks, all_ranks
from lightune.training.row_loss import Examples, RowLoss

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import nn
    from transformers import PreTrainedTokenizerBase

    from lightune.methods import Method


@dataclass
class Fitted:
    """What training did: record.Training's fields without the rates."""

    steps: int = 0
    samples: int = 0
    best_epoch: int = 0
    epochs: list[dict[str, Any]] = field(default_factory=list)
    spent: Spent = field(default_factory=Spent)


@dataclass
class Loop:
    """Everything a fit needs. `folder` receives metrics.jsonl and checkpoints/, from the first of several processes."""

    model: nn.Module
    method: Method
    tokenizer: PreTrainedTokenizerBase
    train: Examples
    validation: Examples
    settings: TrainingBlock
    learning_rate: float
    eval_batch_size: int
    folder: Path
    accelerator: Accelerator
    reporter: Reporter
    in_bf16: bool = False  # whether frozen layers compute in bf16

    # What a fit works with; made by `fit`.
    ranks: Ranks = field(init=False)
    optimizer: Any = field(init=False)
    schedule: Schedule = field(init=False)
    trained: list[Any] = field(init=False)
    done: Fitted = field(init=False)
    best: Best = field(init=False)
    stop: StopRequest = field(init=False)
    log: TextIO = field(init=False)
    meter: Meter = field(init=False)
    row_loss: RowLoss = field(init=False)
    passes: Passes = field(init=False)
    average: WeightAverage = field(init=False)
    cached: Cached = field(init=False)
    cuts_batches: bool = field(init=False)
    advance: Callable[..., None] = field(init=False)

    def fit(self) -> Fitted:
        """Train, keep the weights of the best epoch (or, if so set, of the last), and return what was done.

        Raises TrainingDivergedError before the optimizer would take a step on a loss or gradient that is no finite
        number (and after an epoch whose validation loss is none), and InterruptedRunError after writing a checkpoint
        when the process is asked to stop.
        """
        import torch

        self.ranks = all_ranks()
        steps = steps_per_epoch(len(self.train.encoded), self.settings, self.ranks.count)
        total = steps * self.settings.num_train_epochs
        self._prepare(total)
        path = self.folder / "metrics.jsonl" if self.ranks.is_first else Path(os.devnull)
        with (
            torch.random.fork_rng(),
            StopRequest() as self.stop,
            path.open("w", encoding="utf-8") as self.log,
            recomputing(self.passes.plain_model, self.settings.gradient_checkpointing),
            padding_free(self.model, logits_only=True),
            lean(self.model, self.in_bf16),
            cache_frozen(self.model, self.passes, self.validation.encoded, self.settings, self.folder) as self.cached,
        ):
            with Meter(self.accelerator.device) as self.meter, self.reporter.steps("training", total) as self.advance:
                self._fit_epochs()
            self.done.spent = self.meter.spent
        self.optimizer.zero_grad(set_to_none=True)
        self._restore_best()
        return self.done

    def _prepare(self, total: int) -> None:
        """Make what a fit of so many steps works with."""
        self.ranks.start_alike(self.model)
        self.method.before_training(self.model, total)
        factors = self.method.rate_factors(self.model)
        optimizer = make_optimizer(self.model, self.settings, self.learning_rate, factors)
        # Without DistributedDataParallel, whose work `ranks` does; in one process that is all that `prepare` would do.
        self.model = self.accelerator.prepare_model(self.model, evaluation_mode=True)
        self.optimizer = self.accelerator.prepare_optimizer(optimizer)
        self.schedule = Schedule(optimizer, self.settings, total)
        self.trained = [value for value in self.model.parameters() if value.requires_grad]
        self.row_loss = RowLoss(self.tokenizer, self.train, self.settings)
        self.passes = make_passes(self.model, self.method, self.row_loss, self.accelerator, self.settings)
        # On a CPU padding costs more than further calls; a GPU waits for the calls.
        self.cuts_batches = self.accelerator.device.type == "cpu" and not supported(self.model)
        self.average = WeightAverage(self.trained, self.settings.weight_averaging, total)
        self.done, self.best = Fitted(), Best(self.settings.metric_for_best_model)

    def _fit_epochs(self) -> None:
        if self.cached.choice.used:
            self.reporter.note(self.cached.choice.note)
        for epoch in range(1, self.settings.num_train_epochs + 1):
            loss = self._run_epoch(epoch)
            self.meter.pause()
            self._after_epoch(epoch, loss)
            self._stop_if_asked()
            self.meter.resume()
            patience = self.settings.early_stopping_patience
            if patience and self.best.epoch and epoch - self.best.epoch >= patience:
                self.reporter.note(f"stopped early: {patience} epochs without a better {self.best.metric}")
                return

    def _run_epoch(self, epoch: int) -> float:
        self.model.train()
        losses = 0.0
        lengths = self.train.encoded.lengths
        for shares in shared_steps(lengths, self.settings, epoch, self.ranks.count):
            if self.cuts_batches:
                shares = [
                    [part for batch in share for part in parts_of_similar_length(batch, lengths)] for share in shares
                ]
            loss, norm = self._train_step(epoch, shares)
            rows = sum(len(batch) for share in shares for batch in share)
            losses += loss * rows
            self.done.steps += 1
            self.done.samples += rows
            self._after_step(epoch, loss, norm, rows)
        return losses / len(self.train.encoded)

    def _train_step(self, epoch: int, shares: list[list[list[int]]]) -> tuple[float, float]:
        """Return (mean loss over the step's examples, gradient norm before clipping).

        A share is the micro-batches of a rank. The step's loss is sum(w_i l_i) / sum(w_i) over its rows, w_i being 1
        without class weights. A micro-batch m yields its own weighted mean L_m; with W_m = sum of its w_i, the
        step's is sum_m (W_m / sum_m W_m) L_m, over the micro-batches of all ranks.
        """
        import torch

        rows = sum(len(batch) for share in shares for batch in share)
        whole = sum(self.row_loss.weight(batch) for share in shares for batch in share)
        plain = []
        for number, batch in enumerate(shares[self.ranks.rank]):
            # The first rank draws what one process would.
            key = (epoch, self.done.steps, number, self.ranks.rank)
            runtime.reseed(self.settings.seed, "dropout", *(key if self.ranks.rank else key[:3]))
            plain.append(self.passes.run(batch, epoch, self.row_loss.weight(batch) / whole))
        self.ranks.sum_gradients(self.trained)
        norm = self.accelerator.clip_grad_norm_(self.trained, self.settings.max_grad_norm or math.inf)
        *means, norm = torch.stack([*plain, norm]).tolist()  # a GPU is waited for but here
        total = sum(mean * (len(batch) / rows) for mean, batch in zip(means, shares[self.ranks.rank], strict=True))
        total = self._finite(self.ranks.sum(total), "loss")
        norm = self._finite(norm, "gradient norm")
        self.optimizer.step()
        self.method.after_step(self.passes.plain_model, self.done.steps + 1)
        self.optimizer.zero_grad(set_to_none=not self.passes.records)
        return total, norm

    def _finite(self, value: float, what: str) -> float:
        if math.isfinite(value):
            return value
        raise self._diverged(
            f"step {self.done.steps + 1}: the {what} is {value}; training was stopped before the weights were touched."
        )

    def _diverged(self, message: str) -> TrainingDivergedError:
        hint = (
            f"Lower the learning rate (it was {self.schedule.learning_rate:.2g}): "
            f"--learning-rate {self.learning_rate / 10:.2g}"
        )
        return TrainingDivergedError("TRAIN-001", message, hint)

    def _after_step(self, epoch: int, loss: float, norm: float, rows: int) -> None:
        line = {
            "step": self.done.steps,
            "epoch": epoch,
            "loss": loss,
            "learning_rate": self.schedule.learning_rate,
            "grad_norm": norm,
            "samples": rows,
        }
        self.schedule.step()
        self.average.update(self.done.steps)
        self.log.write(json.dumps(line) + "\n")
        if self.settings.report_to:
            self.accelerator.log({f"train/{name}": value for name, value in line.items()}, step=self.done.steps)
        self.advance(f"epoch {epoch}  loss {loss:.3f}")
        self._stop_if_asked()
        if self.settings.save_steps and self.done.steps % self.settings.save_steps == 0:
            self._save_latest()

    def _after_epoch(self, epoch: int, train_loss: float) -> None:
        with self.average.applied():
            self._validate(epoch, train_loss)

    def _validate(self, epoch: int, train_loss: float) -> None:
        rate = self.schedule.learning_rate
        found = self._measured()
        if not math.isfinite(found.loss):
            raise self._diverged(f"epoch {epoch}: the validation loss is {found.loss}; training was stopped.")
        self.schedule.after_validation(found.loss)
        figures = {
            "train_loss": train_loss,
            "validation_loss": found.loss,
            "validation_accuracy": found.accuracy,
            "validation_f1_macro": found.f1_macro,
        }
        self.done.epochs.append({"epoch": epoch, **figures, "learning_rate": rate})
        self.log.flush()
        if self.settings.report_to:
            self.accelerator.log({f"validation/{name}": value for name, value in figures.items()}, step=self.done.steps)
        self.reporter.note(
            f"epoch {epoch}: train loss {train_loss:.3f}, validation loss {found.loss:.3f}, "
            f"validation accuracy {found.accuracy:.3f}"
        )
        self.done.best_epoch = self.best.epoch if self.settings.load_best_model_at_end else epoch
        is_settled = self.method.is_settled(self.accelerator.unwrap_model(self.model), self.done.steps)
        if is_settled and self.best.improved(epoch, found) and self.settings.load_best_model_at_end:
            self.done.best_epoch = epoch
            self._save("best", with_optimizer=False)

    def _measured(self) -> Metrics:
        """Return the metrics of the validation texts; the first rank measures, and the others decide by its figures."""
        if not self.ranks.is_first:
            return Metrics(**json.loads(self.ranks.told()))
        texts, labels, around = self.validation.encoded, self.validation.labels, self.cached.validation
        found = validate(self.model, self.tokenizer, texts, labels, self.eval_batch_size, around)
        self.ranks.told(json.dumps(vars(found)))
        return found

    def _restore_best(self) -> None:
        self.model = self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
        self.average.keep()
        if self.settings.load_best_model_at_end and self.ranks.is_first:
            tensors, _ = load_checkpoint(self.folder / "checkpoints" / "best")
            self.method.load_state(self.model, tensors)
        self.model.eval()

    def _save(self, name: str, with_optimizer: bool) -> Path:
        folder = self.folder / "checkpoints" / name
        if not self.ranks.is_first:
            return folder
        model = self.accelerator.unwrap_model(self.model)
        state = {"step": self.done.steps, "epochs": self.done.epochs, "best_epoch": self.best.epoch}
        optimizer = self.optimizer.optimizer if with_optimizer else None
        return save_checkpoint(folder, self.method.state(model), state, optimizer)

    def _save_latest(self) -> Path:
        self.meter.pause()
        folder = self._save(checkpoint_name(self.done.steps), with_optimizer=True)
        self.meter.resume()
        return folder

    def _stop_if_asked(self) -> None:
        number = self.ranks.any_stop(self.stop.number)
        if number is None:
            return
        folder = self._save_latest()
        message = f"interrupted after step {self.done.steps}; a checkpoint was written to {folder}."
        hint = f"This version cannot resume from it; remove {self.folder} when you no longer need it."
        raise InterruptedRunError("RUN-001", message, hint, signal_number=number)
