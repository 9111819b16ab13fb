"""Training a loaded model with a method: from attaching the method to the weights that are kept.

A Loop is made only here, so that all training is the same as in `lightune run`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lightune.evaluation.evaluate import to_device
from lightune.execution.precision_probe import Precision
from lightune.methods.base import Attachment, Method
from lightune.models.load import LoadedModel
from lightune.progress import Reporter, Silent
from lightune.recipe import SettledTraining
from lightune.sections import Training
from lightune.tasks.base import Task
from lightune.training.accelerate_setup import make_accelerator
from lightune.training.batch_loss import Examples, RowLoss
from lightune.training.batches import training_batches
from lightune.training.cache_frozen import CacheChoice
from lightune.training.checkpoint import Checkpoint, Checkpoints
from lightune.training.journal import Journal
from lightune.training.loop import Fitted, Loop
from lightune.training.precision import holds_layers_in_bf16, training_precision
from lightune.training.step import make_step
from lightune.training.validation import Validation

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Texts:
    """The texts that a model is trained on, and those that it is validated on after each epoch."""

    train: Examples
    validation: Examples


@dataclass(frozen=True)
class Tracked:
    """What trackers receive: the name of the project, and its settings."""

    project: str = "lightune"
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Surroundings:
    """Settings of training that do not change the result.

    The folder receives metrics.jsonl and, during training, checkpoints; `eval_batch_size` is for validation. With
    `start` training goes on from a checkpoint of it.
    """

    folder: Path
    reporter: Reporter = field(default_factory=Silent)
    eval_batch_size: int = 64
    tracked: Tracked = field(default_factory=Tracked)
    start: Checkpoint | None = None


@dataclass(frozen=True)
class Choices:
    """What was chosen during training, for environment.json; `cuda_graphs` only if passes may be recorded."""

    precision: Precision
    cache_frozen: CacheChoice
    cuda_graphs: dict[str, int] | None

    def as_json(self) -> dict[str, dict[str, Any]]:
        """Return the entries of environment.json."""
        found = {"precision": {"training": asdict(self.precision)}, "cache_frozen": asdict(self.cache_frozen)}
        return found if self.cuda_graphs is None else {**found, "cuda_graphs": self.cuda_graphs}


@dataclass(frozen=True)
class Trained:
    """A trained model with the weights that are kept, in evaluation mode, and how it was trained.

    `changed` are the modules that the method added, as in Attachment; `usual_learning_rate` is the method's default.
    """

    model: nn.Module
    changed: tuple[str, ...]
    learning_rate: float
    usual_learning_rate: float
    fitted: Fitted
    choices: Choices

    @property
    def section(self) -> Training:
        """The section of the record about the training."""
        fitted = self.fitted
        return Training(
            **fitted.spent.record(fitted.samples, fitted.steps),
            steps=fitted.steps,
            best_epoch=fitted.best_epoch,
            learning_rate=self.learning_rate,
            usual_learning_rate=self.usual_learning_rate,
            precision=self.choices.precision.name,
            epochs=fitted.epochs,
            resumed=fitted.resumed,
            checkpoints=fitted.saved,
            smaller_micro_batches=fitted.smaller,
        )

    @property
    def notes(self) -> list[str]:
        """Notes for the record: where memory was short."""
        return [one.note for one in self.fitted.smaller]


def train(
    loaded: LoadedModel,
    method: Method,
    texts: Texts,
    settings: SettledTraining,
    surroundings: Surroundings,
    attachment: Attachment | None = None,
) -> Trained:
    """Attach the method to the loaded model, in place, train it on its device, and keep the best weights.

    The learning rate is the settings', or else the method's own. The checkpoints stay in the folder. An `attachment`
    is from a method that is already attached to the model; it is trained further.
    Raises the errors of `Loop.fit`, and RecipeError if method, settings and model do not fit together.
    """
    attachment = attachment or attach(loaded, method, texts.train, settings)
    job = Job(attachment.model, method, loaded.task, loaded.tokenizer, texts, settings, surroundings)
    start = surroundings.start
    precision = job.precision() if start is None else Precision(**start.state["precision"])
    loop = make_loop(job, precision)
    try:
        fitted = loop.fit(start)
    finally:
        loop.journal.close()
    loop.journal.finish_trackers()  # not where it failed: then trackers mark the run as ended by an error
    passes = loop.step.passes
    choices = Choices(precision, fitted.cached, passes.about if passes.records else None)
    rates = job.learning_rate, method.default_learning_rate
    return Trained(attachment.model, attachment.changed, *rates, fitted, choices)


def attach(loaded: LoadedModel, method: Method, examples: Examples, settings: SettledTraining) -> Attachment:
    """Attach the method to the loaded model, on its device, and initialize it from training texts if it needs them."""
    device = next(loaded.model.parameters()).device
    attachment = method.attach(loaded.model, loaded.anatomy, settings.seed)
    attachment.model.to(device)
    if method.needs_data:
        batches = training_batches(loaded.tokenizer, examples.encoded, settings)
        method.start_from_data(attachment.model, (to_device(batch, device) for batch in batches))
    return attachment


@dataclass(frozen=True)
class Job:
    """A model with the method attached, and everything that determines how it is trained."""

    model: nn.Module
    method: Method
    task: Task
    tokenizer: PreTrainedTokenizerBase
    texts: Texts
    settings: SettledTraining
    surroundings: Surroundings

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return next(self.model.parameters()).device

    @property
    def learning_rate(self) -> float:
        """The learning rate that the schedule starts from."""
        return learning_rate(self.settings, self.method)

    def precision(self) -> Precision:
        """Return the precision; `auto` on a CPU measures to choose it."""
        tokens = round(np.mean(self.texts.train.encoded.row_lengths) * self.settings.per_device_train_batch_size)
        return training_precision(self.settings.precision, self.device, self.model, tokens)


def learning_rate(settings: SettledTraining, method: Method) -> float:
    """Return the settings' learning rate, or else the method's own."""
    return settings.learning_rate or method.default_learning_rate


def make_loop(job: Job, precision: Precision) -> Loop:
    """Return the loop that does the job, ready to fit once."""
    settings, surroundings = job.settings, job.surroundings
    folder, tracked = surroundings.folder, surroundings.tracked
    in_bf16 = holds_layers_in_bf16(precision, job.device, job.model)
    autocast = "fp32" if in_bf16 else precision.name  # what Accelerate does around each call of the model
    accelerator = make_accelerator(job.device, autocast, settings.report_to, folder, tracked.project, tracked.config)
    row_loss = RowLoss(job.task, job.tokenizer, job.texts.train, settings)
    step = make_step(job.model, job.method, row_loss, accelerator, settings, job.learning_rate)
    model, plain = step.passes.model, step.passes.plain_model
    return Loop(
        step=step,
        validation=Validation(
            model, job.tokenizer, job.task, job.texts.validation, surroundings.eval_batch_size, step.ranks
        ),
        checkpoints=Checkpoints(folder, job.method, plain, step.ranks),
        journal=Journal(folder, accelerator, surroundings.reporter, settings.num_train_epochs),
        settings=settings,
        in_bf16=in_bf16,
        precision=precision,
    )
