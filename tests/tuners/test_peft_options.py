"""What our tuners' configurations may say: targets that ask for a prefix, values that mean something."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from case_table import case
from lightune.errors import RecipeError
from lightune.tuners.asking import asks
from lightune.tuners.bottleneck import BottleneckConfig
from lightune.tuners.kv_prefix import KVPrefixConfig
from tiny import tiny_config
from tuner_cases import ASKING, WORDS, Snapshot, answer, parallel, prefix, stirred, stock

NOTHING, LATE = "accepted, does nothing", "AttributeError, layers half wrapped"
WRONG: list[tuple[str, Any, str, str, str]] = [
    ("bert", ["attention"], "encoder.layer.0.attention", "BertAttention", NOTHING),
    ("bert", ["attention", "attention.self"], "encoder.layer.0.attention", "BertAttention", LATE),
    ("bert", r".*\.attention(\.self)?", "encoder.layer.0.attention", "BertAttention", LATE),
    ("bert", r".*attention\.self(\..*)?", "encoder.layer.0.attention.self.query", "Linear", LATE),
    ("bert", ["encoder"], "encoder", "BertEncoder", NOTHING),
    ("bert", "all-linear", "encoder.layer.0.attention.self.query", "Linear", NOTHING),
    ("distilbert", ["ffn"], "transformer.layer.0.ffn", "FFN", NOTHING),
    ("distilbert", ["q_lin"], "transformer.layer.0.attention.q_lin", "Linear", NOTHING),
    ("gpt2", ["mlp"], "h.0.mlp", "GPT2MLP", NOTHING),
    ("gpt2", ["attn", "mlp"], "h.0.mlp", "GPT2MLP", "accepted, does nothing in mlp"),
    ("llama", ["layers.1"], "layers.1", "LlamaDecoderLayer", NOTHING),
]


@pytest.mark.parametrize(
    ("architecture", "targets", "named", "kind"),
    [
        pytest.param(*row[:4], id=f"{row[0]}-{row[1]}", marks=case(f"a prefix on {row[1]} of {row[0]}", row[4],
                     "ValueError, names the right target", f"{row[3]} does not call the attention function"))
        for row in WRONG
    ],
)  # fmt: skip
def test_a_target_that_never_asks_is_refused(architecture: str, targets: Any, named: str, kind: str) -> None:
    model = stock(architecture, "eager")
    before = Snapshot(model)
    right = ASKING[architecture]
    with pytest.raises(ValueError, match=rf"target_modules=\['{right}'\]") as caught:
        get_peft_model(model, KVPrefixConfig(target_modules=targets, attended="prepended"))
    assert f'"{named}" ({kind})' in str(caught.value)
    assert "\n" not in str(caught.value)
    before.assert_same(model)
    assert not torch.equal(answer(get_peft_model(model, prefix(right))), before.output)


@pytest.mark.parametrize(
    "architecture", ["distilbert", "bert", "gpt2", "llama", "modernbert", "albert", "electra", "opt"]
)
def test_the_modules_that_ask_are_those_that_the_table_of_architectures_calls_attention(
    load_tiny: Any, architecture: str
) -> None:
    loaded = load_tiny(architecture)
    asking = [name for name, module in loaded.model.named_modules() if asks(module)]
    assert asking == loaded.anatomy.modules(["attention"])


@pytest.mark.parametrize(("architecture", "target"), [("mpnet", "attention.attn"), ("deberta-v2", "attention.self")])
def test_attention_that_a_model_computes_itself_takes_a_prefix_while_it_is_there(
    architecture: str, target: str
) -> None:
    model = stock(architecture, "eager")
    before, ids = Snapshot(model), torch.tensor([[5, 6, 7]])
    classes = [type(module) for module in model.modules()]
    wanted = model(ids, output_attentions=True)
    prefixed = get_peft_model(model, prefix(target, attended="prepended")).eval()
    assert not torch.allclose(prefixed(ids)[0], wanted[0], atol=1e-4)
    assert prefixed.unload() is model
    before.assert_same(model.requires_grad_(True))  # which PEFT leaves frozen
    assert [type(module) for module in model.modules()] == classes
    found = model(ids, output_attentions=True)
    assert torch.equal(found[0], wanted[0])
    assert all(map(torch.equal, found.attentions, wanted.attentions))


def test_a_convolution_over_neighbouring_tokens_takes_no_prefix() -> None:
    from transformers import DebertaV2Model

    config = tiny_config("deberta-v2", words=60)
    config.conv_kernel_size = 3
    model = DebertaV2Model(config).eval()
    before = Snapshot(model)
    with pytest.raises(RecipeError, match="RECIPE-039"):
        get_peft_model(model, prefix("attention.self"))
    before.assert_same(model)


@case("a prefix where a layer has a configuration of its own", "accepted, does nothing in that layer",
      "ValueError, model as before", "that layer's attention stays eager and takes no prefix")  # fmt: skip
def test_a_layer_with_its_own_attention_is_refused() -> None:
    model = stock(attention="eager")
    attention = model.transformer.layer[1].attention
    attention.config = copy.deepcopy(attention.config)
    before = Snapshot(model)
    with pytest.raises(ValueError, match='the attention of this model is "eager"'):
        get_peft_model(model, prefix("attention"))
    before.assert_same(model)


@case("set_attn_implementation(\"eager\") on a model with a prefix, then a forward pass", "the prefix is off, no word",
      "ValueError, says how to go on", "eager attention takes no prefix")  # fmt: skip
def test_another_attention_under_a_prefix_is_not_silent() -> None:
    model = get_peft_model(stock(), prefix("attention"))
    wanted = answer(model)
    model.set_attn_implementation("eager")
    with pytest.raises(ValueError, match="lightune"):
        answer(model)
    with model.disable_adapter():
        answer(model)
    model.set_attn_implementation("lightune")
    assert torch.equal(answer(model), wanted)


@pytest.mark.parametrize("model", [torch.nn.Sequential(torch.nn.Linear(4, 4))], ids=["Sequential"])
@case("a prefix on torch's Sequential", "AttributeError", "ValueError", "it is not a model of transformers")
def test_what_is_not_a_model_of_transformers_is_refused(model: Any) -> None:
    with pytest.raises(ValueError, match="Sequential is not a transformers model"):
        get_peft_model(model, prefix("0"))
    assert type(model[0]) is torch.nn.Linear


MEANT = "it would be something else in silence"
APART = "accepted, as a gated one without its gate"
NARROW = "accepted, one number wide"
ON_BOTH = "accepted, on both layers"
VALUES: list[tuple[type, dict[str, Any], str, str]] = [
    (KVPrefixConfig, {"attended": "aprat"}, APART, "apart, gated, prepended"),
    (KVPrefixConfig, {"attended": None}, APART, "apart, gated, prepended"),
    (KVPrefixConfig, {"num_virtual_tokens": 0}, "accepted, does nothing", "num_virtual_tokens: 0"),
    (KVPrefixConfig, {"projection": 0}, "accepted, every token the same", "projection: 0"),
    (BottleneckConfig, {"non_linearity": "wavy"}, "KeyError at the first forward pass", "relu"),
    (BottleneckConfig, {"reduction_factor": -4}, NARROW, "reduction_factor: -4"),
    (BottleneckConfig, {"reduction_factor": float("inf")}, NARROW, "reduction_factor: inf"),
    (BottleneckConfig, {"scaling": 0}, "accepted, does nothing", "scaling: 0"),
    (BottleneckConfig, {"dropout": 1}, "accepted, its inside always dropped in training", "dropout: 1"),
    (KVPrefixConfig, {"num_virtual_tokens": 2.5}, "TypeError when attached", "num_virtual_tokens: 2.5"),
    (KVPrefixConfig, {"num_virtual_tokens": "16"}, "TypeError without the option's name", "num_virtual_tokens: '16'"),
    (KVPrefixConfig, {"projection": True}, "accepted, one number wide", "projection: True"),
    (KVPrefixConfig, {"init_weights": "no"}, "TypeError: no such option", "init_weights: 'no'"),
    (BottleneckConfig, {"reduction_factor": "4"}, "TypeError without the option's name", "reduction_factor: '4'"),
    (BottleneckConfig, {"scaling": float("nan")}, "", "scaling: nan"),
    (BottleneckConfig, {"dropout": None}, "TypeError without the option's name", "dropout: None"),
    (BottleneckConfig, {"non_linearity": ["relu"]}, "TypeError without the option's name", "non_linearity"),
    (BottleneckConfig, {"non_linearity": "prelu"}, "accepted, its weight never trained", "without weights of its own"),
    (BottleneckConfig, {"inputs": ["lin2"]}, "AttributeError when attached", "inputs: "),
    (BottleneckConfig, {"inputs": {"lin2": 1}}, "AttributeError when attached", "inputs: "),
    (KVPrefixConfig, {"target_modules": [1]}, "accepted, an error when attached", "target_modules: "),
    (BottleneckConfig, {"modules_to_save": "classifier"}, "accepted, as a list of letters", "modules_to_save: "),
    (KVPrefixConfig, {"target_modules": ".*attention", "layers_to_transform": [1]}, ON_BOTH, "target_modules is a str"),
    (BottleneckConfig, {"target_modules": ".*lin2", "layers_to_transform": [1]}, ON_BOTH, "target_modules is a str"),
    (BottleneckConfig, {"target_modules": ["lin2"], "layers_pattern": "layer"}, ON_BOTH, "layers_to_transform"),
]


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        pytest.param(kind, options, said, id=f"{kind.__name__}-{options}", marks=[case(
            f"{kind.__name__}({', '.join(f'{name}={value!r}' for name, value in options.items())})",
            told, "ValueError, says what is valid", MEANT)] * bool(told))
        for kind, options, told, said in VALUES
    ],
)  # fmt: skip
def test_a_value_that_means_nothing_is_refused(kind: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        kind(**options)


@pytest.mark.parametrize(
    "options", [row[1] for row in VALUES if {"layers_to_transform", "layers_pattern"} & set(row[1])]
)
def test_lora_refuses_the_same_layers(options: dict[str, Any]) -> None:
    """The control."""
    with pytest.raises(ValueError, match="layers_"):
        LoraConfig(**options)


@case("parallel adapter layers whose input layer is a target too", "RuntimeError: sizes differ",
      "h + W_up f(W_down x) with x the other's input", "a layer with an adapter reads what it read before")  # fmt: skip
def test_a_target_may_read_the_input_of_another_target() -> None:
    base = stock()
    config = parallel(non_linearity="tanh", reduction_factor=4)
    config.target_modules = {"lin1", "lin2"}
    model = stirred(get_peft_model(base, config))
    layer = base.transformer.layer[0].ffn.lin2
    seen: dict[str, torch.Tensor] = {}
    base.transformer.layer[0].ffn.lin1.register_forward_hook(lambda _, args, output: seen.update(x=args[0]))
    layer.base_layer.register_forward_hook(lambda _, args, output: seen.update(h=output))
    layer.register_forward_hook(lambda _, args, output: seen.update(found=output))
    answer(model)
    down, up = layer.bottleneck_down["default"], layer.bottleneck_up["default"]
    assert down.weight.shape == (8, 32)
    wanted = seen["h"] + torch.tanh(seen["x"] @ down.weight.T + down.bias) @ up.weight.T + up.bias
    torch.testing.assert_close(seen["found"], wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("config", [
    pytest.param(prefix("attention"), id="prefix", marks=case("from_pretrained(low_cpu_mem_usage=True) of a prefix",
                 "NotImplementedError", "as without", "tensors that lie nowhere yet cannot be moved")),
    pytest.param(parallel(), id="bottleneck"),
])  # fmt: skip
def test_loading_without_memory_for_the_start_gives_the_same(config: Any, tmp_path: Path) -> None:
    model = stirred(get_peft_model(stock(), config))
    model.save_pretrained(str(tmp_path))
    loaded = PeftModel.from_pretrained(stock(), str(tmp_path), low_cpu_mem_usage=True)
    assert torch.equal(answer(loaded), answer(model))


@pytest.mark.parametrize("kind", ["GptOss", "Gemma2"])
@case("a prefix on a model with attention of its own kind (sinks, capped scores)", "changes the model, or fails later",
      "RecipeError when attached, model as before", "torch's attention function does not know either")  # fmt: skip
def test_attention_that_torchs_function_cannot_compute_takes_no_prefix(kind: str) -> None:
    import transformers

    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
    more = {"num_local_experts": 2, "num_experts_per_tok": 1} if kind == "GptOss" else {}
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=WORDS, num_hidden_layers=2, head_dim=8, pad_token_id=0, **sizes, **more
    )
    model = getattr(transformers, f"{kind}Model")(config).eval()
    before, wanted = Snapshot(model), answer(model)
    with pytest.raises(RecipeError, match="RECIPE-039"):
        get_peft_model(model, prefix("self_attn"))
    before.assert_same(model)
    assert torch.equal(answer(model), wanted)


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"reduction_factor": 10**400}, "reduction_factor"),
        ({"reduction_factor": 1e-30}, "reduction_factor"),
        ({"scaling": 10**400}, "scaling"),
        ({"scaling": 1e300}, "scaling"),
        ({"scaling": 1e-300}, "scaling"),
        ({"scaling": float("nan")}, "scaling"),
        ({"dropout": 1.0}, "dropout"),
        ({"target_modules": "*("}, "target_modules"),
        ({"exclude_modules": "*("}, "exclude_modules"),
        ({"layers_to_transform": [0], "layers_pattern": "*("}, "layers_pattern"),
        ({"inference_mode": "x"}, "inference_mode"),
        ({"inference_mode": 3}, "inference_mode"),
    ],
)
def test_a_value_that_would_fail_later_is_refused_at_once(options: dict[str, Any], option: str) -> None:
    with pytest.raises(ValueError, match=f"^{option}: "):
        BottleneckConfig(**{"target_modules": ["lin2"], **options})


@pytest.mark.parametrize("option", ["num_virtual_tokens", "projection"])
@pytest.mark.parametrize("given", [10**30, 2**20 + 1, 0, True, 2.0])
def test_a_size_beyond_memory_is_refused_at_once(option: str, given: Any) -> None:
    with pytest.raises(ValueError, match=f"^{option}: .* whole number from 1 to 1,048,576"):
        prefix("attention", **{option: given})


def test_a_target_of_adapter_layers_that_is_not_linear_is_named_with_one_that_is() -> None:
    with pytest.raises(ValueError, match=r'"transformer\.layer\.0\.ffn": FFN is not .* A target can be "transformer'):
        get_peft_model(stock(), BottleneckConfig(target_modules=["ffn"]))


def test_a_layer_that_is_never_called_takes_no_adapter() -> None:
    """nn.MultiheadAttention reads the weight of its output layer."""
    model = torch.nn.Sequential(torch.nn.MultiheadAttention(8, 2))
    with pytest.raises(ValueError, match="never calls it"):
        get_peft_model(model, BottleneckConfig(target_modules=["out_proj"]))
    assert isinstance(model[0].out_proj, torch.nn.Linear)
