"""From logits and measurements of a run to the record, the predictions and the files of the run folder."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lightune.artifact import RECIPE_FILE
from lightune.data.dataset import DataSplits
from lightune.durable import write_file
from lightune.evaluation.baselines import PROBE, TFIDF, Fitted
from lightune.evaluation.significance import Difference, compare, not_compared
from lightune.models.load import ModelSource
from lightune.recipe import Recipe, parse_recipe
from lightune.recipes.compose import to_yaml
from lightune.record import RunRecord
from lightune.report.files import write_reports
from lightune.report.stuck import stuck_sentence
from lightune.report.without_paths import recipe_at_home, without_home
from lightune.safe_files import json_text, write_json
from lightune.sections import (
    Baseline,
    Comparison,
    DataRecord,
    Evaluation,
    Gain,
    Inference,
    ModelRecord,
    ReloadCheck,
    Rows,
    Training,
)
from lightune.tasks import TASKS, Task
from lightune.values.formulas import neutral

# Baselines whose predictions are in predictions.csv.
FITTED = {PROBE[0], TFIDF[0]}
FEWEST_TEXTS = 30  # of a test: the percentile bootstrap of fewer is too narrow


@dataclass(frozen=True)
class Measured:
    """The parts of the record that were measured during the run."""

    model: ModelRecord
    before: Evaluation
    training: Training
    after: Evaluation
    inference: Inference
    reload_check: ReloadCheck


@dataclass(frozen=True)
class Outcome:
    """A finished run.

    `windows` is the number of windows of each text that was read in several.
    `before` and `after` are logits on the test split, (texts, outputs); `baselines` have their names in the record.
    `task` is that of the trained model; the other logits belong to the task of the splits.
    """

    recipe: Recipe
    splits: DataSplits
    task: Task
    environment: dict[str, Any]
    before: NDArray[Any]
    after: NDArray[Any]
    baselines: Mapping[str, Fitted]
    measured: Measured
    truncated_examples: int
    max_length: int
    notes: Sequence[str]
    windows: Sequence[int] = ()

    def record(self, folder: Path) -> RunRecord:
        """Return the record of the run, which will be in `folder`."""
        measured, task = self.measured, self.task
        record = RunRecord(
            status="completed" if measured.reload_check.passed else "reload_failed",
            run_folder=folder.as_posix(),
            recipe=self.recipe.model_dump(mode="json"),
            environment=self.environment,
            task=task.record().model_copy(update={"package": TASKS.package(task.name)}),
            data=self._data(),
            model=measured.model,
            baselines={name: found.section for name, found in self.baselines.items()},
            before=measured.before,
            training=measured.training,
            after=measured.after,
            inference=measured.inference,
            comparison=self._comparison(),
            reload_check=measured.reload_check,
        )
        return record.model_copy(update={"notes": [*self.notes, *not_measured(record)]})

    def predictions(self) -> list[dict[str, str]]:
        """Return one row per test example: text, target, predictions after, before and of fitted baselines, groups."""
        task, first, test = self.task, self.splits.task, self.splits.test
        others = {"before": self.before, **{name: self.baselines[name].scores for name in FITTED & set(self.baselines)}}
        answered = list(task.cells(self.after))
        beside = {name: [cells[0] for cells in first.cells(others[name])] for name in sorted(others)}
        rows = []
        for row, text in enumerate(test.texts):
            parts = {"text": text[0]} if len(text) == 1 else {"text": text[0], "text_pair": text[1]}
            cells = {task.target_column: task.shown(test.targets[row])}
            cells |= dict(zip(task.answer_columns, answered[row], strict=True))
            cells |= {f"{name}_prediction": answers[row] for name, answers in beside.items()}
            groups = {name: values[row] for name, values in test.groups.items() if name not in {*parts, *cells}}
            rows.append({**parts, **cells, **groups})
        return rows

    def write(self, working: Path, final: Path) -> RunRecord:
        """Write all files except the adapter and the recipe into the working folder; the record names the final one."""
        record, rows = self.record(final), self.predictions()
        write_json(working / "environment.json", record.environment)
        results = json_text(without_home(record).model_dump(mode="json")) + "\n"
        write_file(working / "results.json", results.encode())
        table = StringIO(newline="")
        cells = [list(rows[0]), *(list(row.values()) for row in rows)]
        csv.writer(table, lineterminator="\n").writerows([neutral(cell) for cell in row] for row in cells)
        write_file(working / "predictions.csv", table.getvalue().encode())
        write_reports(record, rows, working)
        return record

    def _data(self) -> DataRecord:
        splits = self.splits
        return DataRecord(
            source=splits.source,
            revision=splits.revision,
            train_examples=len(splits.train),
            validation_examples=len(splits.validation),
            test_examples=len(splits.test),
            labels=list(self.task.labels),
            sha256=splits.sha256(),
            truncated_examples=self.truncated_examples,
            windowed_examples=len(self.windows),
            windows=sum(self.windows),
            max_length=self.max_length,
            text_column=splits.text_columns[0] if len(splits.text_columns) == 1 else splits.text_columns,
            label_column=splits.label_columns[0] if len(splits.label_columns) == 1 else splits.label_columns,
            rows={name: Rows.model_validate(counts.as_json()) for name, counts in splits.rows.items()},
        )

    def _comparison(self) -> Comparison:
        task, first, targets = self.task, self.splits.task, self.splits.test.targets
        after = task.counts(self.after, targets)
        others = {name: found.scores for name, found in self.baselines.items()} | {"before": self.before}
        sections = {name: found.section for name, found in self.baselines.items()}
        measured = {**sections, "before": self.measured.before, "after": self.measured.after}
        name = task.metrics[0].name
        known = {who for who, found in measured.items() if found.metrics.get(name) is not None}
        gains = {
            who: compare(task, after, first.counts(scores, targets)) if {who, "after"} <= known else not_compared()
            for who, scores in others.items()
        }
        best = best_baseline(task, sections)
        found = self.measured
        stuck = stuck_sentence(found.before, found.training, found.after)
        cautions = [*few_texts(len(targets)), *stuck, *task.cautions(found.after, sections, best)]
        named = {who: _gain(task, found) for who, found in gains.items()}
        return Comparison(gains=named, best_baseline=best, cautions=cautions)


def few_texts(examples: int) -> list[str]:
    """Return a caution where there are too few test texts for an interval."""
    if examples >= FEWEST_TEXTS:
        return []
    noun = "example" if examples == 1 else "examples"
    return [f"Only {examples} test {noun}: figures and intervals from so few say little."]


def best_baseline(task: Task, baselines: Mapping[str, Baseline]) -> str | None:
    """Return the baseline with the best headline metric, the last of equal ones; None where none has a finite one."""
    metric = task.metrics[0]
    sign = 1 if metric.higher_is_better else -1
    known = {name: found.metrics.get(metric.name) for name, found in baselines.items()}
    values = {name: sign * value for name, value in known.items() if value is not None and math.isfinite(value)}
    return max(reversed(values), key=values.__getitem__) if values else None


def write_recipe(recipe: Recipe, base: ModelSource, working: Path) -> None:
    """Write recipe.yaml, which says where a base model in a local folder is: the adapter itself only names it.

    It is written before the adapter, because the reload check needs it. The path is absolute, or begins with ~, so that
    the recipe works from any other folder.
    """
    if base.revision is None:
        recipe = recipe.model_copy(update={"model": str(base.folder.resolve())})
    recipe = parse_recipe(recipe_at_home(recipe.model_dump(mode="json")))
    write_file(working / RECIPE_FILE, to_yaml(recipe).encode())


def not_measured(record: RunRecord) -> list[str]:
    """Return which gains, or which intervals of gains, could not be measured, and why."""
    headline, said = record.task.headline, []
    for name, gain in record.comparison.gains.items():
        other, named = (
            (record.baselines[name], record.baselines[name].named)
            if name in record.baselines
            else (record.before, name)
        )
        over = f"The gain in {headline.title} over {named}"
        if gain.value is None:
            both = ("the trained model", record.after), (named, other)
            lacking = [who for who, found in both if found.metrics.get(headline.name) is None]
            whose = " and for ".join(lacking) or "one of the two"
            said.append(f"{over} was not measured: {headline.title} is undefined for {whose}.")
        elif gain.ci95 is None:
            why = f"{headline.title} is undefined for more than 5% of the resamples of the test examples"
            said.append(f"{over} has no 95% interval: {why}.")
    return said


def _gain(task: Task, found: Difference) -> Gain:
    metric = task.metrics[0]
    return Gain(
        metric=metric.name,
        unit=metric.unit,
        value=found.gain,
        ci95=found.ci95,
        p_value=found.p_value,
        test=found.test,
        verdict=found.verdict,
    )
