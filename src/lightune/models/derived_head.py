"""A model's head, derived from its module tree: the modules outside its base model, and the layer of the logits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Head:
    """The modules outside the base model, in the model's order, and the last layer, whose outputs are the logits.

    A language model whose output layer is tied to its embedding has no head: no modules, and "" for the layer.
    """

    modules: tuple[str, ...]
    output_layer: str


def head_of(model: Any) -> Head:
    """Return the head of a stock transformers model, whatever auto class it was loaded with."""
    inside = f"{model.base_model_prefix}."
    # A tied parameter is named once, inside the base model.
    owners = [name.rpartition(".")[0] for name, _ in model.named_parameters() if not name.startswith(inside)]
    modules = tuple(dict.fromkeys(owner.partition(".")[0] for owner in owners if owner))
    return Head(modules, owners[-1] if owners else "")
