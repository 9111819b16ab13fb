"""Our tuners through PEFT's own calls: a second adapter comes by every door, or is refused whole."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import (
    LoraConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    inject_adapter_in_model,
    set_peft_model_state_dict,
)

from case_table import case
from lightune.tuners.bottleneck import BottleneckConfig
from lightune.tuners.checked import CheckedLayer
from tuner_cases import Snapshot, answer, parallel, prefix, stirred, stock

TUNERS = {"prefix": lambda: prefix("layer.1.attention"), "bottleneck": lambda: parallel(1)}
WHY_SEVERAL = "as LoRA behaves: each is itself beside others"
TAKEN = "both answer as they do alone"
AS_BEFORE = "ValueError, model as before"
NO_TRACE = "what is refused leaves no trace"
# Ways in which a second adapter comes: by the adapted model, its stock model, a configuration, a folder.
DOORS: dict[str, Callable[[Any, Any, Any, str], Any]] = {
    "add_adapter": lambda model, base, config, folder: model.add_adapter("second", config),
    "load_adapter": lambda model, base, config, folder: model.load_adapter(folder, "second"),
    "from_pretrained": lambda model, base, config, folder: PeftModel.from_pretrained(base, folder, "second"),
    "from_pretrained, same name": lambda model, base, config, folder: PeftModel.from_pretrained(base, folder),
    "get_peft_model": lambda model, base, config, folder: get_peft_model(base, config, "second"),
    "get_peft_model on a PeftModel": lambda model, base, config, folder: get_peft_model(model, config, "second"),
    "inject": lambda model, base, config, folder: inject_adapter_in_model(config, base, "second"),
    "transformers' add_adapter": lambda model, base, config, folder: base.add_adapter(config, "second"),
    "transformers' load_adapter": lambda model, base, config, folder: base.load_adapter(folder, adapter_name="second"),
}


MADE = {
    "prefix": (prefix, {"the same layer": "layer.1.attention", "both layers": "attention",
                        "another layer": "layer.0.attention"}),
    "bottleneck": (parallel, {"the same layer": 1, "both layers": None, "another layer": 0}),
}  # fmt: skip
WRONG: dict[str, tuple[Any, str]] = {
    "prefix": (prefix("attention", "ffn"), "never asks"),
    "bottleneck": (BottleneckConfig(target_modules=["lin2", "output_layer_norm"]), "not a linear layer"),
}


def before(tuner: str, place: str, door: str) -> str:
    """Return what came of a second adapter once."""
    if place == "the same layer":
        return "refused" if door in ("add_adapter", "load_adapter") else "refused, its configuration stays in the table"
    if place == "both layers":
        return "refused, one layer of it stays, active and trainable" + (
            ", outputs change" if tuner == "prefix" else ""
        )
    if tuner == "bottleneck" or "same name" in door:
        return "accepted, beside the first"
    return "accepted, every forward pass raises AttributeError"


def seconds() -> list[Any]:
    """Return each tuner by each door, with a second adapter on the same, more or other layers."""
    found = []
    for tuner, (make, places) in MADE.items():
        for place, given in places.items():
            for door in DOORS:
                mark = case(f"a second {tuner} on {place} by {door}", before(tuner, place, door), TAKEN, WHY_SEVERAL)
                found.append(pytest.param(tuner, make(given), door, id=f"{tuner}-{place}-{door}", marks=[mark]))
    return found


def alone(config: Any, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return what a model answers that has only this adapter."""
    model = get_peft_model(stock(), copy.deepcopy(config))
    set_peft_model_state_dict(model, tensors)
    return answer(model.eval())


def choose(model: torch.nn.Module, name: str) -> None:
    """Make an adapter the active one, whichever object the door gave."""
    for module in model.modules():
        if isinstance(module, CheckedLayer):
            module.set_adapter(name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("tuner", "config", "door"), seconds())
def test_a_second_adapter_comes_by_every_door(tuner: str, config: Any, door: str, tmp_path: Path) -> None:
    get_peft_model(stock(), copy.deepcopy(config)).save_pretrained(str(tmp_path))
    base = stock()
    stock_answer = answer(base)
    model = stirred(get_peft_model(base, TUNERS[tuner]()))
    first = {"default": answer(base)}
    DOORS[door](model, base, copy.deepcopy(config), str(tmp_path))
    name = "default" if "same name" in door else "second"
    choose(base, name)
    for key, value in base.named_parameters():
        value.requires_grad_(key.endswith(f".{name}") or f".{name}." in key)
    stirred(base)
    tensors = get_peft_model_state_dict(model, adapter_name=name)
    if place_is_new(config, tensors):
        torch.testing.assert_close(answer(base), alone(config, tensors), rtol=0, atol=0)
    assert not torch.allclose(answer(base), stock_answer)
    if name == "second":
        choose(base, "default")
        assert torch.equal(answer(base), first["default"])


def place_is_new(config: Any, tensors: dict[str, torch.Tensor]) -> bool:
    """Whether the tensors are those of this configuration's places and no others, which an overwritten one left."""
    probe = get_peft_model(stock(), copy.deepcopy(config))
    return set(get_peft_model_state_dict(probe)) == set(tensors)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tuner", MADE)
@pytest.mark.parametrize("door", DOORS)
def test_a_second_adapter_that_is_refused_leaves_nothing(tuner: str, door: str, tmp_path: Path) -> None:
    config, said = WRONG[tuner]
    get_peft_model(stock(), TUNERS[tuner]()).save_pretrained(str(tmp_path))
    wrong = copy.deepcopy(config)
    wrong.save_pretrained(str(tmp_path))
    base = stock()
    model = stirred(get_peft_model(base, TUNERS[tuner]()))
    outside, inside = Snapshot(model), Snapshot(base)
    with pytest.raises(ValueError, match=said):
        DOORS[door](model, base, wrong, str(tmp_path))
    outside.assert_same(model)
    inside.assert_same(base)
    assert model.active_adapters == ["default"]
    assert model.base_model.targeted_module_names == get_peft_model(stock(), TUNERS[tuner]()).targeted_module_names


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("door", ["add_adapter", "load_adapter", "inject", "transformers' add_adapter"])
def test_by_these_doors_lora_takes_a_second_one(door: str, tmp_path: Path) -> None:
    """The control: they are PEFT's ways of adding one."""
    get_peft_model(stock(), LoraConfig(target_modules=["lin2"])).save_pretrained(str(tmp_path))
    base = stock()
    model = stirred(get_peft_model(base, LoraConfig(target_modules=["lin2"])))
    DOORS[door](model, base, LoraConfig(target_modules=["lin1"]), str(tmp_path))
    assert list(model.peft_config) == ["default", "second"]


def test_there_is_no_weighted_mean_of_our_adapters() -> None:
    for make in TUNERS.values():
        with pytest.raises(AttributeError, match="add_weighted_adapter"):
            get_peft_model(stock(), make()).add_weighted_adapter(["default"], [1.0], "mean")


@case("PeftModelForSequenceClassification.add_adapter, a second prefix that is refused",
      "refused, one layer of it stays", "ValueError, head and prefix as before", NO_TRACE)  # fmt: skip
def test_the_head_of_a_classifier_is_left_alone_too(load_lively: Callable[..., Any]) -> None:
    base = load_lively("distilbert").model.eval()
    model = stirred(get_peft_model(base, prefix("layer.1.attention", task_type="SEQ_CLS")))
    before = Snapshot(model)
    with pytest.raises(ValueError, match="never asks"):
        model.add_adapter("second", prefix("attention", "ffn", task_type="SEQ_CLS"))
    before.assert_same(model)


HALF = "refused, the layers wrapped so far stay"
BROKEN: dict[str, tuple[Any, str, str]] = {
    "a target that is not linear": (
        BottleneckConfig(target_modules=["lin1", "output_layer_norm"]), "is not a linear layer", HALF),
    "an input that does not exist": (
        BottleneckConfig(target_modules=["lin2"], inputs={"transformer.layer.1.ffn.lin2": "lin9"}),
        'no module "lin9"', f"AttributeError, {HALF.partition(', ')[2]}"),
    "an input for what is not a target": (
        BottleneckConfig(target_modules=["lin2"], inputs={"lin2": "lin1"}),
        r"lin2.*not a target.*layer.0.ffn.lin2", "accepted, the adapter reads its own layer's output"),
    "an input for another layer's target": (
        BottleneckConfig(target_modules=["layer.1.ffn.lin2"],
                         inputs={f"transformer.layer.{n}.ffn.lin2": "transformer.layer.1.ffn.lin1" for n in (0, 1)}),
        r"transformer.layer.0.ffn.lin2.*not a target", "accepted, that input ignored"),
    "a prefix whose target matches nothing": (prefix("attn"), "not found", "refused, attention stays \"lightune\""),
    "adapter layers whose target matches nothing": (BottleneckConfig(target_modules=["lin9"]), "not found", ""),
}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "said"),
    [
        pytest.param(config, said, id=name, marks=[case(name, told, AS_BEFORE, NO_TRACE)] * bool(told))
        for name, (config, said, told) in BROKEN.items()
    ],
)  # fmt: skip
def test_a_refused_first_adapter_leaves_the_stock_model(config: Any, said: str) -> None:
    for attention in ("eager", "sdpa"):
        model = stock(attention=attention)
        before = Snapshot(model)
        with pytest.raises(ValueError, match=said):
            get_peft_model(model, copy.deepcopy(config))
        before.assert_same(model)
        assert all(value.requires_grad for value in model.parameters())
        assert not hasattr(model, "peft_config")


@pytest.mark.parametrize("tuner", MADE)
def test_a_failure_after_the_last_layer_is_undone_too(tuner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**given: Any) -> None:
        raise RuntimeError("no memory")

    monkeypatch.setattr("peft.tuners.tuners_utils.set_additional_trainable_modules", fail)
    model = stock(attention="eager")
    before = Snapshot(model)
    with pytest.raises(RuntimeError, match="no memory"):
        get_peft_model(model, TUNERS[tuner]())
    before.assert_same(model)


@pytest.mark.filterwarnings("ignore")
@case("a refused prefix on a model that has LoRA", "LoRA's configuration replaced by the prefix's, attention changed",
      "ValueError, LoRA as before", NO_TRACE)  # fmt: skip
def test_a_refused_prefix_leaves_lora_alone() -> None:
    base = stock()
    model = stirred(get_peft_model(base, LoraConfig(target_modules=["lin2"])))
    before = Snapshot(model)
    with pytest.raises(ValueError, match="not found"):
        get_peft_model(base, prefix("attn"))
    before.assert_same(model)
    assert model.peft_config["default"].peft_type == "LORA"
