"""Our tuners on models that write, of other dtypes and kinds, loaded and saved by PEFT: as LoRA behaves there."""

from __future__ import annotations

import copy
import gc
import weakref
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from transformers import AutoModelForCausalLM, GenerationConfig, T5Config, T5EncoderModel

from case_table import case
from lightune.tuners.bottleneck import BottleneckConfig
from lightune.tuners.checked import CheckedLayer, forget_failed_call
from lightune.tuners.kv_prefix import KVPrefixConfig
from tiny import tiny_config
from tuner_cases import IDS, WORDS, answer, parallel, placed, prefix, stirred, stock, traces, two

LIKE_LORA = "as LoRA behaves"


def writer(architecture: str) -> Any:
    """Return a tiny model that writes, with spread-out weights."""
    torch.manual_seed(5)
    config = tiny_config(architecture, WORDS)
    config.pad_token_id, config.eos_token_id = 0, None
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    with torch.no_grad():
        for value in model.parameters():
            if value.dim() == 2:
                value.normal_(std=0.3)
    return model.eval()


PROMPTS = {
    "input_ids": torch.tensor([[5, 6, 7, 8], [0, 0, 9, 11]]),
    "attention_mask": torch.tensor([[1] * 4, [0, 0, 1, 1]]),
}


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize("tuner", ["apart", "gated", "prepended", "bottleneck"])
@case("generate with a cache", "RuntimeError: sizes differ (prepended)", "as without a cache", LIKE_LORA)  # fmt: skip
def test_with_a_cache_the_same_is_written_as_without(architecture: str, tuner: str) -> None:
    model = stirred(get_peft_model(writer(architecture), placed(architecture, tuner, task_type="CAUSAL_LM")))
    options = {
        **PROMPTS,
        "max_new_tokens": 6,
        "do_sample": False,
        "return_dict_in_generate": True,
        "output_scores": True,
    }
    with torch.no_grad():
        found = {name: model.generate(**options, **given) for name, given in {
            "without": {"use_cache": False}, "with": {}, "static": {"cache_implementation": "static"},
            "in parts": {"prefill_chunk_size": 2},
        }.items()}  # fmt: skip
        with model.disable_adapter():
            untouched = model.generate(**options)
    for name in ("with", "static", "in parts"):
        assert torch.equal(found[name].sequences, found["without"].sequences), name
        for one, other in zip(found[name].scores, found["without"].scores, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(untouched.scores[0], found["with"].scores[0], atol=1e-3)


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize("tuner", ["apart", "gated", "prepended", "bottleneck"])
@pytest.mark.parametrize("beams", [{}, {"num_beams": 3}, {"generation_config": GenerationConfig(num_beams=2)}])
def test_each_prompt_may_have_its_own_adapter(architecture: str, tuner: str, beams: dict[str, Any]) -> None:
    configs = [placed(architecture, tuner, task_type="CAUSAL_LM") for _ in range(2)]
    model = two(*configs, base=writer(architecture))
    options = {**PROMPTS, "max_new_tokens": 5, "do_sample": False, "pad_token_id": 0, **copy.deepcopy(beams)}
    with torch.no_grad():
        mixed = model.generate(**options, adapter_names=["b", "a"])
        for row, name in enumerate(["b", "a"]):
            model.set_adapter(name)
            assert torch.equal(model.generate(**options)[row], mixed[row])


@pytest.mark.parametrize("tuner", ["prefix", "bottleneck", "lora"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("autocast", [True, False])
@case("autocast_adapter_dtype=False on a bf16 model", "a prefix stays fp32", "the base's dtype", LIKE_LORA)
def test_adapters_have_the_dtype_that_peft_promises(
    tuner: str, dtype: torch.dtype, autocast: bool, tmp_path: Any
) -> None:
    configs = {"prefix": [prefix("attention", attended="gated"), prefix("attention", projection=4)],
               "bottleneck": [parallel(), parallel(0)],
               "lora": [LoraConfig(target_modules=["lin1"]), LoraConfig(target_modules=["lin2"])]}[tuner]  # fmt: skip
    wanted = {torch.float32 if autocast else dtype}
    model = get_peft_model(stock().to(dtype), copy.deepcopy(configs[0]), autocast_adapter_dtype=autocast)
    model.add_adapter("other", copy.deepcopy(configs[1]), autocast_adapter_dtype=autocast)
    assert {value.dtype for key, value in model.named_parameters() if model.prefix in key} == wanted
    model.save_pretrained(str(tmp_path))
    for low in (True, False):
        given: dict[str, Any] = {"autocast_adapter_dtype": autocast, "low_cpu_mem_usage": low}
        loaded = PeftModel.from_pretrained(stock().to(dtype), str(tmp_path), **given)
        loaded.load_adapter(str(tmp_path / "other"), "other", **given)
        assert {value.dtype for key, value in loaded.named_parameters() if model.prefix in key} == wanted
        assert not any(value.is_meta for value in loaded.parameters())
        for name in ("default", "other"):
            loaded.set_adapter(name)
            model.set_adapter(name)
            torch.testing.assert_close(answer(loaded.eval()), answer(model.eval()))
            assert answer(loaded).dtype == dtype


@pytest.mark.parametrize("low", [True, False])
@pytest.mark.parametrize("options", [{"attended": "gated"}, {"projection": 4}], ids=str)
@case("low_cpu_mem_usage, saved in fp32, a bf16 base", "a prefix stays fp32", "the base's dtype", LIKE_LORA)
def test_a_prefix_saved_in_another_dtype_takes_that_of_the_base(options: Any, low: bool, tmp_path: Any) -> None:
    model = get_peft_model(stock(), prefix("attention", **options))
    model.save_pretrained(str(tmp_path))
    base = stock().to(torch.bfloat16)
    given: dict[str, Any] = {"autocast_adapter_dtype": False, "low_cpu_mem_usage": low}
    loaded = PeftModel.from_pretrained(base, str(tmp_path), **given)
    assert {value.dtype for value in loaded.parameters()} == {torch.bfloat16}
    assert answer(loaded).dtype == torch.bfloat16


def test_an_input_that_is_not_there_yet_is_no_silent_zero() -> None:
    """A target that is called before the layer whose input it is to read."""
    name = "transformer.layer.0.ffn.lin1"
    config = BottleneckConfig(target_modules=[name], inputs={name: "transformer.layer.0.ffn.lin2"})
    model = get_peft_model(stock(), config)
    with pytest.raises(RuntimeError, match=r'adapter "default" reads .* was not called before'):
        answer(model)
    with model.disable_adapter():
        answer(model)


def test_what_a_failed_call_left_is_dropped() -> None:
    """The input of a layer, and all that it was computed from, until the layer that was to read it is reached."""
    name = "transformer.layer.0.ffn."
    model = get_peft_model(stock(), parallel(0))

    def fail(*_: Any) -> None:
        raise RuntimeError("out of memory")

    hook = model.get_submodule(f"base_model.model.{name}lin1").register_forward_hook(fail)
    kept: list[Any] = []
    seen = model.get_submodule(f"base_model.model.{name}lin1").register_forward_pre_hook(
        lambda module, args: kept.append(weakref.ref(args[0]))
    )
    with pytest.raises(RuntimeError, match="out of memory"):
        answer(model)
    gc.collect()
    assert kept[0]() is not None
    forget_failed_call(model)
    gc.collect()
    assert kept[0]() is None
    for one in (hook, seen):
        one.remove()
    answer(model)


def test_inputs_of_all_layers_go_with_fewer_layers() -> None:
    every = parallel()
    config = BottleneckConfig(target_modules=["lin2"], inputs=every.inputs, layers_to_transform=[1])
    model = get_peft_model(stock(), config)
    assert model.targeted_module_names == ["transformer.layer.1.ffn.lin2"]
    assert len(traces(model)) > len([trace for trace in traces(model) if trace.endswith("hook")]) == 1


@pytest.mark.parametrize("config", [prefix("attention"), parallel()], ids=["prefix", "bottleneck"])
@case("merge() of a layer, unmerge_adapter() of a model", "NotImplementedError without a word",
      "ValueError with the reason; nothing to unmerge", LIKE_LORA)  # fmt: skip
def test_a_layer_says_why_it_is_not_merged(config: Any) -> None:
    model = get_peft_model(stock(), copy.deepcopy(config))
    layers = [module for module in model.modules() if isinstance(module, CheckedLayer)]
    for merge in (layers[0].merge, model.merge_adapter, model.merge_and_unload):
        with pytest.raises(ValueError, match=r"cannot be merged into weights, because .*unload\(\)"):
            merge()
    with pytest.warns(UserWarning, match="Already unmerged"):
        model.unmerge_adapter()
    assert not layers[0].merged


def t5(attention: str) -> Any:
    """Return a tiny T5 encoder: its first layer adds a bias by position to the scores of all layers."""
    config = T5Config(vocab_size=WORDS, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, pad_token_id=0)
    config._attn_implementation = attention
    torch.manual_seed(5)
    model = T5EncoderModel(config)
    with torch.no_grad():
        for value in model.parameters():
            if value.dim() == 2:
                value.normal_(std=0.3)
    return model.eval()


@pytest.mark.parametrize("mask", [None, torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])])
@case("a prepended prefix on T5's encoder", "RuntimeError: the bias has no columns for the prefix",
      "softmax([q P_k^T; q K^T + bias]) [P_v; V]", "T5 adds a bias by position to the scores")  # fmt: skip
def test_a_prepended_prefix_has_no_position(mask: torch.Tensor | None) -> None:
    """The last layer's attention, computed here from its parts."""
    model = stirred(get_peft_model(t5("sdpa"), prefix("SelfAttention", num_virtual_tokens=3)))
    name = "base_model.model.encoder.block.1.layer.0.SelfAttention"
    layer, seen = model.get_submodule(name), {}
    for part in ("q", "k", "v", "o"):
        module = model.get_submodule(f"{name}.base_layer.{part}")
        module.register_forward_hook(lambda _, args, output, part=part: seen.update({part: (args[0], output)}))
    first = model.get_submodule("base_model.model.encoder.block.0.layer.0.SelfAttention")
    given = {} if mask is None else {"attention_mask": mask}
    with torch.no_grad():
        model(input_ids=IDS, **given)
        query, key, value = (seen[part][1].unflatten(-1, (4, 8)).transpose(1, 2) for part in ("q", "k", "v"))
        pk, pv = (part.expand(2, -1, -1, -1) for part in layer.states("default"))
        scores = query @ key.mT + first.base_layer.compute_bias(5, 5)
        if mask is not None:
            scores = scores.masked_fill(~mask.bool()[:, None, None], float("-inf"))
        weights = torch.softmax(torch.cat([query @ pk.mT, scores], -1), -1)
        wanted = (weights @ torch.cat([pv, value], 2)).transpose(1, 2).flatten(2)
    torch.testing.assert_close(seen["o"][0], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tuner", ["apart", "gated", "prepended", "bottleneck"])
def test_t5_s_encoder_takes_both_tuners(tuner: str) -> None:
    config: Any = BottleneckConfig(target_modules=["wo"])
    if tuner != "bottleneck":
        config = KVPrefixConfig(target_modules=["SelfAttention"], attended=tuner, num_virtual_tokens=3)
    base = t5("eager")
    wanted = answer(base)
    model = two(config, config, base=base)
    mixed = model(input_ids=IDS, adapter_names=["b", "__base__"])[0]
    torch.testing.assert_close(mixed[1], wanted[1], rtol=1e-5, atol=1e-5)
    model.set_adapter("b")
    torch.testing.assert_close(mixed[0], answer(model)[0], rtol=1e-5, atol=1e-5)
    assert not torch.allclose(mixed[0], wanted[0], atol=1e-3)
    assert torch.equal(answer(model.unload()), wanted)


@pytest.mark.parametrize("tuner", ["apart", "gated", "prepended"])
@pytest.mark.parametrize("mask", [None, torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])])
@case("a prefix on T5's encoder in bf16", "RuntimeError: the mask's dtype", "as in fp32, rounded",
      "on a CPU bf16 is computed in fp32, the bias too")  # fmt: skip
def test_t5_s_bias_may_be_bf16(tuner: str, mask: torch.Tensor | None) -> None:
    config = KVPrefixConfig(target_modules=["SelfAttention"], attended=tuner, num_virtual_tokens=3)
    model = stirred(get_peft_model(t5("sdpa"), config))
    given = {} if mask is None else {"attention_mask": mask}
    wanted, found = answer(model, **given), answer(model.to(torch.bfloat16), **given)
    assert found.dtype == torch.bfloat16
    seen = slice(None) if mask is None else mask.bool()
    torch.testing.assert_close(found[seen].float(), wanted[seen], rtol=0.1, atol=0.1)


@pytest.mark.parametrize("saved_as", ["default", "other"])
@case("a computed prefix saved by PEFT and loaded under another name", "its network stays random, a warning",
      "the same answers", "PEFT finds an adapter's name only at the end of a tensor's")  # fmt: skip
def test_a_computed_prefix_is_loaded_under_any_name(saved_as: str, tmp_path: Any) -> None:
    model = stirred(get_peft_model(stock(), prefix("attention", projection=3), adapter_name=saved_as))
    model.save_pretrained(str(tmp_path))
    assert not any(saved_as in name for name in get_peft_model_state_dict(model, adapter_name=saved_as))
    folder = tmp_path if saved_as == "default" else tmp_path / saved_as
    loaded = PeftModel.from_pretrained(stock(), str(folder), adapter_name="third")
    torch.testing.assert_close(answer(loaded), answer(model))


def test_an_older_computed_prefix_is_read() -> None:
    """Once, its tensors were saved with the adapter's name inside theirs."""
    model = stirred(get_peft_model(stock(), prefix("attention", projection=3)))
    old = {name.replace("_projection.", "_projection.default."): value
           for name, value in get_peft_model_state_dict(model).items()}  # fmt: skip
    assert any("_projection.default.hidden.weight" in name for name in old)
    fresh = get_peft_model(stock(), prefix("attention", projection=3)).eval()
    old = {name.replace("_projection.default.embedding", "_projection.embedding"): old[name] for name in old}
    set_peft_model_state_dict(fresh, old)
    torch.testing.assert_close(answer(fresh), answer(model))
