"""Fast predictions for a few texts: DistilBERT and BERT in numpy, without torch, transformers or PEFT.

Importing those takes several seconds, computing a text a few hundredths of a second. Whenever this path might differ
from the usual one, it leaves the texts to the usual one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lightune.data.windows import CUT, cut_into_windows
from lightune.inference.numpy_encoder import FAMILIES, Array, Tensors, is_plain, logits_of, needed
from lightune.models.tokens import is_bare
from lightune.safe_files import require_finite
from lightune.tasks.base import Task
from lightune.values.missing import is_missing, is_writable

if TYPE_CHECKING:
    from tokenizers import Encoding

    from lightune.artifact import ArtifactConfig

# Beyond these limits the usual path is faster, in spite of its slow start.
MOST_TEXTS, MOST_CHARACTERS = 16, 16_000
PEFT_PREFIX = "base_model.model."
# Tokenizer classes that use the tokenizer file without changes.
GENERIC = ("PreTrainedTokenizerFast", "TokenizersBackend")


def quick_logits(run: str, texts: Sequence[str], base_model: str | None = None) -> tuple[Task, Array, int] | None:
    """Return (the task, logits (texts, outputs), how many texts were cut), or None if the usual path is needed.

    It supports plain LoRA, and methods whose saved tensors are the model's own, on single texts. Raises ArtifactError
    for a damaged folder or another base model.
    """
    from lightune.artifact import adapter_folder, find_base, holds_adapter, read_config

    if not _is_small(texts) or not Path(run).is_dir() or not holds_adapter(Path(run)):
        return None
    folder = adapter_folder(Path(run))
    config = read_config(folder)
    if config.model_precision != "fp32" or len(config.text_columns) != 1 or config.task.reads != "text":
        return None
    source = find_base(config, folder, base_model)
    base = source.folder
    raw = json.loads((base / "config.json").read_text(encoding="utf-8"))
    family = FAMILIES.get(raw.get("model_type"))
    if family is None or not is_plain(raw, family):
        return None
    tokens = _token_ids(source.tokenizer_folder, texts, config, raw.get("vocab_size", 0))
    tensors = _tensors(base, folder, config, family.base)
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
    folder: Path, texts: Sequence[str], config: ArtifactConfig, known: int
) -> tuple[list[list[Sequence[int]]], int] | None:
    """Return (the token ids of each text's windows, how many texts were cut).

    None where the tokenizer's file and its settings might disagree.

    Also None for a text with only special tokens, and for ids beyond the model's `known` embeddings: the usual path
    refuses them.
    """
    from tokenizers import Tokenizer

    files = [folder / name for name in ("tokenizer.json", "tokenizer_config.json")]
    if not all(path.is_file() for path in files):
        return None
    told, settings = (json.loads(path.read_text(encoding="utf-8")) for path in files)
    if settings.get("tokenizer_class") not in GENERIC and not _agree(told.get("normalizer") or {}, settings):
        return None
    tokenizer = Tokenizer.from_file(str(files[0]))
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


def _windows(found: Encoding, limit: int) -> list[Sequence[int]]:
    if len(found.ids) <= limit:
        return [found.ids]
    return [row["ids"] for row in cut_into_windows({"ids": found.ids}, found.sequence_ids, limit)[0]]


def _agree(normalizer: Mapping[str, object], settings: Mapping[str, object]) -> bool:
    """Whether BERT's tokenizer class would normalize texts as the file does."""
    told = {"lowercase": "do_lower_case", "strip_accents": "strip_accents"}
    is_same = all(name not in settings or settings[name] == normalizer.get(key) for key, name in told.items())
    return normalizer.get("type") == "BertNormalizer" and is_same


def _tensors(base: Path, folder: Path, config: ArtifactConfig, name_of_base: str) -> Tensors | None:
    """Return the classifier's tensors including the trained ones, or None if some have unknown names."""
    from lightune.methods.base import WEIGHTS_FILE

    parts = sorted(base.glob("*.safetensors"))
    read = [_read_fp32(path) for path in (*parts, folder / WEIGHTS_FILE)]
    if len(read) != 2 or read[0] is None or read[1] is None:
        return None
    require_finite(folder / WEIGHTS_FILE, [name for name, value in read[1].items() if not np.isfinite(value).all()])
    prefix, heads = f"{name_of_base}.", ("classifier.", "pre_classifier.")
    found = {name if name.startswith((prefix, *heads)) else prefix + name: value for name, value in read[0].items()}
    saved = {name.removeprefix(PEFT_PREFIX): value for name, value in read[1].items()}
    factors = {name: saved.pop(name) for name in list(saved) if ".lora_" in name}
    if factors and not _add_lora(found, factors, config):
        return None
    known = {*found, *(f"{stem}{end}" for stem in (*heads, f"{prefix}pooler.dense.") for end in ("weight", "bias"))}
    return {**found, **saved} if set(saved) <= known and "classifier.weight" in saved else None


def _read_fp32(path: Path) -> dict[str, Array] | None:
    """Return a file's tensors, or None if some are stored in fewer bits, which numpy may not support."""
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        names = list(file.keys())
        if any(file.get_slice(name).get_dtype() not in ("F32", "I64") for name in names):
            return None
        return {name: file.get_tensor(name) for name in names}


def _add_lora(found: dict[str, Array], factors: dict[str, Array], config: ArtifactConfig) -> bool:
    """Add s B A to the weights that plain LoRA adapted, and say whether nothing else was needed."""
    options = config.method_options
    if config.method != "lora" or options.get("use_dora") or len(factors) % 2:
        return False
    scale = options["alpha"] / (math.sqrt(options["rank"]) if options["use_rslora"] else options["rank"])
    for name, a in factors.items():
        layer, end = name.rsplit(".lora_", 1)
        if end not in ("A.weight", "B.weight"):
            return False
        if end == "A.weight":
            target, b = f"{layer}.weight", factors.get(f"{layer}.lora_B.weight")
            if b is None or target not in found or found[target].shape != (len(b), a.shape[1]):
                return False
            found[target] = found[target] + np.float32(scale) * (b @ a)
    return True
