"""A loop on a tiny model and the tiny data, made to measure."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture(scope="session")
def tiny_rows(tiny_data: dict[str, Path]) -> dict[str, tuple[list[tuple[str]], list[int]]]:
    """(texts, label indices) of each split."""
    found = {}
    for name, path in tiny_data.items():
        with path.open(encoding="utf-8", newline="") as source:
            rows = list(csv.DictReader(source))
        labels = [["negative", "positive"].index(row["label"]) for row in rows]
        found[name] = ([(row["text"],) for row in rows], labels)
    return found


@pytest.fixture
def make_loop(load_lively: Callable[..., Any], tiny_rows: Any, tmp_path: Path) -> Callable[..., Any]:
    """Return a function that makes a Trial (trials.py); keywords it does not know are training settings.

    `dropout=False` switches every dropout off; `contrary=True` turns the validation labels round, so that validation
    gets worse as training gets better. Each has a folder of its own below tmp_path.
    """
    import torch
    from trials import Trial

    from lightune.data.encoding import encode
    from lightune.methods import make_method
    from lightune.progress import Silent
    from lightune.recipe import SettledTraining
    from lightune.training.batch_loss import Examples

    count = 0

    def make(
        architecture: str = "distilbert",
        method: str = "lora",
        learning_rate: float = 5e-3,
        dropout: bool = True,
        contrary: bool = False,
        reporter: Any = None,
        device: str = "cpu",
        folder: Path | None = None,
        options: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Trial:
        nonlocal count
        count += 1
        block = SettledTraining(**{"num_train_epochs": 2, "seed": 1, "learning_rate": learning_rate, **settings})
        loaded = load_lively(architecture)
        if not dropout:
            for module in loaded.model.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0
        loaded.model.to(device)
        split = {
            name: Examples(encode(loaded.tokenizer, t, 64), np.array(labels)) for name, (t, labels) in tiny_rows.items()
        }
        validation = split["validation"]
        if contrary:
            validation = Examples(validation.encoded, 1 - validation.targets)
        place = folder or tmp_path / f"loop-{count}"
        return Trial(
            loaded, make_method(method, options or {}), split["train"], validation, block, place, reporter or Silent()
        )

    return make


@pytest.fixture(scope="session")
def lines_of() -> Callable[[Any], list[dict[str, Any]]]:
    """Return a function that reads the metrics.jsonl of a loop."""
    return lambda loop: [json.loads(line) for line in (loop.folder / "metrics.jsonl").read_text().splitlines()]
