"""A model folder's config.json: read, and refused if it asks for remote code or holds impossible sizes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightune.bounded import read_json
from lightune.errors import LightuneError, RecipeError, is_out_of_memory
from lightune.models.architectures import ARCHITECTURES
from lightune.tasks.base import Task

# Longer texts are cut, unless data.max_length asks for more tokens and the model takes them.
DEFAULT_MAX_LENGTH = 512
PEFT_FILE = "adapter_config.json"
ASKS_FOR_CODE = {
    "auto_map", "trust_remote_code", "custom_pipelines", "custom_generate", "transformers_weights",
    "kernel_config", "use_kernels", "code_revision",
}  # fmt: skip
QUANTIZED = "quantization_config"
NOTHING: tuple[Any, ...] = (None, False, {}, [], "")
LABELS = ("id2label", "label2id")  # whose names are those of people
IMPLEMENTATIONS = {"attn_implementation", "experts_implementation"}
ATTENTION = {"eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention", "grouped_mm", "batched_mm"}
# Numbers are bounded before anything is built of them; those of the largest models that exist are far below.
LARGEST = 1 << 40
MOST = {
    **dict.fromkeys(["num_hidden_layers", "n_layers", "n_layer", "num_layers", "num_hidden_groups"], 1000),
    **dict.fromkeys(["encoder_layers", "decoder_layers", "inner_group_num", "n_heads", "n_head"], 1000),
    **dict.fromkeys(["num_attention_heads", "num_key_value_heads", "type_vocab_size"], 4096),
    **dict.fromkeys(["num_labels", "hidden_size", "dim", "n_embd", "d_model", "embedding_size", "head_dim"], 1 << 17),
    **dict.fromkeys(["intermediate_size", "hidden_dim", "n_inner", "ffn_dim", "word_embed_proj_dim"], 1 << 19),
    "vocab_size": 1 << 24,
    **dict.fromkeys(["max_position_embeddings", "n_positions", "position_buckets", "max_relative_positions"], 1 << 24),
}
POSITIONS = ("max_position_embeddings", "n_positions")
# The pad id of RoBERTa and related models when config.json names none.
COUNTED_PAD = 1
# Its embedding has no padding_idx, so a pad id beyond the embeddings does no harm.
IGNORES_PAD = "gpt2"


class TooLongError(RecipeError):
    """More tokens are asked for than a model takes."""


def read_config(name: str, folder: Path) -> dict[str, Any]:
    """Return config.json unchanged.

    Raises RecipeError if it is absent, is not a JSON object, asks for remote code or holds impossible sizes.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise RecipeError("RECIPE-041", f"{folder}: no config.json, so this is not a model folder.")
    if (folder / PEFT_FILE).exists():  # transformers would load another model: the one that this file names
        text = f"{name}: both {PEFT_FILE} and config.json are here: an adapter and a model."
        raise RecipeError("RECIPE-041", text, "Keep them in two folders, and give the model's.")
    try:
        raw = read_json(path)
    except (OSError, ValueError) as error:
        raise RecipeError("RECIPE-042", f"{path}: not JSON ({error}).") from error
    if not isinstance(raw, dict):
        raise RecipeError("RECIPE-042", f"{path}: not a JSON object, so this is not a model's configuration.")
    refuse_code(name, raw)
    _require_sizes(name, raw)
    for key, value in _settings(raw):
        if type(value) is int and abs(value) > MOST.get(key, LARGEST):
            raise _unusable(name, key, value, f"at most {MOST.get(key, LARGEST):,}")
    return raw


def refuse_code(name: str, raw: Mapping[str, Any]) -> None:
    """Raise RecipeError where a configuration asks, at any depth, for code or for files that it names itself.

    Quantized weights are refused too: the library that would read them depends on the configuration.
    """
    for key, value in _settings(raw):
        if key == QUANTIZED and value not in NOTHING:
            hint = "Use the model with its full weights; `model_precision: int8` or `nf4` makes them as small."
            raise RecipeError("RECIPE-120", f"{name}: its weights are quantized, which are not read.", hint)
        asks = key in ASKS_FOR_CODE and value not in NOTHING
        if asks or (key.removeprefix("_").removesuffix("_internal") in IMPLEMENTATIONS and not _are_known(value)):
            raise RecipeError(
                "RECIPE-043", f"{name}: this model wants to run code of its own ({key}), which is never done.",
                "Use a model whose architecture transformers itself knows.",
            )  # fmt: skip


def _are_known(value: Any) -> bool:
    """Say whether attention is computed as transformers itself does it: it would run other names as code of the Hub."""
    given = list(value.values()) if isinstance(value, Mapping) else [value]
    return all(one is None or one in ATTENTION for one in given)


def _settings(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield each name with its value, at any depth, but for labels; `read_json` has bounded the depth."""
    if isinstance(value, Mapping):
        yield from value.items()
    inside = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in inside:
        if name not in LABELS:
            yield from _settings(inner)


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
        raise TooLongError("RECIPE-045", f"data.max_length {wanted}: this model takes at most {limit} tokens.")
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
