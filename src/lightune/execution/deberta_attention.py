"""DeBERTa-v2's disentangled attention through the one attention function."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import nn
from transformers.models.deberta_v2.modeling_deberta_v2 import (
    DebertaV2Encoder,
    DisentangledSelfAttention,
    make_log_bucket_position,
)

from lightune.execution.attention import attention, is_prefixed
from lightune.execution.layout_argument import layout_on
from lightune.execution.score_bias import DisentangledBias


class InterfaceDebertaV2Encoder(DebertaV2Encoder):
    """Leaves the usual distances to the attention modules, which need no matrix of all pairs of tokens."""

    def get_rel_pos(
        self,
        hidden_states: torch.Tensor,
        query_states: torch.Tensor | None = None,
        relative_pos: torch.Tensor | None = None,
    ) -> torch.Tensor | None:
        """Return the distances that the caller gave; the usual ones only for queries from elsewhere."""
        if query_states is None:
            return relative_pos
        found: torch.Tensor | None = super().get_rel_pos(hidden_states, query_states, relative_pos)
        return found


class InterfaceDisentangledAttention(DisentangledSelfAttention):
    """softmax(s (q k^T + q K'^T + k Q'^T)) v by the one attention function.

    Only the distances that occur are projected to K' and Q', once for all texts.
    """

    config: Any
    calls_the_one = True

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor,
        output_attentions: bool = False,
        query_states: torch.Tensor | None = None,
        relative_pos: torch.Tensor | None = None,
        rel_embeddings: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the output, (rows, tokens, width), and where they are asked for weights; None for them with a prefix.

        The encoder above gives no `relative_pos`: the distances are then the usual ones. Raises ValueError for others,
        or for `query_states`, with a prefix.
        """
        layout = layout_on(attention_mask)
        is_others = query_states is not None or (relative_pos is not None and layout is None)
        if is_prefixed(self) and is_others:
            raise ValueError("with a prefix, DeBERTa-v2 takes neither query_states nor a relative_pos of your own.")
        if is_others or (output_attentions and not is_prefixed(self)):
            given = (attention_mask, output_attentions, query_states, relative_pos, rel_embeddings)
            own: tuple[torch.Tensor, torch.Tensor | None] = super().forward(hidden_states, *given)
            return own
        projections = (self.query_proj, self.key_proj, self.value_proj)
        query, key, value = (self._by_heads(project(hidden_states)) for project in projections)
        longest = hidden_states.shape[1] if layout is None else layout.longest_grid
        kinds = 1 + ("c2p" in self.pos_att_type) + ("p2c" in self.pos_att_type)
        scaling = (self.attention_head_size * kinds) ** -0.5
        bias = self._bias(rel_embeddings, longest, scaling) if self.relative_attention else None
        found, _ = attention(
            self, query, key, value, None if layout is not None else attention_mask.bool(),
            ragged=layout, score_bias=bias, is_causal=False,
            dropout=self.dropout.p if self.training else 0.0, scaling=scaling,
        )  # fmt: skip
        return found.flatten(-2), None

    def _bias(self, rel_embeddings: torch.Tensor | None, longest: int, scaling: float) -> DisentangledBias | None:
        """Return the bias of the distances that occur in texts of up to `longest` tokens."""
        assert rel_embeddings is not None
        places = _places(longest, self.position_buckets, self.max_relative_positions, self.pos_ebd_size)
        first = int(places[0])
        rows = self.pos_dropout(rel_embeddings[first : int(places[-1]) + 1])
        rank = (places - first).to(rows.device)
        keys, queries = (
            self._by_heads(project(rows).unsqueeze(0))[0].index_select(1, rank) if kind in self.pos_att_type else None
            for kind, project in self._projections()
        )
        return None if keys is None and queries is None else DisentangledBias(keys, queries, scaling)

    def _projections(self) -> list[tuple[str, Any]]:
        if self.share_att_key:
            return [("c2p", self.key_proj), ("p2c", self.query_proj)]
        return [("c2p", getattr(self, "pos_key_proj", None)), ("p2c", getattr(self, "pos_query_proj", None))]

    def _by_heads(self, states: torch.Tensor) -> torch.Tensor:
        return states.unflatten(-1, (self.num_attention_heads, -1)).transpose(1, 2)


@lru_cache(maxsize=1024)
def _places(longest: int, buckets: int, most: int, span: int) -> torch.Tensor:
    """Return the embedding of each distance from 1 - longest to longest - 1."""
    distances = torch.arange(1 - longest, longest)
    if buckets > 0 and most > 0:
        distances = make_log_bucket_position(distances, buckets, most).long()
    return (distances + span).clamp(0, 2 * span - 1)


ATTENTION: dict[type[nn.Module], type[nn.Module]] = {DisentangledSelfAttention: InterfaceDisentangledAttention}
OTHERS: dict[type[nn.Module], type[nn.Module]] = {DebertaV2Encoder: InterfaceDebertaV2Encoder}
