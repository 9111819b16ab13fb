"""The context in which a classifier runs without padding: a hook at its base's door, another behind its layers."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from lightune.execution.attention import MULTIPLE, NAME, use_attention
from lightune.models.anatomy import is_stock_sequence_classifier, stock_classifier
from lightune.models.architectures import ARCHITECTURES

if TYPE_CHECKING:
    import torch
    from torch import nn

    from lightune.execution.packed_layout import Layout

# Where the base model keeps the door that is open on it.
PLACE = "lightune_door"
# Where a mask keeps its layout, if that was made before the call.
PREPARED = "lightune_layout"
# What a batch can bring of each token, besides its id or its embedding.
BESIDE = ("input_ids", "inputs_embeds", "token_type_ids")
# A call that brings or wants one of these is left as it is: padding can be seen in it.
LEFT_ALONE = ("past_key_values", "encoder_hidden_states", "output_hidden_states", "output_attentions")
DEVICES = ("cpu", "cuda")
_OPENING = threading.Lock()


@contextmanager
def padding_free(model: nn.Module, logits_only: bool = False) -> Iterator[None]:
    """Let the calls that this thread makes of a classifier, adapted or not, run without padding where that is possible.

    Callers, hooks on the base model and heads see padded batches as before, with zeros for what was computed at
    padding. With `logits_only` nothing but the logits is wanted: where a stock head reads the first token alone, the
    last layer works for that one, and leaves zeros elsewhere, unless somebody listens behind it. A model whose
    attention cannot be exchanged runs as ever. The attention function stays in place afterwards; without padding to
    drop it is transformers' own.
    """
    stock = stock_classifier(model)
    if stock is None or not supported(stock):
        yield
        return
    with _OPENING:
        if stock.config._attn_implementation != NAME:
            use_attention(stock)
        door = vars(stock.base_model).get(PLACE) or Door(stock)
        door.admit(stock, logits_only)
        vars(stock.base_model)[PLACE] = door
    try:
        yield
    finally:
        with _OPENING:
            if door.close():
                vars(stock.base_model).pop(PLACE)


def supported(model: nn.Module) -> bool:
    """Whether it is (or wraps) a known architecture's classifier with transformers' own attention, on a CPU or CUDA."""
    stock = stock_classifier(model)
    if stock is None or stock.config.model_type not in ARCHITECTURES or getattr(stock.config, "is_decoder", False):
        return False
    if next(stock.parameters()).device.type not in DEVICES or getattr(stock.config, "chunk_size_feed_forward", None):
        return False
    return stock.config._attn_implementation in ("sdpa", NAME)


@cache
def _arguments(forward: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of what a base model takes, without itself; asking takes long, and a class is asked often."""
    return tuple(inspect.signature(forward).parameters)[1:]


class Door:
    """Drops the padding of what enters a base model, and puts it back behind the layers.

    The layout of a batch travels with the call, as the argument `ragged` that stock models pass on to attention. The
    door itself knows only which threads have opened it, and how often.
    """

    def __init__(self, stock: Any) -> None:
        self._threads: dict[int, list[bool]] = {}  # whether logits alone are wanted, the last opening last
        self._handles: list[Any] = []
        self._names = _arguments(type(stock.base_model).forward)
        self._row = ARCHITECTURES[stock.config.model_type]
        self._layers = stock.get_submodule(self._row.layers)
        self._stack = next(module for module in stock.base_model.modules() if self._layers in module.children())
        # The stock heads of sequence classification read the first token alone; others may read more.
        reads_first = self._row.projects_input and is_stock_sequence_classifier(stock)
        self._answering = self._keys_and_values() if reads_first else []

    def admit(self, stock: Any, logits_only: bool) -> None:
        """Let this thread through without padding."""
        if not self._threads:
            self._handles = [
                stock.base_model.register_forward_pre_hook(self.enter, with_kwargs=True),
                # First of all, so that whoever else listens there sees the padded shape.
                self._stack.register_forward_hook(self.leave, with_kwargs=True, prepend=True),
            ]
            if len(self._answering) == 2:
                self._handles.append(self._layers[-1].register_forward_pre_hook(self.narrow, with_kwargs=True))
        self._threads.setdefault(threading.get_ident(), []).append(logits_only)

    def close(self) -> bool:
        """Take back one `admit` of this thread, and say whether the door is shut for all."""
        thread = threading.get_ident()
        self._threads[thread].pop()
        if not self._threads[thread]:
            del self._threads[thread]
        if self._threads:
            return False
        for handle in self._handles:
            handle.remove()
        return True

    def enter(self, base: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[()], Any] | None:
        """Replace a padded batch by its real tokens, (1, tokens), with the position that each has in its text."""
        opened = self._threads.get(threading.get_ident())
        if not opened:
            return None
        given = {**dict(zip(self._names, args, strict=False)), **kwargs}
        layout = _layout(base.config, given, opened[-1] and self._narrows(base), vars(base).get(MULTIPLE, 1))
        if layout is None:
            # A cache nobody asked for takes memory, and holds values in the type of rotated keys.
            is_plain = "use_cache" in self._names and not any(given.get(name) for name in (*LEFT_ALONE, "use_cache"))
            return ((), given | {"use_cache": False}) if is_plain else None
        given["position_ids"] = layout.pack(self._positions(base, given))
        for name in BESIDE:
            if given.get(name) is not None:
                given[name] = layout.pack(given[name])
        # A mask of four dimensions is taken as it is. No attention can use this one, so that none goes on without
        # the layout unnoticed.
        mask = given["attention_mask"]
        given |= {"attention_mask": mask.new_zeros(1, 1, 0, 0).bool(), "ragged": layout}
        if "use_cache" in self._names:
            given["use_cache"] = False
        return (), given

    def _narrows(self, base: Any) -> bool:
        """Whether the last layer can be left with first tokens: keys and values are found, nobody listens behind it."""
        from lightune.execution.bf16 import widen

        last: Any = self._layers[-1]
        # Our own hooks there put back padding and precision, and look at nothing.
        own = (self.leave, widen)
        is_heard = base._forward_hooks or last._forward_hooks or set(self._stack._forward_hooks.values()) - set(own)
        return len(self._answering) == 2 and not is_heard

    def _keys_and_values(self) -> list[nn.Module]:
        """Return the modules of the two roles in the last layer, adapted or not, as far as they are found."""
        last = self._layers[-1]
        named = {name.replace(".base_layer", ""): module for name, module in reversed([*last.named_modules()])}
        paths = [path for role in ("key", "value") for path in self._row.paths(role)]
        return [named[path] for path in paths if path in named]

    def narrow(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any] | None:
        """Leave the last layer with the first token of each text, and with the keys and values of all of them."""
        layout: Layout | None = kwargs.get("ragged")
        if layout is None or not layout.narrows:
            return None
        from lightune.execution.packed_layout import Narrowed

        hidden, *others = args
        keys, values = (module(hidden) for module in self._answering)
        narrowed = Narrowed(layout, keys, values)
        return (hidden.index_select(1, layout.firsts), *others), {**kwargs, "ragged": narrowed}

    def leave(self, stack: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        """Put the padding back."""
        layout: Layout | None = kwargs.get("ragged")
        if layout is None:
            return None
        hidden = layout.unpack(output[0])
        if isinstance(output, tuple):
            return (hidden, *output[1:])
        output.last_hidden_state = hidden
        return output

    def _positions(self, base: Any, given: dict[str, Any]) -> torch.Tensor:
        """Return the position of every token in its text, (texts, positions), as the model would count it."""
        import torch

        mask, ids, told = (given.get(name) for name in ("attention_mask", "input_ids", "position_ids"))
        assert mask is not None
        if told is not None:
            return told.expand(mask.shape)
        plain = torch.arange(mask.shape[1], device=mask.device).expand(mask.shape)
        if not self._row.counts_from_pad:
            return plain
        pad = base.embeddings.padding_idx
        if ids is None:
            return plain + pad + 1
        counted = (ids != pad).long()
        return counted.cumsum(1) * counted + pad


def _layout(config: Any, given: dict[str, Any], narrows: bool, multiple: int) -> Layout | None:
    """Return how to drop the padding of a call; None where there is none to drop or it must stay."""
    from lightune.execution.packed_layout import Layout
    from lightune.execution.short_texts import Alone

    mask: Any = given.get("attention_mask")
    is_left = any(given.get(name) or getattr(config, name, False) for name in LEFT_ALONE)
    if is_left or getattr(mask, "ndim", 0) != 2 or "ragged" in given:
        return None
    prepared: Layout | None = vars(mask).get(PREPARED)
    if prepared is not None:
        return replace(prepared, narrows=narrows)
    if mask.device.type == "cuda" and len(mask) == 1:
        return None  # which would save a GPU little, and costs calls
    alone = Alone.of_one(mask, narrows) if multiple == 1 else None
    return alone or Layout.of(mask, narrows, multiple)
