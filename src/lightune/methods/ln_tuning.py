"""Tuning only the normalisation layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from lightune.methods import registry
from lightune.methods.peft_method import PeftMethod

if TYPE_CHECKING:
    from torch import nn

    from lightune.models.anatomy import Anatomy


@registry.register("ln_tuning")
@dataclass(frozen=True)
class LNTuning(PeftMethod):
    """Train the gains and biases of every LayerNorm and RMSNorm below the head.  Zhao et al. 2023, arXiv:2312.11420.

    Copies of them are trained, so that the untouched ones can be switched back.
    """

    default_learning_rate: ClassVar[float] = 1e-2
    mergeable: ClassVar[bool] = True
    reversible: ClassVar[bool] = True
    paper: ClassVar[str] = "Zhao et al. 2023, arXiv:2312.11420"

    def targets(self, model: nn.Module, anatomy: Anatomy) -> list[str]:
        """Return the modules with "norm" in their class name and with weights, except those of the head."""
        head = tuple(f"{name}." for name in anatomy.head)
        return [
            name
            for name, module in model.named_modules()
            if "norm" in type(module).__name__.lower()
            and any(True for _ in module.parameters(recurse=False))
            and not f"{name}.".startswith(head)
        ]

    def peft_config(self, model: nn.Module, anatomy: Anatomy) -> Any:
        """Return an LNTuningConfig."""
        from peft import LNTuningConfig

        return self.configured(LNTuningConfig, model, anatomy)

    def added_parameters(self, module: nn.Module) -> int:
        """All of the norm's."""
        return sum(value.numel() for value in module.parameters())
