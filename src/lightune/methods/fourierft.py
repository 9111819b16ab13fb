"""Adaptation in the Fourier domain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from lightune.methods import registry
from lightune.methods.peft_method import PeftMethod, Targets
from lightune.models.anatomy import LINEAR_ROLES
from lightune.models.linear_widths import in_and_out

if TYPE_CHECKING:
    from torch import nn

    from lightune.models.anatomy import Anatomy


@registry.register("fourierft")
@dataclass(frozen=True)
class FourierFT(PeftMethod):
    """W x + scaling * Re(IDFT2(F)) x, F zero except `frequencies` trained entries at random places.  Gao et al. 2024.

    The entries start at zero (the paper draws them), so that the model starts unchanged; `location_seed` draws
    the places, which are the same in all layers of one shape.
    """

    frequencies: Annotated[int, Field(ge=1)] = 1000
    scaling: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 150.0
    location_seed: int = 777
    roles: tuple[str, ...] = LINEAR_ROLES
    target_modules: Targets = None

    default_learning_rate: ClassVar[float] = 3e-2
    mergeable: ClassVar[bool] = True
    reversible: ClassVar[bool] = True
    paper: ClassVar[str] = "Gao et al. 2024, arXiv:2405.03003"
    aliases: ClassVar[Mapping[str, str]] = {"n_frequency": "frequencies", "random_loc_seed": "location_seed"}

    def peft_config(self, model: nn.Module, anatomy: Anatomy) -> Any:
        """Return a FourierFTConfig; a small layer gets no more frequencies than it has weights."""
        from peft import FourierFTConfig

        modules = {name: model.get_submodule(name) for name in self.full_names(model, anatomy)}
        counts = {name: self.added_parameters(module) for name, module in modules.items()}
        return self.configured(
            FourierFTConfig,
            model,
            anatomy,
            n_frequency=self.frequencies,
            n_frequency_pattern={name: count for name, count in counts.items() if count < self.frequencies},
            scaling=self.scaling,
            random_loc_seed=self.location_seed,
            init_weights=True,
        )

    def added_parameters(self, module: nn.Module) -> int:
        """frequencies, or in * out where that is less"""
        return min(self.frequencies, prod(in_and_out(module)))
