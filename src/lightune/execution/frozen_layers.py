"""The lowest layers of a model, as far as they compute the same in every epoch; found by watching one call.

Imported only where a model is there, since it needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from torch import nn

from lightune.models.anatomy import layer_stack, stock_classifier
from lightune.models.architectures import ARCHITECTURES

# Takes what a layer is called with, (hidden states, other arguments, keywords), and gives what it would answer.
Answer = Callable[[torch.Tensor, tuple[Any, ...], dict[str, Any]], Any]


class StandIn(nn.Module):
    """Takes a layer's place for a call; whatever else is asked of the layer, such as its kind, the layer answers."""

    def __init__(self, layer: nn.Module, answer: Answer) -> None:
        super().__init__()
        # Not a submodule, which would change the names of the model's parameters.
        vars(self).update(layer=layer, answer=answer)

    def __getattr__(self, name: str) -> Any:
        """Ask the layer."""
        return getattr(vars(self)["layer"], name)

    def forward(self, hidden: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """Answer for the layer."""
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
    """What a layer returns in a call: `beside` counts what it answers beside hidden states, None for a bare tensor.

    `is_trained` and `is_random` say whether a trained weight or a random number had a part in it, in this layer or
    below, `has_hooks` that this layer has hooks of others; `narrows` that it is of the first token of each text alone.
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
    """The first `depth` of the layers, and what the last of those returns."""

    layers: nn.ModuleList
    depth: int
    output: LayerOutput


def frozen_prefix(model: Any, batch: Mapping[str, torch.Tensor]) -> FrozenPrefix | str:
    """Return the deepest run of lowest layers whose answers depend on the text only, or why there is none.

    The model is called once on the batch, in training mode, and stays in that mode. Whatever is trained below a layer
    stands in the graph of its answer, and whatever is dropped shows in the state of the random numbers.
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
            is_narrow = number == len(layers) - 1 and getattr(kwargs.get("ragged"), "narrows", False)
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
    """Whether it is a hook of others; those of lightune and transformers themselves want nothing of a plain call."""
    return not str(getattr(hook, "__module__", "")).startswith(("lightune.", "transformers."))


def _needs_parameter(hidden: torch.Tensor, passed: set[Any]) -> bool:
    """Whether a parameter that is trained had a part in hidden states; nodes in `passed` were looked at before.

    That a gradient is wanted says less: with gradient checkpointing transformers wants one of the embedded tokens.
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
