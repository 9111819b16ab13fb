"""Features of pairs whose two texts are encoded apart, as sentence encoders do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lightune.data.encoding import encode
from lightune.evaluation.features import watch_texts

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class PairFeatures:
    """[u, v, |u - v|, u * v] of the mean-pooled features u and v of a pair's texts, and the cosine of u and v.

    Conneau et al. 2017, arXiv:1705.02364. Features are (pairs, 4 width), cosines (pairs, 1).
    """

    joined: NDArray[Any]
    cosines: NDArray[Any]


def pair_features(
    model: nn.Module,
    output_layer: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    pairs: Sequence[tuple[str, ...]],
    max_length: int,
    batch_size: int,
) -> PairFeatures:
    """Return the features of pairs; each different text is encoded once."""
    places = {text: place for place, text in enumerate(dict.fromkeys(text for pair in pairs for text in pair))}
    encoded = encode(tokenizer, [(text,) for text in places], max_length)
    pooled = watch_texts(model, output_layer, tokenizer, encoded, batch_size).pooled
    first, second = (pooled[[places[pair[side]] for pair in pairs]] for side in (0, 1))
    joined = np.concatenate([first, second, np.abs(first - second), first * second], axis=1)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines = (first * second).sum(axis=1) / np.where(lengths > 0, lengths, 1)
    return PairFeatures(joined, cosines[:, None])
