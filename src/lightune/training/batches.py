"""Which examples each step trains on. A pure function of the seed and the epoch."""

from __future__ import annotations

import math
from collections.abc import Iterator

from lightune import runtime
from lightune.recipe import TrainingBlock


def epoch_order(examples: int, seed: int, epoch: int) -> list[int]:
    """Return every row once, in an order keyed by (seed, epoch)."""
    import torch

    return torch.randperm(examples, generator=runtime.generator(seed, "order", epoch)).tolist()


def epoch_steps(examples: int, settings: TrainingBlock, epoch: int) -> Iterator[list[list[int]]]:
    """Yield the optimizer steps of an epoch, each a list of micro-batches of row numbers.

    A step takes per_device_train_batch_size * gradient_accumulation_steps rows; the last one what is left.
    """
    order = epoch_order(examples, settings.seed, epoch)
    micro = settings.per_device_train_batch_size
    step = micro * settings.gradient_accumulation_steps
    for start in range(0, examples, step):
        rows = order[start : start + step]
        yield [rows[first : first + micro] for first in range(0, len(rows), micro)]


def steps_per_epoch(examples: int, settings: TrainingBlock) -> int:
    """Return the number of optimizer steps in an epoch."""
    return math.ceil(examples / (settings.per_device_train_batch_size * settings.gradient_accumulation_steps))
