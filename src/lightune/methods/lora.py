"""Low-rank adaptation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from lightune.methods import registry
from lightune.methods.base import count_parameters
from lightune.methods.peft_method import PeftMethod
from lightune.models.anatomy import LINEAR_ROLES

if TYPE_CHECKING:
    from torch import nn

    from lightune.models.anatomy import Anatomy


@registry.register("lora")
@dataclass(frozen=True)
class Lora(PeftMethod):
    """W x + (alpha / rank) B A x; A: rank x in, B: out x rank, zero at the start.  Hu et al. 2021, arXiv:2106.09685.

    `target_modules` names modules by PEFT's rules and replaces `roles`; `use_rslora` scales by alpha / sqrt(rank).
    """

    rank: Annotated[int, Field(ge=1)] = 8
    alpha: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 16
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    roles: tuple[str, ...] = LINEAR_ROLES
    target_modules: tuple[str, ...] | None = None
    use_rslora: bool = False

    default_learning_rate: ClassVar[float] = 5e-4
    mergeable: ClassVar[bool] = True
    reversible: ClassVar[bool] = True
    paper: ClassVar[str] = "Hu et al. 2021, arXiv:2106.09685"
    aliases: ClassVar[Mapping[str, str]] = {"r": "rank", "lora_alpha": "alpha", "lora_dropout": "dropout"}

    def targets(self, anatomy: Anatomy) -> list[str]:
        """Return the modules of the roles, or the given target modules."""
        return list(self.target_modules) if self.target_modules else anatomy.modules(self.roles)

    def peft_config(self, model: nn.Module, anatomy: Anatomy) -> Any:
        """Return a LoraConfig for sequence classification; Conv1D layers (GPT-2) store their weight transposed."""
        from peft import LoraConfig, TaskType
        from transformers.pytorch_utils import Conv1D

        targets = self.targets(anatomy)
        kinds = [module for name, module in model.named_modules() if name in targets]
        return LoraConfig(
            task_type=TaskType.SEQ_CLS,
            r=self.rank,
            lora_alpha=self.alpha,  # type: ignore[arg-type]
            lora_dropout=self.dropout,
            use_rslora=self.use_rslora,
            target_modules=targets,
            exclude_modules=anatomy.head,
            modules_to_save=anatomy.head,
            fan_in_fan_out=bool(kinds) and all(isinstance(module, Conv1D) for module in kinds),
        )

    def trainable_formula(self, model: nn.Module, anatomy: Anatomy) -> int:
        """Sum of rank * (in + out) over the targets, plus the head."""
        endings = tuple(f".{name}" for name in self.targets(anatomy))
        targets = [module for name, module in model.named_modules() if f".{name}".endswith(endings)]
        low_rank = sum(self.rank * sum(module.weight.shape) for module in targets)
        return low_rank + count_parameters(model, anatomy.head)
