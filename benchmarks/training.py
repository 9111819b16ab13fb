"""Two ways to train the same adapted model on the same texts: transformers' Trainer, and lightune's loop."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from benchmarks.measuring import SEED, Row, in_turn, load_for, load_texts
from lightune.data.encoding import encode
from lightune.methods import Attachment, make_method
from lightune.recipe import SettledTraining
from lightune.runtime import synchronise
from lightune.training.batch_loss import Examples
from lightune.training.precision import training_precision
from lightune.training.train import Surroundings, Texts, train

MODELS = ("minilm", "distilbert")
BATCH = 16
RATE = 1e-4
# Dropout is on everywhere, at the models' own rates and at 0.1 in LoRA.
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "LoRA on query and value": ("lora", {"roles": ("query", "value"), "dropout": 0.1}),
    "LoRA on all roles": ("lora", {"dropout": 0.1}),
    "prefix": ("prefix", {}),
    "bottleneck": ("bottleneck", {}),
}
DEFAULT = "LoRA as it is by default"  # on all linear layers, without dropout


def choosing(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Let a command line choose models, methods and the length of a round."""
    parser.add_argument("--model", choices=MODELS, action="append")
    parser.add_argument("--method", choices=list(METHODS), action="append")
    parser.add_argument("--steps", type=int, help=f"batches of {BATCH} in a round")
    return parser


def asked_for(given: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Yield the requested models and methods, or all."""
    return product(given.model or MODELS, given.method or METHODS)


@dataclass
class Ready:
    """A loaded model with its method attached, and its encoded texts."""

    loaded: Any
    method: Any
    model: Any
    examples: Examples
    dtype: torch.dtype = torch.float32  # of the frozen products

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        found: torch.device = next(self.model.parameters()).device
        return found


def ready(model: str, method: str, texts: list[str], labels: list[int], device: str = "cpu", seed: int = SEED) -> Ready:
    """Load a model, attach a method, encode the texts."""
    return attached_to(load_for(model, seed, device), method, texts, labels, device, seed)


def attached_to(
    loaded: Any, method: str, texts: list[str], labels: list[int], device: str = "cpu", seed: int = SEED
) -> Ready:
    """Attach a method to a loaded model, in place, and encode the texts."""
    name, options = ("lora", {}) if method == DEFAULT else METHODS[method]
    made = make_method(name, options)
    attached = made.attach(loaded.model, loaded.anatomy, seed).model.to(torch.device(device))
    return Ready(loaded, made, attached, encoded(loaded, texts, labels))


def encoded(loaded: Any, texts: list[str], labels: list[int]) -> Examples:
    """Return texts as a model takes them."""
    rows = encode(loaded.tokenizer, [(text,) for text in texts], loaded.max_length)
    return Examples(rows, np.asarray(labels, np.int32))


def peer(given: Ready, **arguments: Any) -> Callable[[], float]:
    """Return an arm: an epoch of the Trainer, or as the arguments say, timed from its first step to its last."""
    width = arguments.pop("pad_to", None)
    rows = rows_for(given.loaded, given.examples)
    padding = {"padding": "max_length", "max_length": width} if width else {"padding": True}
    collator = DataCollatorWithPadding(given.loaded.tokenizer, **padding)

    asked = {
        "per_device_train_batch_size": BATCH, "num_train_epochs": 1, "learning_rate": RATE, "seed": SEED,
        "report_to": "none", "save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True,
        "use_cpu": given.device.type == "cpu", **arguments,
    }  # fmt: skip

    def epoch() -> float:
        with tempfile.TemporaryDirectory() as folder:
            settings = TrainingArguments(folder, **asked)
            clock = Clock()
            trainer = Trainer(given.model, settings, train_dataset=rows, data_collator=collator, callbacks=[clock])
            trainer.remove_callback(PrinterCallback)
            trainer.train()
        return clock.seconds

    return epoch


def rows_for(loaded: Any, examples: Examples) -> list[dict[str, Any]]:
    """Return the texts as the Trainer takes them."""
    columns = set(loaded.tokenizer.model_input_names)
    if loaded.anatomy.model_type == "distilbert":
        columns -= {"token_type_ids"}
    return [
        {**{key: value for key, value in row.items() if key in columns}, "labels": label}
        for row, label in zip(examples.encoded.rows, examples.targets.tolist(), strict=True)
    ]


def ours(given: Ready, precision: str = "fp32", rate: float = RATE, **settings: Any) -> Callable[[], float]:
    """Return an arm: an epoch of lightune's loop, or as the settings say, timed by the loop itself."""
    batch = settings.get("per_device_train_batch_size", BATCH)
    tokens = round(batch * sum(given.examples.encoded.lengths) / len(given.examples.targets))
    chosen = training_precision(precision, given.device, given.model, tokens)  # once, not again in each round
    given.dtype = torch.bfloat16 if chosen.name == "bf16" else torch.float32
    asked = {"num_train_epochs": 1, "per_device_train_batch_size": BATCH, "seed": SEED, "load_best_model_at_end": False}
    block = SettledTraining.model_validate({**asked, "learning_rate": rate, "precision": chosen.name, **settings})
    texts = Texts(given.examples, Examples(encode(given.loaded.tokenizer, [("a",)], 8), np.zeros(1, np.int32)))
    attached = Attachment(given.model, ())  # each round continues from the one before, as the Trainer's do

    def epoch() -> float:
        with tempfile.TemporaryDirectory() as name:
            surroundings = Surroundings(Path(name), eval_batch_size=1)
            done = train(given.loaded, given.method, texts, block, surroundings, attached)
        return done.fitted.spent.runtime

    return epoch


class Clock(TrainerCallback):
    """Records how long training itself took."""

    seconds = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """Start."""
        self._started = time.perf_counter()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        """Stop when the training is complete."""
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        self.seconds = time.perf_counter() - self._started


def compared(model: str, method: str, against: str, given: argparse.Namespace, **peers: dict[str, Any]) -> Row:
    """Measure the peers, by name with their arguments, and lightune on `given.steps` batches per round.

    `against` describes the peers.
    """
    steps, device = given.steps, given.device
    source, found, labels = load_texts(given.texts, steps * BATCH)
    make = partial(ready, model, method, found, labels, device)
    arms: dict[str, Callable[[], float]] = {name: peer(make(), **arguments) for name, arguments in peers.items()}
    again = next(iter(peers))
    arms[f"{again}, again"] = peer(make(), **peers[again])
    mine = {"lightune, exact fp32": "fp32", "lightune, precision auto": "auto"}
    models = {name: make() for name in mine}
    arms |= {name: ours(models[name], precision) for name, precision in mine.items()}
    peaks: dict[str, float] = {}
    watched = {name: partial(_watched, name, arm, peaks) for name, arm in arms.items()} if device == "cuda" else arms
    row = Row(
        f"training, {model}, {method}, {against}", "samples", source, in_turn(watched, given.rounds), steps * BATCH
    )
    row.notes |= {f"peak memory beside the weights in MB, {name}": round(found) for name, found in peaks.items()}
    for name, one in models.items():
        row.notes[f"share of the step in its own matrix products, {name}"] = product_share(one, row, name, steps)
    chosen = models["lightune, precision auto"].dtype
    row.notes["precision auto chose"] = "bf16" if chosen == torch.bfloat16 else "fp32"
    return row


def _watched(name: str, arm: Callable[[], float], peaks: dict[str, float]) -> float:
    """Run an arm and record its peak of GPU memory, in MB, above what was in use before."""
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    torch.cuda.reset_peak_memory_stats()
    seconds = arm()
    # Reserved memory, because recordings keep theirs without allocating it again.
    peaks[name] = max(peaks.get(name, 0.0), (torch.cuda.max_memory_reserved() - before) / 2**20)
    return seconds


def product_share(given: Ready, row: Row, arm: str, steps: int) -> float:
    """Return the time of only a step's own matrix products, divided by the time of the step."""
    pairs = products(given)
    alone = []
    for _ in range(4):
        started = time.perf_counter()
        for left, right in pairs:
            torch.mm(left, right)
        synchronise(given.device)
        alone.append(time.perf_counter() - started)
    return statistics.median(alone[1:]) * steps / statistics.median(row.seconds[arm])


def products(given: Ready) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return the factors of the products that linear layers compute in a step of average length, forward and backward.

    A frozen layer has one product forward and one backward, a trained one has two backward, and layers before the first
    trained one have only the forward product.
    """
    from lightune.execution.unpadding import padding_free

    found: list[tuple[torch.Tensor, torch.Tensor]] = []

    def note(module: Any, args: Any, output: Any) -> None:
        tokens, (out, into) = args[0].flatten(0, -2).shape[0], module.weight.shape
        dtype = torch.float32 if module.weight.requires_grad else given.dtype
        draw = partial(torch.randn, dtype=dtype, device=given.device)
        found.append((draw(tokens, into), draw(into, out)))
        if output.requires_grad and args[0].requires_grad:
            found.append((draw(tokens, out), draw(out, into)))
        if module.weight.requires_grad:
            found.append((draw(out, tokens), draw(tokens, into)))

    hooks = [
        module.register_forward_hook(note) for module in given.model.modules() if isinstance(module, torch.nn.Linear)
    ]
    rows = sorted(range(len(given.examples.targets)), key=lambda at: given.examples.encoded.lengths[at])
    picked = rows[:: max(1, len(rows) // BATCH)][:BATCH]
    batch = given.loaded.tokenizer.pad([given.examples.encoded.rows[at] for at in picked], return_tensors="pt")
    if given.loaded.anatomy.model_type == "distilbert":
        batch.pop("token_type_ids", None)
    with padding_free(given.model, logits_only=True):
        given.model.train()(**batch.to(given.device))
    for hook in hooks:
        hook.remove()
    return found
