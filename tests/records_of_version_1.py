"""Records of version 1: as the last commit with that version and an older one wrote them, and others in their form.

The first two are results.json of one run, by commits 7b52a9c and 4123b06; the recipe, the environment, the groups, the
notes and the decimals are shortened.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from lightune.record import RunRecord

LAST = """
{
  "schema_version": 1, "status": "completed", "run_folder": "runs/quickstart-1",
  "recipe": {
    "name": "quickstart", "model": "minilm", "data": {"source": "reviews", "fingerprints": true},
    "method": {"name": "lora"}, "training": {"seed": 42}
  },
  "environment": {"device": "cpu"},
  "data": {
    "source": "reviews", "revision": null, "train_examples": 48, "validation_examples": 12, "test_examples": 40,
    "labels": ["negative", "positive"],
    "sha256": "22fae4be629c063c29852e93d99b8e0470dcf325a1d1a5d98d729da15bc261c0", "truncated_examples": 0,
    "max_length": 512, "text_column": "text", "label_column": "label",
    "rows": {
      "train": {"rows_in": 2000, "used": {"train": 48, "validation": 12}, "dropped": {"not drawn": 1940}},
      "validation": {"rows_in": 500, "used": {}, "dropped": {"not drawn": 500}},
      "test": {"rows_in": 1500, "used": {"test": 40}, "dropped": {"not drawn": 1460}}
    }
  },
  "model": {
    "name": "minilm", "revision": "sha256:53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "architecture": "BertForSequenceClassification", "head": "new", "parameters": 22713986,
    "trainable_parameters": 332546, "trainable_percent": 1.46406, "adapter_bytes": 1340264,
    "peft_loadable": true, "own_tuner": false, "precision": "fp32", "weight_bytes": 90855944
  },
  "baselines": {
    "majority_class": {"label": "positive", "accuracy": 0.5, "f1_macro": 0.333333},
    "tfidf": {"accuracy": 0.525, "loss": 0.771968, "f1_macro": 0.509994, "C": 100.0, "runtime": 0.12147},
    "probe": {"accuracy": 0.55, "loss": 0.678149, "f1_macro": 0.539642, "C": 0.001, "runtime": 1.05347}
  },
  "before": {
    "runtime": 0.20568, "samples_per_second": 194.477, "steps_per_second": 4.86193,
    "memory_before_bytes": 525725696, "peak_memory_bytes": 637095936, "peak_cuda_allocated_bytes": null,
    "peak_cuda_reserved_bytes": null, "examples": 40, "accuracy": 0.525, "loss": 0.692666, "f1_macro": 0.522313,
    "confusion_matrix": [[12, 8], [11, 9]],
    "per_label": {
      "negative": {"precision": 0.521739, "recall": 0.6, "f1": 0.55814, "examples": 20, "answered": 23},
      "positive": {"precision": 0.529412, "recall": 0.45, "f1": 0.486486, "examples": 20, "answered": 17}
    },
    "groups": {
      "kind": {
        "implied": {"examples": 7, "accuracy": 0.428571, "loss": 0.69378, "f1_macro": 0.416667},
        "plain": {"examples": 18, "accuracy": 0.555556, "loss": 0.69077, "f1_macro": 0.55}
      }
    },
    "known_examples": null, "without_known": null
  },
  "training": {
    "runtime": 0.513217, "samples_per_second": 93.5277, "steps_per_second": 5.84548,
    "memory_before_bytes": 654680064, "peak_memory_bytes": 768925696, "peak_cuda_allocated_bytes": null,
    "peak_cuda_reserved_bytes": null, "steps": 3, "best_epoch": 1, "learning_rate": 0.0015, "precision": "bf16",
    "epochs": [
      {
        "epoch": 1, "train_loss": 0.608768, "validation_loss": 0.663486, "validation_accuracy": 0.666667,
        "validation_f1_macro": 0.657143, "learning_rate": 0.00075
      }
    ]
  },
  "after": {
    "runtime": 0.154578, "samples_per_second": 258.768, "steps_per_second": 6.46921,
    "memory_before_bytes": 768987136, "peak_memory_bytes": 818688000, "peak_cuda_allocated_bytes": null,
    "peak_cuda_reserved_bytes": null, "examples": 40, "accuracy": 0.625, "loss": 0.689278, "f1_macro": 0.613153,
    "confusion_matrix": [[16, 4], [11, 9]],
    "per_label": {
      "negative": {"precision": 0.592593, "recall": 0.8, "f1": 0.680851, "examples": 20, "answered": 27},
      "positive": {"precision": 0.692308, "recall": 0.45, "f1": 0.545455, "examples": 20, "answered": 13}
    },
    "groups": {
      "kind": {
        "implied": {"examples": 7, "accuracy": 0.714286, "loss": 0.67277, "f1_macro": 0.708333},
        "plain": {"examples": 18, "accuracy": 0.555556, "loss": 0.705207, "f1_macro": 0.532468}
      }
    },
    "known_examples": null, "without_known": null
  },
  "inference": {
    "latency_ms_p50": 11.7879, "latency_ms_p95": 14.8511, "samples_per_second": 275.479,
    "base_latency_ms_p50": 8.56987, "base_latency_ms_p95": 11.7619, "base_samples_per_second": 296.152,
    "merged_latency_ms_p50": 8.95406, "merged_latency_ms_p95": 11.0332, "merged_samples_per_second": 310.905
  },
  "comparison": {
    "accuracy_gain": 0.1, "accuracy_gain_ci95": [-0.125, 0.325], "mcnemar_p_value": 0.503445,
    "verdict": "no clear difference", "probe_gain": 0.075, "probe_gain_ci95": [-0.125, 0.275],
    "probe_mcnemar_p_value": 0.629059, "probe_verdict": "no clear difference",
    "gains": {
      "majority_class": {
        "metric": "accuracy", "value": 0.125, "ci95": [-0.125, 0.375], "p_value": 0.442068,
        "verdict": "no clear difference"
      },
      "tfidf": {
        "metric": "accuracy", "value": 0.1, "ci95": [-0.125, 0.325], "p_value": 0.523467,
        "verdict": "no clear difference"
      },
      "probe": {
        "metric": "accuracy", "value": 0.075, "ci95": [-0.125, 0.275], "p_value": 0.629059,
        "verdict": "no clear difference"
      },
      "before": {
        "metric": "accuracy", "value": 0.1, "ci95": [-0.125, 0.325], "p_value": 0.503445,
        "verdict": "no clear difference"
      }
    },
    "best_baseline": "probe"
  },
  "reload_check": {"passed": true, "examples": 40, "largest_logit_difference": 0.0},
  "notes": [
    "12 of the 60 training examples were set aside for validation."
  ]
}
"""

# What 4123b06 did not write yet, in each section.
LATER = {
    "data": ("rows",),
    "before": ("per_label", "known_examples", "without_known"),
    "after": ("per_label", "known_examples", "without_known"),
    "comparison": ("gains", "best_baseline"),
}


def last_of_version_1() -> dict[str, Any]:
    """Return what 7b52a9c wrote."""
    found: dict[str, Any] = json.loads(LAST)
    return found


def older_of_version_1() -> dict[str, Any]:
    """Return what 4123b06 wrote of the same run."""
    return without_later(last_of_version_1())


def without_later(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record of version 1 as the older lightune wrote it."""
    return {
        name: {key: value for key, value in part.items() if key not in LATER[name]} if name in LATER else part
        for name, part in record.items()
    }


def as_version_1(record: RunRecord) -> dict[str, Any]:
    """Return the record's JSON as version 1 had it: without the mappings, whose values stand beside them."""
    fields = record.model_dump(mode="json")
    del fields["task"], fields["comparison"]["cautions"]
    parts = [fields["before"], fields["after"], *fields["baselines"].values(), *fields["training"]["epochs"]]
    parts += [group for found in parts[:2] for groups in found["groups"].values() for group in groups.values()]
    for part in parts:
        for name in ("metrics", "details", "title"):
            part.pop(name, None)
    for gain in fields["comparison"]["gains"].values():
        del gain["unit"], gain["test"]
    return {**fields, "schema_version": 1}


def older(record: RunRecord) -> dict[str, Any]:
    """Return the record's JSON as the first versions wrote it: compared with the probe and with before alone."""
    return without_later(as_version_1(record))


def paths(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the place and the value of everything that is neither a mapping nor a list of them."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from paths(inner, f"{place}.{name}".removeprefix("."))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        yield from paths(value[0], f"{place}[]")
    else:
        yield place, value
