"""Low-rank adaptation whose ranks are allocated during training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from lightune.errors import RecipeError
from lightune.methods import registry
from lightune.methods.base import Attachment
from lightune.methods.peft_method import PeftMethod, Targets
from lightune.models.anatomy import LINEAR_ROLES
from lightune.models.linear_widths import in_and_out

if TYPE_CHECKING:
    import torch
    from torch import nn

    from lightune.models.anatomy import Anatomy

PATTERN = "rank_pattern"
IMPORTANCE = ("ipt", "exp_avg_ipt", "exp_avg_unc")
Share = Annotated[float, Field(ge=0, lt=1)]


@registry.register("adalora")
@dataclass(frozen=True)
class AdaLora(PeftMethod):
    """W x + (alpha / init_rank) B E A x, E diagonal and zero at the start.  Zhang et al. 2023, arXiv:2303.10512.

    After a share `warmup` of the steps, the least important entries of E are set to zero, more and more of them; for
    the last share `final` of the steps, `target_rank` are left per layer on average. `orthogonality` is the weight of
    the mean of |A A^T - I| and |B^T B - I| in the loss. A saved adapter still has `init_rank` rows, including those set
    to zero. An epoch that ends before `final` begins is not kept as the best one, nor does training stop early then.
    """

    init_rank: Annotated[int, Field(ge=2)] = 12
    target_rank: Annotated[int, Field(ge=1)] = 8
    alpha: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 16
    dropout: Share = 0.0
    warmup: Share = 0.1
    final: Share = 0.3
    interval: Annotated[int, Field(ge=1)] = 1
    beta1: Annotated[float, Field(gt=0, lt=1)] = 0.85
    beta2: Annotated[float, Field(gt=0, lt=1)] = 0.85
    orthogonality: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.5
    roles: tuple[str, ...] = LINEAR_ROLES
    target_modules: Targets = None

    default_learning_rate: ClassVar[float] = 3e-2
    state_copies: ClassVar[int] = 3  # the importance of each entry, its mean and its variation
    mergeable: ClassVar[bool] = True
    reversible: ClassVar[bool] = True
    paper: ClassVar[str] = "Zhang et al. 2023, arXiv:2303.10512"
    aliases: ClassVar[Mapping[str, str]] = {
        "init_r": "init_rank", "target_r": "target_rank", "lora_alpha": "alpha", "lora_dropout": "dropout",
        "deltaT": "interval", "orth_reg_weight": "orthogonality",
    }  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse options that leave nothing to allocate."""
        if self.target_rank >= self.init_rank:
            raise ValueError("target_rank must be below init_rank, or there is nothing to take away")
        if self.warmup + self.final >= 1:
            raise ValueError("warmup and final are shares of all steps; together they must stay below 1")

    def attach(self, model: nn.Module, anatomy: Anatomy, seed: int) -> Attachment:
        """Wrap the model in a PeftModel."""
        attachment = super().attach(model, anatomy, seed)
        for name, value in attachment.model.named_parameters():
            if ".ranknum." in name:  # a constant, which PEFT would leave trainable with a base in bf16
                value.requires_grad_(False)
        return attachment

    def peft_config(self, model: nn.Module, anatomy: Anatomy) -> Any:
        """Return an AdaLoraConfig; the schedule is set by `before_training`, when the number of steps is known."""
        from peft import AdaLoraConfig

        return self.configured(
            AdaLoraConfig,
            model,
            anatomy,
            init_r=self.init_rank,
            target_r=self.target_rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            deltaT=self.interval,
            beta1=self.beta1,
            beta2=self.beta2,
            orth_reg_weight=0.0,  # PEFT adds it to the model's own loss, which is not the one trained on: see penalty
            total_step=1,
        )

    def added_parameters(self, module: nn.Module) -> int:
        """init_rank * (in + out + 1)"""
        return self.init_rank * (sum(in_and_out(module)) + 1)

    def before_training(self, model: nn.Module, total_steps: int) -> None:
        """Turn the shares into steps."""
        if total_steps < 2:
            message = "adalora needs at least two steps of training: one to see what matters, one to take ranks away."
            raise RecipeError("RECIPE-037", message, "Train on more texts or epochs, or use --method lora.")
        config: Any = model.peft_config["default"]  # type: ignore[index]
        config.total_step = total_steps
        config.tfinal = min(int(self.final * total_steps), total_steps - 2)
        config.tinit = min(int(self.warmup * total_steps), total_steps - config.tfinal - 1)

    def after_step(self, model: nn.Module, step: int) -> None:
        """Note how important each entry was, and set the least important to zero."""
        model.base_model.update_and_allocate(step)  # type: ignore[union-attr, operator]

    def training_state(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """Return how important each entry was so far, and which entries are left."""
        import torch

        found = {f"{kind}.{name}": value for kind, named in _importance(model).items() for name, value in named.items()}
        pattern: dict[str, list[bool]] = model.peft_config["default"].rank_pattern or {}  # type: ignore[index, union-attr]
        return found | {f"{PATTERN}.{name}": torch.tensor(kept) for name, kept in pattern.items()}

    def restore_training(self, model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
        """Put both back."""
        inner: Any = model.base_model.model  # type: ignore[union-attr]  # whose names PEFT uses here
        require_importance({name: value for name, value in inner.named_parameters() if ".lora_" in name}, tensors)
        device = next(model.parameters()).device
        for kind, named in _importance(model).items():
            named |= {name.removeprefix(f"{kind}."): value.to(device) for name, value in _of(kind, tensors)}
        pattern = {name.removeprefix(f"{PATTERN}."): value.tolist() for name, value in _of(PATTERN, tensors)}
        model.peft_config["default"].rank_pattern = pattern or None  # type: ignore[index, union-attr]

    def is_settled(self, model: nn.Module, step: int) -> bool:
        """Say whether no more than `target_rank` are left."""
        config: Any = model.peft_config["default"]  # type: ignore[index]
        return step >= config.total_step - config.tfinal

    def penalty(self, model: nn.Module) -> torch.Tensor | float:
        """Return the weighted mean of |A A^T - I| and |B^T B - I| (Frobenius norms) over all factors."""
        import torch

        named = [(name, value) for name, value in model.named_parameters() if ".lora_A." in name or ".lora_B." in name]
        squares = [value @ value.T if ".lora_A." in name else value.T @ value for name, value in named]
        norms = [torch.linalg.norm(square - torch.eye(len(square), device=square.device)) for square in squares]
        return self.orthogonality * torch.stack(norms).mean()

    def state(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """Return the tensors in full: PEFT would cut them to the remaining ranks, which no new model has."""
        with _uncut(model):
            return super().state(model)

    def load_state(self, model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
        """Put tensors back as they were saved, in full."""
        with _uncut(model):
            super().load_state(model, tensors)

    def config_to_save(self, model: nn.Module) -> Any:
        """Return the configuration without the pattern of ranks, which would make PEFT expect cut tensors."""
        config = super().config_to_save(model)
        config.rank_pattern, config.orth_reg_weight = None, self.orthogonality
        return config


def _importance(model: nn.Module) -> dict[str, dict[str, torch.Tensor]]:
    """Return PEFT's own running means, by kind and by the name of a tensor."""
    allocator: Any = model.base_model.rankallocator  # type: ignore[union-attr]
    return {kind: getattr(allocator, kind) for kind in IMPORTANCE}


def require_importance(own: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor]) -> None:
    """Raise ValueError unless tensors say how important all of these parameters' entries are, and which are left."""
    import torch

    forms = {name: (tuple(value.shape), value.dtype) for name, value in tensors.items()}
    expected = {f"{kind}.{name}": (tuple(one.shape), one.dtype) for kind in IMPORTANCE for name, one in own.items()}
    pattern = {f"{PATTERN}.{name}": ((one.numel(),), torch.bool) for name, one in own.items() if ".lora_E." in name}
    if forms not in ({}, expected, expected | pattern, pattern):  # once ranks are settled, only which are left matters
        raise ValueError("its importance of ranks is of other parameters")


def _of(kind: str, tensors: Mapping[str, torch.Tensor]) -> list[tuple[str, torch.Tensor]]:
    return [(name, value) for name, value in tensors.items() if name.startswith(f"{kind}.")]


@contextmanager
def _uncut(model: nn.Module) -> Iterator[None]:
    config: Any = model.peft_config["default"]  # type: ignore[index]
    pattern, config.rank_pattern = config.rank_pattern, None
    try:
        yield
    finally:
        config.rank_pattern = pattern
