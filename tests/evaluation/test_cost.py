"""Time and memory of a phase, against known sleeps and a known allocation."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch

from lightune.evaluation.cost import Meter, Spent
from lightune.sections import Cost

CPU = torch.device("cpu")
MEGABYTE = 10**6


def test_paused_time_is_not_counted():
    with Meter(CPU) as meter:
        time.sleep(0.1)
        meter.pause()
        time.sleep(0.5)
        meter.resume()
        time.sleep(0.1)
    assert 0.2 <= meter.spent.runtime < 0.5


def test_pausing_twice_counts_nothing_twice():
    with Meter(CPU) as meter:
        time.sleep(0.1)
        meter.pause()
        meter.pause()
    assert 0.1 <= meter.spent.runtime < 0.19


@pytest.mark.parametrize("paused", [False, True])
def test_an_allocation_that_was_freed_again_shows_up_in_the_peak(paused):
    with Meter(CPU) as meter:
        if paused:
            meter.pause()
        block = np.ones(200 * MEGABYTE // 8)
        time.sleep(0.1)
        del block
    grown = meter.spent.peak_memory_bytes - meter.spent.memory_before_bytes
    assert 190 * MEGABYTE < grown < 300 * MEGABYTE


def test_an_idle_block_needs_no_memory():
    with Meter(CPU) as meter:
        time.sleep(0.05)
    assert meter.spent.peak_memory_bytes - meter.spent.memory_before_bytes < 20 * MEGABYTE


def test_an_error_stops_the_sampling_thread_too():
    before = threading.active_count()
    with pytest.raises(KeyError), Meter(CPU):
        raise KeyError
    assert threading.active_count() == before


def test_rates_are_per_second_of_runtime():
    found = Cost.model_validate(Spent(runtime=2.0, peak_memory_bytes=7).record(samples=10, steps=4))
    assert (found.samples_per_second, found.steps_per_second, found.runtime) == (5.0, 2.0, 2.0)
    assert found.peak_memory_bytes == 7
    assert found.peak_cuda_allocated_bytes is None
