"""Vector-based random matrix adaptation: random projections that all layers share, two trained vectors each."""

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


@registry.register("vera")
@dataclass(frozen=True)
class Vera(PeftMethod):
    """W x + b * (B (d * (A x))); A, B random, shared and frozen, the vectors d and b trained.  Kopiczko et al. 2023.

    All layers take slices of one A and one B, which are drawn from `projection_seed` and saved too.
    """

    rank: Annotated[int, Field(ge=1)] = 256
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    d_initial: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1
    projection_seed: int = 0
    roles: tuple[str, ...] = LINEAR_ROLES
    target_modules: Targets = None

    default_learning_rate: ClassVar[float] = 3e-2
    mergeable: ClassVar[bool] = True
    reversible: ClassVar[bool] = True
    paper: ClassVar[str] = "Kopiczko et al. 2023, arXiv:2310.11454"
    aliases: ClassVar[Mapping[str, str]] = {
        "r": "rank",
        "vera_dropout": "dropout",
        "projection_prng_key": "projection_seed",
    }

    def peft_config(self, model: nn.Module, anatomy: Anatomy) -> Any:
        """Return a VeraConfig."""
        from peft import VeraConfig

        return self.configured(
            VeraConfig,
            model,
            anatomy,
            r=self.rank,
            vera_dropout=self.dropout,
            d_initial=self.d_initial,
            projection_prng_key=self.projection_seed,
        )

    def added_parameters(self, module: nn.Module) -> int:
        """rank + out"""
        return self.rank + in_and_out(module)[1]
