"""The speed of inference: one text at a time, and in bulk. Tokenizing is included, as it is for a user."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lightune.artifact import AdaptedModel
from lightune.data.encoding import encode
from lightune.evaluation.evaluate import predict_logits
from lightune.inference.merging import merged_model

if TYPE_CHECKING:
    from torch import nn

    from lightune.models.load import LoadedModel

WARM_UP = 5
SINGLE_TEXTS = 40
BULK_TEXTS = 256
BULK_SECONDS = 5.0  # a larger model answers fewer texts, for the same rate


def measure_speed(
    model: nn.Module, loaded: LoadedModel, texts: Sequence[tuple[str, ...]], batch_size: int, prefix: str = ""
) -> dict[str, float]:
    """Return latency_ms_p50, latency_ms_p95 (one text) and samples_per_second (bulk), with prefixed names.

    In bulk are at most 256 texts, and not many more than are answered in five seconds.
    """
    singles = [texts[row % len(texts)] for row in range(WARM_UP + SINGLE_TEXTS)]
    seconds = [_time(model, loaded, [text], 1) for text in singles][WARM_UP:]
    bulk = texts[:BULK_TEXTS]
    first = bulk[:batch_size]
    rate = len(first) / _time(model, loaded, first, batch_size)
    bulk = bulk[: max(len(first), round(rate * BULK_SECONDS))]
    taken = _time(model, loaded, bulk, batch_size)
    return {
        f"{prefix}latency_ms_p50": float(np.percentile(seconds, 50) * 1000),
        f"{prefix}latency_ms_p95": float(np.percentile(seconds, 95) * 1000),
        f"{prefix}samples_per_second": len(bulk) / taken,
    }


def measure_adapted_speed(
    adapted: AdaptedModel, loaded: LoadedModel, texts: Sequence[tuple[str, ...]], batch_size: int
) -> tuple[dict[str, float], list[str]]:
    """Measure the adapted model, then merge it in place and measure that; return notes on merging as well."""
    speeds = measure_speed(adapted.model, loaded, texts, batch_size)
    merged = merged_model(adapted)
    if merged is None:
        return speeds, [f"Merged inference was not measured: {adapted.config.method} cannot be merged."]
    held = adapted.config.model_precision
    notes = [] if held == "fp32" else [f"Merging turns the weights stored in {held} into an fp32 model."]
    return speeds | measure_speed(merged, loaded, texts, batch_size, "merged_"), notes


def _time(model: nn.Module, loaded: LoadedModel, texts: Sequence[tuple[str, ...]], batch_size: int) -> float:
    started = time.perf_counter()
    encoded = encode(loaded.tokenizer, texts, loaded.max_length, loaded.long_texts)
    predict_logits(model, loaded.tokenizer, encoded, batch_size)
    return time.perf_counter() - started
