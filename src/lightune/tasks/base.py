"""What a task is: the targets of texts, the loss of a model, and how answers are measured and shown.

A new task is one file. All other code calls these methods and never asks which task it is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from lightune.errors import RecipeError, did_you_mean
from lightune.faults import Fault
from lightune.measured import Metric
from lightune.sections import Baseline, Evaluation, TaskRecord
from lightune.tasks.answers import Answer
from lightune.tasks.columns import LabelColumn, SplitTargets, Wishes
from lightune.tasks.linear import Constant, HeadStart, LinearModel

if TYPE_CHECKING:
    import torch

Array = NDArray[Any]
# The code of a target that the training file lacks; data.on_unseen_label says what happens to such rows.
UNSEEN = "DATA-014"
CHUNK = 2048  # texts whose answers are made at a time


@dataclass(frozen=True)
class Task(ABC):
    """The base of every task; an instance knows its labels, if it has any.

    - `auto_model`: transformers' MODEL_FOR_<...>_MAPPING has the model's class; `head_class` is the end of its name.
    - `peft_type`: PEFT's task type. `hub_tag`: what the Hugging Face Hub calls the task.
    - `reads`: whether a head answers once for a "text", or for each of its "tokens".
    - `metrics`: the first is the headline, and chooses the best epoch unless a recipe says otherwise.
    - `label_columns`: the usual names of its column. `target_column`: its name in predictions.csv.
    """

    name: ClassVar[str]
    auto_model: ClassVar[str] = "SEQUENCE_CLASSIFICATION"
    head_class: ClassVar[str] = "ForSequenceClassification"
    peft_type: ClassVar[str] = "SEQ_CLS"
    hub_tag: ClassVar[str] = "text-classification"
    reads: ClassVar[Literal["text", "tokens"]] = "text"
    metrics: ClassVar[tuple[Metric, ...]]
    label_columns: ClassVar[tuple[str, ...]] = ()
    target_column: ClassVar[str] = "label"

    labels: tuple[str, ...] = ()

    @classmethod
    def metric(cls, name: str | None) -> Metric:
        """Return the metric of this name, the headline when none is named. Raises RecipeError for an unknown one."""
        found = {metric.name: metric for metric in cls.metrics}
        if name is None:
            return cls.metrics[0]
        if name not in found:
            text = f'training.metric_for_best_model: "{name}" is not a metric of the task {cls.name}.'
            raise RecipeError("RECIPE-015", text, f"{did_you_mean(name, found)} Valid: {', '.join(found)}.".strip())
        return found[name]

    # What a file holds

    @classmethod
    def claims(cls, column: LabelColumn) -> bool:
        """Say whether `task: auto` takes the column for this task; the first task that claims a column gets it."""
        return False

    @classmethod
    @abstractmethod
    def of(cls, column: LabelColumn, wishes: Wishes) -> Task:
        """Return the task of a training file's column. Raises DataError when its cells cannot be such targets."""

    @classmethod
    def of_checkpoint(cls, config: Mapping[str, Any]) -> Task | None:
        """Return the task of a finished model from its config.json, or None when it is not this one."""
        return None

    @abstractmethod
    def reader(self, class_names: Sequence[str]) -> Callable[[Any], Any]:
        """Return a function that turns a cell into a target, or into the Fault that says why it is not one.

        `class_names` are the file's own names for class indices. A target that training lacks has the code UNSEEN.
        """

    def in_words_of(self, column: LabelColumn) -> Task:
        """Return the same task with a file's names for its labels; for a model that was trained elsewhere."""
        return self

    def targets(self, rows: int) -> Array:
        """Return an array for the targets of this many rows; the first axis is the row."""
        return np.zeros(rows, np.int32)

    def shown(self, target: Any) -> str:
        """Return a target as people write it: the label of that number, or the number where there are no labels."""
        return self.labels[int(target)] if self.labels else str(target)

    def tally(self, targets: Array) -> dict[str, int]:
        """Return how often each label occurs, where targets are label numbers; nothing for a task without labels."""
        if not self.labels:
            return {}
        return dict(zip(self.labels, np.bincount(targets, minlength=len(self.labels)).tolist(), strict=True))

    def strata(self, targets: Array) -> NDArray[np.int64]:
        """Return a number for each target: rows are drawn so that each number keeps its proportion.

        By default the label's, and one for all where there are no labels.
        """
        return np.asarray(targets, np.int64) if self.labels else np.zeros(len(targets), np.int64)

    def same(self, targets: Array) -> NDArray[np.int64]:
        """Return a number for each target, which is equal for two that agree; by default those that are equal."""
        return np.unique(targets, axis=0, return_inverse=True)[1].reshape(len(targets)).astype(np.int64)

    def check(self, splits: Mapping[str, SplitTargets], wishes: Wishes) -> tuple[list[Fault], list[Fault]]:
        """Return (faults, warnings) of the targets of all splits, of which "train" is one."""
        return [], []

    def drawn(self, targets: Array, origin: str) -> list[Fault]:
        """Return what is wrong with the targets that were drawn for training."""
        return []

    # The model

    @property
    def outputs(self) -> int:
        """The number of logits per text (or per token)."""
        return len(self.labels)

    def config(self) -> dict[str, Any]:
        """Return what a transformers configuration says about the task; `id2label` names the outputs."""
        names = self.labels if len(self.labels) == self.outputs else [f"LABEL_{row}" for row in range(self.outputs)]
        return {
            "num_labels": self.outputs,
            "id2label": dict(enumerate(names)),
            "label2id": {name: row for row, name in enumerate(names)},
            "problem_type": None,
        }

    # Training

    def collate(self, targets: Array, width: int) -> torch.Tensor:
        """Return the targets of a batch as a tensor; `width` is the number of positions of its padded texts."""
        import torch

        return torch.from_numpy(np.asarray(targets, np.int64))

    def require(self, wishes: Wishes) -> None:
        """Raise RecipeError for settings that the task does not have: class weights, a head start."""
        if wishes.class_weights != "none":
            text = f"training.class_weights: the task {self.name} has no classes to weight."
            raise RecipeError("RECIPE-017", text, "Leave it out.")
        if wishes.head_start != "random":
            text = f"training.head_start: the task {self.name} has no linear model for a head to start from."
            raise RecipeError("RECIPE-016", text, "Leave it out.")

    def weights(self, targets: Array, wishes: Wishes) -> Array | None:
        """Return the weight of each text in training, or None where all weigh the same.

        Raises RecipeError where class weights are asked for and the task has none.
        """
        self.require(wishes)
        return None

    def fitted(self, validation: Callable[[], tuple[Array, Array]]) -> Task:
        """Return the task as it answers after training, with thresholds for example; itself where nothing is fitted.

        `validation` gives (logits, targets) of the validation texts, and computes them when it is called.
        """
        return self

    @abstractmethod
    def losses(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss of each text: (texts,)."""

    def mean_loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of texts that weigh the same."""
        return self.losses(logits, targets).mean()

    # Answers and metrics

    @property
    def answer_columns(self) -> tuple[str, ...]:
        """The columns that a file of answers gets, those of `Answer.cells`."""
        return ("prediction",)

    @abstractmethod
    def decode(self, logits: Array) -> Sequence[Answer]:
        """Return the answer to each text from its logits."""

    def cells(self, logits: Array) -> Iterator[tuple[str, ...]]:
        """Yield the cells of each text's answer, as those of `decode`; override it where a file needs no objects."""
        for start in range(0, len(logits), CHUNK):
            yield from (answer.cells() for answer in self.decode(logits[start : start + CHUNK]))

    def answer_object(self, cells: Sequence[str]) -> dict[str, Any]:
        """Return an answer as JSON values from its cells in a file."""
        return dict(zip(self.answer_columns, cells, strict=True))

    def agree(self, logits: Array, others: Array) -> bool:
        """Say whether two models that differ by rounding give the same answers."""
        return True

    @abstractmethod
    def measure(self, logits: Array, targets: Array) -> dict[str, float | None]:
        """Return every metric by its name; None for one that is undefined for these texts or answers."""

    def measure_part(self, logits: Array, targets: Array) -> dict[str, float | None]:
        """Return the metrics of a part of the texts, in which some labels may not occur."""
        return self.measure(logits, targets)

    def details(self, logits: Array, targets: Array) -> dict[str, Any]:
        """Return further results, as JSON values; the report draws those that it knows."""
        return {}

    @abstractmethod
    def count(self, cells: Sequence[str], target: Any) -> tuple[float, ...]:
        """Return what the answer in these cells adds to the sums that give the headline metric."""

    def counts(self, logits: Array, targets: Array) -> Array:
        """Return what each answer adds to those sums: (texts, sums)."""
        answers = zip(self.decode(logits), targets, strict=True)
        return np.array([self.count(answer.cells(), target) for answer, target in answers], float)

    def headline(self, sums: Array, texts: int) -> Array:
        """Return the headline metric from sums over this many texts, (..., sums) to (...); by default the mean.

        The bootstrap of a metric that is not a mean uses it.
        """
        found: Array = sums[..., 0] / texts
        return found

    def cautions(self, after: Evaluation, baselines: Mapping[str, Baseline], best: str | None) -> list[str]:
        """Return sentences on what the headline does not say; `best` is the baseline that it compares with."""
        return []

    # Baselines

    def constant(self, targets: Array) -> Constant | None:
        """Return the best constant answer to texts with these targets."""
        return None

    def linear(self, features: Any, targets: Array, strengths: Sequence[float], scaled: bool) -> LinearModel | None:
        """Fit a linear model whose penalty is one of `strengths`, chosen by cross-validation; None without one.

        `features` are (texts, width), dense or sparse, and are standardised first if `scaled`.
        """
        return None

    def head_start(self, inputs: Array, targets: Array, has_bias: bool) -> HeadStart | None:
        """Fit initial weights of an output layer to its inputs, (texts, width); None where the task has none."""
        return None

    # On disk

    def as_json(self) -> dict[str, Any]:
        """Return the task as lightune.json stores it."""
        return {"name": self.name, **{key: list(value) if isinstance(value, tuple) else value
                                      for key, value in asdict(self).items()}}  # fmt: skip

    def described(self) -> str:
        """Say in a sentence what a model of this task is; by default the first line of the task's docstring."""
        return (type(self).__doc__ or self.name).strip().splitlines()[0]

    def record(self) -> TaskRecord:
        """Return what the record says about the task."""
        return TaskRecord(
            name=self.name,
            labels=list(self.labels),
            outputs=self.outputs,
            metrics=list(self.metrics),
            hub_tag=self.hub_tag,
            model_class=f"AutoModel{self.head_class}",
            target_column=self.target_column,
            answer_columns=list(self.answer_columns),
            describes=self.described(),
        )
