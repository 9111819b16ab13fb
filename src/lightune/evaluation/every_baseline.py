"""All baselines of a run: those of a text, and of a pair with its two texts encoded apart."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from lightune.evaluation.baselines import Fitted, baselines
from lightune.evaluation.pair_features import pair_features

if TYPE_CHECKING:
    from lightune.data.dataset import DataSplits
    from lightune.models.load import LoadedModel

SPLITS = ("train", "validation", "test")


def all_baselines(
    loaded: LoadedModel, splits: DataSplits, pooled: Mapping[str, NDArray[Any]], started: float, batch_size: int
) -> dict[str, Fitted]:
    """Return the task's baselines by their names in the record.

    `pooled` are the mean-pooled features of each split's texts, whose computing began at `started`
    (time.perf_counter). A pair has features of its two texts encoded apart instead: a model that reads both at once
    says little about them before it is trained.
    """
    if len(splits.text_columns) == 1:
        return baselines(pooled, splits, started)
    started = time.perf_counter()  # the joint encoding is not used
    found = {name: pair_features(loaded, getattr(splits, name).texts, batch_size) for name in SPLITS}
    joined = {name: pairs.joined for name, pairs in found.items()}
    return baselines(joined, splits, started, {name: pairs.cosines for name, pairs in found.items()})
