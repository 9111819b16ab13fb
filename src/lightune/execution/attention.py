"""The one attention function: scaled dot-product attention, over padded texts or packed ones, prefixed or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from lightune.execution.prefixes import is_causal_for

if TYPE_CHECKING:
    import torch
    from torch import nn

    from lightune.execution.prefixes import Attend, Prefixes
    from lightune.execution.score_bias import ScoreBias
    from lightune.execution.varlen_attention import Packed

NAME = "lightune"
# Up to this many tokens, plain products are as fast as torch's own function, and their scores take little memory.
SHORT = 128
# In bf16 they are faster than torch's function up to here, beyond which their scores take too much memory.
SHORT_IN_BF16 = 512
# Options that stock models may pass to an attention function and that the fast paths here do not support.
MORE = ("softcap", "position_bias", "cache")


class PrefixSource(Protocol):
    """Gives an attention module its prefix, and may look at the keys and values of each call."""

    def prefix(self) -> Prefixes | None:
        """Return the prefix for this call, or None."""

    def observe(self, key: torch.Tensor, value: torch.Tensor) -> None:
        """See the keys and values of the tokens, (rows, key/value heads, tokens, head width)."""


# The attention module that is being called with a prefix, and the source of the prefix.
_PREFIXED: ContextVar[tuple[nn.Module, PrefixSource] | None] = ContextVar("lightune_prefixed", default=None)


@contextmanager
def prefixed(module: nn.Module, source: PrefixSource) -> Iterator[None]:
    """Let `source` give an attention module its prefix for the calls that this thread makes of it within the context.

    The base model's Execution cannot hold it: an attention function is given only the attention module, which does
    not know its base model, and a copy of the model needs the prefix of its own copied layer. So the layer that wraps
    the module sets the source in each call, also when gradient checkpointing repeats the call in another thread.
    """
    token = _PREFIXED.set((module, source))
    try:
        yield
    finally:
        _PREFIXED.reset(token)


def is_prefixed(module: nn.Module) -> bool:
    """Whether this thread is calling an attention module with a prefix."""
    return _source_of(module) is not None


def _source_of(module: nn.Module) -> PrefixSource | None:
    given = _PREFIXED.get()
    return given[1] if given is not None and given[0] is module else None


class Borders(Protocol):
    """Knows where the texts of a batch without padding begin and end; see packed_layout.py."""

    @property
    def longest(self) -> int:
        """The tokens of the longest text."""

    def attend(
        self, attend: Attend, module: nn.Module, parts: Sequence[torch.Tensor], options: Any
    ) -> tuple[torch.Tensor, None]:
        """Apply `attend` inside each text to query, key and value, (1, heads, all tokens, head width)."""

    def packed(self, parts: Sequence[torch.Tensor]) -> Packed:
        """Return the same three in the form that variable-length kernels take."""


def attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    ragged: Borders | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Return (rows, tokens, heads, head width) and no weights, as transformers' attention functions do.

    Shapes: query (rows, heads, tokens, head width), key and value the same with key/value heads; the mask, boolean or
    added to the scores, (rows or 1, 1, tokens, tokens). The keys already include rotary positions; they are not
    applied to a prefix. `score_bias` among the options is a ScoreBias.
    With borders, the texts follow one another in a single row, and the mask is not used. Query and key are cast back to
    bf16 if rotary positions widened them; what torch's own function computes on a CPU is computed in fp32, because it
    is not faster in bf16 there.
    """
    import torch

    options = options if ragged is None else _by_text(options)
    source = _source_of(module)
    is_quick = _is_quick(query, value, ragged, options)
    if value.dtype == torch.bfloat16 and value.device.type == "cpu" and (source is not None or not is_quick):
        mask, options = _widened(attention_mask), {name: _widened(option) for name, option in options.items()}
        wide = attention(module, query.float(), key.float(), value.float(), mask, ragged=ragged, **options)[0]
        return wide.to(value.dtype), None
    if value.dtype == torch.bfloat16:
        query, key = query.to(value.dtype), key.to(value.dtype)
    prefix = None if source is None else source.prefix()
    if ragged is None:
        if source is not None:
            source.observe(key, value)
        return _padded(_stock, prefix, module, query, key, value, attention_mask, **options)
    if query.device.type == "cuda":
        found = _by_borders(prefix, module, (query, key, value), ragged, options)
        if found is not None:
            return found, None
    from lightune.execution.cpu_attention import quick_attention

    attend = quick_attention if is_quick else _stock
    return ragged.attend(partial(_padded, attend, prefix), module, (query, key, value), options)


def _by_text(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options with a bias of all packed tokens (T5's) as one that is asked for each group of texts."""
    if options.get("position_bias") is None:
        return options
    from lightune.execution.score_bias import GivenBias

    others = {name: option for name, option in options.items() if name != "position_bias"}
    return {**others, "score_bias": GivenBias(options["position_bias"])}


def _widened(part: Any) -> Any:
    """Return a bf16 tensor in fp32, and anything else as it is."""
    import torch

    return part.float() if isinstance(part, torch.Tensor) and part.dtype == torch.bfloat16 else part


def _is_quick(query: torch.Tensor, value: torch.Tensor, ragged: Borders | None, options: Any) -> bool:
    """Whether plain products are faster; with borders every token sees at least one token, which they require."""
    import torch

    if ragged is None or query.device.type != "cpu" or any(options.get(name) is not None for name in MORE):
        return False
    if torch.is_autocast_enabled("cpu"):  # it would round the parts separately
        return False
    if value.dtype == torch.bfloat16:  # answers are worth fp32, in which the forward pass alone costs as little
        return torch.is_grad_enabled() and (bool(options.get("dropout")) or ragged.longest <= SHORT_IN_BF16)
    return query.dtype == value.dtype and (bool(options.get("dropout")) or ragged.longest <= SHORT)


def _by_borders(
    prefix: Prefixes | None, module: nn.Module, parts: Sequence[torch.Tensor], ragged: Borders, options: Any
) -> torch.Tensor | None:
    """Return a variable-length kernel's output, (1, tokens, heads, head width); None where no kernel can compute it."""
    import torch

    from lightune.execution.varlen_attention import takes, varlen_attention

    is_more = any(options.get(name) is not None for name in (*MORE, "score_bias"))
    if is_more or (prefix is not None and not prefix.is_apart):
        return None
    if torch.is_autocast_enabled("cuda"):
        parts = [part.to(torch.get_autocast_dtype("cuda")) for part in parts]
    packed, window, scaling = ragged.packed(parts), options.get("sliding_window"), options.get("scaling")
    if window is not None and ragged.longest <= window:
        window = None
    if not takes(packed, window):
        return None
    is_causal = is_causal_for(module, options)
    found = varlen_attention(packed, is_causal, window, options.get("dropout") or 0.0, scaling).unsqueeze(0)
    return found if prefix is None else found + prefix.apart(parts[0], scaling)


def _padded(
    attend: Attend,
    prefix: Prefixes | None,
    module: nn.Module,
    *parts: torch.Tensor | None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Apply `attend` to query, key, value and mask, with the prefix if there is one."""
    return attend(module, *parts, **options) if prefix is None else prefix.attend(attend, module, *parts, **options)


def _stock(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    score_bias: ScoreBias | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if score_bias is not None:
        from lightune.execution.score_bias import merged

        mask = merged(mask, score_bias(query, key).to(query.dtype))
    return sdpa_attention_forward(module, query, key, value, mask, **options)
