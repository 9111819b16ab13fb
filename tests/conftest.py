"""Tiny models built from configs and tiny data sets: no network, nothing outside the clone."""

from __future__ import annotations

import csv
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Reproducible, and no failure for being slow: a shared machine may stall anywhere.
settings.register_profile("lightune", deadline=None, derandomize=True, database=None)
settings.load_profile("lightune")

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
# Child processes import the very package under test, whatever folder they are started in.
PACKAGE_ROOT = Path(find_spec("lightune").origin).resolve().parents[1]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACKAGE_ROOT), os.environ.get("PYTHONPATH")]))

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


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One folder per architecture."""
    root = tmp_path_factory.mktemp("models")
    return {name: build_tiny_model(root / name, name) for name in ARCHITECTURES}


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Three disjoint csv files: train (64 rows), validation (24), test (40)."""
    root = tmp_path_factory.mktemp("data")
    rows = sentences(128, seed=3)
    splits = {"train": rows[:64], "validation": rows[64:88], "test": rows[88:]}
    return {name: write_csv(root / f"{name}.csv", part) for name, part in splits.items()}


@pytest.fixture(scope="session")
def tiny_recipe(tiny_models: dict[str, Path], tiny_data: dict[str, Path]) -> Callable[..., object]:
    """Return a function that makes a recipe on a tiny model and the tiny data; keywords go into `training`."""
    from lightune.recipe import parse_recipe

    def make(architecture: str = "distilbert", method: object = "lora", **training: object) -> object:
        return parse_recipe(
            {
                "name": "tiny",
                "model": str(tiny_models[architecture]),
                "device": "cpu",
                "data": {"source": {name: str(path) for name, path in tiny_data.items()}},
                "method": method,
                "training": {"num_train_epochs": 2, "learning_rate": 5e-3, **training},
            }
        )

    return make


@pytest.fixture(scope="session")
def load_tiny(tiny_models: dict[str, Path]) -> Callable[..., object]:
    """Return a function that loads a tiny model afresh as a classifier (a LoadedModel)."""
    from lightune.models.load import ModelSource, load_classifier

    def load(architecture: str = "distilbert", labels: Sequence[str] = ("negative", "positive"), seed: int = 1) -> object:
        return load_classifier(ModelSource(architecture, tiny_models[architecture], None), labels, seed)

    return load


@dataclass(frozen=True)
class FinishedRun:
    """A run folder and the record that the run returned."""

    folder: Path
    record: Any


@pytest.fixture(scope="session")
def tiny_run(tiny_recipe: Callable[..., object], tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """One LoRA run of the tiny DistilBERT through the public API, shared by all; do not write into its folder."""
    import lightune

    folder = tmp_path_factory.mktemp("runs") / "tiny-1"
    recipe = tiny_recipe("distilbert", "lora", num_train_epochs=8, learning_rate=2e-2)
    return FinishedRun(folder, lightune.run(recipe, folder))


@pytest.fixture(scope="session")
def load_lively(load_tiny: Callable[..., object]) -> Callable[..., Any]:
    """Return a function that loads a tiny classifier with spread-out weights, so that texts get unlike logits."""
    import torch

    def load(architecture: str = "distilbert") -> Any:
        loaded: Any = load_tiny(architecture)
        draw = torch.Generator().manual_seed(11)
        with torch.no_grad():
            for value in loaded.model.parameters():
                if value.dim() == 2:
                    value.copy_(torch.randn(value.shape, generator=draw) * 0.3)
        return loaded

    return load
