"""The shape of a prefix, as a model's attention has it, and the small network that may compute one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

RANDOM_SPREAD = 0.02


@dataclass(frozen=True)
class Heads:
    """The shape of an attention: the number of query heads, the number of key/value heads, and the width of a head."""

    query: int
    key_value: int
    width: int

    @classmethod
    def of(cls, config: Any) -> Heads:
        """Read it from a model's configuration."""
        query = int(config.num_attention_heads)
        width = getattr(config, "head_dim", None) or config.hidden_size // query
        return cls(query, int(getattr(config, "num_key_value_heads", None) or query), int(width))


class Projection(nn.Module):
    """Keys and values as W_2 tanh(W_1 E): the reparametrisation of Li and Liang 2021, arXiv:2101.00190.

    E: tokens x inner, W_1: inner x inner, W_2: 2 (heads x width) x inner.
    """

    def __init__(self, tokens: int, inner: int, heads: Heads, zero_values: bool) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(tokens, inner))
        self.hidden = nn.Linear(inner, inner)
        self.out = nn.Linear(inner, 2 * heads.key_value * heads.width)
        nn.init.normal_(self.out.weight, std=RANDOM_SPREAD)
        nn.init.zeros_(self.out.bias)
        if zero_values:
            nn.init.zeros_(self.out.weight[heads.key_value * heads.width :])
        self._heads = heads

    def forward(self) -> torch.Tensor:
        """Return keys and values, (2, key/value heads, tokens, head width)."""
        flat = self.out(torch.tanh(self.hidden(self.embedding)))
        return flat.view(len(flat), 2, self._heads.key_value, self._heads.width).permute(1, 2, 0, 3)
