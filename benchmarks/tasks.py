"""Several labels and numbers: the headline metric on closing texts, with the plain Trainer and PEFT, and with lightune.

python -m benchmarks.tasks --train FILE --test FILE [--label-columns a,b] [--train-examples N] [--methods lora,full]
                           [--rounds SEEDS] [--json]

MiniLM is trained on the same rows, at the same rate and for the same epochs on both sides. The plain Trainer has
transformers' own loss (problem_type), a random head, a threshold of 0.5, and the weights after the last epoch. lightune
has its defaults and as many epochs. Each round has another seed: other rows, another order. Baselines are those of
lightune's record.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, DataCollatorWithPadding, Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from benchmarks.measuring import SEED, parser
from benchmarks.training import BATCH, Clock
from lightune import experiment
from lightune.data.dataset import DataSplits, load_splits
from lightune.data.encoding import encode
from lightune.data.wishes import wishes_of
from lightune.methods import make_method
from lightune.models.load import find_model
from lightune.models.tokenizer_files import load_tokenizer
from lightune.progress import Silent
from lightune.recipe import Recipe
from lightune.recipes.compose import compose
from lightune.record import RunRecord
from lightune.tasks.base import Task

LONGEST = 512
EPOCHS = 5


def main() -> None:
    """Train and test both sides with each seed, for each method."""
    found = parser(__doc__, rounds=3)
    found.add_argument("--train", required=True)
    found.add_argument("--test", required=True)
    found.add_argument("--label-column")
    found.add_argument("--label-columns")
    found.add_argument("--train-examples", type=int)
    found.add_argument("--methods", default="lora,full")
    given = found.parse_args()
    rows = [measured(given, method) for method in given.methods.split(",")]
    print(json.dumps(rows, indent=1) if given.json else "\n\n".join(map(shown, rows)))


def measured(given: Namespace, method: str) -> dict[str, Any]:
    """Return the headline metric of both sides and of the baselines, by seed."""
    ours: list[RunRecord] = []
    peers: list[dict[str, Any]] = []
    for seed in range(SEED, SEED + given.rounds):
        recipe = recipe_of(given, method, seed)
        with tempfile.TemporaryDirectory() as folder:
            ours.append(experiment.run(recipe, Path(folder) / "run", Silent()))
        peers.append(plain(recipe))
        name = ours[0].task.headline.name
        reached = f"lightune {ours[-1].after.metrics[name]:.4f}, Trainer {peers[-1]['metrics'][name]:.4f}"
        print(f"{given.train}, {method}, seed {seed}: {name} {reached}", file=sys.stderr, flush=True)
    headline = ours[0].task.headline.name
    baselines = {name: [run.baselines[name].metrics.get(headline) for run in ours] for name in ours[0].baselines}
    return {
        "train": given.train,
        "method": method,
        "headline": headline,
        "learning_rate": ours[0].training.learning_rate,
        "epochs": len(ours[0].training.epochs),
        "train_examples": ours[0].data.train_examples + ours[0].data.validation_examples,
        "lightune": [run.after.metrics[headline] for run in ours],
        "Trainer": [peer["metrics"][headline] for peer in peers],
        "baselines": baselines,
        "all": {"lightune": [run.after.metrics for run in ours], "Trainer": [peer["metrics"] for peer in peers]},
        "samples_per_second": {
            "lightune": [run.training.samples_per_second for run in ours],
            "Trainer": [peer["samples_per_second"] for peer in peers],
        },
    }


def recipe_of(given: Namespace, method: str, seed: int) -> Recipe:
    """Return lightune's recipe for this data, method and seed: defaults, but as many epochs as the Trainer."""
    flags = {
        name: getattr(given, name) for name in ("train", "test", "label_column", "label_columns", "train_examples")
    }
    return compose(None, {**flags, "model": "minilm", "method": method, "seed": seed, "epochs": EPOCHS}).recipe


def plain(recipe: Recipe) -> dict[str, Any]:
    """Return the metrics and the rate of the plain Trainer on the rows that lightune would train on."""
    splits = load_splits(recipe.data, recipe.training.seed, wishes_of(recipe))
    source = find_model(recipe.model)
    tokenizer = load_tokenizer(source.name, source.folder)
    torch.manual_seed(recipe.training.seed)
    model = AutoModelForSequenceClassification.from_pretrained(source.folder, **splits.task.config())
    method = make_method(recipe.method.name, recipe.method.options)
    rate = recipe.training.learning_rate or method.default_learning_rate
    model = adapted(model, recipe)
    training = recipe.training
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            folder, per_device_train_batch_size=BATCH, per_device_eval_batch_size=64, learning_rate=rate,
            num_train_epochs=EPOCHS, seed=training.seed, weight_decay=training.weight_decay,
            warmup_steps=training.warmup_steps, report_to="none", save_strategy="no", logging_strategy="no",
            disable_tqdm=True, use_cpu=True,
        )  # fmt: skip
        clock = Clock()
        trainer = Trainer(
            model, settings, train_dataset=rows_of(splits, "train", tokenizer),
            data_collator=DataCollatorWithPadding(tokenizer, padding=True), callbacks=[clock],
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        logits = trainer.predict(rows_of(splits, "test", tokenizer)).predictions  # type: ignore[arg-type]
    task = in_the_unit(splits.task)
    samples = len(splits.train) * EPOCHS
    return {
        "metrics": task.measure(np.asarray(logits), splits.test.targets),
        "samples_per_second": samples / clock.seconds,
    }


def in_the_unit(task: Task) -> Task:
    """Return the task of a model that was trained on the targets as they are."""
    return task.into_answers(lambda: torch.nn.Linear(1, task.outputs))


def adapted(model: Any, recipe: Recipe) -> Any:
    """Return the model with PEFT's LoRA on all linear layers, or as it is."""
    from peft import LoraConfig, TaskType, get_peft_model

    if recipe.method.name == "full":
        return model
    targets = ["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"]
    config = LoraConfig(task_type=TaskType.SEQ_CLS, r=8, lora_alpha=16, lora_dropout=0.0, target_modules=targets)
    return get_peft_model(model, config)


def rows_of(splits: DataSplits, name: str, tokenizer: Any) -> list[dict[str, Any]]:
    """Return the texts of a split as the Trainer takes them, with labels in fp32."""
    split = getattr(splits, name)
    encoded = encode(tokenizer, list(split.texts), LONGEST)
    labels = np.asarray(split.targets, np.float32)
    if splits.task.outputs == 1:
        labels = labels[:, 0]
    return [{**row, "labels": label.tolist()} for row, label in zip(encoded.rows, labels, strict=True)]


def shown(row: dict[str, Any]) -> str:
    """Return a row as lines of text."""
    ahead = [100 * (one - other) for one, other in zip(row["lightune"], row["Trainer"], strict=True)]
    rates = row["samples_per_second"]
    ratios = sorted(one / other for one, other in zip(rates["lightune"], rates["Trainer"], strict=True))
    lines = [
        f"{row['train']}, {row['method']}, {row['train_examples']} examples, {row['epochs']} epochs at "
        f"{row['learning_rate']:g}: {row['headline']}",
        f"  lightune            {listed(row['lightune'])}",
        f"  Trainer             {listed(row['Trainer'])}",
        f"  ahead, in hundredths {statistics.mean(ahead):+.1f} ({' '.join(f'{one:+.1f}' for one in ahead)})",
        f"  speed of training   {statistics.median(ratios):.2f} ({' '.join(f'{one:.2f}' for one in ratios)})",
    ]
    return "\n".join([*lines, *(f"  {name:<19} {listed(found)}" for name, found in row["baselines"].items())])


def listed(values: list[float | None]) -> str:
    """Return the mean and each value."""
    known = [value for value in values if value is not None]
    return f"{statistics.mean(known):.3f} ({' '.join(f'{value:.3f}' for value in known)})" if known else "undefined"


if __name__ == "__main__":
    main()
