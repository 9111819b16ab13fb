"""Saved adapters without a training run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lightune.artifact import ArtifactConfig, save_adapter
from lightune.methods import make_method
from lightune.models.load import find_model, fingerprint, load_model
from lightune.safe_files import write_manifest
from tiny import classes


def make_adapter(
    base: Path | str, folder: Path, method: str, labels: list[str], seed: int = 1, max_length: int = 64,
    precision: str = "fp32", columns: tuple[str, ...] = ("text",), options: Mapping[str, Any] | None = None,
    long_texts: Any = "cut",
) -> Path:  # fmt: skip
    """Save an adapter whose trained numbers are drawn at random: unlike those of the base and of every other."""
    source = find_model(str(base))
    loaded = load_model(source, classes(labels), seed, max_length, precision)
    made = make_method(method, options)
    model = made.attach(loaded.model, loaded.anatomy, seed).model
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in model.parameters():
            if value.requires_grad:
                value.add_(torch.randn(value.shape, generator=draw) * 0.2)
    config = ArtifactConfig(
        2, str(base), source.revision, fingerprint(source), method, made.options(), classes(labels), max_length,
        list(columns), "label", seed, precision, long_texts=long_texts,
    )  # fmt: skip
    save_adapter(model, made, config, folder, tokenizer=loaded.tokenizer)
    return folder


def without_tokenizer(folder: Path) -> Path:
    """Make an adapter folder as those of a version that saved no tokenizer."""
    for path in folder.glob("tokenizer*"):
        path.unlink()
    return in_format_2(folder)


def in_format_2(folder: Path) -> Path:
    """Rewrite lightune.json by hand as 0.2.0 wrote it: without the hashes of other files; with a new manifest."""
    about = folder / "lightune.json"
    told = json.loads(about.read_text(encoding="utf-8"))
    assert told.pop("format_version") == 3
    assert told.pop("files")
    if told["long_texts"] == "cut":
        del told["long_texts"]
    about.write_text(json.dumps({**told, "format_version": 2}), encoding="utf-8")
    write_manifest(folder)
    return folder
