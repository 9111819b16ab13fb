"""Latency and rate of a model that takes a known time for each batch."""

from __future__ import annotations

import time

import pytest
import torch

from lightune.inference import speed
from lightune.inference.speed import SINGLE_TEXTS, WARM_UP, measure_speed
from short_runs import whole_runs
from tiny import sentences

SECONDS = 0.004
TEXTS = [(text,) for text, _ in sentences(12, seed=6)]


class Slow(torch.nn.Module):
    """Sleeps, then answers; the first calls, while everything warms up, take much longer."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model
        self.batches: list[int] = []

    def forward(self, **batch: torch.Tensor):
        time.sleep(0.15 if len(self.batches) < WARM_UP else SECONDS)
        self.batches.append(len(batch["input_ids"]))
        return self.model(**batch)


@pytest.fixture(scope="module")
def measured(load_lively):
    loaded = load_lively()
    slow = Slow(loaded.model)
    with whole_runs():
        return measure_speed(slow, loaded, TEXTS, batch_size=4, prefix="base_"), slow.batches


def test_the_names_carry_the_prefix(measured):
    assert sorted(measured[0]) == ["base_latency_ms_p50", "base_latency_ms_p95", "base_samples_per_second"]


def test_latency_is_that_of_one_text_without_the_warm_up(measured):
    found, batches = measured
    assert batches[: WARM_UP + SINGLE_TEXTS] == [1] * (WARM_UP + SINGLE_TEXTS)
    assert 1000 * SECONDS <= found["base_latency_ms_p50"] <= found["base_latency_ms_p95"]
    assert found["base_latency_ms_p95"] < 150, "the warm-up was counted"


def test_the_rate_is_that_of_full_batches_after_one_to_warm_up(measured):
    found, batches = measured
    assert batches[WARM_UP + SINGLE_TEXTS :] == [4, 12]
    # Twelve short texts in one batch of at least SECONDS; one at a time they would be no faster than this / 12.
    assert 12 / SECONDS / 8 < found["base_samples_per_second"] <= 12 / SECONDS


@pytest.mark.parametrize(("seconds", "bulk"), [(5, 12), (2 * SECONDS, 8), (0, 4)])
def test_in_bulk_are_as_many_texts_as_are_answered_in_the_seconds_that_it_may_take(monkeypatch, seconds, bulk):
    """The first batch, of four texts, says how fast they are: here four in each SECONDS."""
    asked = []

    def timed(model, loaded, texts, batch_size):
        asked.append(len(texts))
        return SECONDS * len(texts) / 4

    with whole_runs():
        monkeypatch.setattr(speed, "_time", timed)
        monkeypatch.setattr(speed, "BULK_SECONDS", seconds)
        found = measure_speed(None, None, TEXTS, batch_size=4)
    assert asked[WARM_UP + SINGLE_TEXTS :] == [4, bulk]
    assert found["samples_per_second"] == pytest.approx(4 / SECONDS)
