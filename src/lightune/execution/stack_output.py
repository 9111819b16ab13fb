"""The output of a stack of layers with other hidden states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def with_hidden_states(output: Any, hidden: torch.Tensor) -> Any:
    """Return the output of a stack, a tuple or a ModelOutput, with these last hidden states."""
    if isinstance(output, tuple):
        last, *others = output
        return (hidden, *((*one[:-1], hidden) if _ends_in(one, last) else one for one in others))
    output.last_hidden_state = hidden
    if output.get("hidden_states") is not None:  # DeBERTa-v2 reads the last of them
        output.hidden_states = (*output.hidden_states[:-1], hidden)
    return output


def _ends_in(states: Any, last: torch.Tensor) -> bool:
    """Whether these are the hidden states of all layers, the last ones among them."""
    return isinstance(states, tuple) and len(states) > 0 and states[-1] is last
