"""One label for each text: softmax over the labels, cross-entropy, accuracy."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from lightune.faults import Fault
from lightune.measured import Metric
from lightune.sections import Baseline, Evaluation
from lightune.tasks import class_scores
from lightune.tasks.answers import Prediction
from lightune.tasks.base import CHUNK, ONLY_IF_SET, Array, Task
from lightune.tasks.calibration import UNCALIBRATED, Probabilities, Temperature, calibration, fit_temperature, over
from lightune.tasks.checkpoint_labels import label_names
from lightune.tasks.columns import LabelColumn, SplitTargets, Wishes
from lightune.tasks.curves import label_curves
from lightune.tasks.joined_labels import joined_labels
from lightune.tasks.label_cautions import Reached, cautions, counts_by_label, shortened
from lightune.tasks.label_names import names_in_column, names_in_file
from lightune.tasks.label_reader import LabelReader
from lightune.tasks.label_warnings import alike_labels, label_warnings, rare_labels
from lightune.tasks.linear import Constant, HeadStart, LinearModel, fit_logistic
from lightune.tasks.registry import register

if TYPE_CHECKING:
    import torch

MANY_LABELS = 10  # above it a random head needs many steps before it tells labels apart
HEAD_STRENGTHS = (0.0001, 0.001, 0.01, 0.1, 1.0)
NEVER = -50.0  # the log-probability of a label that training lacked
SOFTMAX = Probabilities("answers", class_scores.cross_entropy, class_scores.outcomes)


@register("classification")
@dataclass(frozen=True)
class Classification(Task):
    """Each text has one label of two or more.

    Logits are divided by `temperature` before softmax, which changes no label. With `merges_alike` a label that differs
    from one of the task by case, spaces or quotes is read as that one.
    """

    name: ClassVar[str] = "classification"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(name="accuracy", title="accuracy", unit="share", hub_name="accuracy"),
        Metric(name="f1_macro", title="macro F1", unit="share", hub_name="f1"),
        Metric(name="loss", title="loss", unit="nats", higher_is_better=False),
    )
    label_columns: ClassVar[tuple[str, ...]] = (
        "label", "labels", "sentiment", "class", "category", "target", "intent", "rating", "stars", "gold_label",
    )  # fmt: skip

    temperature: Temperature = UNCALIBRATED
    merges_alike: bool = field(default=False, metadata=ONLY_IF_SET)

    @classmethod
    def of(cls, column: LabelColumn, wishes: Wishes) -> Self:
        """Return the task of a column of words, whole numbers or true/false. Raises DataError for any other."""
        names = names_in_column(column, wishes.label_kind, wishes.merges_alike)
        return cls(tuple(names), merges_alike=wishes.merges_alike)

    @classmethod
    def of_checkpoint(cls, config: Mapping[str, Any]) -> Self | None:
        """Return the task of a model with two labels or more, unless it says that it is for something else."""
        names = label_names(config)
        is_other = config.get("problem_type") in {"regression", "multi_label_classification"}
        return None if is_other or len(names) < 2 else cls(tuple(names))

    def reader(self, class_names: Sequence[str]) -> Callable[[Any], Any]:
        """Return what finds the number of a label."""
        return LabelReader(self.labels, class_names, self.merges_alike)

    def in_words_of(self, column: LabelColumn) -> Self:
        """Return the task with the file's names for its labels, matched by name, or by number where they have none."""
        return replace(self, labels=tuple(names_in_file(self.labels, column)))

    def check(self, splits: Mapping[str, SplitTargets], wishes: Wishes) -> tuple[list[Fault], list[Fault]]:
        """Return what is wrong or odd with the labels: near-alike, joined, rare or absent ones, and imbalance."""
        train, kind = splits["train"], wishes.label_kind
        several, told = joined_labels(train, self.labels, kind)
        rare, few = rare_labels(train, self.labels, wishes)
        faults = [*alike_labels(train, self.labels, kind), *several]
        if not train.has_faults:  # rows that cannot be used yet may be the ones that are missing
            faults += rare
        return faults, [*told, *few, *label_warnings(splits, self.labels, wishes.class_weights)]

    def without_rare(self, targets: Array, least: int) -> tuple[Self, Array] | None:
        """Return the task without labels that fewer targets have, and the new places."""
        counts = np.bincount(targets, minlength=len(self.labels))
        stays = counts >= least
        left = tuple(name for name, is_left in zip(self.labels, stays.tolist(), strict=True) if is_left)
        return replace(self, labels=left), np.where(stays, np.cumsum(stays) - 1, -1)

    def ignored(self, wishes: Wishes) -> list[str]:
        """Use every wish."""
        return []

    def drawn(self, targets: Array, origin: str) -> list[Fault]:
        """Return a fault where no row of a label was drawn."""
        absent = [name for name, count in self.tally(targets).items() if not count]
        if not absent:
            return []
        text = f"no training example has the label {', '.join(absent)}."
        return [Fault("DATA-032", origin, text, "Raise data.train_examples, or give each class a few rows.")]

    def config(self) -> dict[str, Any]:
        """Return the labels, and that each text has one."""
        return super().config() | {"problem_type": "single_label_classification"}

    def require(self, wishes: Wishes) -> None:
        """Accept every setting."""

    def weights(self, targets: Array, wishes: Wishes) -> Array | None:
        """Return n / (k * n_c) for a text of label c: n texts, k labels, n_c of c (scikit-learn's "balanced")."""
        if wishes.class_weights == "none":
            return None
        labels, counts = targets.tolist(), Counter(targets.tolist())
        return np.array([len(labels) / (len(counts) * counts[label]) for label in labels])

    def losses(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the cross-entropy of each text, in nats."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(logits.float(), targets, reduction="none")

    def mean_loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy as transformers' own heads compute it, to the last bit."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(logits.view(-1, len(self.labels)), targets)

    def calibrated(self, validation: Callable[[], tuple[Array, Array]]) -> tuple[Task, list[str]]:
        """Return the task with the temperature of the least cross-entropy on the validation texts."""
        found, notes = fit_temperature(SOFTMAX, validation)
        return replace(self, temperature=found), notes

    @property
    def answer_columns(self) -> tuple[str, ...]:
        """The likeliest label and its probability."""
        return ("prediction", "confidence")

    def probabilities(self, logits: Array) -> Array:
        """Return softmax(logits / temperature): (texts, labels)."""
        return class_scores.probabilities(logits.astype(np.float64) / self.temperature)

    def decode(self, logits: Array) -> Sequence[Prediction]:
        """Return the likeliest label of each text, with the probabilities of all."""
        found = []
        for best, row in zip(logits.argmax(axis=1).tolist(), self.probabilities(logits), strict=True):
            shares = {label: float(share) for label, share in zip(self.labels, row, strict=True)}
            found.append(Prediction(self.labels[best], float(row[best]), shares))
        return found

    def cells(self, logits: Array) -> Iterator[tuple[str, ...]]:
        """Yield the likeliest label of each text and its probability, without the probabilities of the others."""
        for start in range(0, len(logits), CHUNK):
            part = logits[start : start + CHUNK]
            largest = self.probabilities(part).max(axis=1).tolist()
            for best, share in zip(part.argmax(axis=1).tolist(), largest, strict=True):
                yield self.labels[best], f"{share:.6f}"

    def answer_object(self, cells: Sequence[str]) -> dict[str, Any]:
        """Return {label, confidence}, as for a single text."""
        return {"label": cells[0], "confidence": float(cells[1])}

    def agree(self, logits: Array, others: Array) -> bool:
        """Say whether both name the same labels."""
        return bool((logits.argmax(1) == others.argmax(1)).all())

    def measure(self, logits: Array, targets: Array) -> dict[str, float | None]:
        """Return accuracy, macro F1 over all labels, and mean cross-entropy in nats."""
        return class_scores.class_metrics(logits, targets)

    def measure_part(self, logits: Array, targets: Array) -> dict[str, float | None]:
        """Return the same, macro F1 over the labels that occur there."""
        return self.measure(logits, targets) | {"f1_macro": class_scores.f1_of_occurring(logits, targets)}

    def details(self, logits: Array, targets: Array) -> dict[str, Any]:
        """Return the confusion matrix (rows true, columns answered), and the figures of labels and probabilities.

        Curves are of each label against the others; of two labels only of the second.
        """
        matrix = class_scores.confusion_matrix(logits.argmax(axis=1), targets, len(self.labels))
        found = {"confusion_matrix": matrix, "per_label": class_scores.per_label(matrix, self.labels)}
        first = int(len(self.labels) == 2)
        shares, true = self.probabilities(logits)[:, first:], np.eye(len(self.labels), dtype=bool)[targets][:, first:]
        curves = label_curves(self.labels[first:], shares, true, with_micro=False)
        return {**found, **calibration(SOFTMAX, self.temperature, logits, targets), **curves}

    def count(self, cells: Sequence[str], target: Any) -> tuple[float, ...]:
        """Return 1 for a right answer; accuracy is the mean."""
        return (float(cells[0] == self.labels[int(target)]),)

    def counts(self, logits: Array, targets: Array) -> Array:
        """Return 1 for each right answer: (texts, 1)."""
        return (logits.argmax(axis=1) == targets).astype(float)[:, None]

    def described(self) -> str:
        """Return how many labels there are, and which."""
        return f"A text classifier with {len(self.labels)} labels ({', '.join(self.labels)})."

    def reads_logits(self) -> list[str]:
        """Return code that prints the likeliest label and its probability."""
        return [
            f"labels = {json.dumps(self.labels, ensure_ascii=False)}",
            f"shares = {over('logits', self.temperature)}.softmax(dim=-1)[0].tolist()",
            "print(labels[logits.argmax(dim=-1).item()], max(shares))",
        ]

    def cautions(self, after: Evaluation, baselines: Mapping[str, Baseline], best: str | None) -> list[str]:
        """Return sentences on answers all alike, labels never found, and baselines that are ahead by another figure."""
        reached = {name: _reached(found, found.named) for name, found in baselines.items()}
        counts = counts_by_label(self.labels, after.details["confusion_matrix"])
        return cautions(_reached(after, "this model"), reached, counts, best)

    def constant(self, targets: Array) -> Constant | None:
        """Return the most common label; it has no probabilities, and hence no loss."""
        label, _ = Counter(targets.tolist()).most_common(1)[0]
        name, scores = self.labels[label], np.eye(len(self.labels))[label]
        return Constant("majority_class", f"always answering {shortened(name)}", scores, {"label": name}, ("loss",))

    def linear(self, features: Any, targets: Array, strengths: Sequence[float], scaled: bool) -> LinearModel | None:
        """Fit logistic regression; scores are log-probabilities."""
        model = fit_logistic(features, targets.tolist(), strengths, scaled=scaled)

        def scores(given: Any) -> Array:
            found = np.full((given.shape[0], len(self.labels)), NEVER)
            found[:, model.classes_] = model.predict_log_proba(given)
            return found

        return LinearModel(scores, {"C": float(model[-1].C)})

    def head_start(self, inputs: Array, targets: Array, has_bias: bool) -> HeadStart | None:
        """Fit logistic regression on (x - m) / s, m means and s standard deviations of the inputs.

        weight = coef / s and bias = intercept - weight m; a layer without a bias is fitted on x / s. Two classes have
        one coefficient vector w: their rows are -w/2 and w/2.
        """
        scaler, regression = fit_logistic(inputs, targets.tolist(), HEAD_STRENGTHS, intercept=has_bias)
        weight = regression.coef_ / scaler.scale_
        bias = regression.intercept_ - weight @ scaler.mean_ if has_bias else np.zeros(len(weight))
        if len(weight) == 1:
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        note = f"the head starts as a logistic regression on what it receives (C = {regression.C:g})"
        return HeadStart(weight, bias, note)

    def usual_head_start(self, texts: int) -> str:
        """Of few labels a probe learns the training texts by heart, and leaves the layers below little to learn."""
        return "probe" if len(self.labels) > MANY_LABELS else "random"


def _reached(found: Baseline | Evaluation, name: str) -> Reached:
    return Reached(name, float(found.metrics["accuracy"] or 0), float(found.metrics["f1_macro"] or 0))
