"""MPNet's attention through the one attention function, with its bias by distance."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder, MPNetSelfAttention

from lightune.execution.attention import attention, is_prefixed
from lightune.execution.layout_argument import layout_on
from lightune.execution.score_bias import DistanceBias, GivenBias, ScoreBias


class InterfaceMPNetEncoder(MPNetEncoder):
    """Computes the bias once for each distance instead of once for each pair of tokens."""

    def compute_position_bias(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the bias of each distance, (heads, 2 tokens - 1), of hidden states (rows, tokens, width)."""
        tokens = x.shape[1]
        distances = torch.arange(1 - tokens, tokens, device=x.device)
        table: torch.Tensor = self.relative_attention_bias(self.relative_position_bucket(distances))
        return table.t()


class InterfaceMPNetAttention(MPNetSelfAttention):
    """o(softmax(q k^T / sqrt(width) + bias) v) by the one attention function."""

    config: Any
    calls_the_one = True

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_bias: torch.Tensor | None = None,
        output_attentions: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor | None, ...]:
        """Return the output, (rows, tokens, width), and where they are asked for weights; None for them with a prefix.

        The bias of each distance, (heads, 2 tokens - 1), comes from the encoder above. Any other is the stock module's:
        none, or that of each pair of tokens, (rows or 1, heads, tokens, tokens).
        """
        bias, layout = _as_function(position_bias), layout_on(attention_mask)
        is_stock = output_attentions or not isinstance(bias, DistanceBias)
        if is_stock and layout is None and not is_prefixed(self):
            return self._stock(hidden_states, attention_mask, bias, output_attentions)
        query, key, value = (self._by_heads(project(hidden_states)) for project in (self.q, self.k, self.v))
        found, _ = attention(
            self, query, key, value, attention_mask,
            ragged=layout, score_bias=bias, is_causal=False,
            dropout=self.dropout.p if self.training else 0.0, scaling=self.attention_head_size**-0.5,
        )  # fmt: skip
        own = self.o(found.flatten(-2))
        return (own, None) if output_attentions else (own,)

    def _by_heads(self, states: torch.Tensor) -> torch.Tensor:
        return states.unflatten(-1, (-1, self.attention_head_size)).transpose(1, 2)

    def _stock(
        self, hidden_states: torch.Tensor, mask: torch.Tensor | None, bias: ScoreBias | None, weights: bool
    ) -> tuple[torch.Tensor, ...]:
        """Return what MPNet's own attention returns, which also computes weights."""
        heads = self._by_heads(hidden_states.new_empty(*hidden_states.shape[:-1], self.all_head_size))
        found: tuple[torch.Tensor, ...] = super().forward(hidden_states, mask, bias and bias(heads, heads), weights)
        return found


def _as_function(bias: torch.Tensor | None) -> ScoreBias | None:
    return None if bias is None else DistanceBias(bias) if bias.ndim == 2 else GivenBias(bias)


ATTENTION: dict[type[nn.Module], type[nn.Module]] = {MPNetSelfAttention: InterfaceMPNetAttention}
OTHERS: dict[type[nn.Module], type[nn.Module]] = {MPNetEncoder: InterfaceMPNetEncoder}
