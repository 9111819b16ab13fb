"""Whole runs of methods that need more from a run than to be attached: steps, training texts, positions, a name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lightune


@pytest.mark.long
@pytest.mark.parametrize(
    "method",
    [
        {"name": "adalora"},
        {"name": "lora", "init_lora_weights": "eva"},
        {"name": "lora", "init_lora_weights": "pissa"},
        {"name": "prompt_tuning", "virtual_tokens": 5},
        {"name": "p_tuning", "virtual_tokens": 5},
        {"name": "hra", "r": 4},
    ],
    ids=str,
)
def test_a_run_is_reloaded_and_can_be_loaded(
    tiny_recipe: Callable[..., Any], tmp_path: Path, method: dict[str, Any]
) -> None:
    record = lightune.run(tiny_recipe("distilbert", method, num_train_epochs=2, class_weights="auto"), tmp_path / "run")
    assert record.status == "completed"
    assert record.reload_check.passed
    assert lightune.load(tmp_path / "run").predict("a lovely film")[0].label in ("negative", "positive")
