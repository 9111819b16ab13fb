"""Runs of tiny models on sentences that have several labels, or numbers, which depend on their words."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import lightune
from lightune.recipe import parse_recipe
from lightune.record import RunRecord
from reloading_here import reloading_here
from tiny import BAD, GOOD, TinyModels, sentences

KINDS = {"praise": GOOD, "blame": BAD, "art": ["film", "book", "song", "story"], "meal": ["soup", "bread", "waiter"]}
SENTENCES = [text for text, _ in sentences(320, seed=3)]
# Enough validation texts to choose thresholds on.
SPLITS = {"train": SENTENCES[:120], "validation": SENTENCES[120:240], "test": SENTENCES[240:280]}
UNSEEN = SENTENCES[280:]


def labels_of(text: str) -> list[str]:
    """Return the kinds of words that a text has."""
    return [kind for kind, words in KINDS.items() if set(words) & set(text.split())]


def score_of(text: str) -> float:
    """Return a number far from 0, larger for long and for good texts."""
    return 1000.5 + 10 * len(text.split()) + 30 * ("praise" in labels_of(text))


def row_of(text: str) -> dict[str, Any]:
    """Return a text with all that can be predicted of it; a run takes what its recipe names."""
    return {"text": text, "labels": labels_of(text), "score": score_of(text), "length": len(text) / 10}


class TinyRun:
    """A finished run with its classifier."""

    def __init__(self, folder: Path, record: RunRecord) -> None:
        self.folder, self.record = folder, record
        self.classifier = lightune.load(folder, device="cpu")

    @property
    def base(self) -> str:
        """The folder of the base model."""
        return str(self.record.model.name)

    def logits_by_peft(self, texts: list[Any]) -> torch.Tensor:
        """Return the logits of the saved adapter on the base model, by transformers and PEFT alone."""
        config = {"num_labels": self.record.task.outputs}
        model = AutoModelForSequenceClassification.from_pretrained(self.base, **config)
        return logits_by(PeftModel.from_pretrained(model, self.folder / "adapter"), self.base, texts)


def logits_by(model: Any, tokenizer: Any, texts: list[Any]) -> torch.Tensor:
    """Return the logits of texts, or of pairs, each passed alone, by transformers."""
    read, found = AutoTokenizer.from_pretrained(tokenizer), []
    with torch.no_grad():
        for text in texts:
            parts = (text,) if isinstance(text, str) else text
            found.append(model.eval()(**read(*parts, return_tensors="pt")).logits[0])
    return torch.stack(found)


def tiny_runner(models: TinyModels, root: Path) -> Callable[..., TinyRun]:
    """Return a function that trains a tiny model on the sentences; keywords after `data` go into `training`."""

    def run(
        name: str, *, model: str | Path = "distilbert", method: Any = "lora", row: Callable[[str], Any] = row_of,
        task: str = "auto", data: Mapping[str, Any] | None = None, **training: Any,
    ) -> TinyRun:  # fmt: skip
        folder, files = root / name, {}
        folder.mkdir(parents=True)
        for split, texts in SPLITS.items():
            files[split] = str(folder / f"{split}.jsonl")
            Path(files[split]).write_text("".join(json.dumps(row(text)) + "\n" for text in texts), encoding="utf-8")
        recipe = parse_recipe(
            {
                "name": name,
                "model": str(model if isinstance(model, Path) else models[model]),
                "device": "cpu",
                "task": task,
                "data": {"source": files, **(data or {})},
                "method": method,
                "training": {"num_train_epochs": 3, "learning_rate": 1e-2, "head_start": "random", **training},
            }
        )
        with reloading_here():
            return TinyRun(folder / "run", lightune.run(recipe, folder / "run"))

    return run
