"""Models that compute attention themselves: subclasses of their modules call the one attention function instead."""

from __future__ import annotations

from collections.abc import Sequence
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
    own subclass of one of the modules may compute something else.
    """
    kind = model.config.model_type
    if kind not in OWN or getattr(model.config, "conv_kernel_size", 0) > 0:
        return False
    classes = _subclasses(kind)
    known, stock = {*classes, *classes.values()}, tuple(classes)
    return all(type(module) in known for module in model.modules() if isinstance(module, stock))


def attention_modules(model: Any) -> list[nn.Module]:
    """Return the modules that compute attention themselves, or would without the subclasses; none in other models."""
    kind = model.config.model_type
    stock = tuple(_module(kind).ATTENTION) if kind in OWN else ()
    return [module for module in model.modules() if isinstance(module, stock)]


def calls_the_one(module: nn.Module) -> bool:
    """Whether an attention module calls the one attention function because of its subclass."""
    return bool(getattr(type(module), "calls_the_one", False))


def use_the_one(model: Any) -> None:
    """Let the model call the one attention function.

    Nothing about it is written into the configuration, which other models may share and which is saved. Attention
    modules come first: they take what the other stock modules give them, should another thread be calling the model.
    """
    found = _module(model.config.model_type)
    swap_classes(model, found.ATTENTION)
    for module in attention_modules(model):
        module.config = model.config  # as transformers' other attention modules have it
    swap_classes(model, found.OTHERS)


def replaceable(model: nn.Module) -> list[nn.Module]:
    """Return the modules, in a model or in what wraps it, whose class would be replaced; none where it was already."""
    stock = {kind for name in OWN for kind in _subclasses(name)}
    return [module for module in model.modules() if type(module) in stock]


def put_back(modules: Sequence[nn.Module]) -> None:
    """Let modules compute attention themselves again; nothing changes for those that already do."""
    classes = {subclass: stock for name in OWN for stock, subclass in _subclasses(name).items()}
    for module in reversed(modules):  # attention modules last
        if calls_the_one(module):
            vars(module).pop("config", None)
        module.__class__ = classes.get(type(module), type(module))


def _module(model_type: str) -> Any:
    return import_module(OWN[model_type])


def _subclasses(model_type: str) -> dict[type[nn.Module], type[nn.Module]]:
    found = _module(model_type)
    return {**found.ATTENTION, **found.OTHERS}
