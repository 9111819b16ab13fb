"""Adapter layers as a PEFT tuner: a small network after a linear layer, or beside the part that ends with it."""

from __future__ import annotations

import copy
import threading
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import nn
from transformers.activations import ACT2FN

from lightune.models.linear_widths import in_and_out
from lightune.tuners.checked import CheckedLayer, CheckedTuner, unwrapped
from lightune.tuners.mixed_batches import Named, named
from lightune.tuners.peft_types import TargetedConfig, require, require_known, require_number


@dataclass
class BottleneckConfig(TargetedConfig):
    """Options of adapter layers; `inputs` maps the target of a parallel adapter to the layer whose input it reads.

    With `init_weights` they start without effect; without it everything is random, which is for tests.
    """

    tuner_name: ClassVar[str] = "bottleneck"

    reduction_factor: float = 16.0
    non_linearity: str = "relu"
    dropout: float = 0.0
    scaling: float = 1.0
    inputs: dict[str, str] = field(default_factory=dict)
    init_weights: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError for an invalid value."""
        super().__post_init__()
        require_number("reduction_factor", self.reduction_factor, 1e-3, 1e6)
        require_number("scaling", self.scaling, -1e6, 1e6)
        require(abs(self.scaling) >= 1e-6, "scaling", self.scaling, "at least 1e-06 away from 0")
        require_number("dropout", self.dropout, 0, 1)
        require(self.dropout < 1, "dropout", self.dropout, "below 1")
        require_known("non_linearity", self.non_linearity, ACT2FN)
        has_weights = any(True for _ in ACT2FN[self.non_linearity].parameters())
        require(not has_weights, "non_linearity", self.non_linearity, "a function without weights of its own")
        is_map = isinstance(self.inputs, dict) and all(
            isinstance(name, str) for pair in self.inputs.items() for name in pair
        )
        require(
            is_map, "inputs", self.inputs, "a dict from a target's full name to that of the layer whose input it reads"
        )


OUTER = "base_model.model."  # how names begin where a PeftModel is adapted once more


class InputOf:
    """The input of another layer in this thread's last call of it: two threads may run the model at the same time."""

    def __init__(self, layer: nn.Module) -> None:
        """Keep it from now on."""
        self.layer = layer
        self._given: dict[int, torch.Tensor] = {}
        self._hook = layer.register_forward_pre_hook(self._note)

    def _note(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._given[threading.get_ident()] = args[0]

    def take(self) -> torch.Tensor | None:
        """Return it, and keep it no longer; None when the layer was not called."""
        return self._given.pop(threading.get_ident(), None)

    def forget(self) -> None:
        """Drop what calls that failed left, in any thread: on a GPU recomputation runs in a thread of autograd's."""
        self._given.clear()

    def end(self) -> None:
        """Keep nothing any more."""
        self._hook.remove()
        self.forget()


class BottleneckLayer(CheckedLayer):
    """h + s W_up f(W_down h) with h = W x + b, or h + s W_up f(W_down z) with the input z of another layer.

    W_down: (width / reduction factor) x width, the width of its input; W_up starts at zero. Several active adapters
    each read h and are added up.
    """

    adapter_layer_names = ("bottleneck_down", "bottleneck_up")
    other_param_names = ("bottleneck_options", "bottleneck_inputs")
    why_apart = "adapter layers cannot be merged into weights, because a non-linear function is between theirs"

    def __init__(self, base_layer: nn.Module) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.in_features, self.out_features = in_and_out(self.get_base_layer())
        self.bottleneck_down, self.bottleneck_up = nn.ModuleDict(), nn.ModuleDict()
        self.bottleneck_options: dict[str, BottleneckConfig] = {}
        self.bottleneck_inputs: dict[str, InputOf] = {}
        self._active_adapter: str | list[str] = []
        self._disable_adapters = False
        self.merged_adapters: list[str] = []

    def update_layer(
        self, adapter_name: str, config: BottleneckConfig, active: list[str], reads: nn.Module | None
    ) -> None:
        """Add an adapter, or one in place of that of the same name; `reads` is the layer whose input it reads."""
        outer = self.out_features if reads is None else in_and_out(unwrapped(reads))[0]
        width = max(1, round(outer / config.reduction_factor))
        self._stop_reading(adapter_name)
        self.bottleneck_options[adapter_name] = config
        self.bottleneck_down[adapter_name] = nn.Linear(outer, width)
        up = nn.Linear(width, self.out_features)
        if config.init_weights:
            nn.init.zeros_(up.weight)
            nn.init.zeros_(up.bias)
        self.bottleneck_up[adapter_name] = up
        if reads is not None:
            self.bottleneck_inputs[adapter_name] = InputOf(reads)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(active, inference_mode=config.inference_mode)

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the base layer's output with the adapters' added; shapes (rows, tokens, width)."""
        base: torch.Tensor = self.base_layer(x, *args, **kwargs)
        given = {name: source.take() for name, source in self.bottleneck_inputs.items()}
        if self.disable_adapters:
            return base
        names = named()
        if names is not None:
            return self._by_row(names, base, given)
        found = base
        for name in self.active_adapters:
            if name in self.bottleneck_up:
                found = found + self._adapt(name, _read(given, name, base))
        return found

    def _by_row(self, names: Named, base: torch.Tensor, given: dict[str, torch.Tensor | None]) -> torch.Tensor:
        found = base
        for name, rows in names.groups(len(base)).items():
            if name in self.bottleneck_up:
                at = torch.tensor(rows, device=base.device)
                found = found.index_add(0, at, self._adapt(name, _read(given, name, base)[at]))
        return found

    def _adapt(self, name: str, hidden: torch.Tensor) -> torch.Tensor:
        options = self.bottleneck_options[name]
        inner = ACT2FN[options.non_linearity](_linear(self.bottleneck_down[name], hidden))
        inner = nn.functional.dropout(inner, options.dropout, self.training)
        return options.scaling * _linear(self.bottleneck_up[name], inner)

    def delete_adapter(self, adapter_name: str) -> None:
        """Delete an adapter, and its hook on the layer whose input it reads."""
        self._stop_reading(adapter_name)
        super().delete_adapter(adapter_name)

    def let_go(self) -> None:
        """Remove the hooks that keep the inputs of other layers."""
        for name in list(self.bottleneck_inputs):
            self._stop_reading(name)

    def forget(self) -> None:
        """Drop the inputs of other layers that this layer was to read in a call that failed."""
        for given in self.bottleneck_inputs.values():
            given.forget()

    def _stop_reading(self, name: str) -> None:
        if name in self.bottleneck_inputs:
            self.bottleneck_inputs.pop(name).end()


def _read(given: dict[str, torch.Tensor | None], name: str, base: torch.Tensor) -> torch.Tensor:
    """Return what an adapter reads. Raises RuntimeError when that layer is called after the adapter, or never."""
    found = given.get(name, base)
    if found is None:
        raise RuntimeError(f'the layer that adapter "{name}" reads (its `inputs`) was not called before its target.')
    return found


def _linear(layer: Any, x: torch.Tensor) -> torch.Tensor:
    """Return x W^T + b in the dtype of x, which is bf16 where the frozen layers are."""
    found: torch.Tensor = nn.functional.linear(x, layer.weight.to(x.dtype), layer.bias.to(x.dtype))
    return found


class BottleneckModel(CheckedTuner):
    """A model with adapter layers after (or parallel to the part that ends with) its target modules."""

    prefix = "bottleneck_"
    tuner_layer_cls = BottleneckLayer

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
        self._check_target(current_key, unwrapped(target), parent)
        layer = target if isinstance(target, BottleneckLayer) else BottleneckLayer(target)
        layer.update_layer(adapter_name, peft_config, self.active_adapters, self._read_by(peft_config, current_key))
        if layer is not target:
            self._replace_module(parent, target_name, layer, target)

    def _check_target(self, key: str, target: nn.Module, parent: nn.Module) -> None:
        """Raise ValueError for a target that is not linear, or that the model never calls."""
        if isinstance(parent, nn.MultiheadAttention):
            raise ValueError(f'"{key}": nn.MultiheadAttention reads the weight of this layer, and never calls it.')
        try:
            in_and_out(target)
        except ValueError as error:
            linear = [name for name, module in self.model.named_modules() if isinstance(unwrapped(module), nn.Linear)]
            inside = [name for name in linear if name.startswith(f"{key}.")] or linear
            message = f'A target can be "{inside[0]}".' if inside else "The model has no linear layer."
            raise ValueError(f'"{key}": {error}. {message}') from None

    def _read_by(self, peft_config: Any, key: str) -> nn.Module | None:
        """Return the layer whose input a target's adapter reads, or None. Raises ValueError for an unknown one."""
        outer = OUTER * key.startswith(OUTER)
        source = peft_config.inputs.get(key.removeprefix(OUTER))
        if source is None:
            return None
        try:
            found = self.model.get_submodule(f"{outer}{source}")
        except AttributeError:
            raise ValueError(f'inputs["{key}"]: the model has no module "{source}".') from None
        while isinstance(found, BottleneckLayer):  # whose adapters may all be deleted while this one stays
            found = found.base_layer
        return found

    def _check_injected(self, model: nn.Module, adapter_name: str) -> None:
        """Raise ValueError when `inputs` names what is not a target: no adapter would read it."""
        layers = {name: module for name, module in model.named_modules() if isinstance(module, BottleneckLayer)}
        given = [name for name, layer in layers.items() if adapter_name in layer.bottleneck_options]
        targets = [name.removeprefix(OUTER) for name in given]
        config: Any = copy.copy(self.peft_config[adapter_name])
        config.layers_to_transform = config.layers_pattern = None  # `inputs` may be those of all layers
        for name in config.inputs:
            if name not in targets and not self._would_be_target(config, model, name):
                raise ValueError(
                    f'inputs names "{name}", which is not a target, so nothing would read it. '
                    f"Name targets in full: {', '.join(targets[:3])}{' ...' if len(targets) > 3 else ''}."
                )

    def _would_be_target(self, config: Any, model: nn.Module, name: str) -> bool:
        is_there = any(name == known for known, _ in model.named_modules())
        return is_there and bool(self._check_target_module_exists(config, name))
