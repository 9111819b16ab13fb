"""What a layout tells kernels that know borders themselves: a plain reference by it finds what the grids find."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lightune.execution.attention import _padded, _stock
from lightune.execution.packed_layout import Layout, Narrowed
from lightune.execution.varlen_attention import Packed

HEADS, KEY_HEADS, WIDTH = 4, 2, 8
LENGTHS = (3, 7, 1, 6, 2)


def by_borders(packed: Packed, is_causal: bool) -> torch.Tensor:
    """softmax(Q K^T / sqrt(width)) V for one text after the other, (tokens, heads, width)."""
    found = []
    for number in range(len(packed.query_ends.ends) - 1):
        query_at, key_at = (
            slice(int(part.ends[number]), int(part.ends[number + 1])) for part in (packed.query_ends, packed.key_ends)
        )
        assert query_at.stop - query_at.start <= packed.query_ends.longest
        assert key_at.stop - key_at.start <= packed.key_ends.longest
        query = packed.query[query_at].transpose(0, 1)
        key, value = (part[key_at].transpose(0, 1).repeat_interleave(2, 0) for part in (packed.key, packed.value))
        scores = query @ key.transpose(1, 2) / WIDTH**0.5
        if is_causal:
            scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -torch.inf)
        found.append((scores.softmax(-1) @ value).transpose(0, 1))
    return torch.cat(found)


def layout_of(multiple: int) -> Layout:
    mask = (torch.arange(7) < torch.tensor(LENGTHS)[:, None]).long()
    found = Layout.of(mask, narrows=True, multiple=multiple)
    assert found is not None
    return found


def grids(ragged: Any, module: torch.nn.Module, parts: list[torch.Tensor]) -> torch.Tensor:
    from functools import partial

    return ragged.attend(partial(_padded, _stock, None), module, parts, {})[0][0]


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("multiple", [1, 16])
def test_every_token_finds_the_same(is_causal: bool, multiple: int) -> None:
    torch.manual_seed(1)
    layout, module = layout_of(multiple), torch.nn.Identity()
    module.is_causal = is_causal  # type: ignore[assignment]
    module.num_key_value_groups = 2  # type: ignore[assignment]
    parts = [torch.randn(1, heads, len(layout.real), WIDTH) for heads in (HEADS, KEY_HEADS, KEY_HEADS)]
    found, real = by_borders(layout.packed(parts), is_causal), sum(LENGTHS)
    assert found.shape[0] == len(layout.real), "what fills up is a text as well, so that nothing stays unwritten"
    torch.testing.assert_close(found[:real], grids(layout, module, parts)[:real])


@pytest.mark.parametrize("multiple", [1, 16])
def test_first_tokens_find_the_same_and_what_fills_up_has_no_gradient(multiple: int) -> None:
    torch.manual_seed(2)
    layout, module = layout_of(multiple), torch.nn.Identity()
    module.is_causal = False  # type: ignore[assignment]
    module.num_key_value_groups = 2  # type: ignore[assignment]
    query = torch.randn(1, HEADS, len(LENGTHS), WIDTH)
    keys, values = (torch.randn(1, len(layout.real), KEY_HEADS * WIDTH, requires_grad=True) for _ in range(2))
    narrowed = Narrowed(layout, keys, values)
    packed = narrowed.packed([query, query, query])
    found = by_borders(packed, is_causal=False)
    torch.testing.assert_close(found, grids(narrowed, module, [query, query, query]))
    # As a kernel does that leaves unwritten what nobody asked.
    real, nothing = sum(LENGTHS), torch.full_like(packed.key, torch.nan)
    nothing[:real] = 1
    packed.key.backward(nothing)
    assert bool((keys.grad[0, real:] == 0).all())  # type: ignore[index]
