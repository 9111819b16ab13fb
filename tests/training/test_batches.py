"""Which rows each step takes."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from lightune.recipe import SettledTraining
from lightune.training.batches import epoch_order, epoch_steps, steps_per_epoch

LENGTHS = random.Random(0).choices(range(3, 61), k=1000)


def steps_of(lengths: list[int], epoch: int = 1, **settings: Any) -> list[list[list[int]]]:
    return list(epoch_steps(lengths, SettledTraining(**settings), epoch))


def rows_of(steps: list[list[list[int]]]) -> list[list[int]]:
    """The rows of each step, whatever its micro-batches."""
    return [[row for micro in step for row in micro] for step in steps]


def padding(steps: list[list[list[int]]]) -> int:
    """Tokens that are computed for nothing when each micro-batch is padded to its longest row."""
    batches = [[LENGTHS[row] for row in micro] for step in steps for micro in step]
    return sum(max(batch) * len(batch) - sum(batch) for batch in batches)


@pytest.mark.parametrize("strategy", ["random", "group_by_length"])
@pytest.mark.parametrize("examples", [1, 15, 16, 17, 1000])
@pytest.mark.parametrize(("micro", "accumulation"), [(16, 1), (4, 4), (5, 3)])
def test_an_epoch_takes_each_row_once_in_full_steps(
    examples: int, strategy: str, micro: int, accumulation: int
) -> None:
    settings = {"per_device_train_batch_size": micro, "gradient_accumulation_steps": accumulation}
    steps = steps_of(LENGTHS[:examples], train_sampling_strategy=strategy, **settings)
    assert sorted(row for rows in rows_of(steps) for row in rows) == list(range(examples))
    assert (
        len(steps) == steps_per_epoch(examples, SettledTraining(**settings)) == -(-examples // (micro * accumulation))
    )
    assert all(len(batch) <= micro for step in steps for batch in step)
    short = [rows for rows in rows_of(steps) if len(rows) < micro * accumulation]
    assert [len(rows) for rows in short] == ([examples % (micro * accumulation)] if short else [])
    assert all(len(step) == -(-len(rows) // micro) for step, rows in zip(steps, rows_of(steps), strict=True))


@pytest.mark.parametrize("strategy", ["random", "group_by_length"])
def test_orders_differ_between_epochs_and_seeds_and_repeat_for_the_same(strategy: str) -> None:
    orders = {
        (seed, epoch): str(steps_of(LENGTHS, epoch, seed=seed, train_sampling_strategy=strategy))
        for seed in (1, 2)
        for epoch in (1, 2, 3)
    }
    assert len(set(orders.values())) == 6
    assert orders[2, 3] == str(steps_of(LENGTHS, 3, seed=2, train_sampling_strategy=strategy))


def test_the_order_is_that_of_no_global_generator() -> None:
    import torch

    torch.manual_seed(1)
    first, state = epoch_order(50, 7, 1), torch.get_rng_state()
    torch.manual_seed(2)
    assert epoch_order(50, 7, 1) == first
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("strategy", ["random", "group_by_length"])
def test_accumulation_does_not_change_which_rows_form_a_step(strategy: str) -> None:
    whole = steps_of(LENGTHS, per_device_train_batch_size=16, train_sampling_strategy=strategy)
    parts = steps_of(
        LENGTHS, per_device_train_batch_size=4, gradient_accumulation_steps=4, train_sampling_strategy=strategy
    )
    assert rows_of(parts) == rows_of(whole)


def test_grouping_by_length_pads_far_less_than_chance() -> None:
    grouped = padding(steps_of(LENGTHS, train_sampling_strategy="group_by_length"))
    assert grouped < 0.25 * padding(steps_of(LENGTHS))


def test_grouped_steps_come_in_no_order_of_length() -> None:
    steps = rows_of(steps_of(LENGTHS, train_sampling_strategy="group_by_length"))
    means = [sum(LENGTHS[row] for row in rows) / len(rows) for rows in steps]
    rises = sum(later > earlier for earlier, later in itertools.pairwise(means))
    assert 0.25 * len(means) < rises < 0.75 * len(means)
