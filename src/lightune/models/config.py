"""A model folder's config.json: read, and refused if it asks for remote code or holds impossible sizes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightune.errors import LightuneError, RecipeError, is_out_of_memory
from lightune.models.architectures import ARCHITECTURES
from lightune.tasks.base import Task

# Longer texts are cut, unless data.max_length asks for more tokens and the model takes them.
DEFAULT_MAX_LENGTH = 512
POSITIONS = ("max_position_embeddings", "n_positions")
# The pad id of RoBERTa and related models when config.json names none.
COUNTED_PAD = 1
# Its embedding has no padding_idx, so a pad id beyond the embeddings does no harm.
IGNORES_PAD = "gpt2"


def read_config(name: str, folder: Path) -> dict[str, Any]:
    """Return config.json unchanged.

    Raises RecipeError if it is absent, is not a JSON object, asks for remote code or holds impossible sizes.
    """
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
    _require_sizes(name, raw)
    return raw


def token_limit(config: Mapping[str, Any], tokenizer_limit: Any) -> int:
    """Return how many tokens a model takes: its positions or its tokenizer's own limit, whichever is less.

    `config` is config.json. RoBERTa and related models count positions from after the pad id, and lose those before.
    """
    positions = next((config[name] for name in POSITIONS if _is_count(config.get(name))), DEFAULT_MAX_LENGTH)
    row = ARCHITECTURES.get(str(config.get("model_type")))
    if row is not None and row.counts_from_pad:
        positions -= config.get("pad_token_id", COUNTED_PAD) + 1
    is_number = isinstance(tokenizer_limit, int | float) and not isinstance(tokenizer_limit, bool)
    return int(tokenizer_limit if is_number and 0 < tokenizer_limit < positions else positions)


def cut_at(limit: int, wanted: int | None) -> int:
    """Return the number of tokens at which texts are cut; RecipeError if more are wanted than the model takes."""
    if wanted is not None and wanted > limit:
        raise RecipeError("RECIPE-045", f"data.max_length {wanted}: this model takes at most {limit} tokens.")
    return wanted or min(limit, DEFAULT_MAX_LENGTH)


def task_config(name: str, folder: Path, task: Task) -> Any:
    """Return transformers' configuration of the folder, set up for the task."""
    from transformers import AutoConfig

    with explained(name):
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **task.config())


def class_for(task: Task, name: str, config: Any) -> Any:
    """Return transformers' class of a configuration's architecture that has the head of the task.

    Raises RecipeError when transformers has none.
    """
    import transformers

    classes = getattr(transformers, f"MODEL_FOR_{task.auto_model}_MAPPING")
    if type(config) not in classes:
        message = f"{name}: transformers has no {task.head_class.removeprefix('For')} of {config.model_type}."
        raise RecipeError("RECIPE-048", message, "Use a model of an architecture that has one.")
    return classes[type(config)]


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn any exception of transformers while it reads a model into a RecipeError, except out of memory."""
    try:
        yield
    except LightuneError:
        raise
    except Exception as error:  # a broken file may raise anything: AssertionError, TypeError, IndexError
        if is_out_of_memory(error):
            raise
        lines = str(error).strip().splitlines() or [type(error).__name__]
        text = " ".join(line.strip() for line in lines[: 2 if lines[0].endswith(":") else 1])
        raise RecipeError("RECIPE-046", f"{name}: this model cannot be loaded: {text}") from error


def _require_sizes(name: str, raw: Mapping[str, Any]) -> None:
    """Raise RecipeError for numbers that a model of this architecture cannot have; absent ones have their default."""
    kind = raw.get("model_type")
    if not isinstance(kind, str) or not kind:
        raise _unusable(name, "model_type", kind, "the name of the architecture, such as bert")
    row = ARCHITECTURES.get(kind)
    if row is None:
        return
    for key in (*POSITIONS, "vocab_size"):
        if key in raw and not _is_count(raw[key]):
            raise _unusable(name, key, raw[key], "a whole number above 0")
    pad, size = raw.get("pad_token_id", COUNTED_PAD if row.counts_from_pad else None), raw.get("vocab_size")
    if type(pad) is not int and (pad is not None or row.counts_from_pad):
        raise _unusable(name, "pad_token_id", pad, "the number of the pad token")
    if pad is None:
        return
    if (row.counts_from_pad and pad < 0) or (size is not None and pad >= size and kind != IGNORES_PAD):
        raise _unusable(name, "pad_token_id", pad, f"0 to {size - 1}" if size else "0 or more")
    positions = raw.get(POSITIONS[0])
    if row.counts_from_pad and positions is not None and positions <= pad + 1:
        raise _unusable(name, POSITIONS[0], positions, f"more than {pad + 1}, since they begin after the pad id")


def _unusable(name: str, key: str, value: Any, valid: str) -> RecipeError:
    told = f"{key} is missing" if value is None and key == "model_type" else f"{key} is {json.dumps(value)}"
    hint = "Correct config.json, or download the model again."
    return RecipeError("RECIPE-059", f"{name}: in config.json {told}; valid: {valid}.", hint)


def _is_count(value: Any) -> bool:
    return type(value) is int and value > 0


def _asks_for_remote_code(value: Any) -> bool:
    if isinstance(value, dict):
        return "auto_map" in value or any(_asks_for_remote_code(inner) for inner in value.values())
    return isinstance(value, list) and any(_asks_for_remote_code(inner) for inner in value)
