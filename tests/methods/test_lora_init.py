"""LoRA's other starts against torch's own SVD and QR, DoRA, and LoRA+."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from adapter_trials import SEED, batch_of, require_sound, trainable
from lightune.errors import RecipeError
from lightune.methods import make_method
from lightune.recipe import SettledTraining
from lightune.training.optimizer import make_optimizer
from tiny import ARCHITECTURES

LAYER = "distilbert.transformer.layer.1.ffn.lin1"
VARIANTS: dict[str, dict[str, Any]] = {
    "dora": {"use_dora": True},
    "gaussian": {"init_lora_weights": "gaussian"},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "pissa": {"init_lora_weights": "pissa"},
    "pissa-rslora": {"init_lora_weights": "pissa", "use_rslora": True, "rank": 3},
    "olora": {"init_lora_weights": "olora"},
    "eva": {"init_lora_weights": "eva"},
}
QUICK = {*((variant, "distilbert") for variant in VARIANTS), ("pissa", "gpt2"), ("eva", "gpt2"), ("dora", "gpt2")}


@pytest.mark.parametrize(
    ("variant", "architecture"),
    [
        pytest.param(variant, kind, marks=[] if (variant, kind) in QUICK else pytest.mark.long)
        for variant in VARIANTS
        for kind in ARCHITECTURES
        if (variant, kind) != ("olora", "gpt2")
    ],
)
def test_a_variant_is_sound_on_an_architecture(
    load_lively: Callable[..., Any], tmp_path: Path, variant: str, architecture: str
) -> None:
    require_sound(make_method("lora", VARIANTS[variant]), "lora", lambda: load_lively(architecture), tmp_path)


def _attached(load: Callable[..., Any], **options: Any) -> tuple[Any, torch.Tensor]:
    """Return the adapted layer, and the weight that it had before."""
    loaded = load("distilbert")
    before = loaded.model.get_submodule(LAYER).weight.detach().clone()
    model = make_method("lora", options).attach(loaded.model, loaded.anatomy, SEED).model
    return model.get_submodule(f"base_model.model.{LAYER}"), before


def test_pissa_starts_with_the_largest_singular_values(load_lively: Callable[..., Any]) -> None:
    layer, weight = _attached(load_lively, rank=4, init_lora_weights="pissa")
    left, values, right = torch.linalg.svd(weight, full_matrices=False)
    wanted = left[:, :4] @ torch.diag(values[:4]) @ right[:4]
    start = (16 / 4) * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    torch.testing.assert_close(start, wanted, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(layer.base_layer.weight + start, weight, rtol=1e-5, atol=1e-5)


def test_olora_starts_with_the_first_columns_and_rows_of_qr(load_lively: Callable[..., Any]) -> None:
    layer, weight = _attached(load_lively, rank=4, init_lora_weights="olora")
    columns, rows = torch.linalg.qr(weight)
    torch.testing.assert_close(layer.lora_B["default"].weight.detach(), columns[:, :4], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(layer.lora_A["default"].weight.detach(), rows[:4], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("rank_stabilised", "alpha"), [(False, 32), (True, 16 * 2**0.5)])
def test_pissa_is_saved_as_lora_of_twice_the_rank_and_the_same_scale(rank_stabilised: bool, alpha: float) -> None:
    """32 / 16 is 16 / 8; (16 sqrt 2) / sqrt 16 is 16 / sqrt 8."""
    options = {"rank": 8, "alpha": 16, "init_lora_weights": "pissa", "use_rslora": rank_stabilised}
    plain = make_method("lora", options).saved_as()
    assert plain == make_method("lora", {"rank": 16, "alpha": alpha, "use_rslora": rank_stabilised})


def test_eva_starts_with_the_principal_components_of_the_inputs(load_lively: Callable[..., Any]) -> None:
    """The four directions hold nearly all that any four could hold of the inputs' variance (torch's SVD)."""
    loaded, method = load_lively("distilbert"), make_method("lora", {"rank": 4, "init_lora_weights": "eva"})
    model: Any = method.attach(loaded.model, loaded.anatomy, SEED).model
    batch, seen = batch_of(loaded), []
    layer = model.get_submodule(f"base_model.model.{LAYER}")
    handle = layer.base_layer.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    with torch.no_grad():
        model(**batch)
    handle.remove()
    method.start_from_data(model, iter([batch]))
    found = layer.lora_A["default"].weight.detach()
    tokens = seen[0][batch["attention_mask"].bool()]
    centred = tokens - tokens.mean(dim=0)
    best = float((torch.linalg.svdvals(centred)[:4] ** 2).sum())
    directions = torch.linalg.qr(found.T)[0]
    assert float((centred @ directions).pow(2).sum()) > 0.98 * best
    assert float(layer.lora_B["default"].weight.abs().max()) == 0.0


def test_eva_is_the_same_each_time_and_leaves_the_global_generator_alone(load_lively: Callable[..., Any]) -> None:
    starts = []
    for _ in range(2):
        loaded, method = load_lively("distilbert"), make_method("lora", {"init_lora_weights": "eva"})
        model = method.attach(loaded.model, loaded.anatomy, SEED).model
        before = torch.get_rng_state()
        method.start_from_data(model, [batch_of(loaded)])
        assert torch.equal(before, torch.get_rng_state())
        starts.append({name: value.detach().clone() for name, value in trainable(model).items()})
    assert all(torch.equal(starts[0][name], starts[1][name]) for name in starts[0])


def test_eva_says_when_batches_are_too_small(load_tiny: Callable[..., Any]) -> None:
    """It would wait for larger ones for ever."""
    loaded, method = load_tiny("distilbert"), make_method("lora", {"rank": 16, "init_lora_weights": "eva"})
    model = method.attach(loaded.model, loaded.anatomy, SEED).model
    with pytest.raises(RecipeError, match="at least 32 tokens"):
        method.start_from_data(model, [batch_of(loaded, ["dull"])])


@pytest.mark.parametrize(
    ("architecture", "options", "said"),
    [
        ("gpt2", {"init_lora_weights": "olora"}, "Conv1D"),
        ("distilbert", {"init_lora_weights": "pissa", "rank": 33}, "fewer than the rank 33"),
    ],
)
def test_a_start_that_a_layer_cannot_have_is_refused(
    load_tiny: Callable[..., Any], architecture: str, options: dict[str, Any], said: str
) -> None:
    loaded = load_tiny(architecture)
    with pytest.raises(RecipeError, match=said):
        make_method("lora", options).attach(loaded.model, loaded.anatomy, SEED)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"use_dora": True, "init_lora_weights": "pissa"}, "use_dora"),
        ({"rank": 3, "init_lora_weights": "orthogonal"}, "even rank"),
        ({"init_lora_weights": "pisa"}, "'pissa'"),
        ({"loraplus_lr_ratio": 0}, "loraplus_lr_ratio"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        make_method("lora", options)


def test_loraplus_trains_b_faster_than_a(load_tiny: Callable[..., Any]) -> None:
    """B at 16 times the rate, A and the head at the plain one; every parameter in one group."""
    loaded, method = load_tiny("distilbert"), make_method("lora", {"loraplus_lr_ratio": 16})
    model = method.attach(loaded.model, loaded.anatomy, SEED).model
    optimizer = make_optimizer(model, SettledTraining(), 1e-3, method.rate_factors(model))
    rates = {id(value): group["lr"] for group in optimizer.param_groups for value in group["params"]}
    assert len(rates) == len(trainable(model))
    for name, value in trainable(model).items():
        assert rates[id(value)] == pytest.approx(16e-3 if ".lora_B." in name else 1e-3), name
    assert make_method("lora").rate_factors(model) == {}
