"""PEFT's own tests on tiny models, for LoRA and for our tuners; pytest collects this file for tools/peft_tests.py."""

from __future__ import annotations

import copy
import inspect
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import transformers
from peft import LoraConfig
from transformers.models.bert.modeling_bert import BertSelfAttention

from lightune.tuners import register_all
from lightune.tuners.bottleneck import BottleneckConfig
from lightune.tuners.kv_prefix import KVPrefixConfig

if find_spec("diffusers") is None:  # PEFT's tests import it, and use it only for models that draw
    stand_in: Any = ModuleType("diffusers")
    stand_in.StableDiffusionPipeline = type("StableDiffusionPipeline", (), {})
    sys.modules["diffusers"] = stand_in
sys.path[:0] = [os.environ["PEFT_SOURCES"], str(Path(__file__).parents[1] / "tests")]
common: Any = import_module("tests.testing_common")
custom: Any = import_module("tests.test_custom_models")
tiny_config: Any = import_module("tiny").tiny_config
register_all()

WORDS = 100
MODELS = Path(os.environ["PEFT_MODELS"])
VARIANTS: dict[str, tuple[type, dict[str, Any]]] = {
    "lora": (LoraConfig, {}),
    "prefix apart": (KVPrefixConfig, {"attended": "apart"}),
    "prefix gated": (KVPrefixConfig, {"attended": "gated"}),
    "prefix prepended": (KVPrefixConfig, {"attended": "prepended"}),
    "bottleneck after": (BottleneckConfig, {"reduction_factor": 4.0, "non_linearity": "tanh"}),
    "bottleneck beside": (BottleneckConfig, {"reduction_factor": 4.0, "non_linearity": "tanh"}),
}
# By architecture: LoRA's targets, the prefix's, and the layers that end and begin the feed-forward part.
PLACES: dict[str, tuple[list[str], str, str, str]] = {
    "distilbert": (["q_lin", "v_lin"], "attention", "ffn.lin2", "ffn.lin1"),
    "bert": (["query", "value"], "attention.self", "output.dense", "intermediate.dense"),
    "roberta": (["query", "value"], "attention.self", "output.dense", "intermediate.dense"),
    "gpt2": (["c_attn"], "attn", "mlp.c_proj", "mlp.c_fc"),
    "llama": (["q_proj", "v_proj"], "self_attn", "mlp.down_proj", "mlp.gate_proj"),
    "t5": (["q", "v"], "SelfAttention", "DenseReluDense.wo", "DenseReluDense.wi"),
}
CAUSAL = ("gpt2", "llama")
# Models of the common tests: a class of transformers, an architecture and PEFT's type of task.
COMMON: dict[str, tuple[str, str, str | None]] = {
    **{name: ("AutoModel", name, "FEATURE_EXTRACTION") for name in ("distilbert", "bert", "roberta")},
    **{name: ("AutoModelForCausalLM", name, "CAUSAL_LM") for name in CAUSAL},
    "t5": ("T5EncoderModel", "t5", "FEATURE_EXTRACTION"),
    "bert classifier": ("AutoModelForSequenceClassification", "bert", "SEQ_CLS"),
    "llama classifier": ("AutoModelForSequenceClassification", "llama", "SEQ_CLS"),
}
# The common tests that PEFT calls with an adapter that does not start unchanged.
BEGIN_CHANGED = ("save_pretrained", "save_pretrained_selected_adapters", "merge_layers", "merge_layers_multi",
                 "merge_layers_nan", "safe_merge", "mixed_adapter_batches",
                 "generate_with_mixed_adapter_batches_and_beam_search", "unload_adapter",
                 "weighted_combination_of_adapters", "disable_adapter", "lora_conversion")  # fmt: skip


def configuration(architecture: str) -> Any:
    """Return the configuration of a tiny model."""
    if architecture == "t5":
        return transformers.T5Config(
            vocab_size=WORDS, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, pad_token_id=0
        )
    return tiny_config(architecture, WORDS)


def save_models() -> None:
    """Save the common tests' tiny models."""
    for name, (kind, architecture, _) in COMMON.items():
        maker: Any = getattr(transformers, kind)
        config = configuration(architecture)
        config.pad_token_id = 0
        torch.manual_seed(7)
        model = maker.from_config(config) if kind.startswith("Auto") else maker(config)
        with torch.no_grad():  # as they are drawn, a tiny model's outputs hardly depend on its attention
            for value in model.parameters():
                if value.dim() == 2:
                    value.normal_(std=0.2)
        model.save_pretrained(MODELS / name)


def options_of(variant: str, architecture: str, model: Any) -> dict[str, Any]:
    """Return the options of an adapter's configuration for a model."""
    kind, options = VARIANTS[variant]
    lora, attention, end, begin = PLACES[architecture]
    if kind is LoraConfig:
        return {"target_modules": lora, **options}
    if kind is KVPrefixConfig:
        return {"target_modules": [attention], "num_virtual_tokens": 4, **options}
    if variant == "bottleneck after":
        return {"target_modules": [end], **options}
    ends = [name for name, _ in model.named_modules() if name.endswith(end) and "attention.output" not in name]
    return {"target_modules": [end], "inputs": {name: name.replace(end, begin) for name in ends}, **options}


class TestCommon(common.PeftCommonTester):  # type: ignore[misc]
    """Every common test, on transformers' models."""

    def prepare_inputs_for_testing(self) -> dict[str, torch.Tensor]:
        """Return two texts, one of them padded."""
        ids, mask = torch.tensor([[5, 6, 7], [8, 9, 11]]), torch.tensor([[1, 1, 1], [1, 0, 1]])
        return {"input_ids": ids, "attention_mask": mask}


def _common(name: str) -> Callable[..., None]:
    """Return a test that runs one of the common ones."""
    takes = inspect.signature(getattr(TestCommon, f"_test_{name}")).parameters

    def run(self: Any, variant: str, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
        kind, architecture, task = COMMON[model]
        config_cls, self.transformers_class = VARIANTS[variant][0], getattr(transformers, kind)
        loaded = self.transformers_class.from_pretrained(MODELS / model)
        kwargs = {"task_type": task, **options_of(variant, architecture, loaded)}
        if name in BEGIN_CHANGED:
            kwargs = custom.set_init_weights_false(config_cls, kwargs)
        if "mixed" in name:  # which are skipped for whatever is not LoRA
            monkeypatch.setattr(common, "LoraConfig", config_cls)
        given = {"test_name": variant, "model_id": str(MODELS / model), "config_cls": config_cls,
                 "config_kwargs": copy.deepcopy(kwargs), "raises_err": False}  # fmt: skip
        getattr(self, f"_test_{name}")(**{key: value for key, value in given.items() if key in takes})

    for key, values in (("model", COMMON), ("variant", VARIANTS)):
        run = pytest.mark.parametrize(key, list(values))(run)
    return run


for each in [name for name in dir(TestCommon) if name.startswith("_test_")]:
    if {"config_cls", "model_id"} <= set(inspect.signature(getattr(TestCommon, each)).parameters):
        setattr(TestCommon, each[1:], _common(each.removeprefix("_test_")))
common._skip_if_conv1d_not_supported = lambda *given: None  # GPT-2's layers; ours take them


def _log_probabilities(architecture: str, dtype: Any = None) -> Any:
    """Return a model that gives what the custom tests expect: two log probabilities for each row."""
    config = configuration(architecture)
    kind: Any = transformers.T5EncoderModel if architecture == "t5" else None
    kind = kind or type(transformers.AutoModel.from_config(config))

    def forward(self: Any, X: torch.Tensor) -> torch.Tensor:  # noqa: N803  (the tests name it so)
        return torch.log_softmax(kind.forward(self, input_ids=X)[0].mean(1)[:, :2], -1)

    torch.manual_seed(0)
    model = type(kind.__name__, (kind,), {"forward": forward, "dtype": None})(config)
    with torch.no_grad():
        for value in model.parameters():
            if value.dim() == 2:
                value.normal_(std=0.2)
    model.dtype = dtype or torch.float32
    return model.to(model.dtype)


def _from_pretrained(stock: Any, model_id: str, dtype: Any = None) -> Any:
    return _log_probabilities(model_id, dtype) if model_id in PLACES else stock(model_id, dtype=dtype)


custom.MockTransformerWrapper.from_pretrained = partial(_from_pretrained, custom.MockTransformerWrapper.from_pretrained)
TestPeftCustomModel: Any = custom.TestPeftCustomModel
TestMultipleActiveAdapters: Any = custom.TestMultipleActiveAdapters
TestMixedAdapterBatches: Any = custom.TestMixedAdapterBatches
TestRequiresGrad: Any = custom.TestRequiresGrad
# The lists are the arguments of the tests' marks, so they are changed in place.
MLP: list[dict[str, Any]] = [{"target_modules": "lin0"}, {"target_modules": ["lin0"]}, {"target_modules": ["lin1"]},
                             {"target_modules": ["lin0", "lin1"]},
                             {"target_modules": ["lin0"], "modules_to_save": ["lin1"]}]  # fmt: skip
SMALL = {name: VARIANTS[name] for name in VARIANTS if name != "bottleneck beside"}
PAIRS = {"Same": (["lin0"], ["lin0"]), "Different": (["lin0"], ["lin1"]), "Overlapping": (["lin0"], ["lin0", "lin1"])}
BY_KIND = {kind: name for name, (kind, _) in reversed(SMALL.items())}


class Attentive(transformers.BertPreTrainedModel):  # type: ignore[misc]
    """In place of PEFT's own small networks for prefixes: where those have a linear layer, it has attention."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(configuration("bert"))
        if "size" in options:  # as DeepMLP has it
            blocks = [{"lin0": self._attention(), "lin1": torch.nn.Linear(32, 32)} for _ in range(3)]
            self.layers = torch.nn.ModuleList(torch.nn.ModuleDict(block) for block in blocks)
        else:
            self.embeddings = torch.nn.Embedding(WORDS, 32)
            self.lin0, self.lin1 = self._attention(), self._attention()

    def _attention(self) -> Any:
        return BertSelfAttention(self.config)

    def forward(self, X: torch.Tensor) -> torch.Tensor:  # noqa: N803
        """Return two log probabilities for each row."""
        hidden = self.lin1(self.lin0(self.embeddings(X))[0])[0]
        return torch.log_softmax(hidden.mean(1)[:, :2], -1)


@pytest.fixture(autouse=True)
def _attention_for_prefixes(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found = variant_and_case(request.node.callspec.params)
    if found is not None and found[0].startswith("prefix"):
        monkeypatch.setattr(custom, "MLP", Attentive)
        monkeypatch.setattr(custom, "DeepMLP", Attentive)


def _changed(variant: str, targets: list[str]) -> dict[str, Any]:
    kind, options = SMALL[variant]
    return dict(custom.set_init_weights_false(kind, {"target_modules": targets, **options}))


custom.TEST_CASES[:] = [
    (f"{variant}|{model}", model, VARIANTS[variant][0], options_of(variant, model, _log_probabilities(model)))
    for variant in VARIANTS
    for model in PLACES
] + [
    (f"{name}|MLP {number}", "MLP", VARIANTS[name][0], given)
    for name in ("lora", "bottleneck after")
    for number, given in enumerate(MLP)
]
custom.ALL_PEFT_CONFIG_CLASSES[:] = list(BY_KIND)
custom.MULTIPLE_ACTIVE_ADAPTERS_TEST_CASES[:] = [
    (f"{name}|{pair}", name, SMALL[name][0], _changed(name, first), _changed(name, second))
    for name in SMALL
    for pair, (first, second) in PAIRS.items()
]
custom.MIXED_ADAPTER_TEST_CASES[:] = [
    (f"{name}|{pair}", *(SMALL[name][0](**_changed(name, targets)) for targets in both))
    for name in SMALL
    for pair, both in PAIRS.items()
]


def variant_and_case(params: dict[str, Any]) -> tuple[str, str] | None:
    """Return for which adapter a test is run, and on what; None for a test that is about another one of PEFT's."""
    if "variant" in params:
        return params["variant"], params["model"]
    named = str(params.get("test_name", ""))
    if "|" in named:
        rest = [str(value) for key, value in params.items() if key in ("dtype", "autocast_adapter_dtype",
                                                                       "low_cpu_mem_usage")]  # fmt: skip
        variant, _, case = named.partition("|")
        return variant, " ".join([case, *rest])
    name = BY_KIND.get(params.get("config_cls"))
    return name and (name, f"DeepMLP {params.get('is_trainable', '')}")
