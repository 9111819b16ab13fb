"""The usual base size of every architecture: where its real weights are, else a configuration for random ones.

A random model has the vocabulary of minilm's tokenizer, which splits its texts (Qwen2's has one of its own kind, made
of the embedded reviews): an embedding is looked up and never multiplied, so its length changes memory and not time.
Where the usual size is too large for a laptop the width stays, there are fewer layers, and the size says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, Qwen2Tokenizer

from benchmarks.measuring import SEED, load_texts

Options = dict[str, Any]


@dataclass(frozen=True)
class Base:
    """A base model of the benchmark: its architecture, what its size is, and how the configuration says so.

    `options` is what differs from the defaults of transformers, which for most are the usual base size. Without them
    there are only real weights. `folder` is the name of the folder with real weights, among those that are laid out.
    `rounds` is how many rounds count. `thinned` says that layers were left out.
    """

    architecture: str
    size: str
    options: Options | None = None
    folder: str | None = None
    rounds: int = 3
    thinned: bool = False

    def config(self, words: int) -> Any:
        """Return the configuration of a random model with a vocabulary of this many words."""
        return AutoConfig.for_model(self.architecture, vocab_size=words, **(self.options or {}))


_ENDS: Options = {"pad_token_id": 0, "bos_token_id": 101, "eos_token_id": 102}  # of minilm's tokenizer
_BASE: Options = {
    "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072,
}  # fmt: skip
# Positions begin after the pad id, which is 0 here.
_ROBERTA: Options = {"max_position_embeddings": 513, "type_vocab_size": 1, "layer_norm_eps": 1e-5, **_ENDS}
_DEBERTA_V3: Options = {
    **_BASE, "relative_attention": True, "position_buckets": 256, "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"], "norm_rel_ebd": "layer_norm", "position_biased_input": False, "type_vocab_size": 0,
    "layer_norm_eps": 1e-7, "max_relative_positions": -1, "pad_token_id": 0,
}  # fmt: skip
_ALBERT: Options = {**_BASE, **_ENDS, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
_LLAMA: Options = {
    "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
    "num_key_value_heads": 3, "max_position_embeddings": 2048, **_ENDS,
}  # fmt: skip
_MISTRAL: Options = {
    "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 2, "num_attention_heads": 32,
    "num_key_value_heads": 8, "sliding_window": 4096, **_ENDS,
}  # fmt: skip
_QWEN2: Options = {
    "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 8, "num_attention_heads": 14,
    "num_key_value_heads": 2, "max_position_embeddings": 2048, **_ENDS,
}  # fmt: skip
_QWEN3: Options = {
    "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 8, "num_attention_heads": 16,
    "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 2048, **_ENDS,
}  # fmt: skip
_GEMMA: Options = {
    "hidden_size": 2048, "intermediate_size": 16384, "num_hidden_layers": 2, "num_attention_heads": 8,
    "num_key_value_heads": 1, "head_dim": 256, "max_position_embeddings": 2048, **_ENDS,
}  # fmt: skip

BASES: dict[str, Base] = {
    "distilbert": Base("distilbert", "6 x 768", {}, rounds=5),
    "bert": Base("bert", "12 x 768", {}, rounds=5),
    "minilm": Base("bert", "6 x 384", rounds=5),
    "bert-tiny": Base("bert", "2 x 128", folder="bert-tiny"),
    "roberta": Base("roberta", "12 x 768", _ROBERTA, rounds=5),
    "xlm-roberta": Base("xlm-roberta", "12 x 768", _ROBERTA),
    "camembert": Base("camembert", "12 x 768", _ROBERTA),
    "electra": Base("electra", "12 x 768", {**_BASE, "embedding_size": 768}),
    "deberta-v2": Base("deberta-v2", "v3: 12 x 768", _DEBERTA_V3),
    "mpnet": Base("mpnet", "12 x 768", {"max_position_embeddings": 514, **_ENDS}, folder="mpnet", rounds=5),
    "albert": Base("albert", "v2: 12 x 768 shared", _ALBERT),
    "modernbert": Base("modernbert", "22 x 768", {"cls_token_id": 101, "sep_token_id": 102, **_ENDS}),
    "gpt2": Base("gpt2", "12 x 768", _ENDS),
    "opt": Base("opt", "12 x 768", _ENDS),
    "llama": Base("llama", "30 x 576", _LLAMA, folder="smollm2"),
    "mistral": Base("mistral", "7B: 2 of 32 x 4096", _MISTRAL, thinned=True),
    "qwen2": Base("qwen2", "0.5B: 8 of 24 x 896", _QWEN2, thinned=True),
    "qwen3": Base("qwen3", "0.6B: 8 of 28 x 1024", _QWEN3, thinned=True),
    "gemma": Base("gemma", "2B: 2 of 18 x 2048", _GEMMA, thinned=True),
}


def lacks_weights(name: str, bases: Path | None) -> bool:
    """Whether a base model has only real weights, and these are not laid out."""
    base = BASES[name]
    return base.options is None and base.folder is not None and not (bases and (bases / base.folder).is_dir())


def laid_out(name: str, bases: Path | None, place: Path) -> tuple[str, str]:
    """Return (what load_model takes, what the weights are); random ones are saved in a place first.

    `bases` has a folder for each base model whose real weights are laid out.
    """
    base = BASES[name]
    if name == "minilm":
        return "minilm", "real weights"
    if bases is not None and base.folder is not None and (bases / base.folder).is_dir():
        return str(bases / base.folder), "real weights"
    if lacks_weights(name, bases):
        raise SystemExit(f"{name} has only real weights: --bases needs a folder that has them in {base.folder}.")
    return random_weights(base, place), "random weights"


def random_weights(base: Base, place: Path) -> str:
    """Save a random model and its tokenizer; return the folder."""
    tokenizer = _tokenizer_for(base.architecture)
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        AutoModel.from_config(base.config(len(tokenizer))).save_pretrained(place)
    tokenizer.save_pretrained(place)
    return str(place)


def _tokenizer_for(architecture: str) -> Any:
    """Return minilm's tokenizer; for Qwen2, whose folders transformers reads with its own class, one of that class."""
    from lightune.models.load import find_model
    from lightune.models.tokenizer_files import load_tokenizer

    source = find_model("minilm")
    known = load_tokenizer(source.name, source.folder)
    if architecture != "qwen2":
        return known
    _, reviews, _ = load_texts(None, 2000)
    return Qwen2Tokenizer().train_new_from_iterator(reviews, len(known))
