"""The lean modules do what the stock ones do, and give way to them afterwards and wherever something else is asked."""

from __future__ import annotations

import gc
import weakref
from collections import Counter
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.boft.layer import Linear as BoftLinear
from peft.tuners.lora.layer import Linear
from torch import nn

from lightune.execution import quick_deltas
from lightune.execution.bf16 import HalfLinear
from lightune.execution.block_boft import BlockBoft
from lightune.execution.fast_modules import lean
from lightune.execution.fused_gelu import FUSED
from lightune.execution.fused_lora import FusedLora
from lightune.methods import make_method
from lightune.models.class_swap import swap_classes
from padded_and_ragged import answers, batch_of, largest_difference, texts, without_dropout

LIMIT = 1e-6


def adapted(load_lively: Any, architecture: str = "distilbert", **options: Any) -> tuple[Any, dict[str, torch.Tensor]]:
    """Return a model with LoRA that is no longer at its start, in training mode, and a batch."""
    loaded = load_lively(architecture)
    model = make_method("lora", options).attach(loaded.model, loaded.anatomy, 3).model
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for value in model.parameters():
            if value.requires_grad:
                value += torch.randn(value.shape, generator=draw) * 0.05
    return model.train(), batch_of(loaded, texts())


def classes(model: torch.nn.Module) -> Counter[str]:
    return Counter(type(module).__name__ for module in model.modules())


@pytest.mark.parametrize("architecture", ["distilbert", "bert", "gpt2", "llama", "deberta-v2"])
@pytest.mark.parametrize("options", [{}, {"use_rslora": True, "alpha": 3}], ids=str)
def test_lora_gives_the_same_logits_and_gradients(load_lively: Any, architecture: str, options: dict[str, Any]) -> None:
    model, batch = adapted(load_lively, architecture, **options)
    without_dropout(model)
    wanted = answers(model, batch, is_ragged=False)
    with lean(model):
        found = answers(model, batch, is_ragged=False)
        assert classes(model)["FusedLora"]
    assert largest_difference(found, wanted) < LIMIT


@pytest.mark.parametrize("architecture", ["distilbert", "gpt2"])
def test_plain_lora_is_computed_in_one_step_in_bf16_too(
    load_lively: Any, architecture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = adapted(load_lively, architecture, dropout=0.1)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("PEFT's own layer was called")

    monkeypatch.setattr(Linear, "forward", refuse)
    for in_bf16 in (False, True):
        with lean(model, in_bf16):
            model(**batch).logits.sum().backward()


@pytest.mark.parametrize("kind", FUSED)
def test_gelu_in_one_pass_is_the_stock_module_s(kind: type[nn.Module]) -> None:
    found, wanted = FUSED[kind](), kind()
    x = torch.linspace(-9, 9, 5001, dtype=torch.float64, requires_grad=True)
    pairs = [(module(x), torch.autograd.grad(module(x).sum(), x)[0]) for module in (found, wanted)]
    for one, other in zip(*pairs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("options", [{"use_dora": True}, {"init_lora_weights": "pissa"}], ids=str)
def test_other_kinds_of_lora_give_the_same_too(load_lively: Any, options: dict[str, Any]) -> None:
    """DoRA goes PEFT's way; PiSSA is plain LoRA over other weights."""
    model, batch = adapted(load_lively, **options)
    without_dropout(model)
    wanted = answers(model, batch, is_ragged=False)
    with lean(model):
        assert largest_difference(answers(model, batch, is_ragged=False), wanted) < LIMIT


def test_an_adapter_that_is_switched_off_merged_or_one_of_two_is_treated_as_peft_does(load_lively: Any) -> None:
    model, batch = adapted(load_lively)
    model.add_adapter("other", model.peft_config["default"])
    model.eval()

    def logits() -> list[torch.Tensor]:
        found = []
        with torch.no_grad():
            with model.disable_adapter():
                found.append(model(**batch).logits)
            for names in (["default", "other"], "default"):
                for module in model.modules():
                    if isinstance(module, Linear):
                        module.set_adapter(names)
                found.append(model(**batch).logits)
            model.merge_adapter()
            found.append(model(**batch).logits)
            model.unmerge_adapter()
        return found

    wanted = logits()
    with lean(model):
        found = logits()
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(wanted[0], wanted[3])


def test_gradients_with_dropout_are_those_of_the_function_that_was_computed(load_lively: Any) -> None:
    """The derivative along a random direction, in float64, against a difference quotient with the same masks."""
    model, batch = adapted(load_lively, dropout=0.2)
    model.double()
    trained = [value for value in model.parameters() if value.requires_grad]
    ways = [torch.randn_like(value) for value in trained]
    labels = torch.arange(len(batch["input_ids"])) % 2

    def loss(step: float) -> Any:
        torch.manual_seed(11)
        with torch.no_grad():
            for value, way in zip(trained, ways, strict=True):
                value += step * way
        return model(**batch, labels=labels).loss

    with lean(model):
        assert classes(model)["QuickDropout"] > 0
        loss(0).backward()
        slope = sum(float((value.grad * way).sum()) for value, way in zip(trained, ways, strict=True))
        after, before = loss(1e-6).item(), loss(-2e-6).item()
        assert (after - before) / 2e-6 == pytest.approx(slope, rel=1e-6)
        assert loss(0).item() == before, "the same seed drops the same"


def test_whoever_listens_inside_hears_what_peft_s_layer_computes(load_lively: Any) -> None:
    model, batch = adapted(load_lively)
    without_dropout(model)
    heard: list[torch.Tensor] = []
    layer = next(module for module in model.modules() if isinstance(module, Linear))
    layer.base_layer.register_forward_hook(lambda _, args, output: heard.append(output))
    with torch.no_grad():
        model(**batch)
        with lean(model):
            model(**batch)
    assert torch.equal(heard[0], heard[1])


def test_a_layer_without_an_active_adapter_is_its_base(load_lively: Any) -> None:
    model, _ = adapted(load_lively)
    layer = next(module for module in model.modules() if isinstance(module, Linear))
    layer._active_adapter = []
    x = torch.randn(3, layer.in_features)
    with lean(model):
        assert torch.equal(layer(x), layer.base_layer(x))


def test_bf16_by_autocast_is_left_to_peft(load_lively: Any) -> None:
    model, batch = adapted(load_lively)
    without_dropout(model)
    with torch.autocast("cpu", torch.bfloat16):
        wanted = answers(model, batch, is_ragged=False)
        with lean(model):
            found = answers(model, batch, is_ragged=False)
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_afterwards_the_stock_modules_are_back_even_after_an_error(load_lively: Any) -> None:
    model, _ = adapted(load_lively, dropout=0.1)
    before = classes(model)

    with lean(model):
        assert classes(model) != before
    assert classes(model) == before
    with pytest.raises(IndexError), lean(model):
        model(torch.tensor([[10**6]]))
    assert classes(model) == before


def test_rounded_matrices_are_given_back_when_training_ends(load_lively: Any) -> None:
    loaded = load_lively("distilbert")
    model = make_method("randlora", {"rank": 3, "alpha": 3}).attach(loaded.model, loaded.anatomy, 3).model.train()
    known = quick_deltas._known_rounded
    with lean(model, in_bf16=True):
        model(**batch_of(loaded, texts())).logits.sum().backward()
        copies = [weakref.ref(found) for *_, found in known.values()]
        assert {one().dtype for one in copies} == {torch.bfloat16}
    gc.collect()
    assert not known
    assert [one() for one in copies] == [None] * len(copies)


class DenseBoft(BlockBoft):
    """PEFT's own way through the layer."""

    forward = BoftLinear.forward


@pytest.mark.parametrize("architecture", ["distilbert", "mpnet", "gpt2", "llama"])
@pytest.mark.parametrize("method", ["loha", "lokr", "fourierft", "randlora", "boft"])
def test_other_methods_give_the_same_logits_and_gradients(load_lively: Any, architecture: str, method: str) -> None:
    if architecture == "gpt2" and method in ("boft", "loha", "lokr"):
        pytest.skip("PEFT has none for Conv1D")
    loaded = load_lively(architecture)
    options = {"rank": 3, **({"alpha": 3} if method == "randlora" else {})} if "lo" in method else {}
    if method == "fourierft":  # so few that PEFT's way is not the cheaper one
        options = {"frequencies": 2}
    model = make_method(method, options).attach(loaded.model, loaded.anatomy, 3).model
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for value in model.parameters():
            if value.requires_grad:
                value += torch.randn(value.shape, generator=draw) * 0.05
    without_dropout(model.train())
    batch = batch_of(loaded, texts())
    undo = swap_classes(model, {BlockBoft: DenseBoft})
    wanted = answers(model, batch, is_ragged=False)
    undo()
    with lean(model):
        assert largest_difference(answers(model, batch, is_ragged=False), wanted) < 10 * LIMIT


def test_lora_on_a_layer_that_kept_its_fp32_weight_takes_bf16() -> None:
    """A projection behind the layers, as OPT-350m has, gets their bf16 output."""
    torch.manual_seed(0)
    made = get_peft_model(nn.Sequential(nn.Linear(12, 7)), LoraConfig(target_modules=["0"], init_lora_weights=False))
    x = torch.randn(5, 12).bfloat16()
    wanted = made(x.float())
    layer = made.base_model.model[0]
    layer.__class__, layer.base_layer.__class__ = FusedLora, HalfLinear
    found = made(x)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), wanted, rtol=2e-2, atol=2e-2)
    found.sum().backward()
