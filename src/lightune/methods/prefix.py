"""Prefix tuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from lightune import runtime
from lightune.errors import RecipeError
from lightune.methods import registry
from lightune.methods.base import Attachment, count_parameters
from lightune.methods.peft_method import PeftMethod
from lightune.models.config import token_limit

if TYPE_CHECKING:
    import torch
    from torch import nn

    from lightune.models.anatomy import Anatomy


@registry.register("prefix")
@dataclass(frozen=True)
class Prefix(PeftMethod):
    """softmax(q K^T) V + softmax(q P_k^T) P_v with trained P in every attention.  Li and Liang 2021, arXiv:2101.00190.

    `attended`: "apart" as above, P_v zero at the start: prefix tuning seen as an adapter (He et al. 2022,
    arXiv:2110.04366); "gated" the same with a gate for each head that starts at zero (Zhang et al. 2023,
    arXiv:2303.16199); "prepended" as published, softmax(q [P_k; K]^T) [P_v; V], which does not start unchanged.
    `start`: what does not start at zero begins as the keys and values of randomly drawn tokens ("tokens") or as small
    random numbers ("random"). `projection` is the inner width of a small network that computes P during training; it
    starts at random, and only its output is saved. P_k, P_v: key/value heads x num_virtual_tokens x head width.
    """

    num_virtual_tokens: Annotated[int, Field(ge=1)] = 16
    attended: Literal["apart", "gated", "prepended"] = "apart"
    start: Literal["tokens", "random"] = "tokens"
    projection: Annotated[int, Field(ge=1)] | None = None

    default_learning_rate: ClassVar[float] = 1e-2
    reversible: ClassVar[bool] = True
    peft_loadable: ClassVar[bool] = False
    own_tuner: ClassVar[bool] = True
    paper: ClassVar[str] = "Li and Liang 2021, arXiv:2101.00190"
    aliases: ClassVar[Mapping[str, str]] = {"prefix_length": "num_virtual_tokens"}

    @property
    def starts_unchanged(self) -> bool:
        """A gate of zero, or values of zero, add nothing."""
        return self.attended != "prepended"

    def targets(self, model: nn.Module, anatomy: Anatomy) -> list[str]:
        """Return the attention modules."""
        return anatomy.modules(["attention"])

    def peft_config(self, model: nn.Module, anatomy: Anatomy) -> Any:
        """Return our tuner's configuration."""
        from lightune.tuners import register_all
        from lightune.tuners.kv_prefix import KVPrefixConfig

        register_all()
        options = {
            "num_virtual_tokens": self.num_virtual_tokens,
            "attended": self.attended,
            "projection": self.projection,
        }
        return self.configured(KVPrefixConfig, model, anatomy, **options)

    def attach(self, model: nn.Module, anatomy: Anatomy, seed: int) -> Attachment:
        """Wrap the attention modules; with `tokens`, start from a forward pass over random tokens."""
        attached = super().attach(model, anatomy, seed)
        if self.start == "tokens" and self.projection is None:
            self._start_from_tokens(attached.model, seed)
        return attached

    def _start_from_tokens(self, model: Any, seed: int) -> None:
        import torch

        from lightune.tuners.kv_prefix import KVPrefixLayer

        layers = [module for module in model.modules() if isinstance(module, KVPrefixLayer)]
        stock, tokens = model.get_base_model(), self.num_virtual_tokens
        limit = token_limit(stock.config.to_dict(), None)
        if tokens > limit:
            message = f"method.num_virtual_tokens: {tokens} virtual tokens, but the model has {limit} positions."
            raise RecipeError("RECIPE-056", message, "Give fewer, or method.start=random.")
        words = stock.get_input_embeddings().num_embeddings
        ids = torch.randint(words, (1, tokens), generator=runtime.generator(seed, "prefix words"))
        for layer in layers:
            layer.remember(True)
        with torch.no_grad(), model.disable_adapter():
            stock.base_model(input_ids=ids.to(stock.device), attention_mask=torch.ones_like(ids).to(stock.device))
        for layer in layers:
            layer.start_from_seen("default")
            layer.remember(False)

    def saved_as(self) -> Prefix:
        """Return the prefix without the network that computed it."""
        return replace(self, projection=None)

    def state_to_save(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """Return the keys and values themselves, however they are computed, with the gates and the head."""
        from lightune.tuners.kv_prefix import KVPrefixLayer

        found = {name: value for name, value in self.state(model).items() if ".kv_prefix_projection." not in name}
        for name, module in model.named_modules():
            if isinstance(module, KVPrefixLayer):
                found[f"{name}.kv_prefix_states"] = module.states("default").detach()
        return found

    def config_to_save(self, model: nn.Module) -> Any:
        """Return the configuration without the network."""
        config = super().config_to_save(model)
        config.projection = None
        return config

    def trainable_formula(self, model: nn.Module, anatomy: Anatomy) -> int:
        """2 tokens x key/value width for each attention (+ its heads, if gated), plus the head.

        From a projection of inner width c instead: tokens c + c (c + 1) + 2 (key/value width) (c + 1).
        """
        from lightune.tuners.prefix_shapes import Heads

        heads = Heads.of(model.config)
        both, inner = 2 * heads.key_value * heads.width, self.projection
        states = self.num_virtual_tokens * both
        if inner is not None:
            states = self.num_virtual_tokens * inner + inner * (inner + 1) + both * (inner + 1)
        gates = heads.query if self.attended == "gated" else 0
        return len(self.targets(model, anatomy)) * (states + gates) + count_parameters(model, anatomy.head)
