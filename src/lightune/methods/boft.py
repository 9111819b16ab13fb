"""Orthogonal finetuning in small blocks (BOFT with one butterfly factor)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from lightune.methods import registry
from lightune.methods.base import Attachment
from lightune.methods.peft_method import PeftMethod, Targets, dividing_block
from lightune.models.anatomy import LINEAR_ROLES
from lightune.models.linear_widths import in_and_out

if TYPE_CHECKING:
    from torch import nn

    from lightune.models.anatomy import Anatomy


@registry.register("boft")
@dataclass(frozen=True)
class Boft(PeftMethod):
    """diag(s) W R x with R = diag(R_1, ..., R_n) of Cayley rotations, and a trained scale s of every output.

    `block_size` is the side of each R_i; by default it is the largest up to 4 that divides every target's input width.
    Further butterfly factors exist only where PEFT can compile its CUDA extension, so one is used everywhere.
    Liu et al. 2023, arXiv:2311.06243.
    """

    block_size: Annotated[int, Field(ge=2)] | None = None
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    roles: tuple[str, ...] = LINEAR_ROLES
    target_modules: Targets = None

    default_learning_rate: ClassVar[float] = 1e-2
    mergeable: ClassVar[bool] = True
    reversible: ClassVar[bool] = True
    paper: ClassVar[str] = "Liu et al. 2023, arXiv:2311.06243"
    aliases: ClassVar[Mapping[str, str]] = {"boft_block_size": "block_size", "boft_dropout": "dropout"}

    def peft_config(self, model: nn.Module, anatomy: Anatomy) -> Any:
        """Return a BOFTConfig."""
        from peft import BOFTConfig

        return self.configured(
            BOFTConfig, model, anatomy, boft_block_size=self.block(model, anatomy), boft_dropout=self.dropout
        )

    def attach(self, model: nn.Module, anatomy: Anatomy, seed: int) -> Attachment:
        """Wrap the model in a PeftModel whose layers rotate block by block, also where they only answer."""
        from lightune.execution.block_boft import rotate_in_blocks

        attachment = super().attach(model, anatomy, seed)
        rotate_in_blocks(attachment.model)
        return attachment

    def block(self, model: nn.Module, anatomy: Anatomy) -> int:
        """Return the block size: the given one, or the largest that divides every width."""
        return self.block_size or dividing_block(self.target_modules_of(model, anatomy), at_most=4)

    def added(self, model: nn.Module, anatomy: Anatomy) -> int:
        """Sum of in * block + out over the targets; PEFT keeps every skew matrix whole."""
        size = self.block(model, anatomy)
        return sum(
            inputs * size + outputs for inputs, outputs in map(in_and_out, self.target_modules_of(model, anatomy))
        )
