"""Which attention a model uses: lightune's one function, or what it used before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lightune.errors import RecipeError
from lightune.execution import own_attention
from lightune.execution.attention import NAME, attention

if TYPE_CHECKING:
    from torch import nn


def use_attention(model: Any) -> None:
    """Let a stock model's attention go through `attention`; RecipeError when its attention cannot be replaced."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    if own_attention.computes_its_own(model):
        own_attention.use_the_one(model)
        return
    if not getattr(model, "_supports_sdpa", False):  # sinks or capped scores, say, which torch's function does not know
        raise RecipeError(
            "RECIPE-039", f"{model.config.model_type} computes attention in a way of its own, which takes no prefix.",
            'A prefix needs a model that transformers can run with attn_implementation="sdpa".',
        )  # fmt: skip
    model.set_attn_implementation(NAME)


def uses_attention(model: Any) -> bool:
    """Whether a stock model's attention goes through `attention`."""
    own = own_attention.attention_modules(model)
    if own:
        return all(map(own_attention.calls_the_one, own))
    return bool(model.config._attn_implementation == NAME)


class AttentionBefore:
    """Which attention a model had before `use_attention`, by each configuration's name for it, for temporary users.

    Each user holds it; the last release restores it.
    """

    def __init__(self, model: nn.Module) -> None:
        """Note it as it is now."""
        self._stock = own_attention.replaceable(model)  # modules, so that a deep copy has those of the copied model
        self._named = [(config, config._attn_implementation_internal) for config in _configurations(model)]
        self._users = 0

    def hold(self) -> None:
        """Count one more user."""
        self._users += 1

    def release(self) -> None:
        """Count one user less; the last one restores the names."""
        self._users -= 1
        if not self._users:
            self.put_back()

    def put_back(self) -> None:
        """Restore it, except where somebody has set a third attention since."""
        own_attention.put_back(self._stock)
        for config, name in self._named:
            if config._attn_implementation_internal == NAME:
                config._attn_implementation_internal = name  # as transformers does; the public name sets others too


def _configurations(model: nn.Module) -> Iterator[Any]:
    """Yield each configuration of a model once: those of its modules, and those inside them."""
    waiting: list[Any] = [getattr(module, "config", None) for module in model.modules()]
    seen: set[int] = set()
    while waiting:
        config = waiting.pop()
        if id(config) in seen or not hasattr(config, "_attn_implementation_internal"):
            continue
        seen.add(id(config))
        waiting += [getattr(config, name, None) for name in config.sub_configs]
        yield config
