"""A model folder's config.json: read, and refused when it asks for code or names an architecture that has no row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightune.errors import RecipeError, is_out_of_memory
from lightune.models.anatomy import architecture_of
from lightune.models.architectures import ARCHITECTURES

# Longer texts are cut unless data.max_length asks for more, where the model takes more.
DEFAULT_MAX_LENGTH = 512


def read_config(name: str, folder: Path) -> dict[str, Any]:
    """Return config.json as it stands. Raises RecipeError when it is absent, no JSON object or asks for code."""
    path = folder / "config.json"
    if not path.is_file():
        raise RecipeError("RECIPE-041", f"{folder}: no config.json, so this is not a model folder.")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecipeError("RECIPE-042", f"{path}: not JSON ({error}).") from error
    if not isinstance(raw, dict):
        raise RecipeError("RECIPE-042", f"{path}: not a JSON object, so this is not a model's configuration.")
    if _asks_for_remote_code(raw):
        raise RecipeError(
            "RECIPE-043", f"{name}: this model wants to run code of its own (auto_map), which is never done.",
            "Use a model whose architecture transformers itself knows.",
        )  # fmt: skip
    return raw


def require_known(name: str, folder: Path, model_type: str) -> None:
    """Raise RecipeError for an architecture that has no row, with the row that its module tree suggests."""
    if model_type in ARCHITECTURES:
        return
    from lightune.models.proposal import advice, propose, skeleton

    try:
        proposed = advice(model_type, propose(skeleton(name, folder)))
    except RecipeError as error:
        proposed = f" None can be proposed: {error.message}"
    architecture_of(model_type, proposed)


def token_limit(config: Mapping[str, Any], tokenizer_limit: Any) -> int:
    """Return how many tokens a model takes: its positions or its tokenizer's own limit, whichever is less.

    `config` is config.json. RoBERTa and its kin begin to count positions after the pad id, and lose those below.
    """
    positions = config.get("max_position_embeddings") or config.get("n_positions") or DEFAULT_MAX_LENGTH
    row = ARCHITECTURES.get(str(config.get("model_type")))
    if row is not None and row.counts_from_pad:
        positions -= config["pad_token_id"] + 1
    limited = isinstance(tokenizer_limit, int | float) and 0 < tokenizer_limit < positions
    return int(tokenizer_limit if limited else positions)


def cut_at(limit: int, wanted: int | None) -> int:
    """Return at how many tokens texts are cut; RecipeError when more are wanted than the model takes."""
    if wanted is not None and wanted > limit:
        raise RecipeError("RECIPE-045", f"data.max_length {wanted}: this model takes at most {limit} tokens.")
    return wanted or min(limit, DEFAULT_MAX_LENGTH)


def task_config(name: str, folder: Path, labels: Sequence[str]) -> Any:
    """Return transformers' configuration of the folder, set up for single-label classification with these labels."""
    from transformers import AutoConfig

    with explained(name):
        return AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, **label_settings(labels)
        )


def label_settings(labels: Sequence[str]) -> dict[str, Any]:
    """Return what a configuration says about the labels of a single-label classifier."""
    return {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: index for index, label in enumerate(labels)},
        "problem_type": "single_label_classification",
    }


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn whatever transformers raises while it reads a model into a RecipeError; out of memory passes."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        if is_out_of_memory(error):
            raise
        text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RecipeError("RECIPE-046", f"{name}: this model cannot be loaded: {text}") from error


def _asks_for_remote_code(value: Any) -> bool:
    if isinstance(value, dict):
        return "auto_map" in value or any(_asks_for_remote_code(inner) for inner in value.values())
    return isinstance(value, list) and any(_asks_for_remote_code(inner) for inner in value)
