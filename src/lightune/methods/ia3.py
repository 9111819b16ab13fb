"""Infused adapter by inhibiting and amplifying inner activations (IA3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from lightune.methods import registry
from lightune.methods.peft_method import PeftMethod, Targets
from lightune.models.linear_widths import in_and_out

if TYPE_CHECKING:
    from torch import nn

    from lightune.models.anatomy import Anatomy


@registry.register("ia3")
@dataclass(frozen=True)
class IA3(PeftMethod):
    """Keys, values and the inputs of the last feed-forward layer times a trained vector.  Liu et al. 2022.

    The vector is one at the start. Where query, key and value are one fused layer, the query is scaled as well.
    `target_modules` replaces `roles`; `feedforward_modules` then names the targets that are scaled at their inputs.
    """

    roles: tuple[str, ...] = ("key", "value", "ffn_out")
    target_modules: Targets = None
    feedforward_modules: tuple[str, ...] | None = None

    default_learning_rate: ClassVar[float] = 3e-2
    mergeable: ClassVar[bool] = True
    reversible: ClassVar[bool] = True
    paper: ClassVar[str] = "Liu et al. 2022, arXiv:2205.05638"

    def at_inputs(self, anatomy: Anatomy) -> list[str]:
        """Return the names of the targets that are scaled at their inputs."""
        if self.feedforward_modules is not None or self.target_modules:
            return list(self.feedforward_modules or ())
        return anatomy.modules(["ffn_out"]) if "ffn_out" in self.roles else []

    def peft_config(self, model: nn.Module, anatomy: Anatomy) -> Any:
        """Return an IA3Config."""
        from peft import IA3Config

        return self.configured(IA3Config, model, anatomy, feedforward_modules=self.at_inputs(anatomy))

    def added(self, model: nn.Module, anatomy: Anatomy) -> int:
        """Sum of the widths that are scaled: in for feed-forward targets, else out."""
        endings = tuple(f".{name}" for name in self.at_inputs(anatomy))
        inside = {id(module) for name, module in model.named_modules() if f".{name}".endswith(endings)}
        targets = self.target_modules_of(model, anatomy)
        return sum(in_and_out(module)[0 if id(module) in inside else 1] for module in targets)
