"""Modules that compute with another class's `forward`, while names, hooks, state and identity stay the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def swap_classes(model: nn.Module, classes: Mapping[type[nn.Module], type[nn.Module]]) -> Callable[[], None]:
    """Replace the class of each module whose class is a key by its value, and return what undoes it.

    A subclass of a key stays as it is: it may compute something else.
    """
    swapped = [(module, type(module)) for module in model.modules() if type(module) in classes]
    for module, own in swapped:
        module.__class__ = classes[own]

    def undo() -> None:
        for module, own in swapped:
            module.__class__ = own

    return undo
