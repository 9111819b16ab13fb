"""Which examples each step trains on. A pure function of the seed, the epoch and the texts' lengths."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lightune import runtime
from lightune.data.encoding import Encoded, collate
from lightune.execution.length_groups import groups_of_similar_length
from lightune.recipe import SettledTraining

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

# Rows are sorted by length inside pools of this many steps: large enough for little padding, small enough for random
# batches.
POOL_STEPS = 50


def epoch_order(examples: int, seed: int, epoch: int) -> list[int]:
    """Return every row once, in an order keyed by (seed, epoch)."""
    import torch

    return torch.randperm(examples, generator=runtime.generator(seed, "order", epoch)).tolist()


def epoch_steps(lengths: Sequence[int], settings: SettledTraining, epoch: int) -> Iterator[list[list[int]]]:
    """Yield the optimizer steps of an epoch in one process, each a list of micro-batches of row numbers."""
    return (micro_batches for (micro_batches,) in shared_steps(lengths, settings, epoch, ranks=1))


def shared_steps(
    lengths: Sequence[int], settings: SettledTraining, epoch: int, ranks: int
) -> Iterator[list[list[list[int]]]]:
    """Yield the optimizer steps of an epoch: for each rank its micro-batches of row numbers.

    A step takes per_device_train_batch_size * gradient_accumulation_steps * ranks rows; the last step takes the
    remaining rows. With `group_by_length` each step's rows are of similar length, and the steps are in random order.
    Which rows a step takes depends only on the number of rows, not on how many ranks share them.
    """
    order = epoch_order(len(lengths), settings.seed, epoch)
    micro, step = settings.per_device_train_batch_size, rows_per_step(settings, ranks)
    if settings.train_sampling_strategy == "group_by_length":
        steps = _grouped(order, lengths, step, settings.seed, epoch)
    else:
        steps = [order[start : start + step] for start in range(0, len(order), step)]
    for rows in steps:
        shares = balanced_shares(rows, lengths, ranks)
        yield [[share[first : first + micro] for first in range(0, len(share), micro)] for share in shares]


def balanced_shares(rows: Sequence[int], lengths: Sequence[int], ranks: int) -> list[list[int]]:
    """Divide a step's rows among the ranks, so that each gets about as many tokens; a share keeps the rows' order.

    The longest rows come first. Each goes to the rank with the fewest tokens so far (Graham 1969) that has room: no
    rank gets more than ceil(rows / ranks). With fewer rows than ranks, some ranks have no rows.
    """
    room = math.ceil(len(rows) / ranks)
    shares: list[list[int]] = [[] for _ in range(ranks)]
    tokens = [0] * ranks
    for place in sorted(range(len(rows)), key=lambda place: -lengths[rows[place]]):
        with_room = [rank for rank in range(ranks) if len(shares[rank]) < room]
        least = min(with_room, key=tokens.__getitem__)
        shares[least].append(place)
        tokens[least] += lengths[rows[place]]
    return [[rows[place] for place in sorted(share)] for share in shares]


def rows_per_step(settings: SettledTraining, ranks: int = 1) -> int:
    """Return the effective batch size."""
    return settings.per_device_train_batch_size * settings.gradient_accumulation_steps * ranks


def parts_of_similar_length(rows: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
    """Cut a batch into parts of similar length, the longest texts first, for less padding where padding is needed."""
    order = sorted(rows, key=lambda row: -lengths[row])
    return [order[part] for part in groups_of_similar_length([lengths[row] for row in order])]


def training_batches(
    tokenizer: PreTrainedTokenizerBase, encoded: Encoded, settings: SettledTraining
) -> Iterator[dict[str, torch.Tensor]]:
    """Yield the padded micro-batches of the first epoch, without labels; each window of a text is a text of its own."""
    for step in epoch_steps(encoded.row_lengths, settings, 1):
        for rows in step:
            yield collate(tokenizer, [encoded.rows[row] for row in rows])


def steps_per_epoch(examples: int, settings: SettledTraining, ranks: int = 1) -> int:
    """Return the number of optimizer steps in an epoch."""
    return math.ceil(examples / rows_per_step(settings, ranks))


def _grouped(order: list[int], lengths: Sequence[int], step: int, seed: int, epoch: int) -> list[list[int]]:
    """Cut a random order into pools, sort each by length, cut it into steps, and shuffle the steps."""
    import torch

    pool = step * POOL_STEPS
    arranged: list[int] = []
    for start in range(0, len(order), pool):
        arranged += sorted(order[start : start + pool], key=lambda row: lengths[row])
    steps = [arranged[start : start + step] for start in range(0, len(arranged), step)]
    shuffled = torch.randperm(len(steps), generator=runtime.generator(seed, "steps", epoch)).tolist()
    return [steps[number] for number in shuffled]
