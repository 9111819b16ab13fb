"""Low-rank Kronecker product adaptation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from lightune.methods import registry
from lightune.methods.peft_method import PeftMethod, Targets
from lightune.models.anatomy import LINEAR_ROLES
from lightune.models.linear_widths import in_and_out

if TYPE_CHECKING:
    from torch import nn

    from lightune.models.anatomy import Anatomy


@registry.register("lokr")
@dataclass(frozen=True)
class Lokr(PeftMethod):
    """W x + (alpha / rank) (C kron (B A)) x.  Yeh et al. 2023, arXiv:2309.14859.

    The widths are split as out = o1 o2 and in = i1 i2, with the first factor the smaller one and both as equal as
    possible. C is o1 x i1, and B A is o2 x i2; it is kept whole unless the rank is less than half of its longer side.
    """

    rank: Annotated[int, Field(ge=1)] = 8
    alpha: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 16
    rank_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    module_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    roles: tuple[str, ...] = LINEAR_ROLES
    target_modules: Targets = None

    default_learning_rate: ClassVar[float] = 1e-2
    mergeable: ClassVar[bool] = True
    reversible: ClassVar[bool] = True
    paper: ClassVar[str] = "Yeh et al. 2023, arXiv:2309.14859"
    aliases: ClassVar[Mapping[str, str]] = {"r": "rank"}

    def peft_config(self, model: nn.Module, anatomy: Anatomy) -> Any:
        """Return a LoKrConfig."""
        from peft import LoKrConfig

        return self.configured(
            LoKrConfig,
            model,
            anatomy,
            r=self.rank,
            alpha=self.alpha,
            rank_dropout=self.rank_dropout,
            module_dropout=self.module_dropout,
        )

    def added_parameters(self, module: nn.Module) -> int:
        """o1 i1 + (rank (o2 + i2), or o2 i2)"""
        (i1, i2), (o1, o2) = map(most_equal_factors, in_and_out(module))
        return o1 * i1 + (self.rank * (o2 + i2) if self.rank < max(o2, i2) / 2 else o2 * i2)


def most_equal_factors(width: int) -> tuple[int, int]:
    """Return the two factors of a number that are as equal as possible, the smaller one first."""
    small = next(factor for factor in range(isqrt(width), 0, -1) if width % factor == 0)
    return small, width // small
