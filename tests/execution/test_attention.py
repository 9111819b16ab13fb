"""The one attention function against transformers' own and against attention computed here by hand."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lightune.execution import attention as module_under_test
from lightune.execution.attention import NAME, prefixed
from lightune.execution.attention_switch import use_attention, uses_attention
from lightune.execution.own_attention import OWN
from lightune.execution.prefixes import Prefix
from tiny import ARCHITECTURES

ROWS, HEADS, SHARED, TOKENS, WIDTH, LENGTH = 3, 4, 2, 5, 8, 6


@dataclass
class Source:
    """Gives a module a prefix."""

    given: Prefix | None

    def prefix(self) -> Prefix | None:
        return self.given

    def observe(self, key: torch.Tensor, value: torch.Tensor) -> None:
        self.seen = (key, value)


def a_module(prefix: Prefix | None, is_causal: bool) -> Any:
    module = torch.nn.Module()
    vars(module)["source"] = Source(prefix)
    module.is_causal = is_causal
    module.num_key_value_groups = HEADS // SHARED
    return module


def attention(module: Any, *parts: Any, **options: Any) -> Any:
    """Call the attention function as a layer does that gives the module its prefix."""
    with prefixed(module, module.source):
        return module_under_test.attention(module, *parts, **options)


def draws() -> SimpleNamespace:
    draw = torch.Generator().manual_seed(5)
    make = lambda *shape: torch.randn(*shape, generator=draw)  # noqa: E731
    return SimpleNamespace(
        query=make(ROWS, HEADS, TOKENS, WIDTH),
        key=make(ROWS, SHARED, TOKENS, WIDTH),
        value=make(ROWS, SHARED, TOKENS, WIDTH),
        prefix=Prefix(make(SHARED, LENGTH, WIDTH), make(SHARED, LENGTH, WIDTH)),
        gate=make(HEADS),
    )


def padding_mask() -> torch.Tensor:
    """The last token of row 1 and the last two of row 2 are padding."""
    mask = torch.ones(ROWS, 1, TOKENS, TOKENS, dtype=torch.bool)
    mask[1, :, :, 4:] = False
    mask[2, :, :, 3:] = False
    return mask


def by_hand(given: Any, sees: Any, with_prefix: bool) -> torch.Tensor:
    """softmax over the prefix and the tokens that `sees(row, asking, asked)` allows, number by number."""
    out = torch.zeros(ROWS, TOKENS, HEADS, WIDTH)
    for row in range(ROWS):
        for head in range(HEADS):
            shared = head // (HEADS // SHARED)
            for asking in range(TOKENS):
                places = [(given.key[row, shared, at], given.value[row, shared, at]) for at in range(TOKENS)
                          if sees(row, asking, at)]  # fmt: skip
                if with_prefix:
                    places += list(zip(given.prefix.keys[shared], given.prefix.values[shared], strict=True))
                scores = [float(given.query[row, head, asking] @ key) / math.sqrt(WIDTH) for key, _ in places]
                weights = [math.exp(score - max(scores)) for score in scores]
                out[row, asking, head] = sum(w * value for w, (_, value) in zip(weights, places, strict=True)) / sum(
                    weights
                )
    return out


def test_without_a_prefix_it_is_transformers_own() -> None:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    given, module = draws(), a_module(None, False)
    for mask in (None, padding_mask()):
        found, weights = attention(module, given.query, given.key, given.value, mask, scaling=None)
        wanted, _ = sdpa_attention_forward(module, given.query, given.key, given.value, mask, scaling=None)
        assert weights is None
        assert torch.equal(found, wanted)
    assert torch.equal(module.source.seen[0], given.key)


def test_a_prefix_is_for_the_named_module_and_the_innermost_call() -> None:
    """As where one attention module calls another inside; and in another thread there is none."""
    given, one, other = draws(), a_module(draws().prefix, False), a_module(None, False)
    parts = (given.query, given.key, given.value, padding_mask())
    plain, wanted = attention(other, *parts)[0], attention(one, *parts)[0]
    assert not torch.allclose(plain, wanted)
    function = module_under_test.attention
    with prefixed(one, one.source):
        assert torch.equal(function(other, *parts)[0], plain)
        assert torch.equal(attention(other, *parts)[0], plain)
        assert torch.equal(function(one, *parts)[0], wanted)
        with ThreadPoolExecutor(1) as pool:
            assert torch.equal(pool.submit(function, one, *parts).result()[0], plain)
    assert torch.equal(function(one, *parts)[0], plain)


@pytest.mark.parametrize("as_float", [False, True], ids=["boolean mask", "added mask"])
def test_a_prefix_is_seen_by_every_token_and_padding_by_none(as_float: bool) -> None:
    given, mask = draws(), padding_mask()
    if as_float:
        mask = torch.zeros_like(mask, dtype=torch.float32).masked_fill(~mask, float("-inf"))
    found, _ = attention(a_module(given.prefix, False), given.query, given.key, given.value, mask)
    wanted = by_hand(given, lambda row, _, at: at < TOKENS - row, with_prefix=True)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("told", ["by the module", "by the call"])
def test_a_causal_module_without_a_mask_sees_the_prefix_and_what_came_before(told: str) -> None:
    given = draws()
    module, options = a_module(given.prefix, told == "by the module"), {}
    if told == "by the call":
        options = {"is_causal": True}
    found, _ = attention(module, given.query, given.key, given.value, None, **options)
    wanted = by_hand(given, lambda _, asking, at: at <= asking, with_prefix=True)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_without_mask_and_causality_every_token_sees_everything() -> None:
    given = draws()
    found, _ = attention(a_module(given.prefix, False), given.query, given.key, given.value, None)
    torch.testing.assert_close(found, by_hand(given, lambda *_: True, with_prefix=True), rtol=0, atol=1e-5)


def test_a_gated_prefix_is_added_with_the_share_its_gate_allows() -> None:
    given = draws()
    gated = Prefix(given.prefix.keys, given.prefix.values, True, given.gate)
    found, _ = attention(a_module(gated, False), given.query, given.key, given.value, padding_mask())
    alone = by_hand(given, lambda *_: False, with_prefix=True)
    plain = by_hand(given, lambda row, _, at: at < TOKENS - row, with_prefix=False)
    torch.testing.assert_close(found, plain + torch.tanh(given.gate)[:, None] * alone, rtol=0, atol=1e-5)


def test_values_of_zero_attended_to_apart_change_nothing_and_yet_have_a_gradient() -> None:
    given = draws()
    values = torch.zeros_like(given.prefix.values, requires_grad=True)
    plain, _ = attention(a_module(None, True), given.query, given.key, given.value, None)
    apart = Prefix(given.prefix.keys, values, is_apart=True)
    found, _ = attention(a_module(apart, True), given.query, given.key, given.value, None)
    assert torch.equal(found, plain)
    found.square().sum().backward()
    assert bool((values.grad != 0).all())


def test_a_gate_of_zero_changes_nothing_and_yet_has_a_gradient() -> None:
    given = draws()
    gate = torch.zeros(HEADS, requires_grad=True)
    plain, _ = attention(a_module(None, True), given.query, given.key, given.value, None)
    gated = Prefix(given.prefix.keys, given.prefix.values, True, gate)
    found, _ = attention(a_module(gated, True), given.query, given.key, given.value, None)
    assert torch.equal(found, plain)
    found.square().sum().backward()
    assert bool((gate.grad != 0).all())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_stock_model_answers_alike_through_it(load_lively: Any, architecture: str) -> None:
    loaded = load_lively(architecture)
    batch = loaded.tokenizer(["a lovely film", "the soup was dreadful and cold and very dull here"], padding=True,
                             return_tensors="pt")  # fmt: skip
    with torch.no_grad():
        before = loaded.model(**batch).logits
        use_attention(loaded.model)
        assert uses_attention(loaded.model)
        assert architecture in OWN or loaded.model.config._attn_implementation == NAME
        found = loaded.model(**batch).logits
    assert torch.allclose(found, before, rtol=1e-5, atol=1e-6) if architecture in OWN else torch.equal(found, before)
