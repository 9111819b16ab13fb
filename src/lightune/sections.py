"""The parts of a record: task, data, model, baselines, evaluations, training, comparison; sections of results.json."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from lightune.measured import Measured, Metric, Section

Verdict = Literal["better", "worse", "no clear difference"]
MCNEMAR = "McNemar's test"


class TaskRecord(Section):
    """What was learnt: the name of the task, its labels (none for numbers) and its metrics, the headline first.

    `hub_tag` is what the Hugging Face Hub calls the task, `model_class` the class of transformers that has its head,
    `target_column` the column of predictions.csv with what is to be answered; a text gets so many `outputs`.
    """

    name: str
    labels: list[str]
    outputs: int
    metrics: list[Metric] = Field(min_length=1)
    hub_tag: str
    model_class: str
    target_column: str = "label"

    @property
    def headline(self) -> Metric:
        """Return the first metric, by which models are compared."""
        return self.metrics[0]


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


class Baseline(Measured):
    """What costs almost nothing, on the same test examples; `title` is its name in a table, `article` goes before it.

    Details say how it came about: the label that is always answered, the strength C that was chosen.
    """

    title: str
    article: str = ""
    runtime: float | None = None

    @property
    def named(self) -> str:
        """Return its name as it stands in a sentence."""
        return f"{self.article} {self.title}".strip()


class Cost(Section):
    """What a phase cost. Memory is the resident set on the CPU; on CUDA the allocator's figures stand beside it."""

    runtime: float
    samples_per_second: float
    steps_per_second: float
    memory_before_bytes: int | None = None
    peak_memory_bytes: int | None = None
    peak_cuda_allocated_bytes: int | None = None
    peak_cuda_reserved_bytes: int | None = None


class Evaluation(Measured, Cost):
    """A model's answers on the test examples, and what they cost.

    `known_examples` counts the texts that the model was trained or validated on, `without_known` is of the others. Both
    are None where no fingerprints tell; `without_known` is so too where every text is known.
    """

    examples: int
    groups: dict[str, dict[str, PartMetrics]] = Field(default_factory=dict)
    known_examples: int | None = None
    without_known: PartMetrics | None = None


class PartMetrics(Measured):
    """Metrics on a part of the test examples: those that share a value of an extra column, or are not known."""

    examples: int


class LabelledFile(Measured):
    """What a file with labels says of the answers to its texts, by the headline metric; see Evaluation.

    `examples` are the rows with a label of the model. Those with another label, or with none, are counted apart.
    """

    label_column: str
    metric: Metric
    examples: int
    known_examples: int
    without_known: PartMetrics | None
    unknown_labels: int
    missing_labels: int


class Epoch(Section):
    """One pass over the training examples, and the validation after it; `metrics` are of the validation."""

    epoch: int
    train_loss: float
    metrics: dict[str, float | None]
    learning_rate: float

    def beside(self) -> dict[str, Any]:
        """Return each metric as `validation_<name>`."""
        return {f"validation_{name}": value for name, value in self.metrics.items()}


class Resumed(Section):
    """Where training went on from a checkpoint, and how many steps after it were computed a second time."""

    from_step: int
    recomputed_steps: int


class Training(Cost):
    """The training phase; runtime and rates count training steps alone, without evaluation and saving."""

    steps: int
    best_epoch: int
    learning_rate: float
    precision: str
    epochs: list[Epoch]
    resumed: list[Resumed] = Field(default_factory=list)


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
    """How far the adapted model is above another one: 95% bootstrap interval, p-value of the named test, verdict.

    Above zero is better, whichever way the metric goes.
    """

    metric: str
    unit: str = "share"
    value: float
    ci95: tuple[float, float]
    p_value: float
    test: str = MCNEMAR
    verdict: Verdict

    def __str__(self) -> str:
        """Return the gain with its interval and its verdict: shares in percentage points, others as they are."""
        scale, decimals, noun = (100, 1, " points") if self.unit == "share" else (1, 3, f" {self.unit}".rstrip())
        value, low, high = (f"{scale * number:.{decimals}f}" for number in (self.value, *self.ci95))
        sign = "" if self.value < 0 else "+"
        return f"{sign}{value}{noun} (95%: {low} to {high}): {self.verdict}"


class Comparison(Section):
    """Was it better? Paired on the same test examples: with each baseline and with before, by name in `gains`.

    `best_baseline` is the one with the best headline metric, which the headline compares with; None where there is
    none. `cautions` are sentences on what the headline does not say and should not be missed.
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
        """Return the name of what the headline compares with."""
        return self.best_baseline or "before"


class ReloadCheck(Section):
    """A fresh process loads the saved adapter and computes the same logits again."""

    passed: bool
    examples: int
    largest_logit_difference: float | None


DataRecord.model_rebuild()
Evaluation.model_rebuild()
