"""Our tuners' end by PEFT's own calls: unload, a deleted adapter, a refused merge give the stock model back."""

from __future__ import annotations

import copy
from itertools import product
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model

from case_table import case
from tiny import tiny_config
from tuner_cases import ASKING, WORDS, Snapshot, answer, attentions, parallel, prefix, stirred, stock, traces

BACK = "the stock model is given back"


def ended(model: Any, end: str) -> Any:
    """Return the stock model after the adapter's end; a deleted adapter leaves empty layers, as LoRA's does."""
    base = model.base_model.model
    if end == "unload of a copy":
        return copy.deepcopy(model).unload()
    if end == "delete_adapter":
        model.delete_adapter("default")
        return base
    if end == "transformers' delete_adapter":
        base._hf_peft_config_loaded = True
        base.delete_adapter("default")
        return base
    if end == "unload after a refused merge":
        with pytest.raises(ValueError, match="cannot be merged"):
            model.merge_and_unload()
    return model.unload()


ENDS = ("unload", "unload of a copy", "unload after a refused merge", "delete_adapter", "transformers' delete_adapter")


MERGE = "NotImplementedError without a word"
BEFORE = {
    "prefix": {end: MERGE if "merge" in end else 'attention stays "lightune"' for end in ENDS},
    "bottleneck": {end: MERGE if "merge" in end else "hooks stay" for end in ENDS if "unload of" not in end},
}
del BEFORE["bottleneck"]["unload"]  # which was right


def ends(tuner: str) -> list[Any]:
    """Return each end, as a case where it went wrong once."""
    told = BEFORE[tuner]
    named = [(end, f"a {tuner} and its end: {end}") for end in ENDS]
    marks = {
        end: [case(given, told.get(end, ""), BACK, "nothing of ours is to stay")] * (end in told)
        for end, given in named
    }
    return [pytest.param(end, id=end, marks=marks[end]) for end in ENDS]


@pytest.mark.parametrize("end", ends("prefix"))
def test_after_a_prefix_the_model_has_the_attention_it_had(end: str) -> None:
    for attention, (architecture, target) in product(("eager", "sdpa"), ASKING.items()):
        base = stock(architecture, attention)
        wanted, weights = answer(base), attentions(base)
        assert weights == (2 if attention == "eager" else 0)
        model = get_peft_model(base, prefix(target))
        assert not torch.equal(answer(model), wanted)
        found = ended(model, end)
        assert found.config._attn_implementation == attention
        assert attentions(found) == weights
        assert torch.equal(answer(found), wanted)
        assert not [trace for trace in traces(found) if trace.endswith(("note", "hook"))]


@pytest.mark.parametrize("end", ends("bottleneck"))
def test_after_adapter_layers_no_hook_is_left(end: str) -> None:
    base = stock()
    wanted = answer(base)
    model = stirred(get_peft_model(base, parallel()))
    assert not torch.equal(answer(model), wanted)
    assert len([trace for trace in traces(model) if trace.endswith("hook")]) == 2
    found = ended(model, end)
    assert torch.equal(answer(found), wanted)
    assert not [trace for trace in traces(found) if trace.endswith("hook")]


@case("encoder and decoder of their own configurations, eager and sdpa; prefix, unload", "AttributeError at the start",
      "each names its own attention again", "a nested model has several configurations")  # fmt: skip
def test_nested_configurations_are_each_put_back() -> None:
    from transformers import EncoderDecoderConfig, EncoderDecoderModel

    parts = [tiny_config(name, WORDS) for name in ("bert", "gpt2")]
    parts[1].add_cross_attention = parts[1].is_decoder = True
    config = EncoderDecoderConfig.from_encoder_decoder_configs(*parts)
    config._attn_implementation = {"encoder": "eager", "decoder": "sdpa", "": "sdpa"}
    model = EncoderDecoderModel(config).eval()
    given = {"input_ids": torch.tensor([[5, 6, 7]]), "decoder_input_ids": torch.tensor([[3, 4]])}
    named = [part.config._attn_implementation for part in (model, model.encoder, model.decoder)]
    assert named == ["sdpa", "eager", "sdpa"]
    wanted = model(**given).logits
    adapted = get_peft_model(model, prefix("encoder.layer.0.attention.self"))
    assert not torch.allclose(adapted(**given).logits, wanted)
    found = adapted.unload()
    assert [part.config._attn_implementation for part in (found, found.encoder, found.decoder)] == named
    assert torch.equal(found(**given).logits, wanted)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("outer", ["prefix", "bottleneck"])
@case("a prefix and parallel adapter layers on one model, then unload",
      "hooks and attention stay, or AttributeError", BACK, "nothing of ours is to stay")  # fmt: skip
def test_two_tuners_of_ours_end_together(outer: str) -> None:
    """PEFT warns of two tuners, and takes both off at once."""
    base = stock(attention="eager")
    wanted = answer(base)
    configs = [prefix("attention"), parallel()]
    for name, config in enumerate(configs if outer == "bottleneck" else configs[::-1]):
        model = stirred(get_peft_model(base, config, f"number {name}"))
    found = model.unload()
    assert torch.equal(answer(found), wanted)
    assert found.config._attn_implementation == "eager"
    assert not traces(found)


@case("get_peft_model, unload, get_peft_model, unload on an eager model", "attention \"lightune\" after the first",
      "twice the same, eager at the end", "an end leaves room for a new start")  # fmt: skip
def test_a_new_prefix_after_unload() -> None:
    base, outputs = stock(attention="eager"), []
    for _ in range(2):
        torch.manual_seed(3)
        model = get_peft_model(base, prefix("attention"))
        outputs.append(answer(model))
        base = model.unload()
        assert base.config._attn_implementation == "eager"
    assert torch.equal(outputs[0], outputs[1])


def test_an_attention_chosen_since_stays() -> None:
    base = stock(attention="sdpa")
    model = get_peft_model(base, prefix("attention"))
    model.set_attn_implementation("eager")
    assert model.unload().config._attn_implementation == "eager"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(prefix("layer.1.attention"), prefix("attention"), id="prefix",
                     marks=case("add_adapter after the only prefix was deleted", "ValueError, half made", "it works",
                                "as LoRA behaves")),
        pytest.param(parallel(1), parallel(), id="bottleneck",
                     marks=case("add_adapter after the only adapter layers were deleted", "ValueError, half made",
                                "it works", "as LoRA behaves")),
        pytest.param(LoraConfig(target_modules=["layer.1.ffn.lin2"]), LoraConfig(target_modules=["lin2"]), id="lora"),
    ],
)  # fmt: skip
def test_after_the_only_adapter_was_deleted_another_can_come(first: Any, second: Any) -> None:
    base = stock()
    wanted = answer(base)
    model = get_peft_model(base, first)
    model.delete_adapter("default")
    model.add_adapter("second", second)
    model.set_adapter("second")
    assert not torch.equal(answer(stirred(model)), wanted)
    assert sorted(model.base_model.targeted_module_names) == sorted(set(model.base_model.targeted_module_names))
    with model.disable_adapter():
        assert torch.equal(answer(model), wanted)
    found = model.unload()
    assert torch.equal(answer(found), wanted)
    assert not traces(found)


@pytest.mark.parametrize("attended", ["apart", "gated", "prepended"])
def test_switched_off_a_prefix_leaves_the_very_numbers_of_sdpa(attended: str) -> None:
    """Eager attention rounds in another order than ours."""
    for attention, tolerance in (("sdpa", 0.0), ("eager", 1e-5)):
        base = stock(attention=attention)
        wanted = answer(base)
        model = stirred(get_peft_model(base, prefix("attention", attended=attended)))
        with model.disable_adapter():
            torch.testing.assert_close(answer(model), wanted, rtol=0, atol=tolerance)
        assert not torch.allclose(answer(model), wanted)


@pytest.mark.parametrize("config", [
    pytest.param(make("word_embeddings"), id=name, marks=case(
        f"merge_and_unload of a {name}, trained embeddings before its first layer",
        "NotImplementedError, the embeddings unloaded", "ValueError, nothing touched", "a refusal leaves no trace"))
    for name, make in {"prefix": lambda saved: prefix("attention", modules_to_save=[saved]),
                       "bottleneck": lambda saved: parallel(modules_to_save=[saved])}.items()
])  # fmt: skip
def test_a_refused_merge_touches_nothing(config: Any) -> None:
    model = stirred(get_peft_model(stock(), config))
    before = Snapshot(model)
    for merge in (model.merge_and_unload, model.merge_adapter):
        with pytest.raises(ValueError, match="cannot be merged into weights"):
            merge()
    before.assert_same(model)
