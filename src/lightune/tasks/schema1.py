"""Upgrading results.json and lightune.json from version 1, which had only single-label classification, to version 2.

Version 1 had each metric as a field of its own, which version 2 still writes beside the mappings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from lightune.sections import MCNEMAR, Baseline, Evaluation
from lightune.tasks.class_scores import per_label
from lightune.tasks.classification import Classification
from lightune.tasks.label_cautions import shortened

METRICS = tuple(metric.name for metric in Classification.metrics)
CONSTANT = "majority_class"
# A record of the first versions has only the gains over `before` and over this baseline.
PROBE = "probe"
TITLES = {"tfidf": "word counts (TF-IDF)", PROBE: "linear probe"}


class _Part(BaseModel):
    """What the upgrade depends on; everything else is kept unchanged, and is checked as version 2."""

    model_config = ConfigDict(extra="allow")


class _Data(_Part):
    labels: list[str]


class _Majority(_Part):
    label: str
    accuracy: float
    f1_macro: float


class _Scores(_Part):
    accuracy: float
    loss: float
    f1_macro: float


class _Baselines(_Part):
    majority_class: _Majority
    tfidf: _Scores
    probe: _Scores


class _Evaluation(_Scores):
    confusion_matrix: list[list[int]]
    per_label: dict[str, dict[str, float]] = {}
    groups: dict[str, dict[str, dict[str, Any]]] = {}
    without_known: dict[str, Any] | None = None


class _Epoch(_Part):
    validation_accuracy: float
    validation_f1_macro: float
    validation_loss: float


class _Training(_Part):
    epochs: list[_Epoch]


class _Comparison(_Part):
    accuracy_gain: float
    accuracy_gain_ci95: tuple[float, float]
    mcnemar_p_value: float
    verdict: str
    probe_gain: float
    probe_gain_ci95: tuple[float, float]
    probe_mcnemar_p_value: float
    probe_verdict: str
    gains: dict[str, dict[str, Any]] = {}
    best_baseline: str | None = None


class _Record(_Part):
    data: _Data
    baselines: _Baselines
    before: _Evaluation
    after: _Evaluation
    training: _Training
    comparison: _Comparison


def upgraded_config(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a lightune.json of format 1 as format 2 has it: `labels` belong to the task. KeyError without them."""
    found = {**value, "format_version": 2}
    labels = found.pop("labels")
    return found | {"task": {"name": Classification.name, "labels": labels}}


def upgraded_record(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a results.json of version 1 as version 2 has it. Raises ValueError where it is not one.

    A record that does not name the best baseline keeps its comparison with the probe, and the cautions say so: a
    paired comparison cannot be computed afterwards.
    """
    _Record.model_validate(value)
    labels = value["data"]["labels"]
    task = Classification(tuple(labels))
    baselines = {name: _baseline(name, value["baselines"][name]) for name in (CONSTANT, *TITLES)}
    after, comparison = _evaluation(value["after"], labels), _comparison(value["comparison"])
    comparison["cautions"] = _cautions(task, after, baselines, value["comparison"].get("best_baseline"))
    return {
        **value,
        "schema_version": 2,
        "task": task.record().model_dump(mode="json"),
        "baselines": baselines,
        "before": _evaluation(value["before"], labels),
        "after": after,
        "training": {**value["training"], "epochs": [_epoch(epoch) for epoch in value["training"]["epochs"]]},
        "comparison": comparison,
    }


def _measured(found: Mapping[str, Any], details: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a section with its metrics and details in their mappings."""
    kept = {name: value for name, value in found.items() if name not in {*METRICS, *details}}
    metrics = {name: found[name] for name in METRICS if name in found}
    return kept | {"metrics": metrics, "details": {name: found[name] for name in details if name in found}}


def _baseline(name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return a baseline under the title that version 1 gave it in its tables."""
    title = TITLES[name] if name in TITLES else f"always answering {shortened(found['label'])}"
    return _measured(found, ("label", "C")) | {"title": title, "article": "the" if name == PROBE else ""}


def _evaluation(found: Mapping[str, Any], labels: list[str]) -> dict[str, Any]:
    matrix = found["confusion_matrix"]
    if [len(row) for row in matrix] != [len(labels)] * len(labels):
        raise ValueError(f"a confusion matrix is not {len(labels)} by {len(labels)}, as the labels are")
    scores = found.get("per_label") or per_label(matrix, labels)
    upgraded = _measured({**found, "per_label": scores}, ("confusion_matrix", "per_label"))
    groups, without = found.get("groups", {}), found.get("without_known")
    upgraded["groups"] = {
        column: {name: _part(part) for name, part in parts.items()} for column, parts in groups.items()
    }
    return upgraded | {"without_known": None if without is None else _part(without)}


def _part(found: Mapping[str, Any]) -> dict[str, Any]:
    return _measured({name: value for name, value in found.items() if value is not None})


def _epoch(found: Mapping[str, Any]) -> dict[str, Any]:
    metrics = {name: found[f"validation_{name}"] for name in METRICS}
    return {name: value for name, value in found.items() if not name.startswith("validation_")} | {"metrics": metrics}


def _comparison(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the gains by name; those over `before` and over the probe are fields in every record."""
    given: dict[str, Any] = found.get("gains", {})
    fields = {
        name: {
            "value": found[f"{gain}_gain"],
            "ci95": found[f"{gain}_gain_ci95"],
            "p_value": found[f"{prefix}mcnemar_p_value"],
            "verdict": found[f"{prefix}verdict"],
        }
        for name, gain, prefix in ((PROBE, "probe", "probe_"), ("before", "accuracy", ""))
        if name not in given
    }
    told = {"metric": "accuracy", "unit": "share", "test": MCNEMAR}
    gains = {name: {**told, **gain} for name, gain in (given | fields).items()}
    best = found.get("best_baseline")
    return {"gains": gains, "best_baseline": best if best in gains else PROBE}


def _cautions(task: Classification, after: Any, baselines: Mapping[str, Any], best: str | None) -> list[str]:
    read = {name: Baseline.model_validate(found) for name, found in baselines.items()}
    said = task.cautions(Evaluation.model_validate(after), read, best)
    shown = {name: f"{found.title}: {found.metrics['accuracy']:.3f}" for name, found in read.items()}
    # Of equally good ones the last: it is closer to the adapted model.
    other = max(reversed(read), key=lambda name: read[name].metrics["accuracy"] or 0.0)
    if best is None and read[other].metrics["accuracy"] != read[PROBE].metrics["accuracy"]:
        both = f"{shown[other][0].upper()}{shown[other][1:]}, {shown[PROBE]}"
        said.append(f"{both}; an older lightune wrote this record and compared only with the latter.")
    return said
