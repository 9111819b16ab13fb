"""What a task is: the targets of texts, the loss of a model, and how answers are measured and shown.

A new task is one file. All other code calls these methods and never asks which task it is.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from lightune.errors import RecipeError
from lightune.sections import Baseline, Evaluation, TaskRecord
from lightune.tasks.answers import Answer, confidence_of
from lightune.tasks.columns import Wishes
from lightune.tasks.linear import Constant, HeadStart, LinearModel
from lightune.tasks.targets import Array, Targets

if TYPE_CHECKING:
    import torch

CHUNK = 2048  # texts whose answers are made at a time
# The metadata of a field that is only stored where it is set, so that older versions read what they know.
ONLY_IF_SET = {"only_if_set": True}


@dataclass(frozen=True)
class Task(Targets):
    """The base of every task; an instance knows its labels, if it has any.

    - `auto_model`: transformers' MODEL_FOR_<...>_MAPPING has the model's class; `head_class` is the end of its name.
    - `peft_type`: PEFT's task type. `hub_tag`: what the Hugging Face Hub calls the task.
    - `reads`: whether a head answers once for a "text", or for each of its "tokens".
    - `by_output`: the fields that have an entry for each output, or none at all.
    - `metrics`, `label_columns`, `target_column`, and what a file's cells are: see `Targets`.
    """

    auto_model: ClassVar[str] = "SEQUENCE_CLASSIFICATION"
    head_class: ClassVar[str] = "ForSequenceClassification"
    peft_type: ClassVar[str] = "SEQ_CLS"
    hub_tag: ClassVar[str] = "text-classification"
    reads: ClassVar[Literal["text", "tokens"]] = "text"
    by_output: ClassVar[tuple[str, ...]] = ()

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
        if wishes.head_start not in {"auto", "random"}:
            text = f"training.head_start: the task {self.name} has no linear model for a head to start from."
            raise RecipeError("RECIPE-016", text, "Leave it out.")

    def weights(self, targets: Array, wishes: Wishes) -> Array | None:
        """Return the weight of each loss in training, in the shape of `losses`, or None where all weigh the same.

        Raises RecipeError where class weights are asked for and the task has none.
        """
        self.require(wishes)
        return None

    def calibrated(self, validation: Callable[[], tuple[Array, Array]]) -> tuple[Task, list[str]]:
        """Return (the task with probabilities that are calibrated on the validation texts, notes); by default itself.

        It is called before `fitted`, unless `training.calibration` is none. It changes neither `losses`, nor the loss
        among the metrics, nor the best label.
        """
        return self, []

    def fitted(self, validation: Callable[[], tuple[Array, Array]]) -> tuple[Task, list[str]]:
        """Return (the task as it answers after training, with thresholds for example; notes on what was fitted).

        `validation` gives (logits, targets) of the validation texts, and computes them when it is called. By default
        nothing is fitted.
        """
        return self, []

    def for_head(self, has_bias: bool) -> Task:
        """Return the task for a model whose output layer has a bias or none; by default itself."""
        return self

    def into_answers(self, output_layer: Callable[[], Any]) -> Task:
        """Change the output layer of a trained model so that it gives answers; return the task of that model.

        `output_layer` returns the layer. By default it gives answers already.
        """
        return self

    def into_targets(self, output_layer: Any) -> None:
        """Change a checkpoint's own output layer, which gives answers, into one for `losses`; by default it is one."""

    @abstractmethod
    def losses(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss of each text, (texts,), or of each of its outputs, (texts, outputs), to be minimised."""

    def mean_loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of texts that weigh the same."""
        return self.losses(logits, targets).mean()

    # Answers and metrics

    @property
    def tolerance(self) -> Array:
        """How much two logits may differ that are computed from the same weights in another way: (outputs,)."""
        return np.full(self.outputs, 1e-4)

    @property
    def answer_columns(self) -> tuple[str, ...]:
        """The columns that a file of answers gets, those of `Answer.cells`."""
        return ("prediction",)

    @property
    def number_columns(self) -> tuple[str, ...]:
        """Those of `answer_columns` that hold numbers: by default all but the first."""
        return self.answer_columns[1:]

    @abstractmethod
    def decode(self, logits: Array) -> Sequence[Answer]:
        """Return the answer to each text from its logits."""

    def probabilities(self, logits: Array) -> Array:
        """Return the probability of each label, (texts, labels), in the order of `labels`; by default its answers'.

        Raises RecipeError for a task whose answers have none.
        """
        found: list[Any] = [getattr(answer, "probabilities", None) for answer in self.decode(logits)]
        if not self.labels or None in found:
            text = f"the task {self.name} has no probabilities of labels."
            raise RecipeError("RECIPE-095", text, "predict gives its answers.")
        return np.array([[shares[label] for label in self.labels] for shares in found]).reshape(-1, len(self.labels))

    def cells(self, logits: Array) -> Iterator[tuple[str, ...]]:
        """Yield the cells of each text's answer, as those of `decode`; override it where a file needs no objects."""
        for start in range(0, len(logits), CHUNK):
            yield from (answer.cells() for answer in self.decode(logits[start : start + CHUNK]))

    def confidences(self, logits: Array) -> Array | None:
        """Return the `confidence` of each answer, (texts,); None where answers have none."""
        found: list[float] = []
        for start in range(0, len(logits), CHUNK):
            found += map(confidence_of, self.decode(logits[start : start + CHUNK]))
        return None if np.isnan(found).any() else np.array(found)

    def are_right(self, logits: Array, targets: Array) -> Array:
        """Say which answers are right, that is, are written as the target is: (texts,)."""
        answers = zip(self.cells(logits), targets, strict=True)
        return np.array([cells[0] == self.shown(target) for cells, target in answers], bool)

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

    def cosine(self, cosines: Array, targets: Array) -> LinearModel | None:
        """Fit an answer to the cosine of a pair's two texts, (texts, 1); None where that is no baseline."""
        return None

    def head_start(self, inputs: Array, targets: Array, has_bias: bool) -> HeadStart | None:
        """Fit initial weights of an output layer to its inputs, (texts, width); None where the task has none."""
        return None

    def usual_head_start(self, texts: int) -> str:
        """Return what `training.head_start: auto` means with so many training texts: "random" or "probe"."""
        return "random"

    # On disk

    def as_json(self) -> dict[str, Any]:
        """Return the task as lightune.json stores it."""
        omitted = {one.name for one in fields(self) if one.metadata == ONLY_IF_SET and not getattr(self, one.name)}
        stored = {key: value for key, value in asdict(self).items() if key not in omitted}
        listed = {key: list(value) if isinstance(value, tuple) else value for key, value in stored.items()}
        return {"name": self.name, **listed}

    def described(self) -> str:
        """Say in a sentence what a model of this task is; by default the first line of the task's docstring."""
        return (type(self).__doc__ or self.name).strip().splitlines()[0]

    def reads_logits(self) -> list[str]:
        """Return Python that prints the answer from `logits`, a tensor (1, outputs), without lightune."""
        return ["print(logits.tolist())"]

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
            reads_logits=self.reads_logits(),
        )
