"""The frozen backbone with a trained head: what adaptation inside the model has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lightune.methods import registry
from lightune.methods.base import Attachment, Method, claim, count_parameters, freeze_all_but, released

if TYPE_CHECKING:
    from torch import nn

    from lightune.models.anatomy import Anatomy


@registry.register("head")
@dataclass(frozen=True)
class Head(Method):
    """Train only the stock classification head ("feature-based").  Peters et al. 2019, arXiv:1903.05987."""

    default_learning_rate: ClassVar[float] = 5e-3
    mergeable: ClassVar[bool] = True
    paper: ClassVar[str] = "Peters et al. 2019, arXiv:1903.05987"

    def attach(self, model: nn.Module, anatomy: Anatomy, seed: int) -> Attachment:
        """Freeze everything below the head."""
        claim(model)
        return Attachment(model, freeze_all_but(model, anatomy.head))

    def trainable_formula(self, model: nn.Module, anatomy: Anatomy) -> int:
        """The head's own parameters."""
        return count_parameters(model, anatomy.head)

    def merged(self, model: nn.Module) -> nn.Module | None:
        """The trained model is a stock model already."""
        return released(model)
