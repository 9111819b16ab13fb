"""Training only the biases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lightune.errors import RecipeError
from lightune.methods import registry
from lightune.methods.base import Attachment, Method, claim, count_parameters, freeze_all_but, released

if TYPE_CHECKING:
    from torch import nn

    from lightune.models.anatomy import Anatomy


@registry.register("bitfit")
@dataclass(frozen=True)
class BitFit(Method):
    """Train every bias of the model, and the head.  Ben Zaken et al. 2021, arXiv:2106.10199."""

    default_learning_rate: ClassVar[float] = 3e-3
    mergeable: ClassVar[bool] = True
    base_is_frozen: ClassVar[bool] = False
    paper: ClassVar[str] = "Ben Zaken et al. 2021, arXiv:2106.10199"

    def attach(self, model: nn.Module, anatomy: Anatomy, seed: int) -> Attachment:
        """Unfreeze the biases; RecipeError for a model that has none."""
        biases = _biases(model, anatomy)
        if not biases:
            message = f"the layers of {anatomy.model_type} have no biases, so BitFit has nothing to train."
            raise RecipeError("RECIPE-057", message, "Choose another method; see `lightune methods`.")
        claim(model)
        freeze_all_but(model, anatomy.head)
        for value in biases.values():
            value.requires_grad_(True)
        owners = dict.fromkeys(name.rpartition(".")[0] for name in biases)
        return Attachment(model, (*owners, *anatomy.head))

    def trainable_formula(self, model: nn.Module, anatomy: Anatomy) -> int:
        """The sizes of the biases, plus the head."""
        return sum(map(len, _biases(model, anatomy).values())) + count_parameters(model, anatomy.head)

    def merged(self, model: nn.Module) -> nn.Module | None:
        """The trained model is a stock model already."""
        return released(model)


def _biases(model: nn.Module, anatomy: Anatomy) -> dict[str, nn.Parameter]:
    """Return the biases outside the head, by name."""
    heads = tuple(f"{name}." for name in anatomy.head)
    named = model.named_parameters()
    return {name: value for name, value in named if name.endswith("bias") and not name.startswith(heads)}
