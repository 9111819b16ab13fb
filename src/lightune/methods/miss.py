"""Matrix shard sharing (MiSS, formerly Bone)."""

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


@registry.register("miss")
@dataclass(frozen=True)
class Miss(PeftMethod):
    """W x + D^T s, where s sums the inputs that are `rank` apart and D (rank x out) is zero at the start.

    The update is D^T repeated over the input's shards. The rank may not exceed any target's input width.
    Kang and Yin 2024, arXiv:2409.15371.
    """

    rank: Annotated[int, Field(ge=1)] = 16
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    roles: tuple[str, ...] = LINEAR_ROLES
    target_modules: Targets = None

    default_learning_rate: ClassVar[float] = 3e-4
    mergeable: ClassVar[bool] = True
    reversible: ClassVar[bool] = True
    paper: ClassVar[str] = "Kang and Yin 2024, arXiv:2409.15371"
    aliases: ClassVar[Mapping[str, str]] = {"r": "rank", "miss_dropout": "dropout"}

    def peft_config(self, model: nn.Module, anatomy: Anatomy) -> Any:
        """Return a MissConfig."""
        from peft import MissConfig

        return self.configured(MissConfig, model, anatomy, r=self.rank, miss_dropout=self.dropout)

    def added_parameters(self, module: nn.Module) -> int:
        """rank * out"""
        return self.rank * in_and_out(module)[1]
