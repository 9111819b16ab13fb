"""The runs that same_results.py repeats: a table of cases, their recipes, and the tiny models and texts they need."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from tiny import TinyModels, sentences, write_csv

TRAIN_ROWS, TEST_ROWS, SEED = 96, 48, 17
FILES = ("predict --file", "evaluate", "report")
FILES_AND_TEXTS = (*FILES, "predict")


@dataclass(frozen=True)
class Case:
    """One recipe. `model` is minilm or a tiny architecture, `data` a name of Place.data; two are recipe blocks.

    `asks` says which commands both trees run on the old run folder: once for each kind of adapter, not for each kind of
    training; single texts where they have their own code path. Cases without `again` have no code path of their own in
    the second precision, which is left to --thorough.
    """

    name: str
    model: str
    method: dict[str, Any]
    training: dict[str, Any] = field(default_factory=dict)
    data: str = "texts"
    asks: tuple[str, ...] = FILES
    again: bool = True

    def precisions(self, is_thorough: bool) -> tuple[str, ...]:
        """fp32, and `auto`; for a tiny model bf16 itself, since auto never finds a gain in such small products."""
        second = "auto" if self.model == "minilm" else "bf16"
        return ("fp32", second) if is_thorough or self.again else ("fp32",)


CASES = (
    Case("lora", "distilbert", {"name": "lora", "dropout": 0.1}, asks=FILES_AND_TEXTS),
    Case("full", "bert", {"name": "full"}, {"learning_rate": 1e-3}),
    Case("prefix", "bert", {"name": "prefix"}),
    Case("bottleneck", "mpnet", {"name": "bottleneck"}),
    Case("top_layers_cached", "llama", {"name": "top_layers"}, {"cache_frozen": "on"}),
    Case("class_weights", "distilbert", {"name": "lora"}, {"class_weights": "auto"}, "uneven", (), again=False),
    Case("pair", "modernbert", {"name": "lora"}, data="pairs", again=False),
    Case("gpt2_lora", "gpt2", {"name": "lora"}, asks=FILES_AND_TEXTS),
    Case("adalora", "bert", {"name": "adalora"}, {"learning_rate": 3e-2}),
    Case(
        "head_start", "minilm", {"name": "lora"},
        {"head_start": "probe", "train_sampling_strategy": "group_by_length", "token_masking": 0.1,
         "learning_rate": 1.5e-3, "num_train_epochs": 2}, "reviews", FILES_AND_TEXTS,
    ),
    Case(
        "accumulated_average", "bert", {"name": "bitfit"},
        {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 8, "weight_averaging": 0.5,
         "load_best_model_at_end": False, "gradient_checkpointing": True}, asks=(),
    ),
    Case(
        "early_stopping", "distilbert", {"name": "head"},
        {"early_stopping_patience": 1, "num_train_epochs": 12, "learning_rate": 0.3, "lr_scheduler_type": "cosine",
         "metric_for_best_model": "loss"}, asks=(), again=False,
    ),
)  # fmt: skip


class Place:
    """A folder with everything that the recipes name; both trees read the same files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.models = TinyModels(root / "models")
        (root / "recipes").mkdir(parents=True, exist_ok=True)

    @cached_property
    def data(self) -> dict[str, dict[str, Any]]:
        """The `data` block of a recipe by name; the files are written when this is first asked for."""
        rows = sentences(2 * (TRAIN_ROWS + TEST_ROWS), SEED)
        some = rows[: TRAIN_ROWS + TEST_ROWS]
        many = [row for row in rows if row[1] == "positive"]
        few = [row for row in rows if row[1] == "negative"][: len(many) // 4]
        return {
            "texts": self._files("texts", [(text, label, text.split()[0]) for text, label in some], "text,label,first"),
            "uneven": self._files("uneven", [row for four in _fours(many, few) for row in four], "text,label"),
            "pairs": self._files("pairs", [_pair(*two) for two in zip(rows[::2], rows[1::2], strict=True)], PAIR),
            "reviews": {"source": "reviews", "train_examples": 60, "validation_examples": 20, "test_examples": 48},
        }

    def test_file(self, case: Case) -> Path:
        """Return a file of texts to predict; for the embedded reviews it is the file of the tiny models."""
        return Path(self.data["texts" if case.data == "reviews" else case.data]["source"]["test"])

    def recipe(self, case: Case, precision: str) -> Path:
        """Write the recipe of a case as YAML, with keys that every version knows, and return its path."""
        training = {"num_train_epochs": 6, "learning_rate": 2e-2, "seed": SEED, "precision": precision}
        described = {
            "name": case.name,
            "model": "minilm" if case.model == "minilm" else str(self.models[case.model]),
            "device": "cpu",
            "data": self.data[case.data],
            "method": case.method,
            "training": training | case.training,
        }
        path = self.root / "recipes" / f"{case.name}-{precision}.yaml"
        path.write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")
        return path

    def prepare(self, cases: tuple[Case, ...]) -> None:
        """Write the texts and build the models of these cases before any thread needs them; no transformers bars."""
        self.data  # noqa: B018
        with contextlib.redirect_stderr(io.StringIO()):
            for case in cases:
                if case.model != "minilm":
                    self.models[case.model]

    def _files(self, name: str, rows: list[tuple[str, ...]], header: str) -> dict[str, Any]:
        columns = tuple(header.split(","))
        folder = self.root / "data" / name
        folder.mkdir(parents=True, exist_ok=True)
        train = write_csv(folder / "train.csv", rows[:-TEST_ROWS], columns)
        test = write_csv(folder / "test.csv", rows[-TEST_ROWS:], columns)
        text: Any = ["premise", "hypothesis"] if header == PAIR else "text"
        return {
            "source": {"train": str(train), "test": str(test)},
            "text_column": text,
            "label_column": "label",
        }


PAIR = "premise,hypothesis,label"


def _fours(many: list[tuple[str, str]], few: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """Return four rows of the common label with each row of the rare one."""
    return [[*many[4 * number : 4 * number + 4], row] for number, row in enumerate(few)]


def _pair(one: tuple[str, str], other: tuple[str, str]) -> tuple[str, str, str]:
    """Return two texts and which of them comes first in the alphabet."""
    return one[0], other[0], "first" if one[0] < other[0] else "second"
