"""The context in which a classifier runs without padding: one hook before its base model, one after its layers."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from lightune.execution import own_attention
from lightune.execution.attention import NAME
from lightune.execution.attention_switch import use_attention, uses_attention
from lightune.execution.execution import Execution, execution_of, is_own_hook, keeps_rows, own_hook
from lightune.execution.last_feed_forward import LastFeedForward, reads_elsewhere
from lightune.execution.layout_argument import layout_in, on_mask, with_layout, without_values
from lightune.execution.stack_output import with_hidden_states
from lightune.models.anatomy import (
    is_stock_sequence_classifier,
    layer_runner,
    layer_stack,
    modules_within,
    stock_classifier,
)
from lightune.models.architectures import ARCHITECTURES

if TYPE_CHECKING:
    import torch
    from torch import nn

    from lightune.execution.packed_layout import Layout

# The inputs of a batch that have one entry per token.
BESIDE = ("input_ids", "inputs_embeds", "token_type_ids")
# A call that passes or requests one of these is left as it is, because padding would be visible in it.
LEFT_ALONE = ("past_key_values", "encoder_hidden_states", "output_hidden_states", "output_attentions")
DEVICES = ("cpu", "cuda")
# Where tokens are filled up because a bf16 product is compiled for each size, so are attention's grids in training.
GRID_STEP = 16
_EXCHANGING = threading.Lock()


@contextmanager
def padding_free(model: nn.Module, logits_only: bool = False) -> Iterator[None]:
    """Let the calls that this thread makes of a classifier, adapted or not, run without padding where that is possible.

    Callers, hooks on the base model and heads see padded batches as before, with zeros at padding. With `logits_only`,
    only the logits are wanted: if a stock head reads only one token, the last layer, or its feed-forward part, computes
    only that token, and what it leaves of the others means nothing, unless there is a hook after it. Nothing changes
    for a model whose attention cannot be replaced. The attention function stays in place afterwards; without padding to
    drop it does the same as transformers' own.
    """
    stock = stock_classifier(model)
    if stock is None or not supported(stock):
        yield
        return
    if not uses_attention(stock):
        with _EXCHANGING:
            use_attention(stock)
    execution = execution_of(stock)
    with execution.without_padding(partial(Unpadder, stock, execution), logits_only):
        yield


def supported(model: nn.Module) -> bool:
    """Whether it is (or wraps) a known architecture's classifier with sdpa or lightune attention, on a CPU or CUDA."""
    stock = stock_classifier(model)
    if stock is None or stock.config.model_type not in ARCHITECTURES or getattr(stock.config, "is_decoder", False):
        return False
    if next(stock.parameters()).device.type not in DEVICES or getattr(stock.config, "chunk_size_feed_forward", None):
        return False
    return stock.config._attn_implementation in ("sdpa", NAME) or own_attention.computes_its_own(stock)


@cache
def _arguments(forward: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of a base model's arguments, without self; cached, because `signature` is slow."""
    return tuple(inspect.signature(forward).parameters)[1:]


class Unpadder:
    """Drops the padding before a base model, and restores it after the layers.

    The layout of a batch is passed with the call, as the argument `ragged` that stock models pass on to attention. The
    unpadder itself knows only which threads have opened it, and how often. Its hooks act only on the modules of its own
    model, because a copy of the model made meanwhile contains them too.
    """

    def __init__(self, stock: Any, execution: Execution) -> None:
        self._threads: dict[int, list[bool]] = {}  # whether only logits are wanted, the latest opening last
        self._handles: list[Any] = []
        self._execution, self._base = execution, stock.base_model
        self._names = _arguments(type(stock.base_model).forward)
        self._row = ARCHITECTURES[stock.config.model_type]
        self._stack = layer_runner(stock)
        self._own = own_attention.attention_modules(stock)
        self._last = layer_stack(stock)[-1]  # a stand-in may take its place for a call
        # The stock heads of sequence classification read only the first token; others may read more.
        reads_first = self._row.projects_input and is_stock_sequence_classifier(stock)
        found = self._keys_and_values() if reads_first else []
        self._key_value = [] if reads_elsewhere(self._last, found) else found
        self._feed_forward = LastFeedForward.of(stock)

    def __deepcopy__(self, memo: dict[int, Any]) -> Unpadder:
        """Return itself: the hooks in a copied model still belong to this unpadder, which does nothing there."""
        return self

    def admit(self, logits_only: bool) -> None:
        """Drop the padding of this thread's calls from now on; hooks are registered for the first thread."""
        if not self._threads:
            self._handles = [
                self._base.register_forward_pre_hook(self.enter, with_kwargs=True),
                # First of all, so that other hooks there see the padded shape.
                self._stack.register_forward_hook(self.leave, with_kwargs=True, prepend=True),
            ]
            if len(self._key_value) == 2:
                self._handles.append(self._last.register_forward_pre_hook(self.narrow, with_kwargs=True))
            if self._feed_forward is not None:
                self._handles += self._feed_forward.register()
        self._threads.setdefault(threading.get_ident(), []).append(logits_only)

    def close(self) -> bool:
        """Take back one `admit` of this thread, and say whether no thread has it open any more."""
        thread = threading.get_ident()
        self._threads[thread].pop()
        if not self._threads[thread]:
            del self._threads[thread]
        if self._threads:
            return False
        for handle in self._handles:
            handle.remove()
        return True

    @own_hook
    def enter(self, base: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[()], Any] | None:
        """Replace a padded batch by its real tokens, (1, tokens), each with its position in its text."""
        opened = self._threads.get(threading.get_ident())
        if not opened or base is not self._base or not all(map(own_attention.calls_the_one, self._own)):
            return None
        if keeps_rows():
            return None
        given = {**dict(zip(self._names, args, strict=False)), **kwargs}
        layout = self._layout(given, opened[-1] and self._is_unread())
        if layout is None:
            # A cache that nobody asked for takes memory, and holds values in the dtype of rotated keys.
            is_plain = "use_cache" in self._names and not any(given.get(name) for name in (*LEFT_ALONE, "use_cache"))
            return ((), given | {"use_cache": False}) if is_plain else None
        given["position_ids"] = layout.pack(self._positions(base, given))
        for name in BESIDE:
            if given.get(name) is not None:
                given[name] = layout.pack(given[name])
        if self._own:
            given |= on_mask(given["position_ids"], layout)
        else:
            given |= without_values(given["attention_mask"], layout)
        if "use_cache" in self._names:
            given["use_cache"] = False
        return (), given

    def _is_unread(self) -> bool:
        """Whether no hook reads the output of the last layer, so that it may compute only what the head reads."""
        behind = (self._base, self._stack, self._last)
        return all(is_own_hook(hook) for module in behind for hook in module._forward_hooks.values())

    def _keys_and_values(self) -> list[nn.Module]:
        """Return the key and value modules of the last layer, adapted or not, as far as they are found."""
        return modules_within(self._last, [path for role in ("key", "value") for path in self._row.paths(role)])

    @own_hook
    def narrow(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any] | None:
        """Give the last layer only the first token of each text, and the keys and values of all tokens."""
        layout: Layout | None = layout_in(args, kwargs)
        if layout is None or layer is not self._last or not layout.narrows:
            return None
        from lightune.execution.packed_layout import Narrowed

        hidden, *others = args
        keys, values = (module(hidden) for module in self._key_value)
        firsts = (hidden.index_select(1, layout.firsts), *others)
        return with_layout(firsts, kwargs, Narrowed(layout, keys, values))

    @own_hook
    def leave(self, stack: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        """Restore the padding."""
        layout: Layout | None = layout_in(args, kwargs)
        if layout is None or stack is not self._stack:
            return None
        return with_hidden_states(output, layout.unpack(output[0]))

    def _positions(self, base: Any, given: dict[str, Any]) -> torch.Tensor:
        """Return the position of every token in its text, (texts, positions), counted as the model counts."""
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

    def _layout(self, given: dict[str, Any], is_unread: bool) -> Layout | None:
        """Return how to drop the padding of a call; None where there is no padding or it must stay."""
        import torch

        from lightune.execution.packed_layout import Layout
        from lightune.execution.short_texts import Alone

        mask: Any = given.get("attention_mask")
        is_left = any(given.get(name) or getattr(self._base.config, name, False) for name in LEFT_ALONE)
        if is_left or getattr(mask, "ndim", 0) != 2 or "ragged" in given:
            return None
        narrows = is_unread and len(self._key_value) == 2
        known, multiple = self._execution.batch_of(mask), self._execution.row_multiple
        if known is not None and known.layout is not None:
            return replace(known.layout, narrows=narrows)
        if mask.device.type == "cuda" and len(mask) == 1:
            return None  # a layout would save a GPU little, and costs calls
        on_host = mask.cpu() if known is None or known.host_mask is None else known.host_mask
        alone = Alone.of_one(on_host, narrows, mask.device) if multiple == 1 else None
        step = GRID_STEP if multiple > 1 and torch.is_grad_enabled() else 1
        found = alone or Layout.of(on_host, narrows, multiple, mask.device, step)
        if found is None or self._feed_forward is None or not is_unread:
            return found
        pad = self._base.config.get_text_config().pad_token_id
        return replace(found, head_reads=self._feed_forward.reads_of(given.get("input_ids"), mask, pad))
