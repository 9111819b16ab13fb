"""Undoing what a failed adapter changed: a model's modules and their attributes, as they were."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import nn

CONTAINERS = (dict, OrderedDict, list, set)


class ModulesBefore:
    """The attributes of modules; containers are noted with their content, and keep their identity (hooks need it)."""

    def __init__(self, model: nn.Module, *others: nn.Module) -> None:
        """Note them."""
        self._attributes = [(module, dict(vars(module))) for module in [*model.modules(), *others]]
        held = (value for _, own in self._attributes for value in own.values() if type(value) in CONTAINERS)
        self._contents = [(container, type(container)(container)) for container in held]
        self._trained = [(value, value.requires_grad) for value in model.parameters()]
        self._known = {id(module) for module, _ in self._attributes}

    def knows(self, module: nn.Module) -> bool:
        """Whether the module was there."""
        return id(module) in self._known

    def put_back(self) -> None:
        """Restore them, and what is trained."""
        for module, attributes in self._attributes:
            vars(module).clear()
            vars(module).update(attributes)
        for container, content in self._contents:
            _refill(container, content)
        for value, is_trained in self._trained:
            value.requires_grad_(is_trained)


def _refill(container: Any, content: Any) -> None:
    container.clear()
    container.extend(content) if isinstance(container, list) else container.update(content)
