"""The parts of a record: data, model, baselines, evaluations, training, comparison, each a section of results.json."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Verdict = Literal["better", "worse", "no clear difference"]


class Section(BaseModel):
    """A part of the record. A measurement that could not be taken is None, with its reason in `notes`."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class DataRecord(Section):
    """What was trained and tested on; `revision` is the commit of a data set from the Hub."""

    source: str
    revision: str | None = None
    train_examples: int
    validation_examples: int
    test_examples: int
    labels: list[str]
    sha256: str
    truncated_examples: int
    max_length: int
    text_column: str | list[str]
    label_column: str
    rows: dict[str, Rows] = Field(default_factory=dict)


class Rows(Section):
    """Where the rows of a file went: their number is what was used, by purpose, and what was dropped, by reason."""

    rows_in: int
    used: dict[str, int]
    dropped: dict[str, int]


class ModelRecord(Section):
    """The pre-trained model and what was added to it; `head` says whose head answered before training.

    `precision` is how its layers' weights are held, `weight_bytes` what all its weights take before anything is added.
    PEFT alone reads a `peft_loadable` adapter, and one with an `own_tuner` once lightune's tuners are registered.
    """

    name: str
    revision: str | None
    architecture: str
    head: Literal["new", "checkpoint"] = "new"
    parameters: int
    trainable_parameters: int
    trainable_percent: float
    adapter_bytes: int
    peft_loadable: bool
    own_tuner: bool = False
    precision: str = "fp32"
    weight_bytes: int | None = None


class MajorityClass(Section):
    """Always answering the commonest training label."""

    label: str
    accuracy: float
    f1_macro: float


class WordCounts(Section):
    """Logistic regression on TF-IDF of words and pairs of words; it knows no language model at all."""

    accuracy: float
    loss: float
    f1_macro: float
    C: float
    runtime: float


class Probe(WordCounts):
    """Logistic regression, too, but on the untouched backbone's mean-pooled features."""


class Baselines(Section):
    """What costs almost nothing, on the same test examples."""

    majority_class: MajorityClass
    tfidf: WordCounts
    probe: Probe


class Cost(Section):
    """What a phase cost. Memory is the resident set on the CPU; on CUDA the allocator's figures stand beside it."""

    runtime: float
    samples_per_second: float
    steps_per_second: float
    memory_before_bytes: int | None = None
    peak_memory_bytes: int | None = None
    peak_cuda_allocated_bytes: int | None = None
    peak_cuda_reserved_bytes: int | None = None


class Evaluation(Cost):
    """A model's answers on the test examples, and what they cost.

    `known_examples` counts the texts that the model was trained or validated on, `without_known` is of the others. Both
    are None where no fingerprints tell; `without_known` is so too where every text is known.
    """

    examples: int
    accuracy: float
    loss: float
    f1_macro: float
    confusion_matrix: list[list[int]]
    per_label: dict[str, LabelScores] = Field(default_factory=dict)
    groups: dict[str, dict[str, PartMetrics]] = Field(default_factory=dict)
    known_examples: int | None = None
    without_known: PartMetrics | None = None


class LabelScores(Section):
    """Metrics of one label: precision right / answered, recall right / examples, and F1; 0 where nothing is divided."""

    precision: float
    recall: float
    f1: float
    examples: int
    answered: int


class PartMetrics(Section):
    """Metrics on a part of the test examples: those that share a value of an extra column, or are not known."""

    examples: int
    accuracy: float
    loss: float | None = None
    f1_macro: float | None = None


class LabelledFile(Section):
    """What a file with labels says of the answers to its texts; see Evaluation for what is known.

    `examples` are the rows with a label of the model. Those with another label, or with none, are counted apart.
    """

    label_column: str
    examples: int
    accuracy: float | None
    known_examples: int
    without_known: PartMetrics | None
    unknown_labels: int
    missing_labels: int


class Epoch(Section):
    """One pass over the training examples, and the validation after it."""

    epoch: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    validation_f1_macro: float
    learning_rate: float


class Training(Cost):
    """The training phase; runtime and rates count training steps alone, without evaluation and saving."""

    steps: int
    best_epoch: int
    learning_rate: float
    precision: str
    epochs: list[Epoch]


class Inference(Section):
    """How fast answers come: the adapted model, the untouched base, and the adapter merged into the base."""

    latency_ms_p50: float
    latency_ms_p95: float
    samples_per_second: float
    base_latency_ms_p50: float
    base_latency_ms_p95: float
    base_samples_per_second: float
    merged_latency_ms_p50: float | None = None
    merged_latency_ms_p95: float | None = None
    merged_samples_per_second: float | None = None


class Gain(Section):
    """How far the adapted model is above another classifier: 95% bootstrap interval, McNemar's p-value, verdict."""

    metric: str = "accuracy"
    value: float
    ci95: tuple[float, float]
    p_value: float
    verdict: Verdict

    def __str__(self) -> str:
        """Return the gain in percentage points, its interval and its verdict."""
        low, high = (100 * end for end in self.ci95)
        return f"{100 * self.value:+.1f} points (95%: {low:.1f} to {high:.1f}): {self.verdict}"


class Comparison(Section):
    """Was it better? Paired on the same test examples: with each baseline and with before, by name in `gains`.

    `best_baseline` is the most accurate one. Records of older versions have neither; they compare with the probe.
    """

    accuracy_gain: float
    accuracy_gain_ci95: tuple[float, float]
    mcnemar_p_value: float
    verdict: Verdict
    probe_gain: float
    probe_gain_ci95: tuple[float, float]
    probe_mcnemar_p_value: float
    probe_verdict: Verdict
    gains: dict[str, Gain] = Field(default_factory=dict)
    best_baseline: Literal["majority_class", "tfidf", "probe"] | None = None

    @property
    def measured(self) -> dict[str, Gain]:
        """Return every gain by the name of what it is compared with, whichever version wrote the record."""
        probe = self.probe_gain, self.probe_gain_ci95, self.probe_mcnemar_p_value, self.probe_verdict
        before = self.accuracy_gain, self.accuracy_gain_ci95, self.mcnemar_p_value, self.verdict
        older = {
            name: Gain(value=value, ci95=ci95, p_value=p_value, verdict=verdict)
            for name, (value, ci95, p_value, verdict) in (("probe", probe), ("before", before))
        }
        return {**older, **self.gains}

    @property
    def rival(self) -> str:
        """Return the name of the baseline that the headline compares with."""
        return self.best_baseline if self.best_baseline in self.gains else "probe"


class ReloadCheck(Section):
    """A fresh process loads the saved adapter and computes the same logits again."""

    passed: bool
    examples: int
    largest_logit_difference: float | None


DataRecord.model_rebuild()
Evaluation.model_rebuild()
