"""The learning rate of a head with a hidden layer, for which the rate of many methods is too high."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightune.models.anatomy import stock_classifier
from lightune.models.derived_head import head_of

if TYPE_CHECKING:
    from torch import nn

# The rates of the methods were chosen with heads of one layer. A hidden layer as wide as the model, as in the heads of
# MPNet, RoBERTa or DistilBERT, is thrown far away by the rates of scales and prompts: docs/LOG.md has the figures. This
# is the rate of the method that trains nothing but the head.
DEEP_HEAD_RATE = 5e-3


def head_rate_factors(model: nn.Module, stated: float | None, usual: float) -> dict[str, float]:
    """Return by what the rate of each parameter of the head is multiplied; nothing where all learn at one rate.

    Where a method's usual rate is above DEEP_HEAD_RATE, a head with a hidden layer learns at most at that, unless it is
    all that is trained. A stated rate is one for the method's own parameters: a lower one must not be a higher one for
    the head, and the recipe that a run records states the rate that was used.
    """
    stock, rate = stock_classifier(model), usual if stated is None else stated
    if stock is None or min(usual, rate) <= DEEP_HEAD_RATE:
        return {}
    modules = [stock.get_submodule(name) for name in head_of(stock).modules]
    inside = {id(value) for module in modules for value in module.parameters()}
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    head = {name: value for name, value in trained.items() if id(value) in inside}
    is_deep = sum(value.ndim == 2 for value in head.values()) > 1
    if not is_deep or len(head) == len(trained):
        return {}
    return dict.fromkeys(head, DEEP_HEAD_RATE / rate)


def head_rate_notes(model: nn.Module, stated: float | None, usual: float) -> list[str]:
    """Return a line that says so where the head has a rate of its own."""
    if not head_rate_factors(model, stated, usual):
        return []
    rate = usual if stated is None else stated
    return [f"The head has a hidden layer, so it learns at {DEEP_HEAD_RATE:g} instead of {rate:g}."]
