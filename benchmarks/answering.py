"""Two ways to answer the same texts with the same model: Trainer.predict, and lightune's answering."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from transformers import DataCollatorWithPadding, Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from benchmarks.measuring import SEED, computes_bf16
from benchmarks.training import rows_for
from lightune.evaluation.evaluate import predict_logits
from lightune.inference.bf16_answers import AnsweringPrecision
from lightune.models.shared_base import copy_on_same_tensors
from lightune.training.batch_loss import Examples

PADDED, GROUPED = "Trainer.predict, padded, fp32", "Trainer.predict, grouped, fp32"
AUTOCAST, FULL = "Trainer.predict, bf16", "Trainer.predict, bf16_full_eval"
OURS = "lightune, precision auto"
TEXTS_OF_64 = 64  # lightune's own batch, in texts of 64 tokens


def answering_arms(loaded: Any, examples: Examples, batch: int, place: Path) -> dict[str, Callable[[], None]]:
    """Return the arms; the expert's get the texts sorted by length, as `group_by_length` does."""
    by_length = sorted(rows_for(loaded, examples), key=lambda row: -len(row["input_ids"]))
    arms = {PADDED: predicting(loaded, in_any_order(by_length), batch, place)}
    if computes_bf16():
        arms[AUTOCAST] = predicting(loaded, by_length, batch, place, bf16=True)
        own = replace(loaded, model=copy.deepcopy(loaded.model))  # its weights are turned into bf16
        arms[FULL] = predicting(own, by_length, batch, place, bf16_full_eval=True)
    else:
        arms[GROUPED] = predicting(loaded, by_length, batch, place)  # in fp32: bf16 is many times slower here
    return arms | {OURS: answering(loaded, examples)}


def in_any_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows as texts come in: the benchmark's are in groups of similar length."""
    return random.Random(SEED).sample(rows, len(rows))


def predicting(
    loaded: Any, rows: list[dict[str, Any]], batch: int, place: Path, **arguments: Any
) -> Callable[[], None]:
    """Return a pass of Trainer.predict, in the order of the rows."""
    settings = TrainingArguments(
        str(place), per_device_eval_batch_size=batch, use_cpu=True, report_to="none", disable_tqdm=True, **arguments
    )
    model = copy_on_same_tensors(loaded.model).eval()
    trainer = Trainer(model, settings, data_collator=DataCollatorWithPadding(loaded.tokenizer, padding=True))
    trainer.remove_callback(PrinterCallback)

    def run() -> None:
        trainer.predict(rows)  # type: ignore[arg-type]

    return run


def answering(loaded: Any, examples: Examples) -> Callable[[], None]:
    """Return a pass of lightune in the precision that it chooses, in its own batches."""
    chosen = AnsweringPrecision("auto", "cpu").choose(loaded.model.eval(), examples.encoded)

    def run() -> None:
        predict_logits(chosen, loaded.tokenizer, examples.encoded, TEXTS_OF_64)

    return run
