"""Orthogonal finetuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from lightune.methods import registry
from lightune.methods.peft_method import PeftMethod, Targets, dividing_block
from lightune.models.anatomy import LINEAR_ROLES
from lightune.models.linear_widths import in_and_out

if TYPE_CHECKING:
    from torch import nn

    from lightune.models.anatomy import Anatomy


@registry.register("oft")
@dataclass(frozen=True)
class Oft(PeftMethod):
    """W R x with R = diag(R_1, ..., R_n), each R_i = (I + Q_i)(I - Q_i)^-1 a rotation, Q_i skew, zero at the start.

    `block_size` is the side of each R_i; by default it is the largest up to 32 that divides every target's input width.
    With `use_cayley_neumann` the inverse is a series of five terms (Qiu et al. 2025, arXiv:2506.19847).
    Qiu et al. 2023, arXiv:2306.07280.
    """

    block_size: Annotated[int, Field(ge=2)] | None = None
    use_cayley_neumann: bool = True
    module_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    roles: tuple[str, ...] = LINEAR_ROLES
    target_modules: Targets = None

    default_learning_rate: ClassVar[float] = 1e-3
    mergeable: ClassVar[bool] = True
    reversible: ClassVar[bool] = True
    paper: ClassVar[str] = "Qiu et al. 2023, arXiv:2306.07280"
    aliases: ClassVar[Mapping[str, str]] = {"oft_block_size": "block_size"}

    def peft_config(self, model: nn.Module, anatomy: Anatomy) -> Any:
        """Return a OFTConfig."""
        from peft import OFTConfig

        return self.configured(
            OFTConfig,
            model,
            anatomy,
            oft_block_size=self.block(model, anatomy),
            module_dropout=self.module_dropout,
            use_cayley_neumann=self.use_cayley_neumann,
        )

    def block(self, model: nn.Module, anatomy: Anatomy) -> int:
        """Return the block size: the given one, or the largest that divides every width."""
        return self.block_size or dividing_block(self.target_modules_of(model, anatomy), at_most=32)

    def added(self, model: nn.Module, anatomy: Anatomy) -> int:
        """Sum of (in / block) * block (block - 1) / 2 over the targets."""
        size = self.block(model, anatomy)
        return sum(in_and_out(module)[0] * (size - 1) // 2 for module in self.target_modules_of(model, anatomy))
