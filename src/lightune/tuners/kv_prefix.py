"""Prefix tuning as a PEFT tuner: trained keys and values before every text, inside the one attention function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from lightune.execution.attention import NAME, Prefix, prefixed
from lightune.execution.attention_switch import AttentionBefore, use_attention
from lightune.tuners.asking import asks, where_to_ask
from lightune.tuners.checked import CheckedLayer, CheckedTuner, unwrapped
from lightune.tuners.peft_types import TargetedConfig, require, require_known

RANDOM_SPREAD = 0.02
ATTENDED = ("apart", "gated", "prepended")


@dataclass
class KVPrefixConfig(TargetedConfig):
    """Options of a prefix: `attended` "apart" (values start at zero), "gated" (so does the gate) or "prepended".

    `projection` is the inner width of the small network that computes the prefix, or None.
    """

    tuner_name: ClassVar[str] = "kv_prefix"

    num_virtual_tokens: int = 16
    attended: str = "apart"
    projection: int | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for an invalid value."""
        super().__post_init__()
        require_known("attended", self.attended, ATTENDED)
        require(self.num_virtual_tokens >= 1, "num_virtual_tokens", self.num_virtual_tokens, "1 or more")
        require(self.projection is None or self.projection >= 1, "projection", self.projection, "None, or 1 or more")


@dataclass(frozen=True)
class Heads:
    """The shape of an attention: the number of query heads, the number of key/value heads, and the width of a head."""

    query: int
    key_value: int
    width: int

    @classmethod
    def of(cls, config: Any) -> Heads:
        """Read it from a model's configuration."""
        query = int(config.num_attention_heads)
        width = getattr(config, "head_dim", None) or config.hidden_size // query
        return cls(query, int(getattr(config, "num_key_value_heads", None) or query), int(width))


class Projection(nn.Module):
    """Keys and values as W_2 tanh(W_1 E): the reparametrisation of Li and Liang 2021, arXiv:2101.00190.

    E: tokens x inner, W_1: inner x inner, W_2: 2 (heads x width) x inner.
    """

    def __init__(self, tokens: int, inner: int, heads: Heads, zero_values: bool) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(tokens, inner))
        self.hidden = nn.Linear(inner, inner)
        self.out = nn.Linear(inner, 2 * heads.key_value * heads.width)
        nn.init.normal_(self.out.weight, std=RANDOM_SPREAD)
        nn.init.zeros_(self.out.bias)
        if zero_values:
            nn.init.zeros_(self.out.weight[heads.key_value * heads.width :])
        self._heads = heads

    def forward(self) -> torch.Tensor:
        """Return keys and values, (2, key/value heads, tokens, head width)."""
        flat = self.out(torch.tanh(self.hidden(self.embedding)))
        return flat.view(len(flat), 2, self._heads.key_value, self._heads.width).permute(1, 2, 0, 3)


class KVPrefixLayer(CheckedLayer):
    """Wraps an attention module and gives it a prefix in each call; the attention function does the rest."""

    adapter_layer_names = ("kv_prefix_states", "kv_prefix_projection", "kv_prefix_gate")
    other_param_names = ()

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: KVPrefixConfig, heads: Heads) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.kv_prefix_states, self.kv_prefix_gate = nn.ParameterDict(), nn.ParameterDict()
        self.kv_prefix_projection = nn.ModuleDict()
        self._active_adapter: str | list[str] = adapter_name
        self._disable_adapters = False
        self.merged_adapters: list[str] = []
        self._heads = heads
        self._attended: dict[str, str] = {}
        self._seen: list[torch.Tensor] | None = None
        self._before: AttentionBefore | None = None
        self.update_layer(adapter_name, config)

    def update_layer(self, adapter_name: str, config: KVPrefixConfig) -> None:
        """Add a prefix."""
        heads, tokens, is_apart = self._heads, config.num_virtual_tokens, config.attended == "apart"
        self._attended[adapter_name] = config.attended
        if config.projection is not None:
            self.kv_prefix_projection[adapter_name] = Projection(tokens, config.projection, heads, is_apart)
        else:
            states = torch.randn(2, heads.key_value, tokens, heads.width) * RANDOM_SPREAD
            states[1] *= not is_apart
            self.kv_prefix_states[adapter_name] = nn.Parameter(states)
        if config.attended == "gated":
            self.kv_prefix_gate[adapter_name] = nn.Parameter(torch.zeros(heads.query))
        self.set_adapter(self.active_adapters)

    def enter(self, before: AttentionBefore) -> None:
        """Give the base layer a prefix from now on; `before` holds the attention that the model had."""
        before.hold()
        self._before = before

    def let_go(self) -> None:
        """Stop giving a prefix; the last layer to do so restores the model's attention."""
        if self._before is not None:
            self._before.release()
            self._before = None

    def move(self, device: torch.device) -> None:
        """Move the prefix to a device, unless it is still on the meta device."""
        for part in (self.kv_prefix_states, self.kv_prefix_gate, self.kv_prefix_projection):
            if not any(value.is_meta for value in part.parameters()):
                part.to(device)

    def states(self, name: str) -> torch.Tensor:
        """Return the keys and values of an adapter, (2, key/value heads, tokens, head width)."""
        is_projected = name in self.kv_prefix_projection
        found: torch.Tensor = self.kv_prefix_projection[name]() if is_projected else self.kv_prefix_states[name]
        return found

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the attention module, whose attention function asks for the prefix.

        Raises ValueError when the model's attention was changed to one that does not ask.
        """
        if self._before is None:
            return self.base_layer(*args, **kwargs)
        if self.active_adapters and not self.disable_adapters:
            _check_attention(self.base_layer)
        with prefixed(unwrapped(self.base_layer), self):
            return self.base_layer(*args, **kwargs)

    def prefix(self) -> Prefix | None:
        """Return the active prefix; None when it is switched off."""
        if self.disable_adapters or not self.active_adapters:
            return None
        name = self.active_adapters[0]
        keys, values = self.states(name)
        return Prefix(keys, values, self._attended[name] != "prepended", self.kv_prefix_gate.get(name))

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
            if self._attended[name] != "apart":
                self.kv_prefix_states[name][1].copy_(values)


class KVPrefixModel(CheckedTuner):
    """A model whose target attention modules have a prefix; its attention goes through the one attention function."""

    prefix = "kv_prefix_"
    tuner_layer_cls = KVPrefixLayer
    called = "prefix"

    def _prepare_model(self, peft_config: Any, model: nn.Module) -> None:
        if not hasattr(model, "set_attn_implementation"):
            kind = type(model).__name__
            raise ValueError(f"{kind} is not a transformers model: only these have an attention that can be replaced.")
        self._before = AttentionBefore(model)
        use_attention(model)

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
        layer = KVPrefixLayer(base, adapter_name, peft_config, Heads.of(base.config))
        layer.move(next(base.parameters()).device)
        setattr(parent, target_name, layer)
        layer.enter(self._before)

    def _check_target(self, peft_config: Any, key: str, target: nn.Module) -> None:
        """Raise ValueError for a target, or for another one inside it, that never asks for a prefix."""
        inside = {f"{key}.{name}": module for name, module in target.named_modules() if name}
        asked = {name: module for name, module in inside.items() if self._check_target_module_exists(peft_config, name)}
        for name, module in {key: target, **asked}.items():
            if not asks(module):
                kind = type(module).__name__
                message = f'"{name}" ({kind}) never asks for a prefix, so a prefix there would do nothing.'
                raise ValueError(f"{message} {where_to_ask(self.model, name)}")


def _check_attention(module: Any) -> None:
    """Raise ValueError when the model uses another attention than the one that takes a prefix."""
    named = module.config._attn_implementation
    if named != NAME:
        raise ValueError(
            f'the attention of this model is "{named}", which takes no prefix, so the prefix would do nothing. '
            f'Call set_attn_implementation("{NAME}"), or unload() to remove the prefix.'
        )
