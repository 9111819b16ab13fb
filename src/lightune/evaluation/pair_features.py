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
    from lightune.models.load import LoadedModel


@dataclass(frozen=True)
class PairFeatures:
    """[u, v, |u - v|, u * v] of the mean-pooled features u and v of a pair's texts, and the cosine of u and v.

    Conneau et al. 2017, arXiv:1705.02364. Features are (pairs, 4 width), cosines (pairs, 1).
    """

    joined: NDArray[Any]
    cosines: NDArray[Any]


def pair_features(loaded: LoadedModel, pairs: Sequence[tuple[str, ...]], batch_size: int) -> PairFeatures:
    """Return the features of pairs from the model as it is; each different text is encoded once."""
    places = {text: place for place, text in enumerate(dict.fromkeys(text for pair in pairs for text in pair))}
    encoded = encode(loaded.tokenizer, [(text,) for text in places], loaded.max_length, loaded.long_texts)
    layer = loaded.model.get_submodule(loaded.anatomy.output_layer)
    pooled = watch_texts(loaded.model, layer, loaded.tokenizer, encoded, batch_size).pooled
    first, second = (pooled[[places[pair[side]] for pair in pairs]] for side in (0, 1))
    joined = np.concatenate([first, second, np.abs(first - second), first * second], axis=1)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosines = (first * second).sum(axis=1) / np.where(lengths > 0, lengths, 1)
    return PairFeatures(joined, cosines[:, None])
