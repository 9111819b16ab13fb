"""Fast predictions for a few texts: DistilBERT and BERT in numpy, without torch, transformers or PEFT.

Importing those takes several seconds, computing a text a few hundredths of a second. Whenever this path might differ
from the usual one, it leaves the texts to the usual one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lightune.data.windows import CUT, cut_into_windows
from lightune.inference.expected_tensors import PEFT_PREFIX, adapter_tensors, lora_scale, model_tensors
from lightune.inference.numpy_encoder import FAMILIES, Array, Tensors, is_plain, logits_of, needed
from lightune.methods import make_method
from lightune.methods.base import WEIGHTS_FILE, require_same_tensors
from lightune.methods.lora import Lora
from lightune.models.config import read_config as read_model_config
from lightune.models.config import token_limit
from lightune.models.load import ModelSource
from lightune.models.tokenizer_files import read_tokenizer_settings
from lightune.models.tokens import is_bare
from lightune.models.weight_files import WEIGHTS_FILE as MODEL_FILE
from lightune.models.weight_files import require_weights
from lightune.safe_files import require_finite
from lightune.tasks.base import Task
from lightune.tensor_headers import TensorHeader, read_headers
from lightune.values.missing import is_missing, is_writable

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

    from lightune.artifact import ArtifactConfig

# Beyond these limits the usual path is faster, in spite of its slow start.
MOST_TEXTS, MOST_CHARACTERS = 16, 16_000
# Methods of which some adapters are answered here.
ANSWERED = ("lora", "full", "bitfit", "head", "top_layers")
HEADS = ("classifier.", "pre_classifier.")
LORA_A = ".lora_A.weight"
# Tokenizer classes that use the tokenizer file without changes.
GENERIC = ("PreTrainedTokenizerFast", "TokenizersBackend")


def quick_logits(run: str, texts: Sequence[str], base_model: str | None = None) -> tuple[Task, Array, int] | None:
    """Return (the task, logits (texts, outputs), how many texts were cut), or None if the usual path is needed.

    It supports plain LoRA, and methods whose saved tensors are the model's own, on single texts. Raises ArtifactError
    for a damaged folder or another base model.
    """
    from lightune.artifact import adapter_folder, find_base, fingerprints_in, holds_adapter, read_config

    if not _is_small(texts) or not Path(run).is_dir() or not holds_adapter(Path(run)):
        return None
    folder = adapter_folder(Path(run))
    config = read_config(folder)
    fingerprints_in(folder)  # not used here, and refused where they are damaged
    if config.model_precision != "fp32" or len(config.text_columns) != 1 or config.task.reads != "text":
        return None
    source = find_base(config, folder, base_model)
    raw = read_model_config(source.name, source.folder)
    family = FAMILIES.get(raw.get("model_type", ""))
    if family is None or config.method not in ANSWERED or not is_plain(raw, family):
        return None
    if not (source.folder / MODEL_FILE).is_file() or len(list(source.folder.glob("*.safetensors"))) > 1:
        return None
    tokens = _token_ids(source, texts, config, raw)
    tensors = _tensors(source, raw, folder, config)
    if tokens is None or tensors is None or not set(tensors) >= needed(raw, family):
        return None
    ids, truncated = tokens
    read = [[logits_of(tensors, raw, family, window) for window in windows] for windows in ids]
    logits = np.stack([np.mean(windows, axis=0) if len(windows) > 1 else windows[0] for windows in read])
    return config.task, logits, truncated


def _is_small(texts: Sequence[str]) -> bool:
    if not 0 < len(texts) <= MOST_TEXTS or sum(map(len, texts)) > MOST_CHARACTERS:
        return False
    return not any(is_missing(text) or not is_writable(text) for text in texts)


def _token_ids(
    source: ModelSource, texts: Sequence[str], config: ArtifactConfig, raw: Mapping[str, Any]
) -> tuple[list[list[Sequence[int]]], int] | None:
    """Return (the token ids of each text's windows, how many texts were cut).

    None where the tokenizer's file and its settings might disagree.

    Also None for a text with only special tokens, for a limit or ids beyond the model's embeddings, and for a file that
    is none: the usual path refuses them.
    """
    folder, known = source.tokenizer_folder, raw.get("vocab_size", 0)
    files = [folder / name for name in ("tokenizer.json", "tokenizer_config.json")]
    if not all(path.is_file() for path in files):
        return None
    settings = read_tokenizer_settings(source.name, folder)
    if config.max_length > token_limit(raw, settings.get("model_max_length")):
        return None
    tokenizer = _backend(files[0])
    if tokenizer is None:
        return None
    if settings.get("tokenizer_class") not in GENERIC and not _agree(tokenizer, settings):
        return None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if config.long_texts == CUT:
        tokenizer.enable_truncation(config.max_length)
    encoded = tokenizer.encode_batch(list(texts))
    special, ids = tokenizer.num_special_tokens_to_add(False), [_windows(found, config.max_length) for found in encoded]
    if any(is_bare(found, special, 1) for found in encoded):
        return None
    if max(tokenizer.get_vocab_size(), 1 + max(max(found.ids) for found in encoded)) > known:
        return None
    return ids, len({text for text, found in zip(texts, encoded, strict=True) if found.overflowing})


def _backend(path: Path) -> Tokenizer | None:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception:  # the library has no exception type of its own
        return None


def _windows(found: Encoding, limit: int) -> list[Sequence[int]]:
    if len(found.ids) <= limit:
        return [found.ids]
    return [row["ids"] for row in cut_into_windows({"ids": found.ids}, found.sequence_ids, limit)[0]]


def _agree(tokenizer: Tokenizer, settings: Mapping[str, object]) -> bool:
    """Whether BERT's tokenizer class would normalize texts as the file does."""
    from tokenizers.normalizers import BertNormalizer

    normalizer, told = tokenizer.normalizer, {"lowercase": "do_lower_case", "strip_accents": "strip_accents"}
    if not isinstance(normalizer, BertNormalizer):
        return False
    return all(name not in settings or settings[name] == getattr(normalizer, key) for key, name in told.items())


def _tensors(source: ModelSource, raw: Mapping[str, Any], folder: Path, config: ArtifactConfig) -> Tensors | None:
    """Return the classifier's tensors including the trained ones, or None if some have other names or types.

    Raises ArtifactError unless the adapter has exactly the tensors that the usual path expects.
    """
    family, base = FAMILIES[raw["model_type"]], source.folder
    require_weights(source.name, base)
    headers, prefix = read_headers(base / MODEL_FILE), f"{family.base}."
    own = {name: name if name.startswith((prefix, *HEADS)) else prefix + name for name in headers}
    expected = adapter_tensors(config, raw, family, own.values())
    model = model_tensors(raw, family, config.task.outputs)
    if expected is None or model is None or not _are_of(model, {own[name]: headers[name] for name in headers}):
        return None
    require_same_tensors(expected, read_headers(folder / WEIGHTS_FILE))
    found = {own[name]: value for name, value in _read(base / MODEL_FILE, headers).items()}
    saved = _read(folder / WEIGHTS_FILE, expected)
    for place, values in ((folder / WEIGHTS_FILE, saved), (source.name, found)):
        require_finite(place, [name for name, value in values.items() if not np.isfinite(value).all()])
    return {
        **found,
        **_applied(found, {name.removeprefix(PEFT_PREFIX): value for name, value in saved.items()}, config),
    }


def _are_of(model: Mapping[str, TensorHeader], held: Mapping[str, TensorHeader]) -> bool:
    """Say whether the base's file holds what the model needs below its head, in fp32 throughout."""
    in_fp32 = all(header.kind in ("F32", "I64") for header in held.values())
    body = [name for name in model if not name.startswith(HEADS) and (name in held or "pooler" not in name)]
    return in_fp32 and all(held.get(name) == model[name] for name in body)


def _read(path: Path, names: Collection[str]) -> dict[str, Array]:
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        return {name: file.get_tensor(name) for name in names}


def _applied(found: Mapping[str, Array], saved: Mapping[str, Array], config: ArtifactConfig) -> dict[str, Array]:
    """Return the tensors of the model that an adapter changes: W + s B A of plain LoRA, others as they were saved."""
    method = make_method(config.method, config.method_options)
    changed = {name: value for name, value in saved.items() if ".lora_" not in name}
    if isinstance(method, Lora):
        for name, a in saved.items():
            if name.endswith(LORA_A):
                stem = name.removesuffix(LORA_A)
                product = np.float32(lora_scale(method)) * (saved[f"{stem}.lora_B.weight"] @ a)
                changed[f"{stem}.weight"] = found[f"{stem}.weight"] + product
    return changed
