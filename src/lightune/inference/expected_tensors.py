"""The tensors that a BERT-like base model and an adapter on it must have, from their descriptions alone, without torch.

The usual path asks the model that it has built; both are compared by `methods.base.require_same_tensors`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from lightune.artifact_config import ArtifactConfig
from lightune.inference.numpy_encoder import Family, linear_layers, needed
from lightune.methods import make_method
from lightune.methods.base import Method
from lightune.methods.bitfit import BitFit
from lightune.methods.full import Full
from lightune.methods.head import Head
from lightune.methods.lora import Lora
from lightune.methods.peft_method import ALL_LINEAR
from lightune.methods.top_layers import TopLayers
from lightune.models.architectures import ARCHITECTURES
from lightune.tensor_headers import TensorHeader

PEFT_PREFIX = "base_model.model."
POSITIONS, TYPES = "max_position_embeddings", "type_vocab_size"
Headers = dict[str, TensorHeader]


def model_tensors(raw: Mapping[str, Any], family: Family, outputs: int) -> Headers | None:
    """Return what each parameter of the stock classifier is; None where config.json leaves a size to a default."""
    sizes = [raw.get(name) for name in (*family.sizes, "vocab_size", POSITIONS, family.layers, family.heads)]
    types = raw.get(TYPES) if "token_type_embeddings" in family.embeddings else 0
    if not all(type(size) is int and size > 0 for size in sizes) or type(types) is not int:
        return None
    width, inner, words, positions, _, heads = (int(size or 0) for size in sizes)
    if width % heads:
        return None
    rows = {"word_embeddings": words, "position_embeddings": positions, "token_type_embeddings": types}
    linear = linear_layers(raw, family)
    shapes: dict[str, tuple[int, ...]]
    shapes = {f"{name}.weight": (width, width) for name in needed_stems(raw, family) if name in _roles(linear)}
    shapes |= {f"{name}.weight": (inner, width) for name in linear["ffn_in"]}
    shapes |= {f"{name}.weight": (width, inner) for name in linear["ffn_out"]}
    shapes |= {f"{name}.bias": (inner,) for name in linear["ffn_in"]}
    shapes |= {f"{family.base}.embeddings.{name}.weight": (rows[name], width) for name in family.embeddings}
    shapes |= {f"{family.pool[0]}.weight": (width, width)}
    shapes |= {"classifier.weight": (outputs, width), "classifier.bias": (outputs,)}
    return {name: TensorHeader("F32", shapes.get(name, (width,))) for name in needed(raw, family)}


def needed_stems(raw: Mapping[str, Any], family: Family) -> set[str]:
    """Return the names of the modules that own parameters."""
    return {name.rpartition(".")[0] for name in needed(raw, family)}


def _roles(linear: Mapping[str, list[str]]) -> set[str]:
    return {name for names in linear.values() for name in names}


def adapter_tensors(
    config: ArtifactConfig, raw: Mapping[str, Any], family: Family, held: Collection[str]
) -> Headers | None:
    """Return what an adapter's file must hold; `held` are the tensors in the base model's file.

    None for an adapter whose answers are not computed here.
    """
    model = model_tensors(raw, family, config.task.outputs)
    if model is None:
        return None
    head = _head(family, held)
    method = make_method(config.method, config.method_options)
    if type(method) is Lora:
        return _of_lora(method, raw, family, model, head)
    names = _trained(method, raw, family, head, model)
    return None if names is None else {name: model[name] for name in names}


def _head(family: Family, held: Collection[str]) -> tuple[str, ...]:
    """Return the modules that are trained and saved in full: the head, and a pooler that the base does not have."""
    pool = family.pool[0]
    is_of_head = not pool.startswith(f"{family.base}.")
    is_held = all(f"{pool}.{part}" in held for part in ("weight", "bias"))
    return ("classifier.",) if is_held and not is_of_head else (f"{pool}.", "classifier.")


def _trained(
    method: Method, raw: Mapping[str, Any], family: Family, head: tuple[str, ...], model: Headers
) -> list[str] | None:
    """Return which of the model's own parameters a method trains; None where it is another kind of method."""
    if type(method) is Full:
        return list(model)
    if type(method) is BitFit:
        return [name for name in model if name.endswith("bias") or name.startswith(head)]
    if type(method) is Head:
        return [name for name in model if name.startswith(head)]
    if type(method) is TopLayers and method.layers <= raw[family.layers]:
        layers, count = ARCHITECTURES[raw["model_type"]].layers, raw[family.layers]
        top = tuple(f"{layers}.{number}." for number in range(count - method.layers, count))
        return [name for name in model if name.startswith((*top, *head))]
    return None


def lora_targets(method: Lora, raw: Mapping[str, Any], family: Family) -> list[str] | None:
    """Return the linear layers that LoRA adapts; None where its targets are no linear layers."""
    linear = linear_layers(raw, family)
    given = method.target_modules
    if given is None or given == (ALL_LINEAR,):
        roles = linear if given else method.roles
        return [name for role in roles for name in linear[role]] if set(roles) <= set(linear) else None
    endings = tuple(f".{name}" for name in given)
    found = [name for name in needed_stems(raw, family) if f".{name}".endswith(endings)]
    return found if set(found) <= _roles(linear) else None


def _of_lora(
    method: Lora, raw: Mapping[str, Any], family: Family, model: Headers, head: tuple[str, ...]
) -> Headers | None:
    targets = lora_targets(method, raw, family)
    if targets is None or method.use_dora:
        return None
    found = {name: header for name, header in model.items() if name.startswith(head)}
    for name in targets:
        out, width = model[f"{name}.weight"].shape
        found[f"{name}.lora_A.weight"] = TensorHeader("F32", (method.rank, width))
        found[f"{name}.lora_B.weight"] = TensorHeader("F32", (out, method.rank))
    return {f"{PEFT_PREFIX}{name}": header for name, header in found.items()}


def lora_scale(method: Lora) -> float:
    """Return the factor of B A."""
    return float(method.alpha) / (math.sqrt(method.rank) if method.use_rslora else method.rank)
