"""Full-rank adaptation by a sum of random low-rank matrices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from lightune.methods import registry
from lightune.methods.peft_method import PeftMethod, Targets
from lightune.models.anatomy import LINEAR_ROLES
from lightune.models.linear_widths import in_and_out

if TYPE_CHECKING:
    from torch import nn

    from lightune.models.anatomy import Anatomy


@registry.register("randlora")
@dataclass(frozen=True)
class RandLora(PeftMethod):
    """W x + (alpha / rank) sum_j B_j L_j A G_j x; A, B_j random, shared and frozen, the diagonals L_j and G_j trained.

    There are n = ceil(min(in, out) / rank) summands, so that the update has full rank: a smaller rank means more
    parameters. A and B are drawn from `projection_seed` and saved too.  Albert et al. 2025, arXiv:2502.00987.
    """

    rank: Annotated[int, Field(ge=1)] = 32
    alpha: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 640
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    projection_seed: int = 0
    roles: tuple[str, ...] = LINEAR_ROLES
    target_modules: Targets = None

    default_learning_rate: ClassVar[float] = 3e-4
    mergeable: ClassVar[bool] = True
    reversible: ClassVar[bool] = True
    paper: ClassVar[str] = "Albert et al. 2025, arXiv:2502.00987"
    aliases: ClassVar[Mapping[str, str]] = {
        "r": "rank",
        "randlora_alpha": "alpha",
        "randlora_dropout": "dropout",
        "projection_prng_key": "projection_seed",
    }

    def peft_config(self, model: nn.Module, anatomy: Anatomy) -> Any:
        """Return a RandLoraConfig."""
        from peft import RandLoraConfig

        return self.configured(
            RandLoraConfig,
            model,
            anatomy,
            r=self.rank,
            randlora_alpha=self.alpha,
            randlora_dropout=self.dropout,
            projection_prng_key=self.projection_seed,
        )

    def added_parameters(self, module: nn.Module) -> int:
        """n (rank + min(in, out)) with n = ceil(min(in, out) / rank)"""
        narrow = min(in_and_out(module))
        return ceil(narrow / self.rank) * (self.rank + narrow)
