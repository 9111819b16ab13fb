"""Biases by distance: against a loop over tokens, and against the attention of the models themselves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from lightune.execution.attention import attention
from lightune.execution.own_attention import put_back
from lightune.execution.packed_layout import Layout
from lightune.execution.score_bias import DisentangledBias, DistanceBias, by_distance, merged
from lightune.execution.unpadding import padding_free, supported
from tiny import tiny_config

LENGTHS = (9, 4, 30, 1, 17)
# Options of DeBERTa-v2 that choose other terms of its bias, or other embeddings for a distance.
VARIANTS: dict[str, dict[str, Any]] = {
    "as published": {},
    "only by the key's distance": {"pos_att_type": ["p2c"]},
    "only by the query's distance": {"pos_att_type": ["c2p"]},
    "projections of their own": {"share_att_key": False},
    "no buckets": {"position_buckets": -1},
    "no buckets, few distances": {"position_buckets": -1, "max_relative_positions": 6},
    "no bias": {"relative_attention": False, "pos_att_type": []},
    "no terms": {"pos_att_type": []},
}


@pytest.mark.parametrize(("rows", "columns"), [(1, 5), (5, 1), (3, 4), (4, 3), (1, 1), (2, 2)])
def test_entries_by_distance(rows: int, columns: int) -> None:
    given = torch.arange(2 * rows * (rows + columns - 1)).view(2, rows, -1)
    found = by_distance(given, columns)
    wanted = [[[int(given[at, i, j - i + rows - 1]) for j in range(columns)] for i in range(rows)] for at in range(2)]
    assert found.tolist() == wanted


@pytest.mark.parametrize(("queries", "keys"), [(4, 4), (1, 4), (2, 4), (1, 1)])
def test_a_bias_is_that_of_the_distances_between_tokens(queries: int, keys: int) -> None:
    draw = torch.Generator().manual_seed(4)
    longest, heads, width = 6, 2, 3
    query, key = (torch.randn(2, heads, count, width, generator=draw) for count in (queries, keys))
    by_key, by_query = (torch.randn(heads, 2 * longest - 1, width, generator=draw) for _ in range(2))
    table = torch.randn(heads, 2 * longest - 1, generator=draw)
    found = DisentangledBias(by_key, by_query, 0.5)(query, key), DistanceBias(table)(query, key)
    for i in range(queries):
        for j in range(keys):
            at = i - j + longest - 1
            terms = (query[:, :, i] * by_key[:, at]).sum(-1) + (key[:, :, j] * by_query[:, at]).sum(-1)
            torch.testing.assert_close(found[0][:, :, i, j], 0.5 * terms)
            torch.testing.assert_close(found[1][0, :, i, j], table[:, j - i + longest - 1])


def model_of(**options: Any) -> Any:
    from transformers import DebertaV2ForSequenceClassification

    config = tiny_config("deberta-v2", words=60)
    for name, value in options.items():
        setattr(config, name, value)
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "pooler_dropout"):
        setattr(config, name, 0.0)
    torch.manual_seed(3)
    model = DebertaV2ForSequenceClassification(config)
    with torch.no_grad():
        for value in model.parameters():
            value += torch.randn_like(value) * 0.1
    return model


def gradients(model: Any, batch: dict[str, torch.Tensor], is_packed: bool) -> list[torch.Tensor]:
    model.zero_grad(set_to_none=True)
    context = padding_free(model, logits_only=True) if is_packed else torch.enable_grad()
    with context:
        loss = model(**batch, labels=torch.arange(len(LENGTHS)) % 2).loss
        loss.backward()
    return [loss.detach()[None], *(value.grad for value in model.parameters() if value.grad is not None)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_deberta_learns_as_by_its_own_attention(variant: str) -> None:
    model, draw = model_of(**VARIANTS[variant]), torch.Generator().manual_seed(8)
    mask = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]).long()
    batch = {"input_ids": torch.randint(1, 60, mask.shape, generator=draw) * mask, "attention_mask": mask}
    assert supported(model)
    wanted = gradients(model, batch, is_packed=False)
    for is_packed in (True, False):  # and padded, through the attention function
        found = gradients(model, batch, is_packed)
        assert len(found) == len(wanted)
        pairs = zip(found, wanted, strict=True)
        error = sum(float((a - b).pow(2).sum()) for a, b in pairs) / sum(float(b.pow(2).sum()) for b in wanted)
        assert error**0.5 < 1e-5
    put_back(list(model.modules()))
    assert all(map(torch.equal, gradients(model, batch, is_packed=False), wanted))


def test_a_convolution_over_neighbouring_tokens_keeps_the_padding() -> None:
    assert not supported(model_of(conv_kernel_size=3))


def test_a_bias_that_a_model_passes_as_t5_does() -> None:
    """Packed, each text uses the first rows and columns of the bias of the longest."""
    from transformers.models.t5.modeling_t5 import T5Attention, T5Config

    config = T5Config(d_model=16, d_kv=4, num_heads=4, relative_attention_num_buckets=8, dropout_rate=0.0)
    config._attn_implementation = "eager"
    torch.manual_seed(0)
    module = T5Attention(config, has_relative_attention_bias=True, layer_idx=0)
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    hidden = torch.randn(*mask.shape, 16)
    lowest = torch.where(mask[:, None, None, :], 0.0, torch.finfo(torch.float32).min)
    wanted = module(hidden, mask=lowest)[0]
    layout = Layout.of(mask.long())
    assert layout is not None
    heads = [
        project(layout.pack(hidden)).unflatten(-1, (4, 4)).transpose(1, 2) for project in (module.q, module.k, module.v)
    ]
    bias = module.compute_bias(max(LENGTHS), max(LENGTHS))
    found, _ = attention(nn.Identity(), *heads, None, ragged=layout, position_bias=bias, scaling=1.0, is_causal=False)
    torch.testing.assert_close(layout.unpack(module.o(found.flatten(-2)))[mask], wanted[mask], rtol=1e-5, atol=1e-6)


def test_a_mask_of_another_type_is_taken_in_the_type_of_the_bias() -> None:
    """In bf16 a model's own mask may be fp32, whose lowest number is infinite there; attention wants one type."""
    lowest = torch.finfo(torch.float32).min
    mask = torch.tensor([0.0, lowest]).view(1, 1, 1, 2)
    found = merged(mask, torch.tensor([[0.5, -3.0]], dtype=torch.bfloat16).view(1, 1, 1, 2))
    assert found.dtype == torch.bfloat16
    assert torch.isfinite(found).all()
    assert found.flatten().tolist() == [0.5, torch.finfo(torch.bfloat16).min]
