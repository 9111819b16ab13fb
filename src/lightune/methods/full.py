"""Full fine-tuning: the baseline that parameter-efficient methods are measured against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from lightune.methods import registry
from lightune.methods.base import Attachment, Method, claim, count_parameters, released

if TYPE_CHECKING:
    from torch import nn

    from lightune.models.anatomy import Anatomy


@registry.register("full")
@dataclass(frozen=True)
class Full(Method):
    """Train every parameter.  Howard and Ruder 2018, arXiv:1801.06146; Devlin et al. 2018, arXiv:1810.04805."""

    default_learning_rate: ClassVar[float] = 1e-4
    mergeable: ClassVar[bool] = True
    base_is_frozen: ClassVar[bool] = False
    paper: ClassVar[str] = "Devlin et al. 2018, arXiv:1810.04805"

    def attach(self, model: nn.Module, anatomy: Anatomy, seed: int) -> Attachment:
        """Unfreeze everything."""
        claim(model)
        model.requires_grad_(True)
        return Attachment(model, tuple(name for name, _ in model.named_children()))

    def trainable_formula(self, model: nn.Module, anatomy: Anatomy) -> int:
        """All of them."""
        return count_parameters(model)

    def merged(self, model: nn.Module) -> nn.Module | None:
        """The trained model is a stock model already."""
        return released(model)
