"""The parts of a record: task, data, model, baselines, evaluations, training, comparison; sections of results.json."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from lightune.interruptions import Resumed, Saved, SmallerMicroBatch
from lightune.measured import Measured, Metric, Section, unit_name

Verdict = Literal["better", "worse", "no clear difference"]
MCNEMAR = "McNemar's test"


class TaskRecord(Section):
    """What was learned: the name of the task, its labels (none for numbers) and its metrics, the headline first.

    `hub_tag` is the Hugging Face Hub's name of the task, `model_class` the class of transformers that has its head,
    `outputs` is the number of logits. Of predictions.csv, `target_column` has the true label or value, and
    `answer_columns` the answer, the first of them the answer itself. `describes` says in a sentence what a model of the
    task is. `package` is the one that brought the task, "" for lightune's own. `reads_logits` are lines of Python that
    print the answer from the `logits` of one text, (1, outputs).
    """

    name: str
    labels: list[str]
    outputs: int
    metrics: list[Metric] = Field(min_length=1)
    hub_tag: str
    model_class: str
    target_column: str = "label"
    package: str = ""
    answer_columns: list[str] = Field(min_length=1)
    describes: str
    # A record of an earlier version does not say how they are read.
    reads_logits: list[str] = Field(default_factory=lambda: ["print(logits.tolist())"])

    @property
    def headline(self) -> Metric:
        """Return the first metric, by which models are compared."""
        return self.metrics[0]


class DataRecord(Section):
    """The data for training and testing; `revision` is the commit of a data set from the Hub.

    `windowed_examples` counts the texts longer than `max_length` that were read whole, in `windows` windows altogether.
    """

    source: str
    revision: str | None = None
    train_examples: int
    validation_examples: int
    test_examples: int
    labels: list[str]
    sha256: str
    truncated_examples: int
    windowed_examples: int = 0
    windows: int = 0
    max_length: int
    text_column: str | list[str]
    label_column: str | list[str]
    rows: dict[str, Rows] = Field(default_factory=dict)


class Rows(Section):
    """What happened to the rows of a file: how many were used, by purpose, and how many were dropped, by reason."""

    rows_in: int
    used: dict[str, int]
    dropped: dict[str, int]


class ModelRecord(Section):
    """The pre-trained model and what was added to it; `head` says which head it had before training.

    `precision` is how its layers' weights are stored, `weight_bytes` is the size of its weights before anything is
    added. PEFT without lightune loads a `peft_loadable` adapter; one with an `own_tuner` needs lightune's tuners to be
    registered. `tokenizer_saved` says that the adapter folder holds the tokenizer too.
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
    tokenizer_saved: bool = False
    precision: str = "fp32"
    weight_bytes: int | None = None


class Baseline(Measured):
    """A baseline that costs almost nothing, on the same test examples; `title` is its name in a table.

    `article` goes before the title in a sentence. Details describe it: the label that is always predicted, the
    regularization C that was chosen.
    """

    details_of_version_1: ClassVar[tuple[str, ...]] = ("label", "C")

    title: str
    article: str = ""
    runtime: float | None = None

    @property
    def named(self) -> str:
        """Return its name for use in a sentence."""
        return f"{self.article} {self.title}".strip()


class Cost(Section):
    """The cost of a phase. Memory is the resident set on the CPU; on CUDA there are also the allocator's figures."""

    runtime: float
    samples_per_second: float
    steps_per_second: float
    memory_before_bytes: int | None = None
    peak_memory_bytes: int | None = None
    peak_cuda_allocated_bytes: int | None = None
    peak_cuda_reserved_bytes: int | None = None


class Evaluation(Measured, Cost):
    """A model's metrics on the test examples, and their cost.

    `known_examples` counts the texts that the model was trained or validated on; `without_known` has the metrics on
    the others. Both are None without fingerprints; `without_known` is also None if every text is known.
    `rows_dropped` counts the rows of the file that were left out, by reason; `truncated_examples` the texts of which
    only the beginning was read (None where the record's data section says it).
    """

    details_of_version_1: ClassVar[tuple[str, ...]] = ("confusion_matrix", "per_label")

    examples: int
    groups: dict[str, dict[str, PartMetrics]] = Field(default_factory=dict)
    known_examples: int | None = None
    without_known: PartMetrics | None = None
    rows_dropped: dict[str, int] = Field(default_factory=dict)
    truncated_examples: int | None = None

    @property
    def loss(self) -> float | None:
        """The mean loss of the test texts; None where the task does not measure it."""
        return self.metrics.get("loss")


class PartMetrics(Measured):
    """Metrics on a part of the test examples: those with one value of an extra column, or those that are not known."""

    examples: int


class LabelledFile(Measured):
    """The headline metric of the predictions for a file with labels; see Evaluation.

    `examples` counts the rows with a label of the model. Rows with another label, or with none, are counted separately,
    and so are those that the model abstained from.
    """

    label_column: str
    metric: Metric
    examples: int
    known_examples: int
    without_known: PartMetrics | None
    unknown_labels: int
    missing_labels: int
    abstained: int = 0


class Epoch(Section):
    """One pass over the training examples, and the validation after it; `metrics` are of the validation.

    `validation_loss` is the metric "loss" where the task has one; None in a record that has neither.
    """

    epoch: int
    train_loss: float
    metrics: dict[str, float | None]
    learning_rate: float
    validation_loss: float | None = Field(default=None, exclude=True)  # written once, beside

    @model_validator(mode="after")
    def _loss_of_metrics(self) -> Self:
        if self.validation_loss is None:
            self.validation_loss = self.metrics.get("loss")
        return self

    def beside(self) -> dict[str, Any]:
        """Return each metric as `validation_<name>`, and the validation loss."""
        found = {f"validation_{name}": value for name, value in self.metrics.items()}
        return found if self.validation_loss is None else {**found, "validation_loss": self.validation_loss}


class Training(Cost):
    """The training phase; runtime and rates count only training steps, without evaluation and saving.

    `usual_learning_rate` is the default of the method.
    """

    steps: int
    best_epoch: int
    learning_rate: float
    usual_learning_rate: float | None = None
    precision: str
    epochs: list[Epoch]
    resumed: list[Resumed] = Field(default_factory=list)
    checkpoints: Saved | None = None
    smaller_micro_batches: list[SmallerMicroBatch] = Field(default_factory=list)


class Inference(Section):
    """The speed of inference: the adapted model, the base model, and the base model with the adapter merged."""

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
    """How far the adapted model is above another one: 95% bootstrap interval, p-value of the named test, verdict.

    Above zero is better, whether or not a higher metric is better. All are None where one of the models has no such
    metric; only the interval is None where too many resamples of the texts have none.
    """

    metric: str
    unit: str = "share"
    value: float | None
    ci95: tuple[float, float] | None
    p_value: float | None
    test: str = MCNEMAR
    verdict: Verdict

    def __str__(self) -> str:
        """Return the gain with its interval and its verdict: shares in percentage points, others as they are."""
        if self.value is None:
            return "not measured"
        scale, decimals, noun = (
            (100, 1, " points") if self.unit == "share" else (1, 3, f" {unit_name(self.unit)}".rstrip())
        )
        value, *ends = (f"{scale * number:.{decimals}f}" for number in (self.value, *(self.ci95 or ())))
        sign = "" if self.value < 0 else "+"
        return f"{sign}{value}{noun} (95%: {' to '.join(ends) or 'not measured'}): {self.verdict}"


class Comparison(Section):
    """The comparison with each baseline and with before, by name in `gains`, paired on the same test examples.

    `best_baseline` is the one with the best headline metric, which the headline compares with; None where there is
    none. `cautions` are sentences about important facts that the headline does not state.
    """

    gains: dict[str, Gain]
    best_baseline: str | None = None
    cautions: list[str] = Field(default_factory=list)

    def beside(self) -> dict[str, Any]:
        """Return the gains over before and over the probe under the names of version 1."""
        found: dict[str, Any] = {}
        for name, prefix in (("before", ""), ("probe", "probe_")):
            if name in self.gains:
                gain = self.gains[name]
                of = prefix or f"{gain.metric}_"
                found |= {f"{of}gain": gain.value, f"{of}gain_ci95": gain.ci95, f"{prefix}verdict": gain.verdict}
                found |= {f"{prefix}mcnemar_p_value": gain.p_value} if gain.test == MCNEMAR else {}
        return found

    @property
    def rival(self) -> str:
        """Return the name of the headline's comparison."""
        return self.best_baseline or "before"


class ReloadCheck(Section):
    """A fresh process loads the saved adapter and computes the same logits again."""

    passed: bool
    examples: int
    largest_logit_difference: float | None


DataRecord.model_rebuild()
Evaluation.model_rebuild()
