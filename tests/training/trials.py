"""A training that a test can look into: what is trained may be changed until its loop is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from lightune.progress import Silent
from lightune.recipe import SettledTraining
from lightune.training.batch_loss import Examples
from lightune.training.loop import Fitted, Loop
from lightune.training.train import Job, Surroundings, Texts, attach, make_loop


@dataclass
class Trial:
    """A loaded model with a method attached, the texts, and the settings; `loop` is made when it is first asked for.

    A precision of `auto` is fp32 here: a probe would take longer than a fit, and find what the machine is like.
    """

    loaded: Any
    method: Any
    train: Examples
    validation: Examples
    settings: SettledTraining
    folder: Path
    reporter: Any = field(default_factory=Silent)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        if self.settings.precision == "auto":
            self.settings = self.settings.model_copy(update={"precision": "fp32"})
        self.tokenizer = self.loaded.tokenizer
        self.model: Any = attach(self.loaded, self.method, self.train, self.settings).model

    @property
    def job(self) -> Job:
        """What `train` would do after attaching."""
        texts = Texts(self.train, self.validation)
        surroundings = Surroundings(self.folder, self.reporter)
        return Job(self.model, self.method, self.loaded.task, self.tokenizer, texts, self.settings, surroundings)

    @cached_property
    def loop(self) -> Loop:
        """The loop that `train` would make."""
        return make_loop(self.job, self.job.precision())

    @property
    def learning_rate(self) -> float:
        """The rate that the schedule starts from."""
        return self.job.learning_rate

    @property
    def accelerator(self) -> Any:
        """The accelerator of the loop."""
        return self.loop.step.passes.accelerator

    def fit(self) -> Fitted:
        """Train, and return what was done."""
        return self.loop.fit()
