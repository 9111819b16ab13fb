"""Running a classifier over encoded texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lightune import runtime
from lightune.data.encoding import Encoded, collate, length_sorted_batches
from lightune.evaluation.cost import Meter
from lightune.evaluation.halving import Halving
from lightune.execution.execution import known_batch
from lightune.execution.unpadding import padding_free
from lightune.progress import Reporter, Silent
from lightune.sections import Evaluation, PartMetrics
from lightune.tasks.base import Task

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedTokenizerBase

    from lightune.data.dataset import Split


@dataclass(frozen=True)
class Labelled:
    """A labelled split, and the task that says what its targets mean."""

    task: Task
    split: Split


# Makes a context for a call of the model from its texts' row numbers and their attention mask, (texts, positions).
Around = Callable[[Sequence[int], "torch.Tensor"], AbstractContextManager[None]]


def predict_logits(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    encoded: Encoded,
    batch_size: int,
    reporter: Reporter | None = None,
    around: Around | None = None,
) -> NDArray[Any]:
    """Return the logits, (texts, labels) in fp32, in the order of the texts.

    Batches are sorted by length and hold up to `batch_size` texts of 64 tokens each, or the same number of tokens in
    longer or shorter texts. The result depends on `batch_size` only by rounding. The logits of a text in windows are
    the mean of theirs, and for batches and `around` each window is a text.
    """
    import torch

    device, says = next(model.parameters()).device, reporter or Silent()
    batches = list(length_sorted_batches(encoded, batch_size))
    parts: list[torch.Tensor] = []

    def call(rows: Sequence[int]) -> torch.Tensor:
        batch = collate(tokenizer, [encoded.rows[row] for row in rows])
        one_call = around(rows, batch["attention_mask"]) if around else nullcontext()
        with one_call, on_device(model, batch, device) as inputs:
            logits: torch.Tensor = model(**inputs).logits
        return logits

    halving, progress = Halving(call, encoded.row_lengths, device, says), says.steps("evaluating", len(batches))
    with in_eval_mode(model), torch.inference_mode(), padding_free(model, logits_only=True), progress as advance:
        for rows in batches:
            parts += [logits.float().cpu() for logits in halving.of(rows)]
            advance()
    order = np.concatenate([np.asarray(rows) for rows in batches])
    logits = torch.cat(parts).numpy()
    result = np.empty_like(logits)
    result[order] = logits
    return encoded.pooled(result)


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Switch a model's dropout off, and always restore the mode of each of its modules."""
    training = [module for module in model.modules() if module.training]
    if training:  # else `eval` changes nothing, and takes a tenth of the time of a short text
        model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def to_device(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """Return the batch on the device."""
    return {name: runtime.sent(value, device) for name, value in batch.items()}


@contextmanager
def on_device(
    model: nn.Module, batch: dict[str, torch.Tensor], device: torch.device
) -> Iterator[dict[str, torch.Tensor]]:
    """Yield the inputs of a call on the device; the mask on the CPU, with the texts' lengths, is made known."""
    inputs = to_device(batch, device)
    if device.type == "cpu" or "attention_mask" not in batch:
        yield inputs
        return
    with known_batch(model, inputs["attention_mask"], batch["attention_mask"]):
        yield inputs


def evaluate(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    encoded: Encoded,
    labelled: Labelled,
    batch_size: int,
    reporter: Reporter | None = None,
) -> tuple[NDArray[Any], Evaluation]:
    """Return (logits, their metrics and cost) of a model on labelled texts."""
    device, task, split = next(model.parameters()).device, labelled.task, labelled.split
    with Meter(device) as meter:
        logits = predict_logits(model, tokenizer, encoded, batch_size, reporter)
    spent = meter.spent.record(len(split), sum(1 for _ in length_sorted_batches(encoded, batch_size)))
    found = Evaluation(
        examples=len(split),
        metrics=figures(task.measure(logits, split.targets)),
        details=task.details(logits, split.targets),
        groups=measure_by_group(task, logits, split),
        **spent,
    )
    return logits, found


def measure_by_group(task: Task, logits: NDArray[Any], split: Split) -> dict[str, dict[str, PartMetrics]]:
    """Return {column: {value: metrics}} for each column of group names."""
    result: dict[str, dict[str, PartMetrics]] = {}
    for column, values in split.groups.items():
        names = np.asarray(list(values), dtype=object)
        parts = {name: names == name for name in sorted(set(values))}
        result[column] = {name: measure_part(task, logits[rows], split.targets[rows]) for name, rows in parts.items()}
    return result


def figures(measured: Mapping[str, Any]) -> dict[str, float | None]:
    """Return metrics as plain numbers, None for one that is undefined: a task may give those of numpy, or NaN."""
    known = {name: None if value is None else float(value) for name, value in measured.items()}
    return {name: value if value is not None and np.isfinite(value) else None for name, value in known.items()}


def measure_part(task: Task, logits: NDArray[Any], targets: NDArray[Any]) -> PartMetrics:
    """Return the metrics of a part of the texts."""
    return PartMetrics(examples=len(targets), metrics=figures(task.measure_part(logits, targets)))
