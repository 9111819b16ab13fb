"""Low-rank adaptation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from lightune.methods import registry
from lightune.methods.peft_method import PeftMethod
from lightune.models.anatomy import LINEAR_ROLES

if TYPE_CHECKING:
    from torch import nn

    from lightune.models.anatomy import Anatomy


@registry.register("lora")
@dataclass(frozen=True)
class Lora(PeftMethod):
    """W x + (alpha / rank) B A x; A: rank x in, B: out x rank, zero at the start.  Hu et al. 2021, arXiv:2106.09685.

    `target_modules` names modules by PEFT's rules and replaces `roles`; `use_rslora` scales by alpha / sqrt(rank).
    """

    rank: Annotated[int, Field(ge=1)] = 8
    alpha: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 16
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    roles: tuple[str, ...] = LINEAR_ROLES
    target_modules: tuple[str, ...] | None = None
    use_rslora: bool = False

    default_learning_rate: ClassVar[float] = 5e-4
    mergeable: ClassVar[bool] = True
    reversible: ClassVar[bool] = True
    paper: ClassVar[str] = "Hu et al. 2021, arXiv:2106.09685"
    aliases: ClassVar[Mapping[str, str]] = {"r": "rank", "lora_alpha": "alpha", "lora_dropout": "dropout"}

    def peft_config(self, model: nn.Module, anatomy: Anatomy) -> Any:
        """Return a LoraConfig."""
        from peft import LoraConfig

        return self.configured(
            LoraConfig,
            model,
            anatomy,
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            use_rslora=self.use_rslora,
        )

    def added_parameters(self, module: nn.Module) -> int:
        """rank * (in + out)"""
        return self.rank * sum(module.weight.shape)  # type: ignore[arg-type]
