"""Any number of labels for each text: a sigmoid for each label, binary cross-entropy, micro F1."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from lightune.faults import Fault
from lightune.measured import Metric
from lightune.sections import Baseline, Evaluation
from lightune.tasks import label_sets, set_scores
from lightune.tasks.answers import LabelSet
from lightune.tasks.base import CHUNK, Array, Task
from lightune.tasks.calibration import UNCALIBRATED, Probabilities, Temperature, calibration, fit_temperature, over
from lightune.tasks.checkpoint_labels import label_names
from lightune.tasks.columns import LabelColumn, SplitTargets, Wishes
from lightune.tasks.curves import label_curves
from lightune.tasks.label_cautions import shortened
from lightune.tasks.label_reader import LabelReader
from lightune.tasks.label_set_warnings import label_set_warnings
from lightune.tasks.linear import Constant, HeadStart, LinearModel
from lightune.tasks.one_vs_rest import fit_one_vs_rest
from lightune.tasks.overview import Overview
from lightune.tasks.registry import register
from lightune.tasks.set_reader import SetReader
from lightune.tasks.thresholds import FEWEST_POSITIVES, FEWEST_TEXTS, USUAL, Thresholds, best_thresholds, choosable

if TYPE_CHECKING:
    import torch

HEAD_DROPOUT, HEAD_STRENGTHS = 0.1, (0.0001, 0.001, 0.01, 0.1, 1.0)  # the usual rate before an output layer
NEVER, ALWAYS = -30.0, 30.0  # logits of an answer without doubt
SIGMOID = Probabilities("decisions on a label", set_scores.cross_entropy, set_scores.outcomes)


@register("multi_label")
@dataclass(frozen=True)
class MultiLabel(Task):
    """Each text has any number of labels, or none.

    `separator` joins labels in a cell. Logits are divided by `temperature` before the sigmoid; `thresholds` are the
    probabilities from which on a label is answered, one for each, or none where all are 0.5.
    """

    name: ClassVar[str] = "multi_label"
    metrics: ClassVar[tuple[Metric, ...]] = (
        Metric(name="f1_micro", title="micro F1", unit="share", hub_name="f1"),
        Metric(name="f1_macro", title="macro F1", unit="share"),
        Metric(name="exact_match", title="exact match", unit="share"),
        Metric(name="average_precision", title="average precision", unit="share"),
        Metric(name="loss", title="loss", unit="nats", higher_is_better=False),
    )
    label_columns: ClassVar[tuple[str, ...]] = label_sets.USUAL_COLUMNS
    target_column: ClassVar[str] = "labels"
    by_output: ClassVar[tuple[str, ...]] = ("thresholds",)

    separator: str = label_sets.JOIN
    temperature: Temperature = UNCALIBRATED
    thresholds: Thresholds = ()

    @classmethod
    def claims(cls, column: LabelColumn, wishes: Wishes) -> str:
        """Claim lists, labels joined by a separator, and several columns of 0 and 1."""
        return "" if wishes.label_kind == "class" else label_sets.claim(column, wishes.label_separator)

    @classmethod
    def of(cls, column: LabelColumn, wishes: Wishes) -> Self:
        """Return the task of a column of label lists. Raises DataError for any other."""
        form = label_sets.form_of(column, wishes.label_separator, is_named=wishes.task == cls.name)
        names = label_sets.names_of(column, form, wishes.label_kind)
        stated = wishes.label_separator or ""
        is_free = stated and not any(stated in name for name in names)  # else it would part a label of a list
        return cls(tuple(names), separator=stated if is_free else label_sets.separator_of(form))

    @classmethod
    def of_checkpoint(cls, config: Mapping[str, Any]) -> Self | None:
        """Return the task of a model that says it gives each text several labels."""
        names = label_names(config)
        return cls(tuple(names)) if config.get("problem_type") == "multi_label_classification" else None

    def reader(self, class_names: Sequence[str]) -> Callable[[Any], Any]:
        """Return what turns a cell into one 0 or 1 for each label."""
        return SetReader(self.labels, self.separator, LabelReader(self.labels, class_names), class_names)

    def in_words_of(self, column: LabelColumn) -> Self:
        """Return the task with the file's names for its labels, matched by name or, where they have none, by number."""
        form = label_sets.form_of(column, None) or self.separator
        return replace(self, labels=tuple(label_sets.names_in_file(self.labels, column, form)))

    def parted_by(self, separator: str) -> Self:
        """Return the task that reads labels joined by this mark."""
        return replace(self, separator=separator)

    def instead_of_column(self, columns: Sequence[str]) -> Sequence[str]:
        """Return the labels where each has a column of its own."""
        return self.labels if set(self.labels) <= set(columns) else ()

    def targets(self, rows: int) -> Array:
        """Return an array of one 0 or 1 for each row and label."""
        return np.zeros((rows, len(self.labels)), np.uint8)

    def shown(self, target: Any) -> str:
        """Return the labels of a text, joined; nothing for a text without labels."""
        return label_sets.JOIN.join(self.labels[place] for place in np.flatnonzero(target))

    def tally(self, targets: Array) -> dict[str, int]:
        """Return how many texts have each label."""
        return dict(zip(self.labels, targets.sum(axis=0, dtype=int).tolist(), strict=True))

    def strata(self, targets: Array) -> NDArray[np.int64]:
        """Return the number of each text's rarest label, so that rare labels keep their share too."""
        counts = targets.sum(axis=0, dtype=np.int64)
        rarity = np.where(targets > 0, counts, len(targets) + 1)
        return np.where(targets.any(axis=1), rarity.argmin(axis=1), targets.shape[1]).astype(np.int64)

    def check(self, splits: Mapping[str, SplitTargets], wishes: Wishes) -> tuple[list[Fault], list[Fault]]:
        """Return what is wrong or odd with the labels: near-alike, rare or absent ones, texts that have all or none."""
        return label_set_warnings(splits, self.labels, wishes)

    def overview(self, splits: Mapping[str, Array]) -> list[Overview]:
        """Return how many texts have each label, and how many labels a text has."""
        return set_scores.overviews(self.labels, splits)

    def config(self) -> dict[str, Any]:
        """Return the labels, and that a text may have several."""
        return super().config() | {"problem_type": "multi_label_classification"}

    def collate(self, targets: Array, width: int) -> torch.Tensor:
        """Return one 0 or 1 for each label: (texts, labels)."""
        import torch

        return torch.from_numpy(np.asarray(targets, np.float32))

    def require(self, wishes: Wishes) -> None:
        """Accept every setting."""

    def weights(self, targets: Array, wishes: Wishes) -> Array | None:
        """Return n / (2 n_y) for a label with the value y in a text, n_y of n texts having it: (texts, labels)."""
        if wishes.class_weights == "none":
            return None
        having = targets.sum(axis=0, dtype=float)
        counts = np.where(targets > 0, having, len(targets) - having)
        weights: Array = len(targets) / (2 * counts)
        return weights

    def losses(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the binary cross-entropy of each label of each text, in nats: (texts, labels)."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        return binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")

    def calibrated(self, validation: Callable[[], tuple[Array, Array]]) -> tuple[Task, list[str]]:
        """Return the task with the temperature, one for all labels, of the least loss on the validation texts."""
        found, notes = fit_temperature(SIGMOID, validation)
        return replace(self, temperature=found), notes

    def fitted(self, validation: Callable[[], tuple[Array, Array]]) -> tuple[Task, list[str]]:
        """Return the task with the thresholds that give the best micro F1 on the validation texts.

        A label with too few of them keeps 0.5.
        """
        logits, targets = validation()
        count = int(choosable(targets).sum())
        least = f"from {FEWEST_TEXTS} validation texts on, for labels that {FEWEST_POSITIVES} or more of them have"
        if not count:
            return self, [f"Every label is answered from a probability of {USUAL} on; thresholds are chosen {least}."]
        found = best_thresholds(self.probabilities(logits), targets)
        rest = f"; the others keep {USUAL}: thresholds are chosen {least}" if count < len(self.labels) else ""
        told = f"Thresholds for {count} of {len(self.labels)} labels were chosen on {len(targets):,} validation texts"
        return replace(self, thresholds=tuple(map(float, found))), [f"{told}{rest}."]

    @property
    def cuts(self) -> Array:
        """The threshold of each label: (labels,)."""
        return np.array(self.thresholds or [USUAL] * len(self.labels))

    @property
    def answer_columns(self) -> tuple[str, ...]:
        """The labels, joined, and the probability of each label."""
        return ("predictions", *(f"probability_{label}" for label in self.labels))

    def probabilities(self, logits: Array) -> Array:
        """Return sigmoid(logits / temperature): (texts, labels)."""
        return set_scores.sigmoid(np.asarray(logits, np.float64) / self.temperature)

    def answered(self, logits: Array) -> NDArray[np.bool_]:
        """Say which labels are answered: (texts, labels)."""
        found: NDArray[np.bool_] = self.probabilities(logits) >= self.cuts
        return found

    def decode(self, logits: Array) -> Sequence[LabelSet]:
        """Return the labels of each text, with the probabilities of all."""
        found = []
        for row, chosen in zip(self.probabilities(logits).tolist(), self.answered(logits), strict=True):
            labels = tuple(self.labels[place] for place in np.flatnonzero(chosen))
            found.append(LabelSet(labels, dict(zip(self.labels, row, strict=True))))
        return found

    def cells(self, logits: Array) -> Iterator[tuple[str, ...]]:
        """Yield the joined labels of each text and the probability of each label."""
        for start in range(0, len(logits), CHUNK):
            part = logits[start : start + CHUNK]
            for row, chosen in zip(self.probabilities(part).tolist(), self.answered(part), strict=True):
                yield self.shown(chosen), *(f"{share:.6f}" for share in row)

    def answer_object(self, cells: Sequence[str]) -> dict[str, Any]:
        """Return {labels, probabilities}, as for a single text."""
        shares = dict(zip(self.labels, map(float, cells[1:]), strict=True))
        return {"labels": cells[0].split(label_sets.JOIN) if cells[0] else [], "probabilities": shares}

    def agree(self, logits: Array, others: Array) -> bool:
        """Say whether both give the same labels."""
        return bool((self.answered(logits) == self.answered(others)).all())

    def measure(self, logits: Array, targets: Array) -> dict[str, float | None]:
        """Return the metrics of set_scores.set_metrics."""
        return set_scores.set_metrics(logits, self.answered(logits), targets)

    def measure_part(self, logits: Array, targets: Array) -> dict[str, float | None]:
        """Return the same, macro F1 over the labels that occur there or among the answers."""
        answered = self.answered(logits)
        occurring = (targets > 0).any(axis=0) | answered.any(axis=0)
        macro = set_scores.macro_f1(answered[:, occurring], targets[:, occurring]) if occurring.any() else None
        return self.measure(logits, targets) | {"f1_macro": macro}

    def details(self, logits: Array, targets: Array) -> dict[str, Any]:
        """Return the figures of each label with its threshold, the labels that go together, and of probabilities."""
        found = set_scores.details(self.labels, self.answered(logits), targets, self.cuts)
        curves = label_curves(self.labels, self.probabilities(logits), targets > 0, with_micro=True)
        return {**found, **calibration(SIGMOID, self.temperature, logits, targets), **curves}

    def count(self, cells: Sequence[str], target: Any) -> tuple[float, ...]:
        """Return (2 right answers, answers + labels) of the text; micro F1 is the ratio of their sums."""
        said = set(cells[0].split(label_sets.JOIN)) if cells[0] else set()
        true = {self.labels[place] for place in np.flatnonzero(target)}
        return 2.0 * len(said & true), float(len(said) + len(true))

    def counts(self, logits: Array, targets: Array) -> Array:
        """Return the same for each text: (texts, 2)."""
        answered, true = self.answered(logits), targets > 0
        return np.stack([2.0 * (answered & true).sum(axis=1), answered.sum(axis=1) + true.sum(axis=1)], axis=1)

    def headline(self, sums: Array, texts: int) -> Array:
        """Return micro F1 from the sums of `counts`, NaN where there is neither a label nor an answer."""
        with np.errstate(invalid="ignore"):
            found: Array = sums[..., 0] / sums[..., 1]
        return found

    def cautions(self, after: Evaluation, baselines: Mapping[str, Baseline], best: str | None) -> list[str]:
        """Return sentences on labels that are never found, and on baselines that are ahead in macro F1."""
        return set_scores.cautions(after, baselines)

    def described(self) -> str:
        """Return how many labels there are, and which."""
        labels = f"{len(self.labels)} labels ({', '.join(self.labels)})"
        return f"A text classifier that gives each text any number of {labels}."

    def reads_logits(self) -> list[str]:
        """Return code that prints the labels whose probability reaches their threshold."""
        return [
            f"labels = {json.dumps(self.labels, ensure_ascii=False)}",
            f"thresholds = {json.dumps(self.cuts.tolist())}",
            f"shares = {over('logits', self.temperature)}.sigmoid()[0].tolist()",
            "print([name for name, share, least in zip(labels, shares, thresholds) if share >= least])",
        ]

    def constant(self, targets: Array) -> Constant | None:
        """Return the most common set of labels; it has no probabilities, and hence no loss and no average precision."""
        (packed, _), *_ = Counter(map(bytes, np.packbits(targets, axis=1))).most_common(1)
        common = np.unpackbits(np.frombuffer(packed, np.uint8), count=len(self.labels))
        named = shortened(self.shown(common)) or "no label"
        scores, details = np.where(common > 0, ALWAYS, NEVER), {"labels": self.shown(common)}
        return Constant("commonest_set", f"always answering {named}", scores, details, ("loss", "average_precision"))

    def linear(self, features: Any, targets: Array, strengths: Sequence[float], scaled: bool) -> LinearModel | None:
        """Fit logistic regression for each label; scores are log odds minus those of the label's own threshold.

        Thresholds are chosen on answers to texts that a fit has not seen.
        """
        model = fit_one_vs_rest(features, targets, strengths, scaled=scaled)
        cuts = best_thresholds(set_scores.sigmoid(model.unseen), targets).clip(1e-9, 1 - 1e-9)
        shift = np.log(cuts / (1 - cuts))
        details = {"C": model.strength, "thresholds": dict(zip(self.labels, cuts.tolist(), strict=True))}
        return LinearModel(lambda given: model.logits(given) - shift, details, ("loss",))

    def head_start(self, inputs: Array, targets: Array, has_bias: bool) -> HeadStart | None:
        """Fit logistic regression for each label; without anything to learn its bias is the label's log odds."""
        found = fit_one_vs_rest(inputs, targets, HEAD_STRENGTHS, intercept=has_bias, dropout=HEAD_DROPOUT)
        note = f"the head starts as a logistic regression for each label on what it receives (C = {found.strength:g})"
        return HeadStart(found.weight, found.bias, note)

    def usual_head_start(self, texts: int) -> str:
        """From random weights, the loss of many rare labels stays at the base rates for long."""
        return "probe"
