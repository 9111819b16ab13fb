"""Measure what saves memory, and write the tables of docs/limited_hardware.md.

python tools/limited_hardware.py --json figures.json            # measure, save the raw figures, write the page
python tools/limited_hardware.py --json figures.json --again    # write the page from saved figures

Needs Linux and the extras `offline` and `quantized`; takes about a quarter of an hour on an idle machine. It uses one
thread, and processor time instead of wall-clock time, so that other work on the machine has little effect.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import argparse
import itertools
import json
import multiprocessing
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import accelerate  # noqa: F401  (imported here so that no child counts it as its own memory)
import peft  # noqa: F401
import torch
from transformers import BertForSequenceClassification, DistilBertConfig, DistilBertModel  # noqa: F401
from transformers.integrations.bitsandbytes import dequantize_bnb_weight  # noqa: F401
from transformers.quantizers import auto  # noqa: F401

from lightune.data.dataset import DataSplits, load_splits
from lightune.data.encoding import encode
from lightune.evaluation.cost import Meter
from lightune.evaluation.features import watch_texts
from lightune.methods import make_method
from lightune.models import int8  # noqa: F401
from lightune.models.load import VOCABULARY_FILES, LoadedModel, find_model, load_model
from lightune.models.quantize import weight_bytes
from lightune.progress import Silent
from lightune.recipe import Recipe, parse_recipe
from lightune.training.batch_loss import Examples
from lightune.training.probe_head import start_from_probe
from lightune.training.train import Surroundings, Texts, train

PAGE = Path(__file__).resolve().parent.parent / "docs" / "limited_hardware.md"
SEEDS = (1, 2, 3)
PARTS = {"training.per_device_train_batch_size": 4, "training.gradient_accumulation_steps": 4}
CHECKPOINTING = {"training.gradient_checkpointing": True}
# The title of each row, and the keys of the recipe that differ from the first row.
ROWS: dict[str, dict[str, Any]] = {
    "LoRA, batch 16": {},
    "`per_device_train_batch_size: 4`, `gradient_accumulation_steps: 4`": PARTS,
    "`gradient_checkpointing: true`": CHECKPOINTING,
    "`data.max_length: 32`": {"data.max_length": 32},
    "`model_precision: bf16`": {"model_precision": "bf16"},
    "`model_precision: int8`": {"model_precision": "int8"},
    "`model_precision: nf4`": {"model_precision": "nf4"},
    "nf4, batch 4 x 4, checkpointing": {"model_precision": "nf4", **PARTS, **CHECKPOINTING},
    "full fine-tuning, batch 16": {"method.name": "full", "training.learning_rate": 1e-4},
}
# Rows that train exactly as the first one does (tested): their accuracy is not measured again.
ALIKE = (PARTS, CHECKPOINTING)
# A few steps show the cost of a setting; DistilBERT has its real size but random weights, so it has no accuracy.
COST = {
    "minilm": {"train": 64, "epochs": 1, "validation": 4},
    "distilbert": {"train": 48, "epochs": 1, "validation": 4},
}
ACCURACY = {"train": 150, "epochs": 3, "validation": 200, "head_start": "probe"}
Figures = dict[str, dict[str, list[dict[str, float]]]]


def recipe(model: str, size: dict[str, Any], changes: dict[str, Any], seed: int) -> Recipe:
    """Return the recipe of one row: the first row's settings with its changes."""
    nested: dict[str, Any] = {
        "model": model,
        "device": "cpu",
        "data": {"train_examples": size["train"], "validation_examples": size["validation"], "test_examples": 1},
        "method": {"name": "lora"},
        "training": {"num_train_epochs": size["epochs"], "learning_rate": 1e-3, "seed": seed, "precision": "fp32"},
    }
    nested["data"]["train_examples"] += size["validation"]
    nested["training"]["head_start"] = size.get("head_start", "random")
    for key, value in changes.items():
        block, _, name = key.rpartition(".")
        (nested.setdefault(block, {}) if block else nested)[name] = value
    return parse_recipe(nested)


class Clock(Silent):
    """Records the processor time at the end of each training step."""

    def __init__(self) -> None:
        self.at: list[float] = []

    @contextmanager
    def steps(self, title: str, total: int) -> Iterator[Callable[..., None]]:
        """Record the time whenever the loop reports that a step is done."""
        self.at.append(time.thread_time())
        yield lambda detail="": self.at.append(time.thread_time())

    @property
    def seconds(self) -> float:
        """The middle step's."""
        return statistics.median(after - before for before, after in itertools.pairwise(self.at))


def measure(wanted: Recipe, folder: Path) -> dict[str, float]:
    """Load, adapt and train as the recipe says; return memory above this process's start, step time and accuracy."""
    clock, splits = Clock(), load_splits(wanted.data, wanted.training.seed)
    with Meter(torch.device("cpu")) as meter:
        loaded, texts = load(wanted, splits)
        held = weight_bytes(loaded.model)
        method = make_method(wanted.method.name, wanted.method.options)
        done = train(loaded, method, texts, wanted.training, Surroundings(folder, clock, 16))
    before, peak = meter.spent.memory_before_bytes or 0, meter.spent.peak_memory_bytes or 0
    accuracy = done.fitted.epochs[-1].validation_accuracy
    cut = texts.train.encoded.truncated / len(texts.train.encoded)
    return {"peak": peak - before, "seconds": clock.seconds, "held": held, "accuracy": accuracy, "cut": cut}


def load(wanted: Recipe, splits: DataSplits) -> tuple[LoadedModel, Texts]:
    """Return the model and the texts that a run of the recipe would train, the head started as it says."""
    settings = wanted.training
    loaded = load_model(
        find_model(wanted.model), splits.task, settings.seed, wanted.data.max_length, wanted.model_precision
    )
    train, validation = (
        Examples(encode(loaded.tokenizer, split.texts, loaded.max_length), split.targets)
        for split in (splits.train, splits.validation)
    )
    if settings.head_start == "probe":
        output_layer = loaded.model.get_submodule(loaded.anatomy.output_layer)
        features = watch_texts(loaded.model, output_layer, loaded.tokenizer, train.encoded, 16)
        start_from_probe(output_layer, features.head_inputs, train.targets, splits.task)
    return loaded, Texts(train, validation)


def in_child(work: Callable[..., dict[str, float]], *arguments: Any) -> dict[str, float]:
    """Run the work in a separate process, forked after the imports, so that only its own memory is measured."""
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()
    child = fork.Process(target=lambda: theirs.send(work(*arguments)))
    child.start()
    theirs.close()
    try:
        return ours.recv()
    finally:
        child.join()


def build_distilbert(folder: Path) -> dict[str, float]:
    """Save DistilBERT in its real size with random weights, and MiniLM's tokenizer, which has the same vocabulary."""
    torch.manual_seed(0)
    DistilBertModel(DistilBertConfig()).save_pretrained(folder)
    for name in (*VOCABULARY_FILES, "tokenizer_config.json", "special_tokens_map.json"):
        if (find_model("minilm").folder / name).is_file():
            shutil.copy(find_model("minilm").folder / name, folder)
    return {}


def measure_all(target: Path) -> None:
    """Write the figures by table and row, one entry for each seed; rows alternate, so that noise affects all."""
    found: Figures = {}
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place:
        distilbert = str(Path(place) / "distilbert")
        in_child(build_distilbert, Path(distilbert))
        for seed in SEEDS:
            for row, changes in ROWS.items():
                todo = [("minilm", "minilm", COST["minilm"]), ("distilbert", distilbert, COST["distilbert"])]
                if changes not in ALIKE:
                    todo.append(("accuracy", "minilm", ACCURACY))
                for name, model, size in todo:
                    with tempfile.TemporaryDirectory() as folder:
                        figures = in_child(measure, recipe(model, size, changes, seed), Path(folder))
                    found.setdefault(name, {}).setdefault(row, []).append(figures)
                    target.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
                    print(name, seed, row, figures, flush=True)


def table(found: Figures, model: str) -> str:
    """Return one model's table; ratios are between medians over the seeds."""

    def middle(row: str, name: str) -> float:
        return statistics.median(entry[name] for entry in found[model][row])

    def accuracy(row: str) -> str:
        seeds = [entry["accuracy"] for entry in found["accuracy"].get(row, [])]
        listed = " ".join(f"{seed:.3f}" for seed in seeds)
        return f"{statistics.fmean(seeds):.3f} ({listed})" if seeds else "as the first"

    first, with_accuracy = next(iter(ROWS)), model == "minilm"
    last = ["accuracy (each seed)"] if with_accuracy else []
    lines = [["setting", "peak memory", "against the first", "samples/s against the first", "weights held", *last]]
    lines.append(["---", *["---:"] * (len(lines[0]) - 1)])
    for row in found[model]:
        peak, rate = middle(row, "peak"), middle(first, "seconds") / middle(row, "seconds")
        cells = [row, f"{peak / 1e6:.0f} MB", f"{peak / middle(first, 'peak'):.2f}", f"{rate:.2f}"]
        cells.append(f"{middle(row, 'held') / 1e6:.1f} MB")
        lines.append([*cells, accuracy(row)] if with_accuracy else cells)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def write_page(found: Figures) -> None:
    """Write each model's table between its marks in the page; the text around them is kept."""
    text = PAGE.read_text(encoding="utf-8")
    for model in COST:
        before, rest = text.split(f"<!-- table {model} -->\n", 1)
        after = rest.split("<!-- end -->", 1)[1]
        text = f"{before}<!-- table {model} -->\n\n{table(found, model)}\n\n<!-- end -->{after}"
    PAGE.write_text(text, encoding="utf-8", newline="\n")


def main() -> None:
    """Measure unless told not to, save the figures, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="file of the raw figures")
    parser.add_argument("--again", action="store_true", help="write the page from saved figures")
    options = parser.parse_args()
    if not options.again:
        measure_all(options.json)
    write_page(json.loads(options.json.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
