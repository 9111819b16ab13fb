"""The tables of a run, as plain text cells; the terminal, the page and the model card each draw the same ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightune.measured import Measured, Metric
from lightune.record import RunRecord
from lightune.report import gains, words
from lightune.sections import Cost, DataRecord, Evaluation, PartMetrics

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
    """Return all metrics of the baselines, of before and of after."""
    metrics = record.task.metrics
    measured: list[tuple[str, Measured]] = [(found.title, found) for found in record.baselines.values()]
    measured += [
        (gains.compared_name(record, "before"), record.before),
        (f"after ({method_name(record)})", record.after),
    ]
    rows = [[name, *(figure(found, metric) for metric in metrics)] for name, found in measured]
    caption = f"On the same {words.count(record.after.examples)} test examples"
    return Table(caption, ["model", *(metric.title for metric in metrics)], rows)


def figure(found: Measured, metric: Metric) -> str:
    """Return a metric as it is shown; a dash where it is not defined."""
    return words.measured(found.metrics[metric.name], metric.unit) if metric.name in found.metrics else NOTHING


def compared(record: RunRecord) -> list[str]:
    """Return the comparisons of `after`: the baseline of the headline, the others from the best, `before` last."""
    headline, measured, first = record.task.headline, record.comparison.gains, record.comparison.best_baseline
    sign = 1 if headline.higher_is_better else -1

    def merit(name: str) -> tuple[bool, float]:
        value = record.baselines[name].metrics.get(headline.name)
        return name == first, float("-inf") if value is None else sign * value

    # Of equally good baselines the later one comes first: it uses more of what the adapted model uses.
    return [
        *sorted((name for name in reversed(record.baselines) if name in measured), key=merit, reverse=True),
        "before",
    ]


def gained(record: RunRecord) -> Table:
    """Return the gains over each baseline and over before, each with interval, p-value and verdict."""
    measured, rows = record.comparison.gains, []
    for name in compared(record):
        gain = measured[name]
        interval = gains.interval(gain).removeprefix("95%: ")
        figures = [gains.difference(gain.value, gain.unit), interval, words.p_value(gain.p_value), gain.verdict]
        rows.append([f"over {gains.compared_name(record, name)}", *figures])
    tests = {gain.test for gain in measured.values()}
    column = tests.pop() if len(tests) == 1 else "p-value"
    caption = f"{words.capital(gains.gain_in(record.task.headline))}, paired on the test examples"
    return Table(caption, ["comparison", "gain", "95% interval", column, "verdict"], rows)


def groups(record: RunRecord, most: int) -> list[Table]:
    """Return a table for each column of groups: the headline before and after; at most that many groups each."""
    tables, headline = [], record.task.headline
    for column, after in record.after.groups.items():
        before = record.before.groups.get(column, {})
        rows = []
        for name, found in list(after.items())[:most]:
            then = before[name].metrics.get(headline.name) if name in before else None
            now = found.metrics.get(headline.name)
            change = None if then is None or now is None else now - then
            shown = [*(words.measured(one, headline.unit) for one in (then, now)), gains.signed(change, headline.unit)]
            rows.append([name, words.count(found.examples), *shown])
        left = f", the first {most} of {len(after)} groups" if len(after) > most else ""
        columns = [column, "examples", "before", "after", "change"]
        tables.append(Table(f"{words.capital(headline.title)} by {column}{left}", columns, rows))
    return tables


def epochs(record: RunRecord) -> Table:
    """Return losses, validation scores and learning rate after each epoch; the epoch that was kept is marked."""
    training = record.training
    metrics = [found for found in record.task.metrics if all(found.name in epoch.metrics for epoch in training.epochs)]
    rows = [
        [
            f"{epoch.epoch} (kept)" if epoch.epoch == training.best_epoch else str(epoch.epoch),
            words.score(epoch.train_loss),
            *(words.measured(epoch.metrics[metric.name], metric.unit) for metric in metrics),
            words.learning_rate(epoch.learning_rate),
        ]
        for epoch in training.epochs
    ]
    columns = ["epoch", "train loss", *(f"validation {metric.title}" for metric in metrics), "learning rate"]
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
    """Return the numbers of trained parameters and of stored bytes."""
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


def evaluation(found: Evaluation, metrics: Sequence[Metric]) -> Table:
    """Return the figures of one evaluation, and what it cost."""
    figures = [
        ["examples", words.count(found.examples)],
        *([metric.title, figure(found, metric)] for metric in metrics),
        ["runtime", words.seconds(found.runtime)],
        ["samples", words.rate(found.samples_per_second)],
        ["peak memory", words.size(found.peak_memory_bytes)],
    ]
    return Table("Evaluation", ["evaluation", "value"], figures)


def evaluation_groups(found: Evaluation, metrics: Sequence[Metric]) -> list[Table]:
    """Return a table for each column of groups: every metric of each group, or of the largest ones."""
    shown = []
    for column, values in found.groups.items():
        rows = [
            [name, words.count(group.examples), *(figure(group, metric) for metric in metrics)]
            for name, group in _largest(values)
        ]
        cut = f" ({MOST_GROUPS} of {words.count(len(values))})" if len(values) > MOST_GROUPS else ""
        columns = [f"by {column}{cut}", "examples", *(metric.title for metric in metrics)]
        shown.append(Table(f"Metrics by {column}", columns, rows))
    return shown


def _largest(groups: Mapping[str, PartMetrics]) -> list[tuple[str, PartMetrics]]:
    """Return the groups in their order; if there are very many, those with the most examples."""
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
        *_label_columns(found.label_column),
        *([["labels", ", ".join(found.labels)]] if found.labels else []),
        ["training examples", words.count(found.train_examples)],
        ["validation examples", words.count(found.validation_examples)],
        ["test examples", words.count(found.test_examples)],
        *_long_texts(found),
        ["SHA-256 of texts and labels", found.sha256],
    ]
    return Table("Data", ["data", "value"], rows)


def _long_texts(found: DataRecord) -> list[list[str]]:
    longest, cut = f"{words.count(found.max_length)} tokens", words.count(found.truncated_examples)
    if not found.windowed_examples:
        return [["longest text kept", longest], ["texts cut at that length", cut]]
    read = f"{words.count(found.windowed_examples)}, in {words.count(found.windows)} windows"
    return [["length of a window", longest], ["longer texts, read whole", read], ["texts cut", cut]]


def _label_columns(found: str | list[str]) -> list[list[str]]:
    return [["label column", found]] if isinstance(found, str) else [["label columns", ", ".join(found)]]


def surroundings(record: RunRecord) -> Table:
    """Return the model's origin and the machine's description."""
    rows = [
        ["model", record.model.name],
        *([["model revision", record.model.revision]] if record.model.revision else []),
        ["architecture", record.model.architecture],
        ["precision", record.training.precision],
        *([name, value] for name, value in _flat(record.environment)),
    ]
    return Table("Model and environment", ["environment", "value"], rows)


def _phases(record: RunRecord) -> list[tuple[str, Cost]]:
    return [("evaluation before", record.before), ("training", record.training), ("evaluation after", record.after)]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Yield name and text of every value that says something; nested names are joined, byte counts get their unit."""
    for key, value in values.items():
        name = (prefix.strip() if key == "name" and prefix else f"{prefix}{key}").replace("_", " ")
        if isinstance(value, Mapping) and value.get("used") is False:
            # What was not used has no figures, only a reason.
            yield name, f"no: {value['reason']}" if value.get("reason") else "no"
        elif isinstance(value, Mapping):
            # "torch" is clearer than "versions torch".
            yield from _flat(value, "" if key == "versions" else f"{name} ")
        elif isinstance(value, bool):
            yield name, "yes" if value else "no"
        elif key.endswith("bytes") and isinstance(value, int):
            yield name.removesuffix(" bytes") if key != "bytes" else name, words.size(value)
        elif value not in (None, "", [], ()):
            yield name, str(value)
