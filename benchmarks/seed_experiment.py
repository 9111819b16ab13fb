"""The experiment that the project began with: four methods on a few hundred texts, beside the Trainer's LoRA and full.

python -m benchmarks.seed_experiment MODEL --train FILE --test FILE [--seeds 0 1 2] [--examples 500] [--epochs 5]
                                     [--arms LoRA 'LoRA, Trainer'] [--json docs/seed_experiment.json] [--page]

Each arm has the same 500 labels with each seed: lightune sets a fifth of them aside to choose the epoch and to
calibrate, the Trainer trains on all of them. Both train for as many epochs at the same rate, which is the method's
default in lightune. The Trainer has a random head, pads to the longest of a batch, computes in fp32 and keeps its last
weights. The arm 'LoRA, Trainer, fewer texts' trains on lightune's texts alone, to say whether a difference comes of the
others; it is measured when it is asked for, and is not on the page. Each arm runs in a process of its own, and is
saved as soon as it is measured: a run that was stopped goes on with what is missing. Then results.md is written beside
the figures, docs/results.md; --page only writes it.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import figures_file, machine
from benchmarks.peak_memory import held
from benchmarks.seed_page import ARMS, results
from benchmarks.training import BATCH, Clock, rows_for
from lightune import experiment
from lightune.data.dataset import DataSplits, load_splits
from lightune.data.encoding import encode
from lightune.data.wishes import wishes_of
from lightune.errors import LightuneError
from lightune.evaluation.cost import Meter
from lightune.methods import make_method
from lightune.models.load import LoadedModel, find_model, load_model
from lightune.progress import Silent
from lightune.recipe import Recipe
from lightune.recipes.compose import compose
from lightune.training.batch_loss import Examples

DOCS = Path(__file__).resolve().parent.parent / "docs"
FEWER = "LoRA, Trainer, fewer texts"
PAGE = "results.md"  # beside the figures


@dataclass(frozen=True)
class SetUp:
    """What all arms share."""

    model: str
    train: str
    test: str
    examples: int
    epochs: int

    def as_json(self) -> dict[str, Any]:
        """Return it without the folders of this machine."""
        files = {name: "/".join(Path(getattr(self, name)).parts[-2:]) for name in ("train", "test")}
        return {**vars(self), **files, "model": Path(self.model).name}


def main() -> None:
    """Measure what the file of figures lacks, and write the page."""
    given = arguments()
    setup = SetUp(given.model, given.train, given.test, given.examples, given.epochs)
    kept = opened(given.json, setup)
    require_usable(setup, given.seeds[0])
    for arm, seed in [] if given.page else missing(kept["arms"], given.seeds, given.arms):
        print(f"{arm}, seed {seed}", file=sys.stderr, flush=True)
        found = alone(setup, arm, seed)
        if found is not None:
            kept["arms"].setdefault(arm, {})[str(seed)] = found
            given.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    write_page(kept, given.json.with_name(PAGE))


def write_page(kept: dict[str, Any], path: Path) -> None:
    """Write the page, if there are figures of an arm that it shows."""
    if any(arm in ARMS for arm in kept["arms"]):
        path.write_text(results(kept), encoding="utf-8", newline="\n")


def require_usable(setup: SetUp, seed: int) -> None:
    """Raise SystemExit, before anything is measured, where model, texts or counts cannot be used."""
    try:
        recipe = recipe_of(setup, "lora", seed)
        find_model(recipe.model)
        load_splits(recipe.data, seed, wishes_of(recipe))
    except LightuneError as error:
        raise SystemExit(str(error)) from error


def arguments() -> argparse.Namespace:
    """Return the command line."""
    found = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument("model", help="a model folder, or minilm")
    found.add_argument("--train", required=True, help="a file with the columns text and label")
    found.add_argument("--test", required=True, help="another one")
    found.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    found.add_argument("--arms", nargs="+", choices=[*ARMS, FEWER], default=list(ARMS), help="only these arms")
    found.add_argument("--examples", type=int, default=500, help="texts to train on, and as many to test on")
    found.add_argument("--epochs", type=int, default=5)
    found.add_argument(
        "--json", type=figures_file, default=DOCS / "seed_experiment.json", help="where the figures are kept"
    )
    found.add_argument("--page", action="store_true", help="write the page from the saved figures")
    return found.parse_args()


def opened(path: Path, setup: SetUp) -> dict[str, Any]:
    """Return the saved figures, or none yet; figures of another set-up are not mixed with these."""
    asked = setup.as_json()
    if not path.is_file():
        return {"setup": asked, "machine": machine(), "arms": {}}
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if kept["setup"] != asked:
        raise SystemExit(f"{path} has figures of another set-up, {kept['setup']}. Name another file with --json.")
    return kept


def missing(kept: dict[str, Any], seeds: list[int], arms: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Yield these arms' seeds that are not among the saved figures, all arms of a seed together."""
    for seed in seeds:
        yield from ((arm, seed) for arm in arms if str(seed) not in kept.get(arm, {}))


def alone(setup: SetUp, arm: str, seed: int) -> dict[str, Any] | None:
    """Return the figures of one arm, measured in a fresh process; None with a line that says why where it failed."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        try:
            return pool.submit(measured, setup, arm, seed).result()
        except (BrokenProcessPool, LightuneError) as error:
            print(f"{arm}, seed {seed}: not measured. {error}", file=sys.stderr, flush=True)
            return None


def measured(setup: SetUp, arm: str, seed: int) -> dict[str, Any]:
    """Return the figures of one arm; its memory is the peak of training above that of the imports."""
    began = held("VmRSS") * 2**20
    method, who = ARMS["LoRA, Trainer" if arm == FEWER else arm]
    recipe = recipe_of(setup, method, seed)
    found = ours(recipe) if who == "lightune" else trainers(recipe, arm != FEWER)
    found["memory_mb"] = (found.pop("peak") - began) / 2**20
    return found


def recipe_of(setup: SetUp, method: str, seed: int) -> Recipe:
    """Return lightune's recipe: its defaults, but as many epochs for all arms."""
    flags = {"model": setup.model, "train": setup.train, "test": setup.test, "method": method, "device": "cpu"}
    counts = {"train_examples": setup.examples, "test_examples": setup.examples, "epochs": setup.epochs}
    return compose(None, {**flags, **counts, "seed": seed}).recipe


def ours(recipe: Recipe) -> dict[str, Any]:
    """Return the figures of a run of lightune."""
    with tempfile.TemporaryDirectory() as folder:
        record = experiment.run(recipe, Path(folder) / "run", Silent())
        with (Path(folder) / "run" / "predictions.csv").open(encoding="utf-8", newline="") as file:
            right = [row["label"] == row["prediction"] for row in csv.DictReader(file)]
    return {
        "right": flags(right),
        "accuracy": record.after.metrics["accuracy"],
        "loss": record.after.metrics["loss"],
        "runtime": record.training.runtime,
        "samples_per_second": record.training.samples_per_second,
        "trainable": record.model.trainable_parameters,
        "peak": record.training.peak_memory_bytes,
    }


def trainers(recipe: Recipe, with_validation: bool) -> dict[str, Any]:
    """Return the figures of the Trainer, which may train on validation texts too, since it chooses nothing by them."""
    import torch
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments
    from transformers.trainer_callback import PrinterCallback

    splits = load_splits(recipe.data, recipe.training.seed, wishes_of(recipe))
    loaded = load_model(find_model(recipe.model), splits.task, recipe.training.seed)
    method = make_method(recipe.method.name, recipe.method.options)
    model = method.attach(loaded.model, loaded.anatomy, recipe.training.seed).model
    names = ("train", "validation") if with_validation else ("train",)
    rows = [row for name in names for row in rows_of(loaded, splits, name)]
    training, clock = recipe.training, Clock()
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            folder, per_device_train_batch_size=BATCH, per_device_eval_batch_size=64, seed=training.seed,
            learning_rate=method.default_learning_rate, num_train_epochs=int(training.num_train_epochs),
            weight_decay=training.weight_decay, warmup_steps=training.warmup_steps, report_to="none",
            save_strategy="no", logging_strategy="no", disable_tqdm=True, use_cpu=True,
        )  # fmt: skip
        collator = DataCollatorWithPadding(loaded.tokenizer, padding=True)
        trainer = Trainer(model, settings, train_dataset=rows, data_collator=collator, callbacks=[clock])
        trainer.remove_callback(PrinterCallback)
        with Meter(torch.device("cpu")) as meter:
            trainer.train()
        logits = trainer.predict(rows_of(loaded, splits, "test")).predictions  # type: ignore[arg-type]
    metrics = loaded.task.measure(np.asarray(logits), splits.test.targets)
    return {
        "right": flags(np.asarray(logits).argmax(1) == splits.test.targets),
        "accuracy": metrics["accuracy"],
        "loss": metrics["loss"],
        "runtime": clock.seconds,
        "samples_per_second": len(rows) * int(training.num_train_epochs) / clock.seconds,
        "trainable": sum(value.numel() for value in model.parameters() if value.requires_grad),
        "peak": meter.spent.peak_memory_bytes,
    }


def flags(right: Iterable[bool]) -> str:
    """Return which test texts were answered right, in their order: "1101..."."""
    return "".join(str(int(one)) for one in right)


def rows_of(loaded: LoadedModel, splits: DataSplits, name: str) -> list[dict[str, Any]]:
    """Return the texts of a split as the Trainer takes them."""
    split = getattr(splits, name)
    encoded = encode(loaded.tokenizer, list(split.texts), loaded.max_length)
    return rows_for(loaded, Examples(encoded, split.targets))


if __name__ == "__main__":
    main()
