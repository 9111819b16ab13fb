"""The lowest layers of a model that compute the same in every epoch, found by watching one call.

Imported only where a model is loaded, since it needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from torch import nn

from lightune.execution.layout_argument import layout_in
from lightune.models.anatomy import layer_stack, stock_classifier
from lightune.models.architectures import ARCHITECTURES

# Takes a layer's arguments, (hidden states, other arguments, keywords), and returns the layer's output.
Answer = Callable[[torch.Tensor, tuple[Any, ...], dict[str, Any]], Any]


class StandIn(nn.Module):
    """Takes a layer's place for a call; all other attributes, such as the layer's kind, come from the layer."""

    def __init__(self, layer: nn.Module, answer: Answer) -> None:
        super().__init__()
        # Not a submodule, which would change the names of the model's parameters.
        vars(self).update(layer=layer, answer=answer)

    def __getattr__(self, name: str) -> Any:
        """Return the layer's attribute."""
        return getattr(vars(self)["layer"], name)

    def forward(self, hidden: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """Return the output in place of the layer."""
        return vars(self)["answer"](hidden, args, kwargs)


@contextmanager
def standing_in(layers: nn.ModuleList, stand_ins: Sequence[nn.Module]) -> Iterator[None]:
    """Put stand-ins in the place of the first layers for as long as the context lasts."""
    places = list(layers._modules)[: len(stand_ins)]
    own = [layers._modules[place] for place in places]
    layers._modules.update(zip(places, stand_ins, strict=True))
    try:
        yield
    finally:
        layers._modules.update(zip(places, own, strict=True))


@dataclass(frozen=True)
class LayerOutput:
    """What a layer returns in a call: `beside` counts its outputs beside hidden states, None for a bare tensor.

    `is_trained` and `is_random` say whether it depends on a trainable parameter or a random number, in this layer or
    below. `has_hooks` says that this layer has others' hooks, `narrows` that it has only the first token of each text.
    """

    is_trained: bool
    is_random: bool
    has_hooks: bool
    narrows: bool
    beside: int | None
    width: int
    dtype: torch.dtype

    @property
    def is_fixed(self) -> bool:
        """Whether it depends on the text only, and no hook needs it to be computed."""
        return not (self.is_trained or self.is_random or self.has_hooks)


@dataclass(frozen=True)
class FrozenPrefix:
    """The first `depth` layers, and what the last of them returns."""

    layers: nn.ModuleList
    depth: int
    output: LayerOutput


def frozen_prefix(model: Any, batch: Mapping[str, torch.Tensor]) -> FrozenPrefix | str:
    """Return the longest run of lowest layers whose outputs depend only on the text, or why there is none.

    The model is called once on the batch, in training mode, and stays in that mode. Trainable parameters below a layer
    are in the graph of its output, and dropout changes the RNG state.
    """
    stock = stock_classifier(model)
    if stock is None or stock.config.model_type not in ARCHITECTURES:
        return "the layers of this model are not known"
    if "attention_mask" not in batch:
        return "the tokenizer of this model makes no attention mask"
    layers = layer_stack(stock)
    seen = _watched(model, layers, batch)
    if [number for number, _ in seen] != list(range(len(layers))):
        return "the layers of this model share their weights"
    fixed = list(takewhile(lambda output: output.is_fixed, (output for _, output in seen)))
    if fixed:
        return FrozenPrefix(layers, len(fixed), fixed[-1])
    lowest = seen[0][1]
    if lowest.is_trained:
        return "the method trains weights in the lowest layer or below it"
    if lowest.is_random:
        return "dropout is active in the lowest layer or below it"
    return "there is a hook in the lowest layer"


def _watched(model: Any, layers: nn.ModuleList, batch: Mapping[str, torch.Tensor]) -> list[tuple[int, LayerOutput]]:
    """Return what each layer returned, in the order in which they were called."""
    device = next(model.parameters()).device
    seen: list[tuple[int, LayerOutput]] = []
    passed: set[Any] = set()

    def watch(number: int, layer: nn.Module) -> StandIn:
        def answer(hidden: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            output = layer(hidden, *args, **kwargs)
            is_random = not torch.equal(_random_state(device), start)
            is_narrow = number == len(layers) - 1 and getattr(layout_in((hidden, *args), kwargs), "narrows", False)
            seen.append((number, _output_of(layer, output, is_random, is_narrow, passed)))
            return output

        return StandIn(layer, answer)

    watching = [watch(number, layer) for number, layer in enumerate(layers)]
    model.train()
    with torch.random.fork_rng(), torch.enable_grad(), standing_in(layers, watching):
        start = _random_state(device)
        model(**{name: value.to(device) for name, value in batch.items()})
    return seen


def _output_of(layer: nn.Module, output: Any, is_random: bool, is_narrow: bool, passed: set[Any]) -> LayerOutput:
    hidden = output[0] if isinstance(output, tuple) else output
    is_trained = any(value.requires_grad for value in layer.parameters()) or _needs_parameter(hidden, passed)
    has_hooks = any(_is_foreign(hook) for module in layer.modules() for hook in _hooks(module))
    beside = len(output) - 1 if isinstance(output, tuple) else None
    return LayerOutput(is_trained, is_random, has_hooks, is_narrow, beside, hidden.shape[-1], hidden.dtype)


def _hooks(module: nn.Module) -> list[Any]:
    return [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]


def _is_foreign(hook: Any) -> bool:
    """Whether it is somebody else's hook; hooks of lightune and transformers do not need to see a plain call."""
    return not str(getattr(hook, "__module__", "")).startswith(("lightune.", "transformers."))


def _needs_parameter(hidden: torch.Tensor, passed: set[Any]) -> bool:
    """Whether hidden states depend on a trainable parameter; nodes in `passed` have been visited before.

    `requires_grad` is not enough: with gradient checkpointing transformers sets it for the embedded tokens too.
    """
    waiting = [hidden.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in passed:
            continue
        if isinstance(getattr(node, "variable", None), nn.Parameter):
            return True
        passed.add(node)
        waiting += [below for below, _ in node.next_functions]
    return False


def _random_state(device: torch.device) -> torch.Tensor:
    """Return the state of all generators that a call on the device may draw from."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    elif device.type == "mps":
        states.append(torch.mps.get_rng_state())
    return torch.cat(states)
