"""MPNet's attention through the one attention function, with its bias by distance."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder, MPNetSelfAttention

from lightune.execution.attention import attention
from lightune.execution.layout_argument import layout_on
from lightune.execution.score_bias import DistanceBias


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
    ) -> tuple[torch.Tensor, ...]:
        """Return the output, (rows, tokens, width), and weights where they are asked for."""
        assert position_bias is not None
        bias = DistanceBias(position_bias)
        if output_attentions:
            return self._stock(hidden_states, attention_mask, bias)
        query, key, value = (self._by_heads(project(hidden_states)) for project in (self.q, self.k, self.v))
        found, _ = attention(
            self, query, key, value, attention_mask,
            ragged=layout_on(attention_mask), score_bias=bias, is_causal=False,
            dropout=self.dropout.p if self.training else 0.0, scaling=self.attention_head_size**-0.5,
        )  # fmt: skip
        return (self.o(found.flatten(-2)),)

    def _by_heads(self, states: torch.Tensor) -> torch.Tensor:
        return states.unflatten(-1, (-1, self.attention_head_size)).transpose(1, 2)

    def _stock(
        self, hidden_states: torch.Tensor, mask: torch.Tensor | None, bias: DistanceBias
    ) -> tuple[torch.Tensor, ...]:
        """Return what MPNet's own attention returns, which also computes weights."""
        heads = self._by_heads(hidden_states.new_empty(*hidden_states.shape[:-1], self.all_head_size))
        found: tuple[torch.Tensor, ...] = super().forward(hidden_states, mask, bias(heads, heads), True)
        return found


ATTENTION: dict[type[nn.Module], type[nn.Module]] = {MPNetSelfAttention: InterfaceMPNetAttention}
OTHERS: dict[type[nn.Module], type[nn.Module]] = {MPNetEncoder: InterfaceMPNetEncoder}
