"""One number for each text, or several: squared error of standardised targets, R2."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from lightune.faults import Fault
from lightune.measured import PURE, Metric
from lightune.sections import Baseline, Evaluation
from lightune.tasks import number_scores
from lightune.tasks.answers import Numbers
from lightune.tasks.base import Array, Task
from lightune.tasks.checkpoint_labels import label_names
from lightune.tasks.columns import LabelColumn, SplitTargets, Wishes
from lightune.tasks.linear import Constant, HeadStart, LinearModel
from lightune.tasks.number_column import JOIN, NumberReader, claim, named_numbers, require_numbers
from lightune.tasks.number_warnings import all_equal, number_warnings
from lightune.tasks.output_scale import rescale
from lightune.tasks.overview import Overview
from lightune.tasks.registry import register
from lightune.tasks.ridge import fit_ridge

if TYPE_CHECKING:
    import torch

HEAD_DROPOUT, HEAD_STRENGTHS, MANY_TEXTS = 0.1, (1e-4, 1e-3, 1e-2, 1e-1, 1.0), 1000


@register("regression")
@dataclass(frozen=True)
class Regression(Task):
    """Each text has a number, or several.

    `columns` names the numbers, `spread` is the range of each in the training file; of the rows drawn for training
    `low` and `high` are its ends, `means` and `deviations` its mean and standard deviation. A model is trained on
    standardised targets; `is_folded` says that the scale is folded into its output layer: it answers in their unit.
    """

    name: ClassVar[str] = "regression"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(name="r2", title="R2", unit=PURE, hub_name="r_squared", by_group=number_scores.R2_BY_GROUP),
        Metric(name="rmse", title="RMSE", higher_is_better=False, hub_name="rmse"),
        Metric(name="mae", title="MAE", higher_is_better=False, hub_name="mae"),
        Metric(name="spearman", title="Spearman", unit=PURE, hub_name="spearmanr"),
        Metric(name="pearson", title="Pearson", unit=PURE, hub_name="pearsonr"),
    )
    label_columns: ClassVar[tuple[str, ...]] = ("score", "value", "target", "similarity", "similarity_score")
    target_column: ClassVar[str] = "target"
    by_output: ClassVar[tuple[str, ...]] = ("spread", "low", "high", "means", "deviations")

    columns: tuple[str, ...] = ("score",)
    spread: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()
    is_folded: bool = False

    @classmethod
    def claims(cls, column: LabelColumn, wishes: Wishes) -> str:
        """Claim numbers with fractions, and more than 20 different whole numbers."""
        return claim(column, wishes)

    @classmethod
    def of(cls, column: LabelColumn, wishes: Wishes) -> Self:
        """Return the task of one or more columns of numbers. Raises DataError for any other."""
        require_numbers(column)
        names = named_numbers(column)
        read = NumberReader(names)
        found = [target for value in column.values if not isinstance(target := read(value), Fault)]
        if not found:  # the rows' own faults say why
            return cls(columns=names)
        values = np.array(found)
        low, high = (tuple(ends.tolist()) for ends in (values.min(axis=0), values.max(axis=0)))
        return cls(columns=names, spread=tuple(np.ptp(values, axis=0).tolist()), low=low, high=high)

    @classmethod
    def of_checkpoint(cls, config: Mapping[str, Any]) -> Self | None:
        """Return the task of a model that says it is for regression, or has one output and does not say."""
        names, problem = label_names(config), config.get("problem_type")
        is_one = problem is None and len(names) == 1
        return cls(columns=tuple(names), is_folded=True) if problem == "regression" or is_one else None

    def reader(self, class_names: Sequence[str]) -> Callable[[Any], Any]:
        """Return what turns a cell into numbers."""
        return NumberReader(self.columns)

    def instead_of_column(self, columns: Sequence[str]) -> Sequence[str]:
        """Return the columns of the numbers where a file has all of several."""
        return self.columns if len(self.columns) > 1 and set(self.columns) <= set(columns) else ()

    def targets(self, rows: int) -> Array:
        """Return an array of the numbers of each row, in their own unit."""
        return np.zeros((rows, self.outputs))

    def shown(self, target: Any) -> str:
        """Return the number, or the numbers joined."""
        return JOIN.join(f"{value:.15g}" for value in target)

    def strata(self, targets: Array) -> NDArray[np.int64]:
        """Return which tenth of the targets each is in, by size; of several numbers, by their standardised mean."""
        return number_scores.tenths(targets)

    def contradict(self, targets: Array, others: Array) -> NDArray[np.bool_]:
        """Say where two numbers of a text are more than a third of the file's range apart."""
        least = np.array(self.spread or [0.0] * self.outputs) / 3
        return np.asarray((np.abs(targets - others) > least).any(axis=1))

    def check(self, splits: Mapping[str, SplitTargets], wishes: Wishes) -> tuple[list[Fault], list[Fault]]:
        """Return what is wrong or odd with the numbers: all equal, far from all others, few different ones."""
        return number_warnings(splits, self.columns)

    def overview(self, splits: Mapping[str, Array]) -> list[Overview]:
        """Return a histogram of each number."""
        return number_scores.histograms(self.columns, splits)

    def drawn(self, targets: Array, origin: str) -> list[Fault]:
        """Return a fault where all drawn targets are equal."""
        return all_equal(targets, self.columns, origin)

    def for_training(self, targets: Array) -> Self:
        """Return the task with mean, standard deviation and ends of the training targets."""
        if self.is_folded:  # a trained model keeps the scale that it was trained with
            return self
        deviations = targets.std(axis=0)
        return replace(
            self,
            low=tuple(targets.min(axis=0).tolist()),
            high=tuple(targets.max(axis=0).tolist()),
            means=tuple(targets.mean(axis=0).tolist()),
            deviations=tuple(np.where(deviations > 0, deviations, 1.0).tolist()),
        )

    @property
    def outputs(self) -> int:
        """One logit for each number."""
        return len(self.columns)

    def config(self) -> dict[str, Any]:
        """Return the names of the numbers, and that they are numbers."""
        return {
            "num_labels": self.outputs,
            "id2label": dict(enumerate(self.columns)),
            "label2id": {name: row for row, name in enumerate(self.columns)},
            "problem_type": "regression",
        }

    @property
    def _center(self) -> Array:
        return np.array(self.means or [0.0] * self.outputs)

    @property
    def _scale(self) -> Array:
        return np.array(self.deviations or [1.0] * self.outputs)

    def collate(self, targets: Array, width: int) -> torch.Tensor:
        """Return the standardised targets: (texts, outputs)."""
        import torch

        return torch.from_numpy(self._standardised(targets).astype(np.float32))

    def _standardised(self, targets: Array) -> Array:
        found: Array = (np.asarray(targets, np.float64) - self._center) / self._scale
        return found

    def require(self, wishes: Wishes) -> None:
        """Accept every head start; there are no classes to weight."""
        super().require(replace(wishes, head_start="auto"))

    def losses(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the squared error of the standardised numbers of each text, the mean over its numbers: (texts,)."""
        import torch

        answers = logits.float()
        if self.is_folded:
            answers = (answers - torch.tensor(self._center).to(answers)) / torch.tensor(self._scale).to(answers)
        return ((answers - targets) ** 2).mean(dim=1)

    def for_head(self, has_bias: bool) -> Task:
        """Return the task with targets that are divided by their deviation only where a layer has no bias."""
        return self if has_bias or self.is_folded else replace(self, means=())

    def into_answers(self, output_layer: Callable[[], Any]) -> Task:
        """Fold deviation and mean of the training targets into the layer: it answers in their unit."""
        rescale(output_layer(), self._scale, self._center)
        return replace(self, is_folded=True)

    def into_targets(self, output_layer: Any) -> None:
        """Divide them out of a layer that answers in the unit of the targets."""
        if not self.is_folded:
            rescale(output_layer, 1 / self._scale, -self._center / self._scale)

    @property
    def tolerance(self) -> Array:
        """How much two answers may differ that are computed in another way: by the unit and the rounding of each."""
        if not self.is_folded:
            return super().tolerance
        rounding = np.spacing((np.abs(self._center) + self._scale).astype(np.float32))
        return np.asarray(super().tolerance * self._scale + 4 * rounding)

    def answers(self, logits: Array) -> Array:
        """Return the numbers in their own unit: (texts, outputs)."""
        return np.asarray(logits if self.is_folded else np.asarray(logits, np.float64) * self._scale + self._center)

    @property
    def answer_columns(self) -> tuple[str, ...]:
        """The number; of several, all joined, and each."""
        each = tuple(f"prediction_{name}" for name in self.columns) if self.outputs > 1 else ()
        return ("prediction", *each)

    @property
    def number_columns(self) -> tuple[str, ...]:
        """All of them but the joined ones."""
        return self.answer_columns[-self.outputs :]

    def decode(self, logits: Array) -> Sequence[Numbers]:
        """Return the numbers of each text."""
        found = [dict(zip(self.columns, row, strict=True)) for row in self.answers(logits).tolist()]
        return [Numbers(values[self.columns[0]] if self.outputs == 1 else None, values) for values in found]

    def answer_object(self, cells: Sequence[str]) -> dict[str, Any]:
        """Return {value, values}, as for a single text."""
        values = [float(cell) for cell in cells[-self.outputs :]]
        only = values[0] if self.outputs == 1 else None
        return {"value": only, "values": dict(zip(self.columns, values, strict=True))}

    def measure(self, logits: Array, targets: Array) -> dict[str, float | None]:
        """Return the metrics of number_scores.number_metrics, in the unit of the targets."""
        return number_scores.number_metrics(self.answers(logits), targets)

    def details(self, logits: Array, targets: Array) -> dict[str, Any]:
        """Return the figures of each number, and of the ranges of its values."""
        answers = self.answers(logits)
        return {
            "per_target": number_scores.per_target(self.columns, answers, targets),
            "by_range": number_scores.by_range(self.columns, answers, targets),
            "scale": {name: [low, high] for name, low, high in zip(self.columns, self.low, self.high, strict=False)},
        }

    def count(self, cells: Sequence[str], target: Any) -> tuple[float, ...]:
        """Return (y - p)^2, y and y^2 of each number, standardised; R2 follows from their sums."""
        answers = np.array([float(cell) for cell in cells[-self.outputs :]])
        both = self._standardised(answers[None]), self._standardised(np.asarray(target)[None])
        return tuple(number_scores.r2_counts(*both)[0].tolist())

    def counts(self, logits: Array, targets: Array) -> Array:
        """Return the same for each text: (texts, 3 outputs)."""
        return number_scores.r2_counts(self._standardised(self.answers(logits)), self._standardised(targets))

    def headline(self, sums: Array, texts: int) -> Array:
        """Return R2 from the sums of `counts`."""
        return number_scores.r2_of_sums(sums, texts)

    def cautions(self, after: Evaluation, baselines: Mapping[str, Baseline], best: str | None) -> list[str]:
        """Return sentences on answers that hardly vary."""
        return number_scores.cautions(after.details)

    def reads_logits(self) -> list[str]:
        """Return code that prints each number."""
        return [
            f"names = {json.dumps(self.columns, ensure_ascii=False)}",
            "print(dict(zip(names, logits[0].tolist())))",
        ]

    def described(self) -> str:
        """Return which numbers are predicted, and their ends in training."""
        named = number_scores.with_ends(self.columns, self.low, self.high)
        return f"A regression model that gives each text {', '.join(named)}."

    def constant(self, targets: Array) -> Constant | None:
        """Return the mean of the training targets; a constant correlates with nothing."""
        means = targets.mean(axis=0)
        scores, title = self._standardised(means[None])[0], "always answering the mean"
        return Constant("mean", title, scores, {"means": means.tolist()}, ("spearman", "pearson"))

    def linear(self, features: Any, targets: Array, strengths: Sequence[float], scaled: bool) -> LinearModel | None:
        """Fit ridge regression to the standardised targets."""
        model = fit_ridge(features, self._standardised(targets), strengths, scaled=scaled)
        return LinearModel(model.answers, {"alpha": model.alpha})

    def cosine(self, cosines: Array, targets: Array) -> LinearModel | None:
        """Fit a straight line to the cosine."""
        model = fit_ridge(cosines, self._standardised(targets), (1e9,), scaled=True)
        return LinearModel(model.answers, {"slope": (model.weight[:, 0] * self._scale).tolist()})

    def head_start(self, inputs: Array, targets: Array, has_bias: bool) -> HeadStart | None:
        """Fit ridge regression to the standardised targets."""
        model = fit_ridge(inputs, self._standardised(targets), HEAD_STRENGTHS, intercept=has_bias, dropout=HEAD_DROPOUT)
        note = f"the head starts as a ridge regression on what it receives (alpha = {model.alpha:g})"
        return HeadStart(model.weight, model.bias, note)

    def usual_head_start(self, texts: int) -> str:
        """A probe learns few texts by heart; with many it saves the steps in which a random head is of no use."""
        return "probe" if texts >= MANY_TEXTS else "random"
