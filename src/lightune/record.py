"""The record of a run: what was done, and the results. It is saved as `results.json`; all reports come from it."""

from __future__ import annotations

from html import escape
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from lightune.measured import Section
from lightune.sections import (
    Baseline,
    Comparison,
    DataRecord,
    Evaluation,
    Inference,
    ModelRecord,
    ReloadCheck,
    TaskRecord,
    Training,
)

SCHEMA_VERSION = 2
NAMES_WIDTH = 23


class RunRecord(Section):
    """A complete run. `before` is the model before training; with a new head (`model.head`) it can only guess.

    `baselines` are in the order in which they were computed; of equally good ones the later uses more of the model.
    """

    schema_version: int = SCHEMA_VERSION
    status: Literal["completed", "reload_failed"] = "completed"
    run_folder: str
    recipe: dict[str, Any]
    environment: dict[str, Any]
    task: TaskRecord
    data: DataRecord
    model: ModelRecord
    baselines: dict[str, Baseline]
    before: Evaluation
    training: Training
    after: Evaluation
    inference: Inference
    comparison: Comparison
    reload_check: ReloadCheck
    notes: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _compared(self) -> Self:
        """Refuse a record that lacks the comparison of its headline."""
        named = {"before", self.comparison.rival}
        missing = sorted((named - set(self.comparison.gains)) | (named - {"before", *self.baselines}))
        if missing:
            raise ValueError(f"there is no comparison with {', '.join(missing)}")
        return self

    def figures(self) -> list[tuple[str, str]]:
        """Return the main figures of the run, each with its name; the report holds all of them."""
        training, model, headline = self.training, self.model, self.task.headline
        memory = training.peak_memory_bytes
        peak = f"peak memory {'not measured' if memory is None else f'{memory / 1e6:,.0f} MB'}"
        trained = f"{model.trainable_parameters:,} of {model.parameters:,} ({model.trainable_percent:.2f}%)"
        reached = {name: _shown(found.metrics.get(headline.name)) for name, found in self.baselines.items()}
        return [
            (headline.title, f"{self._headline(self.after)} on {self.after.examples:,} test examples"),
            *self._over_baseline(),
            *(("but", sentence) for sentence in self.comparison.cautions),
            ("over before", str(self.comparison.gains["before"])),
            *(("baseline", f"{self.baselines[name].title}: {reached[name]}") for name in reversed(reached)),
            ("before", self._headline(self.before)),
            ("training", f"{training.runtime:,.1f} s, {training.samples_per_second:,.0f} samples/s, {peak}"),
            ("trainable parameters", trained),
            ("adapter on disk", f"{model.adapter_bytes / 1e6:,.2f} MB"),
            ("reload check", "passed" if self.reload_check.passed else "failed"),
            *(("note", note) for note in self.notes),
            ("run folder", self.run_folder),
        ]

    def _over_baseline(self) -> list[tuple[str, str]]:
        """Return the gain over the baseline of the headline; an older record compares with only one baseline."""
        rival, gains = self.comparison.best_baseline, self.comparison.gains
        if rival is None:
            return []
        best = "the best" if set(self.baselines) <= set(gains) else "a"
        return [(f"over {best} baseline", f"{self.baselines[rival].title}: {gains[rival]}")]

    def _headline(self, found: Evaluation) -> str:
        return _shown(found.metrics.get(self.task.headline.name))

    def summary(self) -> str:
        """Return the main figures as a table of plain text; `print(record)` prints it."""
        return "\n".join(f"{name:<{NAMES_WIDTH}} {value}" for name, value in self.figures())

    def __str__(self) -> str:
        """Return the summary."""
        return self.summary()

    def __repr__(self) -> str:
        """Name the run folder and the headline metric."""
        return f"<RunRecord {self.run_folder}: {self.task.headline.title} {self._headline(self.after)}>"

    def _repr_html_(self) -> str:
        """Return the main figures as a table for a notebook."""
        cell = '<td style="text-align: left">'
        rows = (f"<tr>{cell}{escape(name)}</td>{cell}{escape(value)}</td></tr>" for name, value in self.figures())
        return f"<table>{''.join(rows)}</table>"


def _shown(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.3f}"
