"""Our tuners through PEFT's own calls: a second adapter is refused whole, and what ends leaves the stock model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from peft import LoraConfig, PeftModel, get_peft_model, inject_adapter_in_model

from case_table import case
from lightune.tuners.bottleneck import BottleneckConfig
from tuner_cases import Snapshot, parallel, prefix, stirred, stock

TUNERS = {"prefix": lambda: prefix("layer.1.attention"), "bottleneck": lambda: parallel(1)}
WHY_ONE = "a prefix or a set of adapter layers is alone on its model, and a refusal changes nothing"
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


def before(tuner: str, place: str, door: str) -> str:
    """Return what came of a second adapter once; nothing where it was refused as it should be."""
    if place == "the same layer":
        return (
            "" if door in ("add_adapter", "load_adapter") else "refused, its configuration stays in the model's table"
        )
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
                told = before(tuner, place, door)
                mark = case(f"a second {tuner} on {place} by {door}", told, "ValueError, nothing touched", WHY_ONE)
                marks = [mark] if told else []
                found.append(pytest.param(tuner, make(given), door, id=f"{tuner}-{place}-{door}", marks=marks))
    return found


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("tuner", "config", "door"), seconds())
def test_a_second_adapter_is_refused_and_nothing_is_touched(tuner: str, config: Any, door: str, tmp_path: Path) -> None:
    get_peft_model(stock(), copy.deepcopy(config)).save_pretrained(str(tmp_path))
    base = stock()
    model = stirred(get_peft_model(base, TUNERS[tuner]()))
    outside, inside = Snapshot(model), Snapshot(base)
    with pytest.raises(ValueError, match=r'can have one .*"default".*delete_adapter or unload'):
        DOORS[door](model, base, config, str(tmp_path))
    outside.assert_same(model)
    inside.assert_same(base)
    assert model.active_adapters == ["default"]


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


@case("PeftModelForSequenceClassification.add_adapter, second prefix", "refused, one layer of it stays",
      "ValueError, head and prefix as before", WHY_ONE)  # fmt: skip
def test_the_head_of_a_classifier_is_left_alone_too(load_lively: Callable[..., Any]) -> None:
    base = load_lively("distilbert").model.eval()
    model = stirred(get_peft_model(base, prefix("layer.1.attention", task_type="SEQ_CLS")))
    before = Snapshot(model)
    with pytest.raises(ValueError, match="can have one"):
        model.add_adapter("second", prefix("attention", task_type="SEQ_CLS"))
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
