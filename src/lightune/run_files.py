"""What came of a run: from answers and measurements to the record, the predictions and the files of the run folder."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightune.artifact import RECIPE_FILE
from lightune.data.dataset import Task
from lightune.evaluation.baselines import Baseline
from lightune.evaluation.metrics import per_label, probabilities
from lightune.evaluation.significance import Difference, compare
from lightune.methods import make_method
from lightune.models.load import ModelSource
from lightune.recipe import Recipe
from lightune.recipes.compose import to_yaml
from lightune.record import RunRecord
from lightune.report.files import write_reports
from lightune.safe_files import write_json
from lightune.sections import (
    Baselines,
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
from lightune.verdict import PREFERRED, best_baseline, with_article


@dataclass(frozen=True)
class Measured:
    """The parts of the record that were measured on the way, the evaluations without figures per label."""

    model: ModelRecord
    before: Evaluation
    training: Training
    after: Evaluation
    inference: Inference
    reload_check: ReloadCheck


@dataclass(frozen=True)
class Outcome:
    """A finished run.

    `before` and `after` are scores on the test split, (texts, labels); `baselines` stand by their names in the record.
    """

    recipe: Recipe
    task: Task
    environment: dict[str, Any]
    before: NDArray[Any]
    after: NDArray[Any]
    baselines: Mapping[str, Baseline]
    measured: Measured
    truncated_examples: int
    max_length: int
    notes: Sequence[str]

    def record(self, folder: Path) -> RunRecord:
        """Return the record of the run, which will lie in `folder`."""
        measured, method = self.measured, self.recipe.method
        usual_rate = make_method(method.name, method.options).default_learning_rate
        record = RunRecord(
            status="completed" if measured.reload_check.passed else "reload_failed",
            run_folder=folder.as_posix(),
            recipe=self.recipe.model_dump(mode="json"),
            environment=self.environment,
            data=self._data(),
            model=measured.model,
            baselines=Baselines.model_validate({name: found.section for name, found in self.baselines.items()}),
            before=self._per_label(measured.before),
            training=measured.training,
            after=self._per_label(measured.after),
            inference=measured.inference,
            comparison=self._comparison(),
            reload_check=measured.reload_check,
        )
        advised = advice(lost_to(record), measured.training, usual_rate)
        return record.model_copy(update={"notes": [*advised, *self.notes]})

    def predictions(self) -> list[dict[str, str]]:
        """Return a row per test example: text, label, answers before, after and of the fitted baselines, groups."""
        names, test = self.task.labels, self.task.test
        shares = probabilities(self.after.astype(np.float64))
        rows = []
        for row, text in enumerate(test.texts):
            parts = {"text": text[0]} if len(text) == 1 else {"text": text[0], "text_pair": text[1]}
            answers = {
                "label": names[test.labels[row]],
                "prediction": names[int(self.after[row].argmax())],
                "confidence": f"{shares[row].max():.6f}",
                "before_prediction": names[int(self.before[row].argmax())],
                "probe_prediction": names[int(self.baselines["probe"].scores[row].argmax())],
                "tfidf_prediction": names[int(self.baselines["tfidf"].scores[row].argmax())],
            }
            groups = {name: values[row] for name, values in test.groups.items() if name not in {*parts, *answers}}
            rows.append({**parts, **answers, **groups})
        return rows

    def write(self, working: Path, final: Path) -> RunRecord:
        """Write every file but the adapter and the recipe into the working folder; the record names the final one."""
        record, rows = self.record(final), self.predictions()
        write_json(working / "environment.json", record.environment)
        write_json(working / "results.json", record.model_dump(mode="json"))
        with (working / "predictions.csv").open("w", encoding="utf-8", newline="") as sink:
            writer = csv.DictWriter(sink, fieldnames=list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        write_reports(record, rows, working)
        return record

    def _data(self) -> DataRecord:
        task = self.task
        return DataRecord(
            source=task.source,
            revision=task.revision,
            train_examples=len(task.train),
            validation_examples=len(task.validation),
            test_examples=len(task.test),
            labels=task.labels,
            sha256=task.sha256(),
            truncated_examples=self.truncated_examples,
            max_length=self.max_length,
            text_column=task.text_columns[0] if len(task.text_columns) == 1 else task.text_columns,
            label_column=task.label_column,
            rows={name: Rows.model_validate(counts.as_json()) for name, counts in task.rows.items()},
        )

    def _per_label(self, found: Evaluation) -> Evaluation:
        """Return the evaluation with its figures per label."""
        scores = per_label(found.confusion_matrix, self.task.labels)
        return Evaluation.model_validate({**dict(found), "per_label": scores})

    def _comparison(self) -> Comparison:
        labels = np.asarray(self.task.test.labels)
        after = self.after.argmax(1) == labels
        others = {name: found.scores for name, found in self.baselines.items()} | {"before": self.before}
        found = {name: compare(after, scores.argmax(1) == labels) for name, scores in others.items()}
        accuracies = {name: baseline.section.accuracy for name, baseline in self.baselines.items()}
        to_before, to_probe = found["before"], found["probe"]
        return Comparison(
            accuracy_gain=to_before.gain,
            accuracy_gain_ci95=to_before.ci95,
            mcnemar_p_value=to_before.p_value,
            verdict=to_before.verdict,
            probe_gain=to_probe.gain,
            probe_gain_ci95=to_probe.ci95,
            probe_mcnemar_p_value=to_probe.p_value,
            probe_verdict=to_probe.verdict,
            gains={name: _gain(difference) for name, difference in found.items()},
            best_baseline=best_baseline(accuracies),
        )


def write_recipe(recipe: Recipe, base: ModelSource, working: Path) -> None:
    """Write recipe.yaml, which says where a base that is a folder lies: nothing else of a run folder does.

    It is written before the adapter, which is reloaded with it, and may be read from any other folder.
    """
    if base.revision is None:
        recipe = recipe.model_copy(update={"model": str(base.folder.resolve())})
    (working / RECIPE_FILE).write_text(to_yaml(recipe), encoding="utf-8", newline="\n")


def lost_to(record: RunRecord) -> str | None:
    """Name the baseline that the model is clearly worse than: the best one, or else any; None where there is none."""
    found = record.comparison
    names = [found.rival, *PREFERRED]
    lost = [name for name in names if name in found.measured and found.measured[name].verdict == "worse"]
    return with_article(record.baseline_name(lost[0])) if lost else None


def advice(lost_to: str | None, training: Training, usual_rate: float) -> list[str]:
    """Return what to try after a run that lost to a baseline, which is named; nothing after any other.

    `usual_rate` is the method's own learning rate.
    """
    if lost_to is None:
        return []
    rate = training.learning_rate
    low = f" The learning rate, {rate:g}, is below the method's usual {usual_rate:g}." if rate < usual_rate else ""
    more = f"more may help, e.g. --epochs {3 * len(training.epochs)}"
    cheap = "a baseline that costs next to nothing"
    return [f"Worse than {lost_to}, {cheap}, after {training.steps} steps: {more}.{low}"]


def _gain(found: Difference) -> Gain:
    return Gain(metric="accuracy", value=found.gain, ci95=found.ci95, p_value=found.p_value, verdict=found.verdict)
