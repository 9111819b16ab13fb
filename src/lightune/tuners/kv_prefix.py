"""Prefix tuning as a PEFT tuner: trained keys and values before every text, inside the one attention function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from lightune.execution.attention import NAME, PrefixSource, prefixed
from lightune.execution.attention_switch import AttentionBefore, use_attention
from lightune.execution.own_attention import calls_the_one
from lightune.execution.prefixes import ByRow, Prefix, Prefixes, Together, together
from lightune.tuners.asking import asks, where_to_ask
from lightune.tuners.checked import CheckedLayer, CheckedTuner, unwrapped
from lightune.tuners.mixed_batches import named
from lightune.tuners.peft_types import TargetedConfig, require_count, require_known
from lightune.tuners.prefix_shapes import RANDOM_SPREAD, Heads, Projection

ATTENDED = ("apart", "gated", "prepended")


@dataclass
class KVPrefixConfig(TargetedConfig):
    """Options of a prefix: `attended` "apart" (values start at zero), "gated" (so does the gate) or "prepended".

    `projection` is the inner width of the small network that computes the prefix, or None. With `init_weights` false
    nothing starts at zero, which is for tests.
    """

    tuner_name: ClassVar[str] = "kv_prefix"

    num_virtual_tokens: int = 16
    attended: str = "apart"
    projection: int | None = None
    init_weights: bool = True

    def __post_init__(self) -> None:
        """Raise ValueError for an invalid value."""
        super().__post_init__()
        require_known("attended", self.attended, ATTENDED)
        require_count("num_virtual_tokens", self.num_virtual_tokens)
        require_count("projection", self.projection, or_none=True)


class KVPrefixLayer(CheckedLayer):
    """Wraps an attention module and gives it a prefix in each call; the attention function does the rest."""

    adapter_layer_names = ("kv_prefix_states", "kv_prefix_projection", "kv_prefix_gate")
    other_param_names = ("kv_prefix_attended",)
    why_apart = "a prefix cannot be merged into weights, because attention sees it as more keys and values"

    def __init__(self, base_layer: nn.Module, heads: Heads) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.in_features = self.out_features = heads.query * heads.width
        self.kv_prefix_states, self.kv_prefix_gate = nn.ParameterDict(), nn.ParameterDict()
        self.kv_prefix_projection = nn.ModuleDict()
        self.kv_prefix_attended: dict[str, str] = {}
        self._active_adapter: str | list[str] = []
        self._disable_adapters = False
        self.merged_adapters: list[str] = []
        self._heads = heads
        self._seen: list[torch.Tensor] | None = None
        self.attention_before: AttentionBefore | None = None

    def update_layer(self, adapter_name: str, config: KVPrefixConfig, active: list[str]) -> None:
        """Add a prefix, or one in place of that of the same name, in the base layer's dtype and on its device."""
        heads, tokens = self._heads, config.num_virtual_tokens
        starts_at_zero = config.init_weights and config.attended == "apart"
        for part in (self.kv_prefix_states, self.kv_prefix_projection, self.kv_prefix_gate):
            part.pop(adapter_name) if adapter_name in part else None
        self.kv_prefix_attended[adapter_name] = config.attended
        if config.projection is not None:
            self.kv_prefix_projection[adapter_name] = Projection(tokens, config.projection, heads, starts_at_zero)
        else:
            spread = RANDOM_SPREAD if config.init_weights else 1.0
            states = torch.randn(2, heads.key_value, tokens, heads.width) * spread
            states[1] *= not starts_at_zero
            self.kv_prefix_states[adapter_name] = nn.Parameter(states)
        if config.attended == "gated":
            start = torch.zeros(heads.query) if config.init_weights else torch.randn(heads.query)
            self.kv_prefix_gate[adapter_name] = nn.Parameter(start)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(active, inference_mode=config.inference_mode)

    def enter(self, before: AttentionBefore) -> None:
        """Give the base layer a prefix from now on; `before` holds the attention that the model had."""
        before.hold()
        self.attention_before = before

    def let_go(self) -> None:
        """Stop giving a prefix; the last layer to do so restores the model's attention."""
        if self.attention_before is not None:
            self.attention_before.release()
            self.attention_before = None

    def _move_adapter_to_device_of_base_layer(self, adapter_name: str, device: torch.device | None = None) -> None:
        """Move a prefix to the device and dtype of the base layer, unless it is still on the meta device.

        PEFT, which calls this after it has loaded an adapter, looks for a weight of the layer itself.
        """
        weights = list(self.base_layer.parameters())
        dtype = next((value.dtype for value in weights if value.is_floating_point()), None)  # quantised ones are not
        parts = (self.kv_prefix_states, self.kv_prefix_gate, self.kv_prefix_projection)
        for part in (part[adapter_name] for part in parts if adapter_name in part):
            for value in part.parameters() if isinstance(part, nn.Module) else [part]:
                if not value.is_meta:
                    value.data = value.data.to(device or weights[0].device, dtype)

    def states(self, name: str) -> torch.Tensor:
        """Return the keys and values of an adapter, (2, key/value heads, tokens, head width)."""
        is_projected = name in self.kv_prefix_projection
        found: torch.Tensor = self.kv_prefix_projection[name]() if is_projected else self.kv_prefix_states[name]
        return found

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the attention module, whose attention function asks for the prefix.

        Raises ValueError when the model's attention was changed to one that does not ask.
        """
        if self.attention_before is None:
            return self.base_layer(*args, **kwargs)
        if self.disable_adapters:
            return self._call(self, args, kwargs)
        names = named()
        if names is not None or self._active():
            _check_attention(self.base_layer)
        rows = None if names is None else names.groups(_count_rows(args, kwargs))
        return self._call(self if rows is None else _RowsOf(self, rows), args, kwargs)

    def _call(self, source: PrefixSource, args: Any, kwargs: Any) -> Any:
        with prefixed(unwrapped(self.base_layer), source):
            return self.base_layer(*args, **kwargs)

    def _active(self) -> list[str]:
        return [name for name in self.active_adapters if name in self.kv_prefix_attended]

    def prefix(self) -> Prefix | Together | None:
        """Return the active prefix, or several together; None when they are switched off."""
        return None if self.disable_adapters else together([self.prefix_of(name) for name in self._active()])

    def prefix_of(self, name: str) -> Prefix:
        """Return the prefix of an adapter."""
        keys, values = self.states(name)
        gate = self.kv_prefix_gate.get(name)
        return Prefix(keys, values, self.kv_prefix_attended[name] != "prepended", gate)

    def observe(self, key: torch.Tensor, value: torch.Tensor) -> None:
        """Keep the first row's keys and values while `remember` is on."""
        if self._seen is not None and not self._seen:
            self._seen += [key[0].detach().clone(), value[0].detach().clone()]

    def remember(self, on: bool) -> None:
        """Start or stop recording the tokens' keys and values."""
        self._seen = [] if on else None

    def start_from_seen(self, name: str) -> None:
        """Set the prefix to what was recorded; values that start at zero stay zero."""
        assert self._seen, "nothing was recorded"
        keys, values = self._seen
        with torch.no_grad():
            self.kv_prefix_states[name][0].copy_(keys)
            if self.kv_prefix_attended[name] != "apart":
                self.kv_prefix_states[name][1].copy_(values)


def _count_rows(args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    return next(len(part) for part in (*args, *kwargs.values()) if isinstance(part, torch.Tensor))


@dataclass(frozen=True)
class _RowsOf:
    """Gives each row of a batch the prefix of its own adapter."""

    layer: KVPrefixLayer
    rows: dict[str, list[int]]

    def prefix(self) -> Prefixes | None:
        known = self.layer.kv_prefix_attended
        groups = [(rows, self.layer.prefix_of(name) if name in known else None) for name, rows in self.rows.items()]
        return groups[0][1] if len(groups) == 1 else ByRow(tuple(groups))

    def observe(self, key: torch.Tensor, value: torch.Tensor) -> None:
        self.layer.observe(key, value)


class KVPrefixModel(CheckedTuner):
    """A model whose target attention modules have a prefix; its attention goes through the one attention function."""

    prefix = "kv_prefix_"
    tuner_layer_cls = KVPrefixLayer

    @classmethod
    def _remove_adapter_name_from_key(cls, key: str, adapter_name: str) -> str:
        """Return the name under which a tensor is saved; PEFT finds an adapter's name only at the end of a key."""
        found = key.replace(f".kv_prefix_projection.{adapter_name}.", ".kv_prefix_projection.")
        return found if found != key else str(super()._remove_adapter_name_from_key(key, adapter_name))

    def _prepare_model(self, peft_config: Any, model: nn.Module) -> None:
        if not hasattr(model, "set_attn_implementation"):
            kind = type(model).__name__
            raise ValueError(f"{kind} is not a transformers model: only these have an attention that can be replaced.")
        self._before = next(iter(_held(model)), None) or AttentionBefore(model)
        if not _held(model):
            use_attention(model)

    def undo_outside(self, model: nn.Module) -> None:
        """Restore the model's attention, unless an earlier prefix uses it."""
        if "_before" in vars(self) and not _held(model):
            self._before.put_back()

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
        base: Any = unwrapped(target)
        self._check_target(peft_config, current_key, base)
        _check_attention(base)
        layer = target if isinstance(target, KVPrefixLayer) and target.attention_before is not None else None
        if layer is None:  # one that a deleted adapter left is replaced
            layer = KVPrefixLayer(base, Heads.of(base.config))
            setattr(parent, target_name, layer)
            layer.enter(self._before)
        layer.update_layer(adapter_name, peft_config, self.active_adapters)

    def _check_target(self, peft_config: Any, key: str, target: nn.Module) -> None:
        """Raise ValueError for a target, or for another one inside it, that never asks for a prefix."""
        inside = {f"{key}.{name}": module for name, module in target.named_modules() if name}
        asked = {name: module for name, module in inside.items() if self._check_target_module_exists(peft_config, name)}
        for name, module in {key: target, **asked}.items():
            if not asks(module):
                kind = type(module).__name__
                message = f'"{name}" ({kind}) never asks for a prefix, so a prefix there would do nothing.'
                raise ValueError(f"{message} {where_to_ask(self.model, name)}")


def _held(model: nn.Module) -> list[AttentionBefore]:
    """Return what the attached prefixes hold: the attention that the model had before the first of them."""
    layers = [module for module in model.modules() if isinstance(module, KVPrefixLayer)]
    return [layer.attention_before for layer in layers if layer.attention_before is not None]


def _check_attention(module: Any) -> None:
    """Raise ValueError when the model uses another attention than the one that takes a prefix."""
    named = module.config._attn_implementation
    if named != NAME and not calls_the_one(module):
        raise ValueError(
            f'the attention of this model is "{named}", which takes no prefix, so the prefix would do nothing. '
            f'Call set_attn_implementation("{NAME}"), or unload() to remove the prefix.'
        )
