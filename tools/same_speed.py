"""How fast two trees train and predict, alternating round by round, so that noise affects both."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

TRAIN, VALIDATION, TEST = 320, 20, 40
RECIPE = {
    "name": "speed",
    "model": "minilm",
    "device": "cpu",
    "data": {
        "source": "reviews",
        "train_examples": TRAIN + VALIDATION,
        "validation_examples": VALIDATION,
        "test_examples": TEST,
    },
    "method": {"name": "lora"},
    "training": {"num_train_epochs": 1, "learning_rate": 1e-3, "seed": 1, "precision": "fp32"},
}
# With the public Python API, so that neither imports nor loading are counted; the first call is a warm-up.
PREDICT = """
import csv, sys, time, lightune
with open(sys.argv[2], encoding="utf-8", newline="") as lines:
    texts = [row["text"] for row in csv.DictReader(lines)]
classifier = lightune.load(sys.argv[1])
classifier.predict(texts[-32:])
started = time.perf_counter()
classifier.predict(texts[:-32])
print((len(texts) - 32) / (time.perf_counter() - started))
"""
Rates = dict[str, dict[str, list[float]]]


def compare_speed(old: Any, new: Any, folder: Path, rounds: int) -> list[list[str]]:
    """Return the rows of a table: rates of both trees, and the median of the ratios, new by old, with both ends."""
    recipe, texts = folder / "speed.yaml", folder / "speed.csv"
    recipe.write_text(yaml.safe_dump(RECIPE), encoding="utf-8")
    _write_texts(old.src, texts)
    script = folder / "predict.py"
    script.write_text(PREDICT, encoding="utf-8")
    rates: Rates = {name: {"old": [], "new": []} for name in ("training samples/s", "bulk predict texts/s")}
    for number in range(rounds):
        for tree in (old, new) if number % 2 == 0 else (new, old):
            run = folder / "speed" / f"{tree.name}-{number}"
            result = tree.lightune("run", recipe, "--output", run)
            rates["training samples/s"][tree.name].append(result["training"]["samples_per_second"])
            rates["bulk predict texts/s"][tree.name].append(float(tree.python(script, run, texts)))
    (folder / "speed.json").write_text(json.dumps(rates, indent=1) + "\n", encoding="utf-8")
    return rows(rates)


def _write_texts(src: Path, target: Path) -> None:
    """Copy a few hundred of the embedded reviews of the older tree."""
    source = next(src.rglob("reviews/train.csv"))
    lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    target.write_text("".join(lines[: 1 + 32 + 480]), encoding="utf-8")


def rows(rates: Rates) -> list[list[str]]:
    """Return the table of rates: medians of both trees; the ratios are paired, round by round."""
    found = [["speed", "old", "new", "new / old", "from", "to"]]
    for name, arms in rates.items():
        ratios = [new / old for old, new in zip(arms["old"], arms["new"], strict=True)]
        middle = [f"{statistics.median(arms[arm]):.1f}" for arm in ("old", "new")]
        found.append([name, *middle, *_ratios(ratios)])
    return found


def _ratios(ratios: Sequence[float]) -> list[str]:
    return [f"{value:.3f}" for value in (statistics.median(ratios), min(ratios), max(ratios))]
