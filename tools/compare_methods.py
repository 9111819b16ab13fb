"""Train every method on the same texts with the same budget: find learning rates, and compare with full fine-tuning.

FOLDER holds train.csv and validation.csv (for example Rotten Tomatoes). Results are appended to OUT, one line per run;
runs that are already in OUT are not repeated. Seconds are processor time on a CPU, wall-clock time on another device.

python tools/compare_methods.py FOLDER sweep --out sweep.jsonl lora prefix --rates 3e-4 1e-3 3e-3 --seeds 0 1
python tools/compare_methods.py FOLDER close --out close.jsonl full lora prefix bottleneck --seeds 0 1 2 3 4
python tools/compare_methods.py FOLDER table --out close.jsonl

`sweep` trains and tests only on rows of train.csv (1,000 others for the test); `close` tests on validation.csv. A
method is given by its name, with options after a colon: lora:init_lora_weights=pissa,rank=4
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported

import argparse
import csv
import json
import random
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from lightune import runtime
from lightune.artifact import save_adapter  # noqa: F401  (imported here, so that no run's time includes it)
from lightune.data.dataset import DataSplits, load_splits
from lightune.data.encoding import encode
from lightune.evaluation.evaluate import Labelled, evaluate
from lightune.evaluation.features import watch_texts
from lightune.methods import make_method
from lightune.models.load import find_model, load_model
from lightune.recipe import DataBlock, SettledTraining
from lightune.training.batch_loss import Examples
from lightune.training.probe_head import start_from_probe
from lightune.training.train import Surroundings, Texts, attach, train

SELECTION_ROWS = 1000
# The same for all methods: the settings of `rotten-tomatoes-tuned` for 500 labels, except the learning rate.
FRAME = {
    "num_train_epochs": 8,
    "train_sampling_strategy": "group_by_length",
    "token_masking": 0.1,
    "weight_averaging": 0.5,
    "load_best_model_at_end": False,
}
DRAWS = 10_000


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("what", choices=["sweep", "close", "table"])
    parser.add_argument("methods", nargs="*")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--rates", type=float, nargs="*", default=[])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--labels", type=int, default=500, help="labelled texts for training")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps")
    parser.add_argument("--set", dest="settings", nargs="*", default=[], help="training settings, key=value")
    given = parser.parse_intermixed_args()
    if given.what == "table":
        print(table(read(given.out)))
        return
    device = runtime.choose_device(given.device)
    frame = FRAME | {key: yaml.safe_load(value) for key, value in (entry.split("=", 1) for entry in given.settings)}
    with tempfile.TemporaryDirectory() as place:
        files = split_files(given.folder, given.what, Path(place))
        for spec in given.methods:
            for rate in given.rates or [None]:
                for seed in given.seeds:
                    row = {"what": given.what, "spec": spec, "rate": rate, "seed": seed, "frame": frame,
                           "labels": given.labels, "model": given.model, "device": device.type}  # fmt: skip
                    run_once(row, given.out, files)


def split_files(folder: Path, what: str, place: Path) -> tuple[str, str]:
    """Return (training file, test file); for a sweep both have separate rows of train.csv."""
    if what == "close":
        return str(folder / "train.csv"), str(folder / "validation.csv")
    with (folder / "train.csv").open(encoding="utf-8", newline="") as source:
        header, *rows = csv.reader(source)
    random.Random(20261125).shuffle(rows)
    for name, part in (("test.csv", rows[:SELECTION_ROWS]), ("train.csv", rows[SELECTION_ROWS:])):
        with (place / name).open("w", encoding="utf-8", newline="") as sink:
            csv.writer(sink).writerows([header, *part])
    return str(place / "train.csv"), str(place / "test.csv")


def run_once(row: dict[str, Any], out: Path, files: tuple[str, str]) -> None:
    """Train and test once, and append the result, unless it is already there."""
    if any(all(done.get(key) == value for key, value in row.items()) for done in read(out)):
        return
    name, options = parsed(row["spec"])
    method = make_method(name, options)
    splits = the_splits(files, row["labels"], row["seed"])
    # fp32 unless the settings say otherwise: the choice of `auto` depends on the machine.
    asked = {"precision": "fp32", **row["frame"], "seed": row["seed"], "learning_rate": row["rate"]}
    settings = SettledTraining.model_validate(asked)
    device = torch.device(row["device"])
    loaded = load_model(find_model(row["model"]), splits.task, settings.seed, None, "fp32", method.virtual_tokens)
    encoded = {split: encode(loaded.tokenizer, getattr(splits, split).texts, loaded.max_length)
               for split in ("train", "validation", "test")}  # fmt: skip
    loaded.model.to(device)  # type: ignore[arg-type]
    layer = loaded.model.get_submodule(loaded.anatomy.output_layer)
    if settings.head_start == "probe":
        seen = watch_texts(loaded.model, layer, loaded.tokenizer, encoded["train"], 64)
        start_from_probe(layer, seen.head_inputs, splits.train.targets, splits.task)
    whole = loaded.model.num_parameters()
    texts = Texts(
        Examples(encoded["train"], splits.train.targets),
        Examples(encoded["validation"], splits.validation.targets),
    )
    attachment = attach(loaded, method, texts.train, settings)
    trained = sum(value.numel() for value in attachment.model.parameters() if value.requires_grad)
    with tempfile.TemporaryDirectory() as folder:
        clock = time.process_time if device.type == "cpu" else time.perf_counter
        started = clock()
        done = train(loaded, method, texts, settings, Surroundings(Path(folder)), attachment)
        spent = clock() - started
    logits, figures = evaluate(done.model, loaded.tokenizer, encoded["test"], Labelled(splits.task, splits.test), 64)
    right = (logits.argmax(1) == splits.test.targets).astype(int).tolist()
    rate, fitted = done.learning_rate, done.fitted
    found = {"used_rate": rate, "accuracy": figures.accuracy, "loss": figures.loss, "steps": fitted.steps,
             "train_loss": fitted.epochs[-1].train_loss, "trained_percent": 100 * trained / whole,
             "seconds": spent, "right": right}  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a", encoding="utf-8") as sink:
        sink.write(json.dumps({**row, **found}) + "\n")
    print(f"{row['spec']:40s} rate {rate:.0e} seed {row['seed']}  accuracy {found['accuracy']:.3f}  "
          f"loss {found['loss']:.2f}  train loss {found['train_loss']:.2f}  {spent:.0f} s", flush=True)  # fmt: skip


@cache
def the_splits(files: tuple[str, str], labels: int, seed: int) -> DataSplits:
    """Return the splits; the ten validation rows are read, but not used to choose anything."""
    block = DataBlock.model_validate(
        {"source": {"train": files[0], "test": files[1]}, "train_examples": labels, "validation_examples": 10}
    )
    return load_splits(block, seed)


def parsed(spec: str) -> tuple[str, dict[str, Any]]:
    """Return (name, options) of `name:key=value,key=value`."""
    name, _, rest = spec.partition(":")
    return name, {
        key: yaml.safe_load(value) for key, _, value in (part.partition("=") for part in rest.split(",") if rest)
    }


def read(path: Path) -> list[dict[str, Any]]:
    """Return the recorded runs."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def table(runs: list[dict[str, Any]]) -> str:
    """Return a table with a row for each method and rate, and its difference from full fine-tuning if both have run."""
    groups: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for run in runs:
        groups.setdefault((run["spec"], run["used_rate"]), []).append(run)
    closing = runs[0]["what"] == "close"
    full = {run["seed"]: run["right"] for run in runs if closing and run["spec"] == "full"}
    titles = ("method", "learning rate", "trained", "mean accuracy", "spread", "each seed", "mean loss",
              "against full, 95%", "s")  # fmt: skip
    lines = [f"| {' | '.join(titles)} |", f"|{' --- |' * len(titles)}"]
    for (spec, rate), found in groups.items():
        scores = [run["accuracy"] for run in found]
        cells = (
            spec,
            f"{rate:.0e}".replace("e-0", "e-"),
            f"{found[0]['trained_percent']:.2f}%",
            f"{np.mean(scores):.3f}",
            f"{np.std(scores, ddof=1):.3f}" if len(scores) > 1 else "-",
            " ".join(f"{score:.3f}" for score in scores),
            f"{np.mean([run['loss'] for run in found]):.2f}",
            difference(found, full) if full and spec != "full" else "-",
            f"{np.mean([run['seconds'] for run in found]):.0f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def difference(runs: list[dict[str, Any]], full: dict[int, list[int]]) -> str:
    """Return mean and 95% interval of (method - full) in points, by resampling seeds and test texts."""
    gaps = np.array([np.subtract(run["right"], full[run["seed"]]) for run in runs if run["seed"] in full], dtype=float)
    draw = np.random.default_rng(0)
    means = []
    for _ in range(DRAWS):
        seeds = draw.integers(len(gaps), size=len(gaps))
        texts = draw.integers(gaps.shape[1], size=gaps.shape[1])
        means.append(gaps[seeds][:, texts].mean())
    low, high = np.quantile(means, [0.025, 0.975]) * 100
    return f"{gaps.mean() * 100:+.1f} ({low:+.1f} to {high:+.1f})"


if __name__ == "__main__":
    main()
