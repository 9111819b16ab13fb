"""Adapter layers as a PEFT tuner: a small network after a linear layer, or beside the part that ends with it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, ClassVar

import torch
from torch import nn
from transformers.activations import ACT2FN

from lightune.models.linear_widths import in_and_out
from lightune.tuners.checked import CheckedLayer, CheckedTuner, unwrapped
from lightune.tuners.peft_types import TargetedConfig, require, require_known


@dataclass
class BottleneckConfig(TargetedConfig):
    """Options of adapter layers; `inputs` maps the target of a parallel adapter to the layer whose input it reads."""

    tuner_name: ClassVar[str] = "bottleneck"

    reduction_factor: float = 16.0
    non_linearity: str = "relu"
    dropout: float = 0.0
    scaling: float = 1.0
    inputs: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise ValueError for an invalid value."""
        super().__post_init__()
        factor, scaling = self.reduction_factor, self.scaling
        require(isfinite(factor) and factor > 0, "reduction_factor", factor, "a number above 0")
        require(isfinite(scaling) and scaling != 0, "scaling", scaling, "a number other than 0")
        require(0 <= self.dropout < 1, "dropout", self.dropout, "0 or more, and below 1")
        require_known("non_linearity", self.non_linearity, ACT2FN)


class BottleneckLayer(CheckedLayer):
    """h + s W_up f(W_down h) with h = W x + b, or h + s W_up f(W_down z) with the input z of another layer.

    W_down: (width / reduction factor) x width, the width of its input; W_up starts at zero.
    """

    adapter_layer_names = ("bottleneck_down", "bottleneck_up")
    other_param_names = ("bottleneck_options",)

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: BottleneckConfig, reads: nn.Module | None):
        super().__init__()
        self.base_layer = base_layer
        self.bottleneck_down, self.bottleneck_up = nn.ModuleDict(), nn.ModuleDict()
        self.bottleneck_options: dict[str, BottleneckConfig] = {}
        self._active_adapter: str | list[str] = adapter_name
        self._disable_adapters = False
        self.merged_adapters: list[str] = []
        self._width = in_and_out(base_layer)[1] if reads is None else in_and_out(unwrapped(reads))[0]
        # The input of the other layer, by thread: two threads may run the model at the same time.
        self._given: dict[int, torch.Tensor] = {}
        self.update_layer(adapter_name, config)
        self._listens = None if reads is None else reads.register_forward_pre_hook(self._note)

    def update_layer(self, adapter_name: str, config: BottleneckConfig) -> None:
        """Add an adapter."""
        width = max(1, round(self._width / config.reduction_factor))
        self.bottleneck_options[adapter_name] = config
        self.bottleneck_down[adapter_name] = nn.Linear(self._width, width)
        up = nn.Linear(width, in_and_out(self.get_base_layer())[1])
        nn.init.zeros_(up.weight)
        nn.init.zeros_(up.bias)
        self.bottleneck_up[adapter_name] = up
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters)

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the base layer's output with the adapters' added; shapes (rows, tokens, width)."""
        found: torch.Tensor = self.base_layer(x, *args, **kwargs)
        read = self._given.pop(threading.get_ident()) if self._listens is not None else None
        for name in () if self.disable_adapters else self.active_adapters:
            if name in self.bottleneck_up:
                found = found + self._adapt(name, found if read is None else read)
        return found

    def _adapt(self, name: str, hidden: torch.Tensor) -> torch.Tensor:
        options = self.bottleneck_options[name]
        inner = ACT2FN[options.non_linearity](_linear(self.bottleneck_down[name], hidden))
        inner = nn.functional.dropout(inner, options.dropout, self.training)
        return options.scaling * _linear(self.bottleneck_up[name], inner)

    def let_go(self) -> None:
        """Remove the hook that keeps the input of another layer."""
        if self._listens is not None:
            self._listens.remove()
            self._listens = None
            self._given.clear()

    def _note(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._given[threading.get_ident()] = args[0]


def _linear(layer: Any, x: torch.Tensor) -> torch.Tensor:
    """Return x W^T + b in the dtype of x, which is bf16 where the frozen layers are."""
    found: torch.Tensor = nn.functional.linear(x, layer.weight.to(x.dtype), layer.bias.to(x.dtype))
    return found


class BottleneckModel(CheckedTuner):
    """A model with adapter layers after (or parallel to the part that ends with) its target modules."""

    prefix = "bottleneck_"
    tuner_layer_cls = BottleneckLayer
    called = "set of adapter layers"

    def _create_and_replace(
        self,
        peft_config: Any,
        adapter_name: str,
        target: nn.Module,
        target_name: str,
        parent: nn.Module,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        # The layer that a deleted adapter left is replaced; another tuner's layer is adapted as it is.
        base = unwrapped(target) if isinstance(target, BottleneckLayer) else target
        reads = self._read_by(peft_config, current_key)
        self._replace_module(parent, target_name, BottleneckLayer(base, adapter_name, peft_config, reads), base)

    def _read_by(self, peft_config: Any, key: str) -> nn.Module | None:
        """Return the layer whose input a target's adapter reads, or None. Raises ValueError for an unknown one."""
        source = peft_config.inputs.get(key)
        if source is None:
            return None
        try:
            return self.model.get_submodule(source)
        except AttributeError:
            raise ValueError(f'inputs["{key}"]: the model has no module "{source}".') from None

    def _check_injected(self, model: nn.Module, adapter_name: str) -> None:
        """Raise ValueError when `inputs` names what is not a target: no adapter would read it."""
        layers = {name: module for name, module in model.named_modules() if isinstance(module, BottleneckLayer)}
        targets = [name for name, layer in layers.items() if adapter_name in layer.bottleneck_options]
        config: Any = self.peft_config[adapter_name]
        for name in config.inputs:
            if name not in targets:
                raise ValueError(
                    f'inputs names "{name}", which is not a target, so nothing would read it. '
                    f"Name targets in full: {', '.join(targets[:3])}{' ...' if len(targets) > 3 else ''}."
                )
