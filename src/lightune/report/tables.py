"""The tables of a run, as plain text cells; the terminal, the page and the model card each draw the same ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lightune.evaluation.metrics import per_label
from lightune.record import RunRecord
from lightune.report import words
from lightune.sections import Cost, Evaluation, PartMetrics
from lightune.verdict import PREFERRED, with_article

NOTHING = "-"
MOST_GROUPS = 40


@dataclass(frozen=True)
class Table:
    """A caption, column names and rows of text; the first column names the row, the others hold figures."""

    caption: str
    columns: list[str]
    rows: list[list[str]]


def method_name(record: RunRecord) -> str:
    """Return the name of the method that adapted the model."""
    return str(record.recipe.get("method", {}).get("name", "unknown method"))


def run_name(record: RunRecord) -> str:
    """Return the name the recipe gives the run."""
    return str(record.recipe.get("name", "run"))


def results(record: RunRecord) -> Table:
    """Return accuracy, loss and macro F1 of the baselines, of before and of after."""
    majority, named = record.baselines.majority_class, record.baseline_name
    rows = [
        [named("majority_class"), words.score(majority.accuracy), NOTHING, words.score(majority.f1_macro)],
    ]
    for name, found in (
        (named("tfidf"), record.baselines.tfidf),
        (named("probe"), record.baselines.probe),
        (f"before ({words.before_head(record)})", record.before),
        (f"after ({method_name(record)})", record.after),
    ):
        rows.append([name, words.score(found.accuracy), words.score(found.loss), words.score(found.f1_macro)])
    caption = f"On the same {words.count(record.after.examples)} test examples"
    return Table(caption, ["classifier", "accuracy", "loss", "macro F1"], rows)


def compared(record: RunRecord) -> list[str]:
    """Return what `after` is compared with: the baseline of the headline, the others by accuracy, `before` last."""
    measured, first = record.comparison.measured, record.comparison.rival
    others = [name for name in PREFERRED if name in measured and name != first]
    others.sort(key=lambda name: -getattr(record.baselines, name).accuracy)
    return [first, *others, "before"]


def gains(record: RunRecord) -> Table:
    """Return the gains over each baseline and over before, each with interval, p-value and verdict."""
    cells = []
    for name in compared(record):
        found = record.comparison.measured[name]
        other = (
            f"before ({words.before_head(record)})" if name == "before" else with_article(record.baseline_name(name))
        )
        interval = words.interval(found.ci95).removeprefix("95%: ")
        cells.append([f"over {other}", f"{words.points(found.value)} points", interval, words.p_value(found.p_value)])
        cells[-1].append(found.verdict)
    return Table(
        "Gain in accuracy, paired on the test examples",
        ["comparison", "gain", "95% interval", "McNemar", "verdict"],
        cells,
    )


def labels(found: Evaluation, names: list[str], caption: str = "Per label") -> Table:
    """Return precision, recall, F1, examples and answers of every label; "-" where nothing was answered or to find."""
    scores = found.per_label or per_label(found.confusion_matrix, names)
    rows = [
        [
            name,
            words.score(label.precision) if label.answered else NOTHING,
            words.score(label.recall) if label.examples else NOTHING,
            words.score(label.f1) if label.answered or label.examples else NOTHING,
            words.count(label.examples),
            words.count(label.answered),
        ]
        for name, label in scores.items()
    ]
    return Table(caption, ["label", "precision", "recall", "F1", "examples", "answered"], rows)


def groups(record: RunRecord, most: int) -> list[Table]:
    """Return a table for each column of groups: accuracy before and after; at most that many groups each."""
    tables = []
    for column, after in record.after.groups.items():
        before = record.before.groups.get(column, {})
        rows = []
        for name, found in list(after.items())[:most]:
            earlier = before.get(name)
            change = None if earlier is None else found.accuracy - earlier.accuracy
            shown = words.score(earlier.accuracy if earlier else None)
            change_shown = signed_points(change)
            rows.append([name, words.count(found.examples), shown, words.score(found.accuracy), change_shown])
        left = f", the first {most} of {len(after)} groups" if len(after) > most else ""
        columns = [column, "examples", "before", "after", "change"]
        tables.append(Table(f"Accuracy by {column}{left}", columns, rows))
    return tables


def signed_points(change: float | None) -> str:
    """Return a change in percentage points with its sign: "+4.1"."""
    shown = words.points(change)
    return f"+{shown}" if change is not None and change > 0 and shown != "0.0" else shown


def epochs(record: RunRecord) -> Table:
    """Return losses, validation scores and learning rate after each epoch; the epoch that was kept is marked."""
    rows = [
        [
            f"{epoch.epoch} (kept)" if epoch.epoch == record.training.best_epoch else str(epoch.epoch),
            words.score(epoch.train_loss),
            words.score(epoch.validation_loss),
            words.score(epoch.validation_accuracy),
            words.score(epoch.validation_f1_macro),
            words.learning_rate(epoch.learning_rate),
        ]
        for epoch in record.training.epochs
    ]
    columns = ["epoch", "train loss", "validation loss", "validation accuracy", "validation F1", "learning rate"]
    return Table("After each epoch", columns, rows)


def phases(record: RunRecord) -> Table:
    """Return time, rates and memory of each phase."""
    rows = [
        [
            name,
            words.seconds(cost.runtime),
            words.rate(cost.samples_per_second),
            words.rate(cost.steps_per_second),
            words.size(cost.memory_before_bytes),
            words.size(cost.peak_memory_bytes),
        ]
        for name, cost in _phases(record)
    ]
    columns = ["phase", "runtime", "samples", "steps", "memory before", "peak"]
    return Table("Time and memory of each phase", columns, rows)


def gpu_memory(record: RunRecord) -> Table | None:
    """Return the peaks of the CUDA allocator in each phase, or None when no phase has any."""
    found = [(name, cost.peak_cuda_allocated_bytes, cost.peak_cuda_reserved_bytes) for name, cost in _phases(record)]
    if all(allocated is None and reserved is None for _, allocated, reserved in found):
        return None
    rows = [[name, words.size(allocated), words.size(reserved)] for name, allocated, reserved in found]
    return Table("GPU memory of each phase", ["GPU memory", "peak allocated", "peak reserved"], rows)


def sizes(record: RunRecord) -> Table:
    """Return how much was trained and how much is stored."""
    model = record.model
    share = words.percent(model.trainable_percent / 100, 2)
    rows = [
        [
            "trainable parameters",
            f"{words.count(model.trainable_parameters)} of {words.count(model.parameters)} ({share})",
        ],
        ["adapter on disk", words.size(model.adapter_bytes)],
    ]
    return Table("What was trained and what is stored", ["size", "value"], rows)


def inference(record: RunRecord) -> Table:
    """Return latency and rate of the untouched base, the adapted model and the merged one."""
    found = record.inference
    figures = [
        ("base (untouched)", found.base_latency_ms_p50, found.base_latency_ms_p95, found.base_samples_per_second),
        ("adapted", found.latency_ms_p50, found.latency_ms_p95, found.samples_per_second),
        ("merged into base", found.merged_latency_ms_p50, found.merged_latency_ms_p95, found.merged_samples_per_second),
    ]
    rows = [
        [name, words.milliseconds(p50), words.milliseconds(p95), words.rate(speed)] for name, p50, p95, speed in figures
    ]
    return Table(
        "Inference: latency of one text, texts per second in bulk",
        ["inference", "latency p50", "latency p95", "texts"],
        rows,
    )


def evaluation(found: Evaluation, names: list[str]) -> list[Table]:
    """Return the tables of one evaluation: figures, those per label and by group, confusion matrix."""
    figures = [
        ["examples", words.count(found.examples)],
        ["accuracy", words.score(found.accuracy)],
        ["loss", words.score(found.loss)],
        ["macro F1", words.score(found.f1_macro)],
        ["runtime", words.seconds(found.runtime)],
        ["samples", words.rate(found.samples_per_second)],
        ["peak memory", words.size(found.peak_memory_bytes)],
    ]
    each = labels(found, names)
    shown = [
        Table("Evaluation", ["evaluation", "value"], figures),
        Table(each.caption, ["per label", *each.columns[1:]], each.rows),
    ]
    for column, values in found.groups.items():
        rows = [
            [name, words.count(group.examples), *map(words.score, (group.accuracy, group.f1_macro, group.loss))]
            for name, group in _largest(values)
        ]
        cut = f" ({MOST_GROUPS} of {words.count(len(values))})" if len(values) > MOST_GROUPS else ""
        columns = [f"by {column}{cut}", "examples", "accuracy", "macro F1", "loss"]
        shown.append(Table(f"Metrics by {column}", columns, rows))
    counts = [[label, *map(words.count, row)] for label, row in zip(names, found.confusion_matrix, strict=True)]
    shown.append(Table("Confusion matrix", ["label / answered", *names], counts))
    return shown


def _largest(groups: Mapping[str, PartMetrics]) -> list[tuple[str, PartMetrics]]:
    """Return the groups in their order; of very many, those with the most examples."""
    items = list(groups.items())
    if len(items) <= MOST_GROUPS:
        return items
    return sorted(items, key=lambda item: -item[1].examples)[:MOST_GROUPS]


def data(record: RunRecord) -> Table:
    """Return where the data came from and how it was used."""
    found = record.data
    columns = found.text_column if isinstance(found.text_column, list) else [found.text_column]
    rows = [
        ["source", found.source],
        *([["source revision", found.revision]] if found.revision else []),
        ["text column" + ("s" if len(columns) > 1 else ""), ", ".join(columns)],
        ["label column", found.label_column],
        ["labels", ", ".join(found.labels)],
        ["training examples", words.count(found.train_examples)],
        ["validation examples", words.count(found.validation_examples)],
        ["test examples", words.count(found.test_examples)],
        ["longest text kept", f"{words.count(found.max_length)} tokens"],
        ["texts cut at that length", words.count(found.truncated_examples)],
        ["SHA-256 of texts and labels", found.sha256],
    ]
    return Table("Data", ["data", "value"], rows)


def surroundings(record: RunRecord) -> Table:
    """Return the model's origin and the machine's description."""
    rows = [
        ["model", record.model.name],
        ["model revision", record.model.revision or "none recorded"],
        ["architecture", record.model.architecture],
        ["precision", record.training.precision],
        *([name, value] for name, value in _flat(record.environment)),
    ]
    return Table("Model and environment", ["environment", "value"], rows)


def _phases(record: RunRecord) -> list[tuple[str, Cost]]:
    return [("evaluation before", record.before), ("training", record.training), ("evaluation after", record.after)]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Yield name and text of every value; nested names are joined, byte counts get their unit."""
    for key, value in values.items():
        name = f"{prefix}{key}".replace("_", " ")
        if isinstance(value, Mapping):
            # "versions torch" reads worse than "torch".
            yield from _flat(value, "" if key == "versions" else f"{name} ")
        elif key.endswith("_bytes") and isinstance(value, int):
            yield name.removesuffix(" bytes"), words.size(value)
        else:
            yield name, words.NOT_MEASURED if value is None else str(value)
