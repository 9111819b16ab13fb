"""A last layer whose feed-forward part computes only the tokens that the head reads."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import torch

from lightune.execution.execution import is_own_hook, own_hook
from lightune.execution.layout_argument import layout_in
from lightune.models.anatomy import is_stock_sequence_classifier, layer_runner, layer_stack, modules_within
from lightune.models.architectures import ARCHITECTURES

if TYPE_CHECKING:
    from torch import nn

    from lightune.execution.packed_layout import Layout


class LastFeedForward:
    """Gives the feed-forward part of a model's last layer only the tokens that the head reads, and zeros for others.

    Attention needs its keys and values of all tokens, and a layer that normalises its input before attention adds all
    of them up again; so only this part is narrowed. That is for layers whose `projects_input` is not set; the others
    are given the first tokens alone (unpadding.py). The tokens are those of the layout that the layer is called with.
    Somebody else's hook in the layer, or anywhere outside of the layers, needs every token.
    """

    def __init__(self, stock: Any, reads: Literal["first", "last"], into: list[nn.Module], out: nn.Module) -> None:
        self.reads, self._into, self._out = reads, into, out
        self._layer = layer_stack(stock)[-1]
        inside = {part for layer in layer_stack(stock) for part in layer.modules()}
        self._watched = [*self._layer.modules(), *(part for part in stock.modules() if part not in inside)]
        self._checkpointed = (self._layer, layer_runner(stock), stock.base_model)
        # By thread, for as long as it is in the layer: the tokens to compute, and how many there are in all.
        self._chosen: dict[int, tuple[torch.Tensor, int]] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> LastFeedForward:
        """Return itself: the hooks in a copied model still belong to this one, and do nothing there."""
        return self

    @classmethod
    def of(cls, stock: Any) -> LastFeedForward | None:
        """Return it for a model; None where the head reads more, or the modules of this part are not found."""
        reads, row, layer = _read_by_head(stock), ARCHITECTURES[stock.config.model_type], layer_stack(stock)[-1]
        if not reads or reads_elsewhere(layer):
            return None
        into, out = (modules_within(layer, row.paths(role)) for role in ("ffn_in", "ffn_out"))
        return cls(stock, reads, into, out[0]) if into and len(out) == 1 else None

    def register(self) -> list[Any]:
        """Return the handles of the hooks that do it."""
        # First and last of all, so that an adapter's own hooks there see the same tokens.
        into = [part.register_forward_pre_hook(self.choose, prepend=True) for part in self._into]
        out = self._out.register_forward_hook(self.spread)
        begin = self._layer.register_forward_pre_hook(self.begin, with_kwargs=True)
        return [*into, out, begin, self._layer.register_forward_hook(self.end, always_call=True)]

    def reads_of(self, ids: torch.Tensor | None, mask: torch.Tensor, pad: int | None) -> Literal["first", "last", ""]:
        """Return which token the head reads of each text of a batch (texts, positions) on a CPU; "" where unknown.

        transformers' causal classifiers read the last token that is not the pad token, which may be within the text.
        """
        if mask.device.type != "cpu" or self._is_checkpointed():
            return ""
        if self.reads == "last" and (ids is None or pad is None or not _same_last(ids != pad, mask.bool())):
            return ""
        return "" if any(_has_foreign_hook(part) for part in self._watched) else self.reads

    def _is_checkpointed(self) -> bool:
        """Whether gradient checkpointing is on: it repeats a layer's inside without the hooks around the layer."""
        return any(getattr(part, "gradient_checkpointing", False) for part in self._checkpointed)

    @own_hook
    def begin(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Note which tokens the head reads of this call's batch."""
        if layer is not self._layer:
            return
        layout: Layout | None = layout_in(args, kwargs)
        self._chosen.pop(threading.get_ident(), None)  # a KeyboardInterrupt in the layer ends it without `end`
        if layout is not None and layout.head_reads:
            self._chosen[threading.get_ident()] = layout.read, len(layout.real)

    @own_hook
    def end(self, layer: nn.Module, *_: Any) -> None:
        """Forget them, also after an error."""
        if layer is self._layer:
            self._chosen.pop(threading.get_ident(), None)

    @own_hook
    def choose(self, part: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """(..., tokens, width) -> (..., texts, width)"""
        chosen = self._chosen.get(threading.get_ident())
        if chosen is None or part not in self._into:
            return None
        return (args[0].index_select(-2, chosen[0]), *args[1:])

    @own_hook
    def spread(self, part: nn.Module, _: Any, output: torch.Tensor) -> torch.Tensor | None:
        """(..., texts, width) -> (..., tokens, width), zero for the others"""
        chosen = self._chosen.get(threading.get_ident())
        if chosen is None or part is not self._out:
            return None
        tokens, count = chosen
        whole = output.new_zeros(*output.shape[:-2], count, output.shape[-1])
        return whole.index_copy(-2, tokens, output)


def _read_by_head(stock: Any) -> Literal["first", "last", ""]:
    """Return which token of each text the head reads; "" where it reads more, or is not transformers' own."""
    if not is_stock_sequence_classifier(stock):
        return ""
    reads = ARCHITECTURES[stock.config.model_type].head_reads
    return "" if reads == "first" and stock.config.classifier_pooling != "cls" else reads


def reads_elsewhere(layer: nn.Module, apart: Iterable[nn.Module] = ()) -> bool:
    """Whether an adapter in a layer reads the input of a module outside of it, or one in modules `apart` reads any.

    The former has all tokens where this layer has some, and the latter are computed before the rest of the layer.
    """
    inside, first = set(layer.modules()), {part for module in apart for part in module.modules()}
    reading = [(part, source.layer) for part in inside for source in getattr(part, "bottleneck_inputs", {}).values()]
    return any(part in first or source not in inside for part, source in reading)


def _same_last(some: torch.Tensor, others: torch.Tensor) -> bool:
    """Whether the last marked position is the same in each row of two masks."""
    positions = torch.arange(some.shape[1])
    return torch.equal((some * positions).argmax(1), (others * positions).argmax(1))


def _has_foreign_hook(part: nn.Module) -> bool:
    hooks = (*part._forward_hooks.values(), *part._forward_pre_hooks.values())
    return not all(map(is_own_hook, hooks))
