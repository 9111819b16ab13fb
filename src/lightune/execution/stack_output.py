"""The output of a stack of layers with other hidden states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def with_hidden_states(output: Any, hidden: torch.Tensor) -> Any:
    """Return the output of a stack, a tuple or a ModelOutput, with these last hidden states."""
    if isinstance(output, tuple):
        return (hidden, *output[1:])
    output.last_hidden_state = hidden
    if output.get("hidden_states") is not None:  # DeBERTa-v2 reads the last of them
        output.hidden_states = (*output.hidden_states[:-1], hidden)
    return output
