"""The module that an adapted model really uses for a layer of its stock model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightune.models.anatomy import stock_classifier

if TYPE_CHECKING:
    from torch import nn


def live_layer(model: nn.Module, path: str) -> Any:
    """Return the module at a path of the stock model inside an adapted one: PEFT trains a copy of a saved module."""
    from peft.utils import ModulesToSaveWrapper

    found: Any = stock_classifier(model)
    for name in path.split("."):
        found = getattr(found, name)
        if isinstance(found, ModulesToSaveWrapper):
            found = found.modules_to_save[found.active_adapter]
    return found
