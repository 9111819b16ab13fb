"""BERT-like encoders in numpy: the logits of one text, without torch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightune.models.architectures import ARCHITECTURES

Array = NDArray[Any]
Tensors = Mapping[str, Array]


@dataclass(frozen=True)
class Family:
    """The names that a family uses in its configuration and for its tensors.

    `norms` are a layer's two norms, after attention and after the feed-forward part. `pool` is the linear layer between
    the first token and the classifier, with its activation function. `sizes` are the width of a layer and that of its
    feed-forward part.
    """

    base: str
    layers: str
    heads: str
    sizes: tuple[str, str]
    activation: str
    epsilon: str | None
    norms: tuple[str, str]
    pool: tuple[str, Callable[[Array], Array]]
    embeddings: tuple[str, ...]


FAMILIES = {
    "distilbert": Family(
        "distilbert", "n_layers", "n_heads", ("dim", "hidden_dim"), "activation", None,
        ("sa_layer_norm", "output_layer_norm"),
        ("pre_classifier", lambda x: np.maximum(x, 0)), ("word_embeddings", "position_embeddings"),
    ),
    "bert": Family(
        "bert", "num_hidden_layers", "num_attention_heads", ("hidden_size", "intermediate_size"), "hidden_act",
        "layer_norm_eps", ("attention.output.LayerNorm", "output.LayerNorm"),
        ("bert.pooler.dense", np.tanh),
        ("word_embeddings", "position_embeddings", "token_type_embeddings"),
    ),
}  # fmt: skip


def linear_layers(raw: Mapping[str, Any], family: Family) -> dict[str, list[str]]:
    """Return the names of the linear layers by role, in the order of the layers."""
    row = ARCHITECTURES[raw["model_type"]]
    found: dict[str, list[str]] = {}
    for role in ("query", "key", "value", "attention_out", "ffn_in", "ffn_out"):
        (path,) = row.paths(role)
        found[role] = [f"{row.layers}.{layer}.{path}" for layer in range(raw[family.layers])]
    return found


def is_plain(raw: Mapping[str, Any], family: Family) -> bool:
    """Whether everything that a configuration asks for is computed here."""
    positions = raw.get("position_embedding_type", "absolute")
    return raw.get(family.activation) == "gelu" and positions == "absolute" and not raw.get("is_decoder")


def needed(raw: Mapping[str, Any], family: Family) -> set[str]:
    """Return the names of all tensors that `logits_of` reads."""
    linear = linear_layers(raw, family)
    stems = [name.rsplit(".attention", 1)[0] for name in linear["query"]]
    modules = [
        *(name for names in linear.values() for name in names),
        *(f"{stem}.{norm}" for stem in stems for norm in family.norms),
        *(f"{family.base}.embeddings.LayerNorm", family.pool[0], "classifier"),
    ]
    embedded = {f"{family.base}.embeddings.{name}.weight" for name in family.embeddings}
    return embedded | {f"{name}.{part}" for name in modules for part in ("weight", "bias")}


def logits_of(tensors: Tensors, raw: Mapping[str, Any], family: Family, ids: Sequence[int]) -> Array:
    """Return the logits, (labels), of one text."""
    epsilon = float(raw.get(family.epsilon, 1e-12)) if family.epsilon else 1e-12
    linear = linear_layers(raw, family)
    rows = {"word_embeddings": list(ids), "position_embeddings": range(len(ids))}
    place = f"{family.base}.embeddings"
    parts = [tensors[f"{place}.{name}.weight"][rows.get(name, [0] * len(ids))] for name in family.embeddings]
    x = _norm(np.sum(parts, axis=0), tensors, f"{place}.LayerNorm", epsilon)
    for layer in range(raw[family.layers]):
        names = {role: found[layer] for role, found in linear.items()}
        stem = names["query"].rsplit(".attention", 1)[0]
        attended = _linear(_attention(x, tensors, names, raw[family.heads]), tensors, names["attention_out"])
        x = _norm(x + attended, tensors, f"{stem}.{family.norms[0]}", epsilon)
        inner = _linear(_gelu(_linear(x, tensors, names["ffn_in"])), tensors, names["ffn_out"])
        x = _norm(x + inner, tensors, f"{stem}.{family.norms[1]}", epsilon)
    name, function = family.pool
    return _linear(function(_linear(x[0], tensors, name)), tensors, "classifier")


def _attention(x: Array, tensors: Tensors, names: Mapping[str, str], heads: int) -> Array:
    """softmax(Q K^T / sqrt(width)) V, all heads side by side, (tokens, width)."""
    query, key, value = (
        _linear(x, tensors, names[role]).reshape(len(x), heads, -1).transpose(1, 0, 2)
        for role in ("query", "key", "value")
    )
    scores = query @ key.transpose(0, 2, 1) / np.float32(math.sqrt(query.shape[-1]))
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    found = (shares / shares.sum(-1, keepdims=True)) @ value
    return found.transpose(1, 0, 2).reshape(len(x), -1)


def _linear(x: Array, tensors: Tensors, name: str) -> Array:
    found: Array = x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]
    return found


def _norm(x: Array, tensors: Tensors, name: str, epsilon: float) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    spread = np.sqrt((centred * centred).mean(-1, keepdims=True) + np.float32(epsilon))
    found: Array = centred / spread * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]
    return found


_ERF = np.frompyfunc(math.erf, 1, 1)


def _gelu(x: Array) -> Array:
    """x Phi(x), Phi by the error function; numpy has none, and importing scipy's takes longer than computing this."""
    erf: Any = _ERF(x * np.float32(math.sqrt(0.5)))
    found: Array = x * np.float32(0.5) * (1 + erf.astype(np.float32))
    return found
