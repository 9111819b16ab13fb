"""The recipe: the settings of a run, as data. Every default of a run is defined here, once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from lightune.errors import RecipeError, did_you_mean
from lightune.recipe_faults import described
from lightune.values.secret_names import readable_name
from lightune.values.text_formats import listed_names, named_encoding, named_separator, stated_texts

SCHEDULERS = (
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt",
    "reduce_lr_on_plateau", "cosine_with_min_lr", "cosine_warmup_with_min_lr", "warmup_stable_decay", "greedy",
)  # fmt: skip
MOST_SHOWN = 50  # faults of one recipe
LONGEST_FAULT = 2000  # letters
TRACKERS = ("tensorboard", "trackio", "wandb")

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
LabelSeparator = Annotated[str, StringConstraints(min_length=1, max_length=3, strip_whitespace=False)]
Separator = Annotated[str, StringConstraints(strip_whitespace=False), AfterValidator(named_separator)]
Encoding = Annotated[str, AfterValidator(named_encoding)]
Name = Annotated[str, AfterValidator(readable_name)]
ModelName = Annotated[str, Field(min_length=1), AfterValidator(readable_name)]
Names = Annotated[tuple[str, ...], Field(min_length=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
NonNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class Block(BaseModel):
    """A part of the recipe; unknown keys are refused, so that a typo cannot be ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, str_strip_whitespace=True)


class Files(Block):
    """Local files for each split: csv, tsv, jsonl, parquet, xlsx; a file, a pattern such as data/*.csv, or a folder."""

    train: Name  # the training files
    validation: Name | None = None  # else a fifth of the training rows
    test: Name | None = None  # else a fifth of the training rows, held out first


def _source_kind(value: Any) -> str:
    return "<files>" if isinstance(value, Mapping | Files) else "<name>"


def _text_kind(value: Any) -> str:
    return "<pair>" if isinstance(value, list | tuple) else "<name>"


# Distinguished by type, so that a fault inside the files is not also reported as "not a string".
Source = Annotated[Annotated[Name, Tag("<name>")] | Annotated[Files, Tag("<files>")], Discriminator(_source_kind)]
TextColumn = Annotated[
    Annotated[str, Tag("<name>")] | Annotated[tuple[str, str], Tag("<pair>")], Discriminator(_text_kind)
]


class DataBlock(Block):
    """Which texts and labels, and how many of them.

    `train_examples` counts every label the run may use for fitting or choosing; without a validation file a fifth of
    it is set aside for validation.
    """

    source: Source = "reviews"  # a file, a pattern, a folder, a data set of the Hub, or reviews; or files by split
    name: str | None = None  # the configuration of a Hub data set that has several, as in datasets
    revision: str | None = None  # the commit of a Hub data set
    text_column: TextColumn | None = None  # one name, or two of a pair; else it is looked for
    label_column: str | None = None  # else it is looked for
    label_columns: Names | None = None  # several: one of 0 and 1 for each label, or one number each
    label_kind: Literal["auto", "class"] = "auto"  # class: numbers and joined labels are always classes
    label_separator: LabelSeparator | None = None  # between the labels of a cell
    separator: Separator | None = None  # between the columns of text files; else as their headers show
    encoding: Encoding | None = None  # of files that are not UTF-8
    header_row: Count | None = None  # the row of the column names; else the first
    column_names: Names | None = None  # of files whose first row is data
    sheet: str | None = None  # of a workbook; else the first that has rows
    decimal: Literal["comma", "point"] | None = None  # before the fraction of a number; else as a column shows
    train_examples: Count | None = None  # labels for training and validation together; None: all
    validation_examples: Count | None = None  # how many of them are for validation; None: a fifth
    test_examples: Count | None = None  # None: all
    max_length: Annotated[int, Field(ge=4)] | None = None  # tokens, at which texts are cut; None: the model's limit
    long_texts: Literal["cut", "windows"] = "cut"  # windows: a longer text is read whole, in overlapping windows
    on_unseen_label: Literal["error", "drop"] = "error"  # a label of validation or test that training lacks
    on_missing: Literal["error", "drop", "drop_words"] = "error"  # rows without text or target; with NA, null, - or so
    on_alike_label: Literal["error", "merge"] = "error"  # labels that differ by case, spaces or quotes
    on_rare_label: Literal["error", "drop"] = "error"  # rows whose label has one training text
    on_unreadable: Literal["error", "drop"] = "error"  # rows of a text file that are broken
    on_duplicate: Literal["drop", "keep", "error"] = "drop"  # texts that occur twice, in one split or in two
    fingerprints: bool = True  # of the training and validation texts, kept beside the adapter

    @field_validator("label_columns", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        return [part for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("column_names", mode="before")
    @classmethod
    def _listed_names(cls, value: Any) -> Any:
        are_names = isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)
        return listed_names(value) if are_names or isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.label_column is not None and self.label_columns is not None:
            raise ValueError("label_column names one column and label_columns several: give one of the two")
        return self

    @property
    def named_labels(self) -> tuple[str, ...] | None:
        """The column or columns of the labels, where they are named."""
        return self.label_columns if self.label_column is None else (self.label_column,)

    @property
    def named_columns(self) -> list[str]:
        """Every column that is named, texts first; of premise,hypothesis the whole and both parts."""
        return [*stated_texts(self.text_column), *(self.named_labels or ())]


class MethodBlock(BaseModel):
    """A method's name and its options; the method itself knows which options it has."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str = "lora"  # see `lightune methods`; its options stand beside it

    @property
    def options(self) -> dict[str, Any]:
        """The options as they were given, without the name."""
        return dict(self.model_extra or {})


class TrainingBlock(Block):
    """How to train; names as in transformers.TrainingArguments. `learning_rate: null` is the method's own default.

    What is `auto` is settled when the data is known, and the recorded recipe says as what.
    """

    num_train_epochs: Count | Literal["auto"] = "auto"  # auto: by the numbers of texts and labels
    per_device_train_batch_size: Count = 16  # texts that a process computes at once
    gradient_accumulation_steps: Count = 1  # batches whose gradients are added for a step
    train_sampling_strategy: Literal["random", "group_by_length"] = "random"  # texts of similar length together
    learning_rate: Positive | None = None  # None: the method's own default
    weight_decay: NonNegative = 0.01  # of AdamW
    adam_beta1: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9  # of AdamW
    adam_beta2: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.999  # of AdamW
    adam_epsilon: Positive = 1e-8  # of AdamW
    warmup_steps: NonNegative = 0.1  # a number of steps, or below 1 a share of them
    lr_scheduler_type: str = "linear"  # any schedule of transformers
    lr_scheduler_kwargs: dict[str, Any] = Field(default_factory=dict)  # what that schedule takes
    max_grad_norm: NonNegative = 1.0  # longer gradients are cut to it; 0: never
    gradient_checkpointing: bool = False  # compute activations a second time instead of keeping them
    cuda_graphs: bool = True  # record the passes of a step and replay them, if a GPU and the method allow it
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 42  # of every random draw: rows, order, weights, dropout
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: frozen layers in bf16 where a probe finds it faster
    head_start: Literal["auto", "random", "probe"] = "auto"  # auto: what the task starts from
    class_weights: Literal["none", "auto"] = "none"  # auto: each label has the same weight in all
    calibration: Literal["auto", "none"] = "auto"  # auto: a temperature is fitted on 100 validation texts or more
    metric_for_best_model: str | None = None  # None: the task's first one, which the recorded recipe names
    load_best_model_at_end: bool | Literal["auto"] = "auto"  # auto: where 100 validation texts choose the best epoch
    weight_averaging: Share = 0.0  # over this share of the last steps
    token_masking: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0  # this share of the tokens is hidden in training
    cache_frozen: Literal["auto", "on", "off"] = "auto"  # compute lower frozen layers once for each text
    early_stopping_patience: Count | None = None  # epochs without progress after which training ends
    save_steps: Count | None = None  # steps between checkpoints
    report_to: tuple[str, ...] = ()  # tensorboard, trackio, wandb

    @field_validator("lr_scheduler_type")
    @classmethod
    def _known_scheduler(cls, value: str) -> str:
        return _one_of("schedule", value, SCHEDULERS)

    @field_validator("report_to", mode="before")
    @classmethod
    def _known_trackers(cls, value: Any) -> Any:
        names = list(value) if isinstance(value, list | tuple) else [] if value is None else [value]
        return tuple(_one_of("tracker", str(name), TRACKERS) for name in names if name != "none")

    @field_validator("cache_frozen", mode="before")
    @classmethod
    def _yaml_switch(cls, value: Any) -> Any:
        return {True: "on", False: "off"}[value] if isinstance(value, bool) else value  # YAML reads on and off as these

    @field_validator("warmup_steps")
    @classmethod
    def _whole_warmup(cls, value: float) -> float:
        if value >= 1 and not value.is_integer():
            raise ValueError(f"a share below 1, or a whole number of steps (given: {value:g})")
        return value


class SettledTraining(TrainingBlock):
    """How to train, with nothing left that the data has to settle."""

    num_train_epochs: Count = 5
    load_best_model_at_end: bool = True
    head_start: Literal["random", "probe"] = "random"


class EvaluationBlock(Block):
    """How to evaluate.

    `per_device_eval_batch_size` counts texts of 64 tokens: a batch of longer or shorter texts has at most the same
    number of tokens. Memory and speed depend on it, results do not.
    """

    per_device_eval_batch_size: Count = 64  # texts of 64 tokens


class Recipe(Block):
    """One run, described completely: model, data, method, training, evaluation."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = "run"  # of the run folder
    description: str = ""  # what `lightune recipes` says of it
    model: ModelName = "minilm"  # a name on the Hub, a folder, or the embedded model
    model_revision: str | None = None  # a commit of the Hub
    model_precision: Literal["fp32", "bf16", "int8", "nf4"] = "fp32"  # how frozen weights are stored
    task: str = "auto"  # auto: by the label column
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"  # auto: a GPU where there is one
    data: DataBlock = Field(default_factory=DataBlock)
    method: MethodBlock = Field(default_factory=MethodBlock)
    training: TrainingBlock = Field(default_factory=TrainingBlock)
    evaluation: EvaluationBlock = Field(default_factory=EvaluationBlock)

    @field_validator("method", mode="before")
    @classmethod
    def _method_by_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    def settled(self, task: str, training: SettledTraining) -> Recipe:
        """Return the recipe with what `auto` came to."""
        return self.model_copy(update={"task": task, "training": training})

    def pinned(self, model_revision: str | None, data_revision: str | None) -> Recipe:
        """Return the recipe with the Hub's commits that were used, so that a rerun uses exactly the same files.

        Packaged weights are recorded by their hash, which is not a commit.
        """
        of_hub = model_revision is not None and not model_revision.startswith("sha256:")
        return self.model_copy(
            update={
                "model_revision": model_revision if of_hub else self.model_revision,
                "data": self.data.model_copy(update={"revision": data_revision or self.data.revision}),
            }
        )


def _one_of(kind: str, value: str, valid: tuple[str, ...]) -> str:
    if value not in valid:
        raise ValueError(f'there is no {kind} "{value}". {did_you_mean(value, valid)} Valid: {", ".join(valid)}')
    return value


BLOCKS: dict[str, type[BaseModel]] = {
    "": Recipe,
    "data": DataBlock,
    "data.source": Files,
    "training": TrainingBlock,
    "evaluation": EvaluationBlock,
}


def parse_recipe(mapping: Mapping[str, Any], where: str = "the recipe") -> Recipe:
    """Validate a mapping as a recipe; RecipeError lists all faults at once, each with what would be valid."""
    try:
        return Recipe.model_validate(dict(mapping))
    except ValidationError as error:
        found = error.errors(include_url=False)
        faults = list(dict.fromkeys(described(fault, BLOCKS)[:LONGEST_FAULT] for fault in found[:MOST_SHOWN]))
        count, more = len(faults), len(found) - MOST_SHOWN
        if more > 0:
            count, faults = len(found), [*faults, f"and {more:,} more"]
        lines = "\n".join(f"  {line}" for line in faults)
        raise RecipeError("RECIPE-001", f"{where} has {count:,} fault{'s' * (count > 1)}:\n{lines}") from error
