"""Tiny models for our tuners through PEFT's own calls, and all that a refused or ended adapter has to leave alone."""

from __future__ import annotations

import copy
from typing import Any

import torch
from peft import get_peft_model
from torch import nn

from lightune.tuners import register_all
from lightune.tuners.bottleneck import BottleneckConfig
from lightune.tuners.kv_prefix import KVPrefixConfig
from tiny import tiny_config

register_all()
WORDS = 60
IDS = torch.tensor([[5, 6, 7, 8, 9], [9, 8, 7, 6, 5]])
# The modules that ask for a prefix, as each architecture calls them.
ASKING = {"distilbert": "attention", "bert": "attention.self", "gpt2": "attn", "llama": "self_attn"}
# The layers after which adapter layers stand.
FEED_FORWARD = {"distilbert": "lin2", "bert": "output.dense", "gpt2": "mlp.c_proj", "llama": "down_proj"}


def stock(architecture: str = "distilbert", attention: str = "sdpa") -> Any:
    """Return a tiny base model with spread-out weights."""
    from transformers import AutoModel

    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = AutoModel.from_config(tiny_config(architecture, WORDS), attn_implementation=attention)
        with torch.no_grad():
            for value in model.parameters():
                if value.dim() == 2:
                    value.normal_(std=0.3)
    return model.eval()


def prefix(*targets: str, **options: Any) -> KVPrefixConfig:
    """Return a prefix that is at work from the start."""
    return KVPrefixConfig(target_modules=list(targets), **{"attended": "prepended", **options})


def parallel(layer: int | None = None, **options: Any) -> BottleneckConfig:
    """Return parallel adapter layers for DistilBERT, or one for a single layer: a hook belongs to each."""
    parts = [f"transformer.layer.{number}.ffn" for number in ((0, 1) if layer is None else (layer,))]
    inputs = {f"{part}.lin2": f"{part}.lin1" for part in parts}
    return BottleneckConfig(target_modules=list(inputs), inputs=inputs, **options)


def placed(architecture: str, tuner: str, **options: Any) -> Any:
    """Return a tuner's configuration for an architecture."""
    if tuner == "bottleneck":
        return BottleneckConfig(target_modules=[FEED_FORWARD[architecture]], **options)
    return KVPrefixConfig(target_modules=[ASKING[architecture]], attended=tuner, num_virtual_tokens=3, **options)


def two(first: Any, second: Any, base: Any = None) -> Any:
    """Return a model with adapters "a" and "b", "a" active, both with an effect."""
    model = get_peft_model(base or stock(), copy.deepcopy(first), adapter_name="a")
    model.add_adapter("b", copy.deepcopy(second))
    model.set_requires_grad("b")
    return stirred(model)


def stirred(model: Any) -> Any:
    """Move what is trained, so that every adapter changes the output."""
    draw = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for value in model.parameters():
            if value.requires_grad:
                value.add_(torch.randn(value.shape, generator=draw) * 0.3)
    return model.eval()


def answer(model: Any, **options: Any) -> torch.Tensor:
    """Return the last hidden state."""
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=IDS, **options)[0]
    return found


def attentions(model: Any) -> int:
    """Return of how many layers attention weights come out."""
    return sum(part is not None for part in model(input_ids=IDS, output_attentions=True).attentions or ())


def traces(model: nn.Module) -> list[str]:
    """Return what is left of our tuners: hooks, layers."""
    left = [f"{name}: hook" for name, module in model.named_modules() if module._forward_pre_hooks]
    return left + [name for name, _ in model.named_modules() if "kv_prefix" in name or "bottleneck" in name]


class Snapshot:
    """Everything about a model that a refusal may not change."""

    def __init__(self, model: Any) -> None:
        """Take it, with copies of all tensors."""
        modules = dict(model.named_modules())
        self.kinds = {name: id(module) for name, module in modules.items()}
        self.trained = {name: value.requires_grad for name, value in model.named_parameters()}
        self.active = {
            name: module.active_adapters for name, module in modules.items() if hasattr(module, "base_layer")
        }
        self.attention = {name: module.config._attn_implementation for name, module in modules.items()
                          if hasattr(getattr(module, "config", None), "_attn_implementation")}  # fmt: skip
        self.traces = traces(model)
        known = getattr(model, "peft_config", {})
        self.configs = {name: (id(config), copy.deepcopy(config.to_dict())) for name, config in known.items()}
        self.tensors = {name: value.clone() for name, value in model.state_dict().items()}
        self.output = answer(model)

    def assert_same(self, model: Any) -> None:
        """Compare with the model as it is now."""
        now = Snapshot(model)
        for name in ("kinds", "trained", "active", "attention", "traces", "configs"):
            assert getattr(now, name) == getattr(self, name), name
        assert list(now.tensors) == list(self.tensors)
        assert all(torch.equal(value, self.tensors[name]) for name, value in now.tensors.items())
        assert torch.equal(now.output, self.output)
