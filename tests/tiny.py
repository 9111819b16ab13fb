"""Tiny models built from configs, and sentences whose label hangs on one word."""

from __future__ import annotations

import csv
import random
from pathlib import Path

GOOD = ["lovely", "splendid", "warm", "clever", "bright", "gentle", "tasty", "moving", "superb", "crisp"]
BAD = ["dreadful", "stale", "cold", "clumsy", "dull", "rude", "soggy", "empty", "dire", "limp"]
THINGS = ["film", "book", "soup", "lamp", "waiter", "plot", "song", "chair", "story", "bread"]
FILLER = ["the", "a", "was", "is", "and", "very", "quite", "this", "that", "with", "my", "our", "here", "again"]
ARCHITECTURES = ("distilbert", "bert", "gpt2")


def sentences(count: int, seed: int) -> list[tuple[str, str]]:
    """Return (text, label) pairs whose label hangs on one word; no two texts are alike."""
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


def build_tiny_model(folder: Path, architecture: str) -> Path:
    """Save a tiny random backbone (no classification head) of an architecture, with a tokenizer."""
    import torch
    import transformers as hf
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *FILLER, *GOOD, *BAD, *THINGS]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if architecture != "gpt2":
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    if architecture == "gpt2":
        special = {"unk_token": "[UNK]", "eos_token": "[SEP]"}
    fast = hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **special)
    size = {"vocab_size": len(words), "pad_token_id": 0}
    configs = {
        "distilbert": lambda: hf.DistilBertConfig(
            **size, dim=32, n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=64
        ),
        "bert": lambda: hf.BertConfig(
            **size, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
            max_position_embeddings=64,
        ),
        "gpt2": lambda: hf.GPT2Config(
            vocab_size=len(words), n_embd=32, n_layer=2, n_head=4, n_positions=64, bos_token_id=3, eos_token_id=3
        ),
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = hf.AutoModel.from_config(configs[architecture]())
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder
