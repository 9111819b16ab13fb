"""Models that compute attention themselves: subclasses of their modules call the attention interface instead."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lightune.models.class_swap import swap_classes

if TYPE_CHECKING:
    from torch import nn

# The modules that hold such subclasses, by model type: ATTENTION and OTHERS map stock classes to them.
OWN = {"mpnet": "lightune.execution.mpnet_attention", "deberta-v2": "lightune.execution.deberta_attention"}


def computes_its_own(model: Any) -> bool:
    """Whether the model computes attention itself, and there are subclasses that call the interface instead.

    A convolution over neighbouring tokens (`conv_kernel_size` of DeBERTa-v2) would see neighbouring texts.
    """
    return model.config.model_type in OWN and not getattr(model.config, "conv_kernel_size", 0)


def use_interface(model: Any, name: str) -> None:
    """Let the model call the attention function of this name."""
    attention, others = _classes(model.config.model_type)
    swap_classes(model, {**attention, **others})
    for module in model.modules():
        if type(module) in attention.values():
            module.config = model.config  # as transformers' other attention modules have it
    model.config._attn_implementation_internal = name


def put_back(model: nn.Module) -> None:
    """Let a model, whatever wraps it, compute attention itself again; nothing changes for one that already does."""
    for attention, others in map(_classes, OWN):
        for module in model.modules():
            if type(module) in attention.values():
                vars(module).pop("config", None)
        swap_classes(model, {subclass: stock for stock, subclass in {**attention, **others}.items()})


def _classes(model_type: str) -> tuple[dict[type[nn.Module], type[nn.Module]], ...]:
    found = import_module(OWN[model_type])
    return found.ATTENTION, found.OTHERS
