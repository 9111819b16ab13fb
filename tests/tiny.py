"""Tiny models built from configs, and sentences whose label depends on one word."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lightune.tasks import TASKS, Task

GOOD = ["lovely", "splendid", "warm", "clever", "bright", "gentle", "tasty", "moving", "superb", "crisp"]
BAD = ["dreadful", "stale", "cold", "clumsy", "dull", "rude", "soggy", "empty", "dire", "limp"]
THINGS = ["film", "book", "soup", "lamp", "waiter", "plot", "song", "chair", "story", "bread"]
FILLER = ["the", "a", "was", "is", "and", "very", "quite", "this", "that", "with", "my", "our", "here", "again"]
ENCODERS = ("distilbert", "bert", "roberta", "xlm-roberta", "camembert", "electra", "deberta-v2", "mpnet", "albert",
            "modernbert")  # fmt: skip
DECODERS = ("gpt2", "opt", "llama", "mistral", "qwen2", "qwen3", "gemma")
ARCHITECTURES = (*ENCODERS, *DECODERS)
# Separate and fused projections, a gated feed-forward part, Conv1D, a shared layer: what most tests need of the list.
REPRESENTATIVE = ("distilbert", "bert", "gpt2", "modernbert", "llama")
WINDOW = 8  # tokens that a sliding-window layer of the tiny models sees; most texts are longer


def classes(labels: Sequence[str]) -> Task:
    """Return the task of giving each text one of these labels."""
    return TASKS["classification"](tuple(labels))


def sentences(count: int, seed: int) -> list[tuple[str, str]]:
    """Return (text, label) pairs whose label depends on one word; no two texts are alike."""
    draw = random.Random(seed)
    rows: dict[str, str] = {}
    while len(rows) < count:
        label = ("negative", "positive")[len(rows) % 2]
        words = [draw.choice(FILLER) for _ in range(draw.randint(2, 9))]
        words[draw.randrange(len(words))] = draw.choice(GOOD if label == "positive" else BAD)
        rows.setdefault(" ".join([*words, draw.choice(THINGS)]), label)
    return list(rows.items())


def write_csv(path: Path, rows: list[tuple[str, ...]], header: tuple[str, ...] = ("text", "label")) -> Path:
    """Write rows as csv and return the path."""
    with path.open("w", encoding="utf-8", newline="") as sink:
        csv.writer(sink).writerows([header, *rows])
    return path


class TinyModels(dict[str, Path]):
    """Folders by architecture; a model is built when it is first asked for."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root

    def __missing__(self, architecture: str) -> Path:
        self[architecture] = build_tiny_model(self.root / architecture, architecture)
        return self[architecture]


def build_tiny_model(folder: Path, architecture: str) -> Path:
    """Save a tiny random backbone (no classification head) of an architecture, with a tokenizer."""
    import torch
    from transformers import AutoModel

    tokenizer = tiny_tokenizer(architecture)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = AutoModel.from_config(tiny_config(architecture, len(tokenizer)))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_tokenizer(architecture: str) -> Any:
    """Return a word tokenizer; GPT-2's and Llama's have no pad token, as those models' own."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *FILLER, *GOOD, *BAD, *THINGS]
    if architecture == "qwen2":
        return _qwen2_tokenizer(words)
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"unk_token": "[UNK]", "eos_token": "[SEP]"}
    if architecture in ENCODERS:
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
        special = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    if architecture not in {"gpt2", "llama"}:
        special["pad_token"] = "[PAD]"
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **special)


def _qwen2_tokenizer(words: list[str]) -> Any:
    """Return a byte-pair tokenizer that builds most words letter by letter; transformers loads no other for Qwen2."""
    from transformers import Qwen2Tokenizer

    forms = [form for word in words[4:] for form in (word, f"Ġ{word}")]  # Ġ stands for the space before a word
    pieces = dict.fromkeys([*words[:4], "Ġ", *"abcdefghijklmnopqrstuvwxyz"])
    pieces |= dict.fromkeys(form[:end] for form in forms for end in range(2, len(form) + 1))
    merges = dict.fromkeys((form[:end], form[end]) for form in forms for end in range(1, len(form)))
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    special = {"unk_token": "[UNK]", "eos_token": "[SEP]", "pad_token": "[PAD]"}
    return Qwen2Tokenizer(vocab=vocabulary, merges=list(merges), model_max_length=64, **special)


def tiny_config(architecture: str, words: int) -> Any:
    """Return a configuration of two layers, 32 wide; decoders of Llama's kind share two key/value heads among four."""
    import transformers as hf

    size = {"vocab_size": words, "pad_token_id": 0}
    bert = {**size, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
            "max_position_embeddings": 64}  # fmt: skip
    roberta = {**bert, "max_position_embeddings": 65}  # their positions begin after the pad id
    ends = {"bos_token_id": 3, "eos_token_id": 3}
    llama = {**bert, **ends, "num_key_value_heads": 2}
    special = {"cls_token_id": 2, "sep_token_id": 3}
    albert = {"embedding_size": 16, **ends}
    deberta = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8, "share_att_key": True,
               "norm_rel_ebd": "layer_norm", "position_biased_input": False}  # fmt: skip
    modernbert = {**special, **ends, "local_attention": WINDOW, "layer_types": ["full_attention", "sliding_attention"]}
    makers: dict[str, Callable[[], Any]] = {
        "distilbert": lambda: hf.DistilBertConfig(
            **size, dim=32, n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=64
        ),
        "bert": lambda: hf.BertConfig(**bert),
        "roberta": lambda: hf.RobertaConfig(**roberta, type_vocab_size=1, **ends),
        "xlm-roberta": lambda: hf.XLMRobertaConfig(**roberta, type_vocab_size=1, **ends),
        "camembert": lambda: hf.CamembertConfig(**roberta, type_vocab_size=1, **ends),
        "electra": lambda: hf.ElectraConfig(**bert, embedding_size=16),
        "deberta-v2": lambda: hf.DebertaV2Config(**bert, **deberta),
        "mpnet": lambda: hf.MPNetConfig(**{**roberta, "max_position_embeddings": 66}, **ends),  # its pad is always 1
        "albert": lambda: hf.AlbertConfig(**bert, **albert),
        "modernbert": lambda: hf.ModernBertConfig(**bert, **modernbert),
        "gpt2": lambda: hf.GPT2Config(vocab_size=words, n_embd=32, n_layer=2, n_head=4, n_positions=64, **ends),
        "opt": lambda: hf.OPTConfig(
            **size, **ends, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64,
            max_position_embeddings=64, word_embed_proj_dim=32,
        ),
        "llama": lambda: hf.LlamaConfig(**{**llama, "pad_token_id": None}),
        "mistral": lambda: hf.MistralConfig(**llama, sliding_window=WINDOW),
        "qwen2": lambda: hf.Qwen2Config(**llama),
        "qwen3": lambda: hf.Qwen3Config(**llama, head_dim=8),
        "gemma": lambda: hf.GemmaConfig(**llama, head_dim=8),
    }  # fmt: skip
    return makers[architecture]()
