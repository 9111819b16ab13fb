"""Adapters that older versions saved are read, and answer as they did: by what those versions wrote, not by today's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lightune
from adapters_of_older_versions import CLASSIFICATION, FORMAT_1, MULTI_LABEL, REGRESSION
from lightune.artifact import ArtifactConfig, read_config, save_adapter
from lightune.errors import ArtifactError
from lightune.methods import make_method
from lightune.models.load import ModelSource, fingerprint, load_model
from lightune.safe_files import write_manifest
from lightune.tasks import TASKS, task_from_json
from saved_adapters import in_format_2

TEXTS = ["a lovely film", "the soup was dreadful and cold"]
WRITTEN = {"format 1": FORMAT_1, "classification": CLASSIFICATION, "multi_label": MULTI_LABEL, "regression": REGRESSION}


def told_by(name: str, base: Path) -> dict[str, Any]:
    """Return what a version wrote, of this base model."""
    told: dict[str, Any] = json.loads(WRITTEN[name])
    assert told["format_version"] == (1 if name == "format 1" else 2)
    if told["base_model"] == "BASE":
        told["base_model"] = str(base)
    return {**told, "base_sha256": fingerprint(ModelSource("base", base, None))}


def saved_with(told: dict[str, Any], base: Path, folder: Path) -> np.ndarray[Any, Any]:
    """Save an adapter of the task and method that a version wrote, put in what it wrote, and return its answers."""
    labels = told.get("labels")
    task = task_from_json(told["task"], "test") if "task" in told else TASKS["classification"](tuple(labels or ()))
    loaded = load_model(ModelSource("base", base, None), task, told["seed"], told["max_length"])
    method = make_method(told["method"], told["method_options"])
    model = method.attach(loaded.model, loaded.anatomy, told["seed"]).model
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for value in model.parameters():
            if value.requires_grad:
                value.add_(torch.randn(value.shape, generator=draw) * 0.2)
    config = ArtifactConfig(
        3, "base", None, told["base_sha256"], told["method"], method.options(), task, told["max_length"],
        told["text_columns"], told["label_column"], told["seed"],
    )  # fmt: skip
    save_adapter(model, method, config, folder, tokenizer=loaded.tokenizer)
    expected = lightune.load(folder, base_model=str(base), device="cpu").logits(TEXTS)
    put(folder, told)
    return expected


def put(folder: Path, told: dict[str, Any]) -> None:
    (folder / "lightune.json").write_text(json.dumps(told), encoding="utf-8")
    (folder / "MANIFEST.json").unlink()
    write_manifest(folder)


@pytest.mark.parametrize("name", WRITTEN)
def test_what_older_versions_wrote_is_read(tiny_models: Any, tmp_path: Path, name: str) -> None:
    base, folder = tiny_models["distilbert"], tmp_path / "adapter"
    told = told_by(name, base)
    expected = saved_with(told, base, folder)
    found = lightune.load(folder, base_model=None if name == "format 1" else str(base), device="cpu")
    np.testing.assert_array_equal(found.logits(TEXTS), expected)
    config = read_config(folder)
    assert config.task.name == told.get("task", {}).get("name", "classification")
    assert {name: getattr(config, name) for name in ("method_options", "seed", "max_length", "text_columns")} == {
        name: told[name] for name in ("method_options", "seed", "max_length", "text_columns")
    }
    assert (config.coverage is None) == (told.get("coverage") is None)


@pytest.mark.parametrize("name", [name for name in WRITTEN if name != "format 1"])
def test_format_2_is_as_strict_as_format_3(tiny_models: Any, tmp_path: Path, name: str) -> None:
    base, folder = tiny_models["distilbert"], tmp_path / "adapter"
    told = told_by(name, base)
    saved_with(told, base, folder)
    for key in told:
        for changed in ({other: one for other, one in told.items() if other != key}, {**told, key: {"x": told[key]}}):
            put(folder, changed)
            with pytest.raises(ArtifactError):
                read_config(folder)


def test_the_form_that_other_tests_give_adapters_is_that_of_format_2(tiny_models: Any, tmp_path: Path) -> None:
    base, folder = tiny_models["distilbert"], tmp_path / "adapter"
    told = told_by("classification", base)
    saved_with(told, base, folder)
    put(folder, {**told, "format_version": 3, "files": {"a": "b"}, "long_texts": "cut"})
    assert json.loads((in_format_2(folder) / "lightune.json").read_bytes()) == told
