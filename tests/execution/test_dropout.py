"""Dropout with cheap masks: its rate, its independence, its scale, its seed; and attention that uses it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from lightune.execution import cpu_attention as quick_attention
from lightune.execution.dropout import Mask, QuickDropout, draw_mask, quick_dropout
from padded_and_ragged import answers, batch_of, largest_difference, texts, without_dropout

SIZE = 1_000_000


def kept(shape: tuple[int, ...] = (SIZE,), rate: float = 0.1, seed: int = 5) -> torch.Tensor:
    """Return which ones of a tensor of ones were kept, as numbers."""
    torch.manual_seed(seed)
    return (quick_dropout(torch.ones(shape), rate) > 0).double()


@pytest.mark.parametrize("rate", [0.001, 0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_share_that_is_dropped_is_the_rate(rate: float, seed: int) -> None:
    """Within five standard deviations of a binomial share."""
    found = 1 - float(kept(rate=rate, seed=seed).mean())
    assert abs(found - rate) < 5 * math.sqrt(rate * (1 - rate) / SIZE) + 1 / 65536


@pytest.mark.parametrize("rate", [0.1, 1.0])
def test_a_mask_takes_a_bit_an_element(rate: float) -> None:
    x = torch.ones(3, 1001)
    mask = draw_mask(x, rate)
    assert mask.numbers.nbytes == math.ceil(3 * 1001 / 8)
    assert set(mask.kept(x).unique().tolist()) == ({0.0, 1.0} if rate < 1 else {0.0})
    assert mask.kept(x.bfloat16()).dtype == torch.bfloat16
    assert torch.equal(mask.kept(x), mask.kept(x.bfloat16()).float())


def test_what_is_kept_is_scaled_so_that_the_mean_stays() -> None:
    torch.manual_seed(0)
    x = torch.randn(1000, 100)
    found = quick_dropout(x, 0.3)
    rounded = round(0.3 * 65536) / 65536
    torch.testing.assert_close(found[found != 0], x[found != 0] / (1 - rounded))
    assert float(quick_dropout(torch.ones(SIZE), 0.3).mean()) == pytest.approx(1, abs=0.004)


@pytest.mark.parametrize("lag", [1, 2, 3, 4, 5, 8, 64, 384, 65536])
def test_elements_are_dropped_independently_of_their_neighbours(lag: int) -> None:
    """Four masks share a word of random bits: no lag may show. Correlations are within five standard deviations."""
    mask = kept()
    mask -= mask.mean()
    correlation = float((mask[:-lag] * mask[lag:]).mean() / mask.square().mean())
    assert abs(correlation) < 5 / math.sqrt(SIZE - lag)


def test_two_masks_in_succession_are_independent() -> None:
    torch.manual_seed(3)
    first, second = ((quick_dropout(torch.ones(SIZE), 0.5) > 0).double() - 0.5 for _ in range(2))
    assert abs(float((first * second).mean()) / 0.25) < 5 / math.sqrt(SIZE)


def test_rows_and_columns_are_dropped_evenly() -> None:
    """The shares by row and by column scatter as binomial shares do."""
    mask = kept((1000, 1001), 0.2)
    for axis, count in ((0, 1000), (1, 1001)):
        shares = mask.mean(axis)
        assert float(shares.std()) == pytest.approx(math.sqrt(0.2 * 0.8 / count), rel=0.1)


def test_the_same_seed_drops_the_same_and_another_does_not() -> None:
    assert torch.equal(kept(seed=7), kept(seed=7))
    assert not torch.equal(kept(seed=7), kept(seed=8))


def test_the_gradient_is_dropped_where_the_value_was() -> None:
    x = torch.randn(50, 7, requires_grad=True)
    found = quick_dropout(x, 0.4)
    given = torch.randn(50, 7)
    found.backward(given)
    rounded = round(0.4 * 65536) / 65536
    torch.testing.assert_close(x.grad, torch.where(found == 0, 0.0, given / (1 - rounded)))


@pytest.mark.parametrize("shape", [(), (0,), (1,), (3,), (5, 1), (2, 3, 5)])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float64])
def test_any_shape_and_type_is_kept(shape: tuple[int, ...], kind: torch.dtype) -> None:
    found = quick_dropout(torch.ones(shape, dtype=kind), 0.5)
    assert found.shape == shape
    assert found.dtype == kind
    assert set(found.flatten().tolist()) <= {0.0, 2.0}


def test_what_is_not_contiguous_is_dropped_in_its_own_order() -> None:
    x = torch.arange(1.0, 13.0).view(3, 4).t()
    found = quick_dropout(x, 0.5)
    assert torch.equal(found[found != 0], 2 * x[found != 0])


def test_everything_and_nothing_can_be_dropped() -> None:
    assert not quick_dropout(torch.ones(100), 1.0).any()
    assert torch.equal(quick_dropout(torch.ones(100), 0.0), torch.ones(100))


def test_the_module_drops_in_training_alone() -> None:
    module, x = QuickDropout(0.5), torch.ones(1000)
    assert 400 < int((module.train()(x) == 0).sum()) < 600
    assert module.eval()(x) is x


@pytest.mark.parametrize("architecture", ["distilbert", "bert", "modernbert", "gpt2", "llama", "mistral", "qwen3"])
def test_attention_that_drops_is_but_for_that_what_torch_computes(
    load_lively: Any, monkeypatch: pytest.MonkeyPatch, architecture: str
) -> None:
    """With dropout asked for, and none drawn, logits and gradients are those of the padded model without dropout."""
    loaded = load_lively(architecture)
    model, batch = without_dropout(loaded.model), batch_of(loaded, texts())
    wanted = answers(model, batch, is_ragged=False)
    asked: list[float] = []

    def draw_none(x: torch.Tensor, rate: float) -> Mask:
        asked.append(rate)
        return Mask(torch.full(((x.numel() + 7) // 8,), 255, dtype=torch.uint8), 0)

    monkeypatch.setattr(quick_attention, "draw_mask", draw_none)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.25
            module.eval()  # the attention functions read its rate alone
        for name in ("dropout", "attention_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.25)
    assert largest_difference(answers(model, batch, True, logits_only=True), wanted) < 1e-5
    assert asked
    assert set(asked) == {0.25}


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_attention_s_gradient_is_that_of_its_formula(rate: float) -> None:
    """By autograd over drop(softmax(s Q K^T + bias)) V, with the mask that the seed draws; key heads are shared."""
    draw = torch.Generator().manual_seed(1)
    sizes = ((3, 4, 5, 8), (3, 2, 5, 8), (3, 2, 5, 8))
    given = [torch.randn(size, generator=draw, dtype=torch.float64, requires_grad=True) for size in sizes]
    mask = torch.rand(3, 1, 1, 5, generator=draw) > 0.3
    mask[..., 0] = True
    torch.manual_seed(7)
    found = quick_attention.quick_attention(
        torch.nn.Module(), *given, mask, dropout=rate, scaling=0.4, is_causal=False
    )[0]
    torch.manual_seed(7)
    query, key, value = given[0], *(part.repeat_interleave(2, 1) for part in given[1:])
    shares = (query @ key.transpose(2, 3) * 0.4).masked_fill(~mask, -torch.inf).softmax(-1)
    kept = draw_mask(shares.detach().flatten(0, 1), rate).cover(torch.ones_like(shares).flatten(0, 1)).view_as(shares)
    level = round(rate * 65536) / 65536
    wanted = ((shares * kept / (1 - level)) @ value).transpose(1, 2)
    torch.testing.assert_close(found, wanted)
    direction = torch.randn(found.shape, generator=draw, dtype=torch.float64)
    mine = torch.autograd.grad((found * direction).sum(), given)
    theirs = torch.autograd.grad((wanted * direction).sum(), given)
    torch.testing.assert_close(mine, theirs)


def test_attention_given_bf16_multiplies_in_it_and_keeps_it_so() -> None:
    """Answer and gradients are near fp32's of the same numbers; what waits for the way back is not widened."""
    draw = torch.Generator().manual_seed(2)
    given = [torch.randn((3, 4, 5, 8), generator=draw).bfloat16().requires_grad_() for _ in range(3)]
    wide = [part.detach().float().requires_grad_() for part in given]
    kept: list[torch.dtype] = []

    def note(part: torch.Tensor) -> torch.Tensor:
        kept.append(part.dtype)
        return part

    torch.manual_seed(1)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda part: part):
        found = quick_attention.quick_attention(torch.nn.Module(), *given, None, dropout=0.2, is_causal=False)[0]
    torch.manual_seed(1)
    wanted = quick_attention.quick_attention(torch.nn.Module(), *wide, None, dropout=0.2, is_causal=False)[0]
    assert kept.count(torch.bfloat16) == 4
    assert torch.float32 not in kept
    assert_near(found, wanted)
    direction = torch.randn(found.shape, generator=draw).bfloat16()
    gradients = torch.autograd.grad(found, given, direction)
    for own, expected in zip(gradients, torch.autograd.grad(wanted, wide, direction.float()), strict=True):
        assert_near(own, expected)


def assert_near(found: torch.Tensor, wanted: torch.Tensor) -> None:
    """Compare bf16 numbers, of eight bits, with fp32's."""
    assert found.dtype == torch.bfloat16
    assert float((found.float() - wanted).norm() / wanted.norm()) < 2**-7
