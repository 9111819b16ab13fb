"""A realistic run, made up but consistent: every figure is counted from the made-up predictions."""

from __future__ import annotations

import math
import random
from typing import Any

from lightune.record import RunRecord
from lightune.sections import Baseline, Evaluation
from lightune.tasks.classification import Classification

KINDS = ("plain", "negation", "mixed", "implied", "irony")
TWO = ("negative", "positive")
FIVE = ("very negative", "negative", "neutral", "positive", "very positive")
OTHERS = ("before", "probe", "tfidf")
SKILL = {"plain": 0.88, "negation": 0.74, "mixed": 0.7, "implied": 0.66, "irony": 0.52}
SUBJECTS = (
    "The second act",
    "Her performance",
    "This film",
    "The script",
    "Every joke",
    "The camera work",
    "The ending",
)
REMARKS = (
    "is hardly what one would call a triumph, though it tries.",
    "never stops being interesting.",
    "could have been shorter, and yet I would not miss a minute of it.",
    "leaves you checking your watch; a quiet, devastating bore.",
    "is as subtle as a brass band in a library & just as <b>welcome</b>.",
    "works better than it has any right to.",
)

Predictions = list[dict[str, str]]


def example_predictions(labels: tuple[str, ...] = TWO, examples: int = 400, seed: int = 21) -> Predictions:
    """Return made-up predictions of `after`, `before`, probe and word counts on the same examples, with a kind each."""
    draw, again = random.Random(seed), random.Random(seed + 1)
    rows = []
    for number in range(examples):
        kind, label = KINDS[number % len(KINDS)], labels[draw.randrange(len(labels))]
        skill = SKILL[kind]
        rows.append(
            {
                "text": f"{draw.choice(SUBJECTS)} {draw.choice(REMARKS)} ({number})",
                "label": label,
                "prediction": _answer(draw, labels, label, skill),
                "confidence": f"{draw.uniform(1 / len(labels), 1):.6f}",
                "before_prediction": draw.choice(labels),
                "probe_prediction": _answer(draw, labels, label, skill - 0.03),
                "tfidf_prediction": _answer(again, labels, label, skill - 0.25),
                "kind": kind,
            }
        )
    return rows


def counted_predictions(labels: tuple[str, ...], examples: tuple[int, ...], **right: tuple[int, ...]) -> Predictions:
    """Return predictions of which so many are right for each label: `after=(90, 7)`, likewise before, probe, tfidf.

    A wrong answer is the first label, or the second where the first would be right. What is not given is never right.
    """
    rows = []
    for index, (label, count) in enumerate(zip(labels, examples, strict=True)):
        wrong = labels[1] if index == 0 else labels[0]
        for number in range(count):
            answers = {
                column: label if number < right.get(name, (0,) * len(labels))[index] else wrong
                for name, column in (("after", "prediction"), *((x, f"{x}_prediction") for x in OTHERS))
            }
            rows.append({"text": f"{label} {number}", "label": label, "confidence": "0.9", "kind": "plain", **answers})
    return rows


def example_record(labels: tuple[str, ...] = TWO, predictions: Predictions | None = None, **changes: Any) -> RunRecord:
    """Return the record that belongs to the predictions; `changes` replace whole sections."""
    rows = example_predictions(labels) if predictions is None else predictions
    after = changes.get("after") or _evaluation(rows, "prediction", labels, loss=0.58)
    baselines = _baselines(rows, labels)
    fields: dict[str, Any] = {
        "run_folder": "runs/reviews-1",
        "recipe": RECIPE,
        "environment": ENVIRONMENT,
        "task": {**TASK, "labels": list(labels), "outputs": len(labels), "describes": _describes(labels)},
        "data": _data(labels, len(rows)),
        "model": MODEL,
        "baselines": baselines,
        "before": _evaluation(rows, "before_prediction", labels, loss=math.log(len(labels)) + 0.02),
        "training": _training(labels),
        "after": after,
        "inference": INFERENCE,
        "comparison": _comparison(rows, labels, after, baselines),
        "reload_check": {"passed": True, "examples": 32, "largest_logit_difference": 0.0},
        "notes": ["12 training rows were duplicates and were dropped.", "One seed: another gives other figures."],
    }
    return RunRecord.model_validate(fields | changes)


def _describes(labels: tuple[str, ...]) -> str:
    return f"A text classifier with {len(labels)} labels ({', '.join(labels)})."


def with_accuracy(record: RunRecord, accuracy: float) -> RunRecord:
    """Return the record with another accuracy after training."""
    after = record.after.model_copy(update={"metrics": {**record.after.metrics, "accuracy": accuracy}})
    return record.model_copy(update={"after": after})


def with_gain(record: RunRecord, name: str, **changes: Any) -> RunRecord:
    """Return the record with some figures of one gain replaced."""
    gains = {**record.comparison.gains, name: record.comparison.gains[name].model_copy(update=changes)}
    return record.model_copy(update={"comparison": record.comparison.model_copy(update={"gains": gains})})


def _answer(draw: random.Random, labels: tuple[str, ...], label: str, skill: float) -> str:
    if draw.random() < skill:
        return label
    place = labels.index(label)
    near = [labels[index] for index in (place - 1, place + 1) if 0 <= index < len(labels)]
    return draw.choice(near) if draw.random() < 0.7 else draw.choice(labels)


def _evaluation(rows: Predictions, column: str, labels: tuple[str, ...], loss: float) -> dict[str, Any]:
    matrix = [[sum(row["label"] == a and row[column] == b for row in rows) for b in labels] for a in labels]
    kinds = {kind: [row for row in rows if row["kind"] == kind] for kind in KINDS}
    return {
        "examples": len(rows),
        "metrics": {"accuracy": _accuracy(rows, column), "f1_macro": _f1_macro(matrix), "loss": loss},
        "details": {
            "confusion_matrix": matrix,
            "per_label": {label: _label(matrix, index) for index, label in enumerate(labels)},
        },
        "groups": {"kind": {kind: _group(chosen, column) for kind, chosen in kinds.items() if chosen}},
        "runtime": 3.42,
        "samples_per_second": len(rows) / 3.42,
        "steps_per_second": 7 / 3.42,
        "memory_before_bytes": 612_368_384,
        "peak_memory_bytes": 701_890_560,
    }


def _group(rows: Predictions, column: str) -> dict[str, Any]:
    return {"examples": len(rows), "metrics": {"accuracy": _accuracy(rows, column), "f1_macro": 0.5, "loss": 0.6}}


def _accuracy(rows: Predictions, column: str) -> float:
    return sum(row[column] == row["label"] for row in rows) / len(rows)


def _f1_macro(matrix: list[list[int]]) -> float:
    def f1(index: int) -> float:
        predicted = sum(row[index] for row in matrix)
        return 2 * matrix[index][index] / max(predicted + sum(matrix[index]), 1)

    return sum(f1(index) for index in range(len(matrix))) / len(matrix)


def _label(matrix: list[list[int]], index: int) -> dict[str, Any]:
    right, examples = matrix[index][index], sum(matrix[index])
    answered = sum(row[index] for row in matrix)
    return {
        "precision": right / max(answered, 1),
        "recall": right / max(examples, 1),
        "f1": 2 * right / max(answered + examples, 1),
        "examples": examples,
        "answered": answered,
    }


def _baselines(rows: Predictions, labels: tuple[str, ...]) -> dict[str, Any]:
    common = sum(row["label"] == labels[0] for row in rows) / len(rows)
    always = {"accuracy": common, "f1_macro": 2 * common / (1 + common) / len(labels)}
    name = " ".join(labels[0].split())
    name = name if len(name) <= 40 else f"{name[:39].rstrip()}…"
    return {
        "majority_class": {"title": f"always answering {name}", "metrics": always, "details": {"label": labels[0]}},
        "tfidf": _fitted(rows, labels, "tfidf", "word counts (TF-IDF)", 0.2),
        "probe": _fitted(rows, labels, "probe", "linear probe", 9.7),
    }


def _fitted(rows: Predictions, labels: tuple[str, ...], name: str, title: str, runtime: float) -> dict[str, Any]:
    metrics = _evaluation(rows, f"{name}_prediction", labels, loss=0.6)["metrics"]
    article = "the" if name == "probe" else ""
    return {"title": title, "article": article, "metrics": metrics, "details": {"C": 0.03}, "runtime": runtime}


def _comparison(
    rows: Predictions, labels: tuple[str, ...], after: dict[str, Any], baselines: dict[str, Any]
) -> dict[str, Any]:
    rows = [row | {"majority_prediction": labels[0]} for row in rows]
    columns = {"majority_class": "majority", "tfidf": "tfidf", "probe": "probe", "before": "before"}
    shares = {name: _accuracy(rows, f"{column}_prediction") for name, column in columns.items() if name != "before"}
    best = max(shares, key=lambda name: shares[name])
    read = {name: Baseline.model_validate(found) for name, found in baselines.items()}
    return {
        "gains": {name: _named_gain(rows, f"{column}_prediction") for name, column in columns.items()},
        "best_baseline": best,
        "cautions": Classification(labels).cautions(Evaluation.model_validate(after), read, best),
    }


def _named_gain(rows: Predictions, other: str) -> dict[str, Any]:
    value, ci95, verdict = _gain(rows, other)
    p_value = 1e-9 if other == "before_prediction" else 0.31 if verdict == "no clear difference" else 0.012
    return {"metric": "accuracy", "value": value, "ci95": ci95, "p_value": p_value, "verdict": verdict}


def _gain(rows: Predictions, other: str) -> tuple[float, tuple[float, float], str]:
    changes = [(row["prediction"] == row["label"]) - (row[other] == row["label"]) for row in rows]
    gain = sum(changes) / len(changes)
    half = 1.96 * math.sqrt(sum((change - gain) ** 2 for change in changes)) / len(changes)
    low, high = gain - half, gain + half
    return gain, (low, high), "better" if low > 0 else "worse" if high < 0 else "no clear difference"


def _data(labels: tuple[str, ...], examples: int) -> dict[str, Any]:
    return {
        "source": "reviews", "train_examples": 800, "validation_examples": 200, "test_examples": examples,
        "labels": list(labels), "sha256": "4f1d" * 16, "truncated_examples": 3, "max_length": 512,
        "text_column": "text", "label_column": "label",
    }  # fmt: skip


def _training(labels: tuple[str, ...]) -> dict[str, Any]:
    start, rows = math.log(len(labels)), []
    for epoch in range(1, 6):
        rows.append(
            {
                "epoch": epoch,
                "train_loss": start * (0.98, 0.8, 0.66, 0.55, 0.49)[epoch - 1],
                "metrics": {
                    "accuracy": (0.595, 0.69, 0.735, 0.76, 0.745)[epoch - 1],
                    "f1_macro": (0.58, 0.688, 0.73, 0.758, 0.74)[epoch - 1],
                    "loss": start * (0.93, 0.8, 0.76, 0.75, 0.78)[epoch - 1],
                },
                "learning_rate": 5e-4 * (5 - epoch) / 5,
            }
        )
    return {
        "runtime": 125.3, "samples_per_second": 31.9, "steps_per_second": 2.0, "memory_before_bytes": 640_000_000,
        "peak_memory_bytes": 1_432_000_000, "steps": 250, "best_epoch": 4, "learning_rate": 5e-4,
        "precision": "fp32", "epochs": rows,
    }  # fmt: skip


TASK = {
    "name": "classification",
    "metrics": [
        {"name": "accuracy", "title": "accuracy", "unit": "share", "hub_name": "accuracy"},
        {"name": "f1_macro", "title": "macro F1", "unit": "share", "hub_name": "f1"},
        {"name": "loss", "title": "loss", "unit": "nats", "higher_is_better": False},
    ],
    "hub_tag": "text-classification",
    "model_class": "AutoModelForSequenceClassification",
    "answer_columns": ["prediction", "confidence"],
}
RECIPE = {
    "name": "reviews",
    "description": "",
    "model": "minilm",
    "device": "auto",
    "data": {"source": "reviews", "text_column": "text", "label_column": "label", "train_examples": 1000},
    "method": {"name": "lora", "rank": 8, "alpha": 16, "dropout": 0.0, "roles": ["query", "key", "value"]},
    "training": {"num_train_epochs": 5, "per_device_train_batch_size": 16, "learning_rate": 5e-4, "seed": 42},
    "evaluation": {"per_device_eval_batch_size": 64},
}
ENVIRONMENT = {
    "versions": {"python": "3.11.2", "torch": "2.13.0", "transformers": "5.5.0", "peft": "0.21.2"},
    "platform": "Linux x86_64",
    "cpu": "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz",
    "cpu_capability": "AVX512",
    "cores": 2,
    "threads": 2,
    "memory_bytes": 8_226_000_000,
    "device": "cpu",
}
MODEL = {
    "name": "minilm",
    "revision": "sha256:53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "architecture": "BertForSequenceClassification",
    "parameters": 22_810_370,
    "trainable_parameters": 445_826,
    "trainable_percent": 1.954,
    "peft_loadable": True,
    "adapter_bytes": 1_790_312,
}
INFERENCE = {
    "latency_ms_p50": 11.42, "latency_ms_p95": 19.3, "samples_per_second": 118.0,
    "base_latency_ms_p50": 9.61, "base_latency_ms_p95": 16.8, "base_samples_per_second": 143.0,
    "merged_latency_ms_p50": 9.64, "merged_latency_ms_p95": 16.9, "merged_samples_per_second": 142.0,
}  # fmt: skip
