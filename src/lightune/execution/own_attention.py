"""Models that compute attention themselves: subclasses of their modules call the one attention function instead."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lightune.models.class_swap import swap_classes

if TYPE_CHECKING:
    from torch import nn

# The modules that hold such subclasses, by model type: ATTENTION and OTHERS map stock classes to them.
OWN = {"mpnet": "lightune.execution.mpnet_attention", "deberta-v2": "lightune.execution.deberta_attention"}


def computes_its_own(model: Any) -> bool:
    """Whether the model computes attention itself, and there are subclasses that call the one attention function.

    A convolution over neighbouring tokens (`conv_kernel_size` of DeBERTa-v2) would see neighbouring texts. Somebody's
    own subclass of an attention module may compute something else.
    """
    kind = model.config.model_type
    if kind not in OWN or getattr(model.config, "conv_kernel_size", 0) > 0:
        return False
    attention, _ = _classes(kind)
    return all(type(module) in (*attention, *attention.values()) for module in attention_modules(model))


def attention_modules(model: Any) -> list[nn.Module]:
    """Return the modules that compute attention themselves, or would without the subclasses; none in other models."""
    kind = model.config.model_type
    stock = tuple(_classes(kind)[0]) if kind in OWN else ()
    return [module for module in model.modules() if isinstance(module, stock)]


def calls_the_one(module: nn.Module) -> bool:
    """Whether an attention module calls the one attention function because of its subclass."""
    return bool(getattr(type(module), "calls_the_one", False))


def use_the_one(model: Any) -> None:
    """Let the model call the one attention function.

    Nothing about it is written into the configuration, which other models may share and which is saved.
    """
    attention, others = _classes(model.config.model_type)
    swap_classes(model, {**attention, **others})
    for module in model.modules():
        if type(module) in attention.values():
            module.config = model.config  # as transformers' other attention modules have it


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
