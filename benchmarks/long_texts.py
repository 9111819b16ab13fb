"""Texts longer than the model's limit, cut or read in windows: accuracy, and CPU seconds of training and answering.

python -m benchmarks.long_texts --sentences FILE --neutral FILE [--kinds all,third,late] [--limits 128,256]
                                [--method lora] [--epochs 0] [--train-texts N] [--test-texts N] [--rounds SEEDS]
                                [--variants]

Both are csv files with the columns text and label. Long texts are made of sentences of FILE that have one label: all of
22 sentences, a third of them anywhere, or the last third; the others are objective sentences of the neutral file. No
sentence of a training text is in a test text. Each round has another seed: other texts, another order. With --variants
the trained model also answers with other overlaps, and with the largest logits of the windows instead of their mean.
The output layer starts from a logistic regression of its inputs; with 0 epochs that is all, and the model stays frozen.
"""

from __future__ import annotations

import csv
import json
import random
import tempfile
import time
from argparse import Namespace
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.measuring import SEED, parser
from lightune.data import windows
from lightune.data.encoding import Encoded, encode
from lightune.data.windows import CUT, WINDOWS, LongTexts
from lightune.evaluation.evaluate import predict_logits
from lightune.evaluation.features import watch_texts
from lightune.methods import make_method
from lightune.models.load import LoadedModel, find_model, load_model
from lightune.recipe import SettledTraining
from lightune.tasks import TASKS
from lightune.training.batch_loss import Examples
from lightune.training.probe_head import start_from_probe
from lightune.training.train import Surroundings, Texts, train

SENTENCES, BATCH = 22, 16
Labelled = tuple[list[tuple[str, ...]], np.ndarray[Any, Any]]


def main() -> None:
    """Train and test both ways with each seed, for each kind of text and each limit."""
    found = parser(__doc__, rounds=3)
    found.add_argument("--sentences", required=True)
    found.add_argument("--neutral", required=True)
    found.add_argument("--kinds", default="all,third,late")
    found.add_argument("--limits", default="128")
    found.add_argument("--train-texts", type=int, default=100)
    found.add_argument("--test-texts", type=int, default=100)
    found.add_argument("--method", default="lora")
    found.add_argument("--epochs", type=int, default=0)
    found.add_argument("--variants", action="store_true")
    given = found.parse_args()
    limits = list(map(int, given.limits.split(",")))
    for seed, kind, limit, way in product(range(given.rounds), given.kinds.split(","), limits, (CUT, WINDOWS)):
        row = measured(given, kind, limit, SEED + seed, way)
        print(
            json.dumps(
                {"method": given.method, "kind": kind, "epochs": given.epochs, "limit": limit, "seed": seed, **row}
            ),
            flush=True,
        )


def measured(given: Namespace, kind: str, limit: int, seed: int, long_texts: LongTexts) -> dict[str, Any]:
    """Train once; return accuracies, and CPU seconds of training and of answering the test texts."""
    task, both = TASKS["classification"](("neg", "pos")), made(given, kind, seed)
    with torch.random.fork_rng(), tempfile.TemporaryDirectory() as folder:
        loaded = load_model(find_model("minilm"), task, seed, limit)
        fit = len(both[0][0]) * 4 // 5 if given.epochs else None
        train_part = part_of(loaded, both[0], slice(0, fit), limit, long_texts)
        test = part_of(loaded, both[1], slice(None), limit, long_texts)
        started = time.process_time()
        layer = loaded.model.get_submodule(loaded.anatomy.output_layer)
        inputs = watch_texts(loaded.model, layer, loaded.tokenizer, train_part.encoded, 64).head_inputs
        start_from_probe(layer, inputs, train_part.targets, task)
        model: Any = loaded.model
        if given.epochs:
            texts = Texts(train_part, part_of(loaded, both[0], slice(fit, None), limit, long_texts))
            settings = SettledTraining(num_train_epochs=given.epochs, per_device_train_batch_size=BATCH, seed=seed)
            surroundings = Surroundings(Path(folder))
            model = train(loaded, make_method(given.method), texts, settings, surroundings).model
        training, started = time.process_time() - started, time.process_time()
        logits = predict_logits(model, loaded.tokenizer, test.encoded, 64)
        answering, counts = time.process_time() - started, test.encoded.windowed
        found = {
            "long_texts": long_texts, "accuracy": accuracy(logits, test.targets), "training": training,
            "answering": answering, "right": (logits.argmax(1) == test.targets).astype(int).tolist(),
            "windows": float(counts.mean()) if len(counts) else 1.0,
        }  # fmt: skip
        if long_texts == WINDOWS and given.variants:
            found |= otherwise(model, loaded, both[1], limit, test.encoded)
    return found


def part_of(loaded: LoadedModel, texts: Labelled, part: slice, limit: int, long_texts: LongTexts) -> Examples:
    """Return some of the texts, encoded."""
    return Examples(encode(loaded.tokenizer, texts[0][part], limit, long_texts), texts[1][part])


def otherwise(model: Any, loaded: LoadedModel, test: Labelled, limit: int, encoded: Encoded) -> dict[str, float]:
    """Return the accuracy of the same model with another pooling of the windows' logits, and with other overlaps."""
    firsts = encoded.firsts
    assert firsts is not None
    each = predict_logits(model, loaded.tokenizer, replace(encoded, firsts=None), 64)
    found = {"max": accuracy(np.maximum.reduceat(each, firsts[:-1], axis=0), test[1])}
    for name, overlap in (("no overlap", 10**6), ("half", 2)):
        with patch.object(windows, "OVERLAP", overlap):
            again = encode(loaded.tokenizer, test[0], limit, WINDOWS)
        found[name] = accuracy(predict_logits(model, loaded.tokenizer, again, 64), test[1])
        found[f"{name}, windows"] = float(again.windowed.mean())
    return found


def accuracy(logits: np.ndarray[Any, Any], targets: np.ndarray[Any, Any]) -> float:
    """Return the share of right answers."""
    return float((logits.argmax(1) == targets).mean())


def made(given: Namespace, kind: str, seed: int) -> tuple[Labelled, Labelled]:
    """Return training and test texts, in halves of both labels, from different sentences."""
    draw = random.Random(seed)
    pools = {label: read(given.sentences, label) for label in ("neg", "pos")}
    pools["neutral"] = read(given.neutral, "objective")
    own = SENTENCES if kind == "all" else SENTENCES // 3
    found: list[Labelled] = []
    for pool in pools.values():
        draw.shuffle(pool)
    for count in (given.train_texts, given.test_texts):
        texts: list[tuple[str, ...]] = []
        labels: list[int] = []
        for number in range(count):
            label = ("neg", "pos")[number % 2]
            said = [pools[label].pop() for _ in range(own)]
            # Neutral sentences may come again, but not in the test texts those of training texts.
            half = len(pools["neutral"]) // 2
            others = pools["neutral"][:half] if count == given.train_texts and not found else pools["neutral"][half:]
            plain = draw.sample(others, SENTENCES - own)
            sentences = [*plain, *said]
            if kind != "late":
                draw.shuffle(sentences)
            texts.append((" ".join(sentences),))
            labels.append(number % 2)
        found.append((texts, np.array(labels)))
    return found[0], found[1]


def read(path: str, label: str) -> list[str]:
    """Return the texts of a label in a csv file."""
    with Path(path).open(encoding="utf-8", newline="") as source:
        return [row["text"] for row in csv.DictReader(source) if row["label"] == label]


if __name__ == "__main__":
    main()
