"""Low-rank Hadamard product adaptation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from lightune.methods import registry
from lightune.methods.peft_method import PeftMethod, Targets
from lightune.models.anatomy import LINEAR_ROLES
from lightune.models.linear_widths import in_and_out

if TYPE_CHECKING:
    from torch import nn

    from lightune.models.anatomy import Anatomy


@registry.register("loha")
@dataclass(frozen=True)
class Loha(PeftMethod):
    """W x + (alpha / rank) ((B1 A1) * (B2 A2)) x, of a rank up to rank^2.  Hyeon-Woo et al. 2021, arXiv:2108.06098."""

    rank: Annotated[int, Field(ge=1)] = 8
    alpha: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 16
    rank_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    module_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    roles: tuple[str, ...] = LINEAR_ROLES
    target_modules: Targets = None

    default_learning_rate: ClassVar[float] = 1e-2
    mergeable: ClassVar[bool] = True
    reversible: ClassVar[bool] = True
    paper: ClassVar[str] = "Hyeon-Woo et al. 2021, arXiv:2108.06098"
    aliases: ClassVar[Mapping[str, str]] = {"r": "rank"}

    def peft_config(self, model: nn.Module, anatomy: Anatomy) -> Any:
        """Return a LoHaConfig."""
        from peft import LoHaConfig

        return self.configured(
            LoHaConfig,
            model,
            anatomy,
            r=self.rank,
            alpha=self.alpha,
            rank_dropout=self.rank_dropout,
            module_dropout=self.module_dropout,
        )

    def added_parameters(self, module: nn.Module) -> int:
        """2 * rank * (in + out)"""
        inputs, outputs = in_and_out(module)
        return 2 * self.rank * (inputs + outputs)
