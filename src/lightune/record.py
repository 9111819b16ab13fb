"""The record of a run: what was done and what came of it. `results.json` is this, and nothing else is reported."""

from __future__ import annotations

from html import escape
from typing import Any, Literal

from pydantic import Field

from lightune.sections import (
    Baselines,
    Comparison,
    DataRecord,
    Evaluation,
    Inference,
    ModelRecord,
    ReloadCheck,
    Section,
    Training,
)
from lightune.verdict import PREFERRED, Reached, baseline_name, cautions, counts_by_label

SCHEMA_VERSION = 1


class RunRecord(Section):
    """A whole run. `before` is the untouched model; with a new head (`model.head`) it can only guess."""

    schema_version: int = SCHEMA_VERSION
    status: Literal["completed", "reload_failed"] = "completed"
    run_folder: str
    recipe: dict[str, Any]
    environment: dict[str, Any]
    data: DataRecord
    model: ModelRecord
    baselines: Baselines
    before: Evaluation
    training: Training
    after: Evaluation
    inference: Inference
    comparison: Comparison
    reload_check: ReloadCheck
    notes: list[str] = Field(default_factory=list)

    def figures(self) -> list[tuple[str, str]]:
        """Return the main figures of the run, each with its name; the report holds all of them."""
        after, rival, gains = self.after, self.comparison.rival, self.comparison.measured
        baselines, training, model = self.baselines, self.training, self.model
        best = "the best" if self.comparison.best_baseline else "a"
        memory = training.peak_memory_bytes
        peak = f"peak memory {'not measured' if memory is None else f'{memory / 1e6:,.0f} MB'}"
        trained = f"{model.trainable_parameters:,} of {model.parameters:,} ({model.trainable_percent:.2f}%)"
        return [
            ("accuracy", f"{after.accuracy:.3f} on {after.examples:,} test examples"),
            (f"over {best} baseline", f"{self.baseline_name(rival)}: {gains[rival]}"),
            *(("but", sentence) for sentence in self.cautions()),
            ("over before", str(gains["before"])),
            ("linear probe", f"{baselines.probe.accuracy:.3f}"),
            ("word counts (TF-IDF)", f"{baselines.tfidf.accuracy:.3f}"),
            ("majority class", f"{baselines.majority_class.accuracy:.3f}, {self.baseline_name('majority_class')}"),
            ("before", f"{self.before.accuracy:.3f}"),
            ("training", f"{training.runtime:,.1f} s, {training.samples_per_second:,.0f} samples/s, {peak}"),
            ("trainable parameters", trained),
            ("adapter on disk", f"{model.adapter_bytes / 1e6:,.2f} MB"),
            ("reload check", "passed" if self.reload_check.passed else "failed"),
            *(("note", note) for note in self.notes),
            ("run folder", self.run_folder),
        ]

    def baseline_name(self, baseline: str) -> str:
        """Return what a baseline is called; the majority class by its label."""
        return baseline_name(baseline, self.baselines.majority_class.label)

    def cautions(self) -> list[str]:
        """Return what the headline does not say and should not be missed, a sentence each."""
        baselines: dict[str, Any] = {name: getattr(self.baselines, name) for name in PREFERRED}
        reached = {name: Reached(self.baseline_name(name), x.accuracy, x.f1_macro) for name, x in baselines.items()}
        after = Reached("this model", self.after.accuracy, self.after.f1_macro)
        counts = counts_by_label(self.data.labels, self.after.confusion_matrix)
        return cautions(after, reached, counts, self.comparison.best_baseline)

    def summary(self) -> str:
        """Return the main figures as a table of plain text; `print(record)` prints it."""
        return "\n".join(f"{name:<23} {value}" for name, value in self.figures())

    def __str__(self) -> str:
        """Return the summary."""
        return self.summary()

    def __repr__(self) -> str:
        """Name the run folder and the accuracy."""
        return f"<RunRecord {self.run_folder}: accuracy {self.after.accuracy:.3f}>"

    def _repr_html_(self) -> str:
        """Return the main figures as a table for a notebook."""
        cell = '<td style="text-align: left">'
        rows = (f"<tr>{cell}{escape(name)}</td>{cell}{escape(value)}</td></tr>" for name, value in self.figures())
        return f"<table>{''.join(rows)}</table>"
