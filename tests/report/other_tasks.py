"""Records of tasks that lightune may get: numbers, grades, and answers for which there is no cheap baseline."""

from __future__ import annotations

from typing import Any

from example_record import ENVIRONMENT, INFERENCE, MODEL, RECIPE
from lightune.record import RunRecord

COST = {"runtime": 3.42, "samples_per_second": 29.2, "steps_per_second": 2.0}
PREDICTIONS = [{"text": f"text {number}", "label": "2.5", "prediction": f"{number}.25"} for number in range(3)]
TEST = "paired bootstrap"


def regression() -> RunRecord:
    """Numbers: R2 without a unit is the headline, an error and a loss are better when lower."""
    r2 = {**_metric("r2", "R2"), "hub_name": "r_squared"}
    metrics = [r2, _metric("rmse", "RMSE", lower=True), _metric("loss", "loss", lower=True)]
    mean = _baseline("always answering 2.5", {"r2": 0.0, "rmse": 1.2, "loss": 1.44})
    probe = {**_baseline("linear probe", {"r2": 0.41, "rmse": 0.92, "loss": 0.85}), "article": "the"}
    gains = {
        "constant": _gain("r2", 0.53, (0.4, 0.66)),
        "probe": _gain("r2", 0.12, (0.05, 0.19)),
        "before": _gain("r2", 0.73, (0.6, 0.9)),
    }
    return _record(
        "regression", metrics,
        before={"r2": -0.2, "rmse": 1.31, "loss": 1.7}, after={"r2": 0.53, "rmse": 0.82, "loss": 0.6},
        baselines={"constant": mean, "probe": probe}, gains=gains, best="probe",
    )  # fmt: skip


def grades() -> RunRecord:
    """Ordered grades: the headline is an error, better when lower; the model is worse than a constant answer."""
    metrics = [_metric("mae", "mean absolute error", lower=True), _metric("kappa", "weighted kappa")]
    constant = _baseline("always answering 3", {"mae": 0.9})
    gains = {"constant": _gain("mae", -0.12, (-0.19, -0.05), "worse"), "before": _gain("mae", 0.3, (0.1, 0.5))}
    return _record(
        "ordinal", metrics, before={"mae": 1.32, "kappa": 0.0}, after={"mae": 1.02, "kappa": None},
        baselines={"constant": constant}, gains=gains, best="constant", groups={"kind": {"plain": 0.8}},
    )  # fmt: skip


def without_baselines() -> RunRecord:
    """Entities: shares as in classification, but nothing cheap to compare with."""
    metrics = [_metric("entity_f1", "entity F1", unit="share"), _metric("loss", "loss", lower=True)]
    return _record(
        "tokens", metrics, before={"entity_f1": 0.69, "loss": 2.1}, after={"entity_f1": 0.81, "loss": 0.4},
        baselines={}, gains={"before": _gain("entity_f1", 0.12, (0.1, 0.14), unit="share")}, best=None,
        labels=["PER", "LOC"],
    )  # fmt: skip


def _record(
    task: str, metrics: list[dict[str, Any]], *, before: dict[str, Any], after: dict[str, Any],
    baselines: dict[str, Any], gains: dict[str, Any], best: str | None, labels: list[str] | None = None,
    groups: dict[str, Any] | None = None,
) -> RunRecord:  # fmt: skip
    headline = metrics[0]["name"]
    grouped = {
        column: {name: {"examples": 2, "metrics": {headline: value}} for name, value in values.items()}
        for column, values in (groups or {}).items()
    }
    validated = {name: value for name, value in after.items() if value is not None}
    epoch = {"epoch": 1, "train_loss": 0.7, "metrics": validated, "learning_rate": 1e-3}
    fields = {
        "run_folder": "runs/other-1",
        "recipe": RECIPE,
        "environment": ENVIRONMENT,
        "task": {
            "name": task, "labels": labels or [], "outputs": len(labels or "1"), "metrics": metrics,
            "hub_tag": "text-regression",
            "model_class": "AutoModelForSomething",
            "answer_columns": ["prediction"],
            "describes": f"Each text has something of {task}.",
        },
        "data": {
            "source": "scores.csv", "train_examples": 80, "validation_examples": 20, "test_examples": 3,
            "labels": labels or [], "sha256": "4f1d" * 16, "truncated_examples": 0, "max_length": 512,
            "text_column": "text", "label_column": "score",
        },
        "model": MODEL,
        "baselines": baselines,
        "before": {"examples": 3, "metrics": before, "groups": grouped, **COST},
        "training": {
            **COST, "steps": 5, "best_epoch": 1, "learning_rate": 1e-3, "precision": "fp32", "epochs": [epoch],
        },
        "after": {"examples": 3, "metrics": after, "groups": grouped, **COST},
        "inference": INFERENCE,
        "comparison": {"gains": gains, "best_baseline": best},
        "reload_check": {"passed": True, "examples": 3, "largest_logit_difference": 0.0},
    }  # fmt: skip
    return RunRecord.model_validate(fields)


def _metric(name: str, title: str, unit: str = "", lower: bool = False) -> dict[str, Any]:
    return {"name": name, "title": title, "unit": unit, "higher_is_better": not lower}


def _baseline(title: str, metrics: dict[str, float]) -> dict[str, Any]:
    return {"title": title, "metrics": metrics, "runtime": 0.2}


def _gain(
    metric: str, value: float, ci95: tuple[float, float], verdict: str = "better", unit: str = ""
) -> dict[str, Any]:
    told = {"metric": metric, "unit": unit, "test": TEST, "p_value": 0.012}
    return {**told, "value": value, "ci95": ci95, "verdict": verdict}
