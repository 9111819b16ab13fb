"""Training only the last layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from lightune.errors import RecipeError
from lightune.methods import registry
from lightune.methods.base import Attachment, Method, claim, count_parameters, freeze_all_but, released

if TYPE_CHECKING:
    from torch import nn

    from lightune.models.anatomy import Anatomy


@registry.register("top_layers")
@dataclass(frozen=True)
class TopLayers(Method):
    """Train only the last `layers` layers and the head.  Lee et al. 2019, arXiv:1911.03090."""

    layers: Annotated[int, Field(ge=1)] = 1

    default_learning_rate: ClassVar[float] = 1e-3
    mergeable: ClassVar[bool] = True
    base_is_frozen: ClassVar[bool] = False
    paper: ClassVar[str] = "Lee et al. 2019, arXiv:1911.03090"

    def attach(self, model: nn.Module, anatomy: Anatomy, seed: int) -> Attachment:
        """Unfreeze them; RecipeError for more layers than the model has."""
        names = self._names(anatomy)
        claim(model)
        return Attachment(model, freeze_all_but(model, [*names, *anatomy.head]))

    def trainable_formula(self, model: nn.Module, anatomy: Anatomy) -> int:
        """All of their parameters."""
        return count_parameters(model, [*self._names(anatomy), *anatomy.head])

    def merged(self, model: nn.Module) -> nn.Module | None:
        """The trained model is a stock model already."""
        return released(model)

    def _names(self, anatomy: Anatomy) -> list[str]:
        count = anatomy.layer_count
        if self.layers > count:
            message = f"method.layers is {self.layers}, but this model has {count} layers of its own weights."
            raise RecipeError("RECIPE-038", message, f"Give 1 to {count}.")
        return [f"{anatomy.architecture.layers}.{number}" for number in range(count - self.layers, count)]
