"""A tokenizer on disk: read without truncation and padding of its own, and saved so for use with one classifier."""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightune.bounded import read_json
from lightune.durable import library_files
from lightune.errors import RecipeError
from lightune.models.config import explained, refuse_code

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SETTINGS_FILE = "tokenizer_config.json"
# What transformers reads a tokenizer from; a saved one is the first two, or settings with a vocabulary.
FILES = ("tokenizer.json", SETTINGS_FILE, "special_tokens_map.json", "added_tokens.json", "vocab.txt", "vocab.json",
         "merges.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model")  # fmt: skip
# Everything else that some tokenizer of transformers, or PEFT, looks for in a folder.
LOOKED_FOR = {
    *FILES, "config.json", "adapter_config.json", "processor_config.json", "preprocessor_config.json",
    "additional_chat_templates", "chat_template.json", "tekken.json", "bpe.codes", "byte_maps.json", "dict.txt",
    "emoji.json", "entity_vocab.json", "normalizer.json", "prophetnet.tokenizer", "target_vocab.json", "vocab-src.json",
    "vocab-tgt.json", "word_pronunciation.json", "word_shape.json",
}  # fmt: skip
OF_TOKENIZERS = (".model", ".spm", ".tiktoken", ".jinja")
# Settings that transformers derives from a tokenizer.json that truncates or pads, and arguments of loading.
NOT_SAVED = ("max_length", "stride", "truncation_strategy", "pad_to_multiple_of", "is_local", "local_files_only")


def is_tokenizer_file(name: str) -> bool:
    """Say whether transformers might read a file of this name along with a tokenizer; on some systems in any case."""
    folded = name.casefold()
    is_versioned = folded.startswith("tokenizer.") and folded.endswith(".json")
    is_read = folded in LOOKED_FOR or folded.endswith(OF_TOKENIZERS) or is_versioned
    return is_read and not name.startswith(".")


def load_tokenizer(name: str, folder: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer of the model of this name, without truncation or padding of its own; it pads on the right."""
    from transformers import AutoTokenizer

    read_tokenizer_settings(name, folder)
    with explained(name):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    _make_plain(tokenizer)
    tokenizer.padding_side = "right"
    return tokenizer


def read_tokenizer_settings(name: str, folder: Path) -> dict[str, Any]:
    """Return tokenizer_config.json, which may be absent; RecipeError when it is no JSON object or asks for code."""
    path = folder / SETTINGS_FILE
    if not path.is_file():
        return {}
    try:
        found = read_json(path)
    except (OSError, ValueError) as error:
        raise RecipeError("RECIPE-047", f"{path}: not JSON ({error}).", "Download the tokenizer again.") from error
    if not isinstance(found, dict):
        raise RecipeError("RECIPE-047", f"{path}: not a JSON object.", "Download the tokenizer again.")
    refuse_code(name, found)
    return found


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path, max_length: int) -> None:
    """Write the tokenizer's files, for texts of at most `max_length` tokens; nothing in them is pickled.

    They say everything that lightune changed after loading: the pad token, the inputs that the model takes, the longest
    text. So other programs that read them compute the same token ids, with `truncation=True` for long texts too.
    """
    saved: Any = copy.deepcopy(tokenizer)
    _make_plain(saved)
    for name in NOT_SAVED:
        saved.init_kwargs.pop(name, None)
    saved.init_kwargs.update(padding_side=saved.padding_side, model_input_names=list(saved.model_input_names))
    saved.model_max_length = max_length
    saved.chat_template = None  # which a classifier does not use
    with library_files(folder) as theirs:
        saved.save_pretrained(theirs)


def tokenizer_sha256(folder: Path) -> str:
    """Return the SHA-256 over the names and bytes of a tokenizer's files."""
    digest = hashlib.sha256()
    for path in (folder / name for name in FILES):
        if path.is_file():
            digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _make_plain(tokenizer: Any) -> None:
    """Switch off truncation and padding, which a tokenizer keeps from its file, and from its last call."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.no_truncation()
        backend.no_padding()
