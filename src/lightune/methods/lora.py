"""Low-rank adaptation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from lightune.methods import registry
from lightune.methods.base import Attachment, Method
from lightune.methods.lora_init import keep_start, minus_start, require_rewritable, start_from_inputs
from lightune.methods.peft_method import PeftMethod, Targets
from lightune.models.anatomy import LINEAR_ROLES
from lightune.models.linear_widths import in_and_out

if TYPE_CHECKING:
    import torch
    from torch import nn

    from lightune.models.anatomy import Anatomy

Start = Annotated[
    Literal["default", "gaussian", "orthogonal", "pissa", "olora", "eva"],
    BeforeValidator(lambda given: "default" if given is True else given),  # PEFT's way to ask for its default
]


@registry.register("lora")
@dataclass(frozen=True)
class Lora(PeftMethod):
    """W x + (alpha / rank) B A x; A: rank x in, B: out x rank, zero at the start.  Hu et al. 2021, arXiv:2106.09685.

    `target_modules` names modules by PEFT's rules and replaces `roles`; "all-linear" means the linear layers of
    all blocks. `use_rslora` scales by alpha / sqrt(rank) (Kalajdzievski 2023, arXiv:2312.03732). `use_dora` trains the
    length of every row of W + (alpha / rank) B A as well (Liu et al. 2024, arXiv:2402.09353). `loraplus_lr_ratio` is
    the rate of B over that of A (LoRA+, Hayou et al. 2024, arXiv:2402.12354). `init_lora_weights` says how A and B
    start; true is PEFT's word for "default":

    - "gaussian" draws A from N(0, 1 / rank^2); "orthogonal" starts both with random factors whose product is zero.
    - "pissa" takes the largest singular vectors of W (Meng et al. 2024, arXiv:2404.02948), "olora" the first columns
      and rows of its QR factors (Büyükakyüz 2024, arXiv:2406.01775). B A is subtracted from W, so that the answers
      do not change. What is saved is (B A - B0 A0), an ordinary LoRA of twice the rank for the untouched W.
    - "eva" takes A from the principal components of the layer's inputs on training texts (Paischer et al. 2024,
      arXiv:2410.07170), with the same rank everywhere.
    """

    rank: Annotated[int, Field(ge=1)] = 8
    alpha: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 16
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    roles: tuple[str, ...] = LINEAR_ROLES
    target_modules: Targets = None
    use_rslora: bool = False
    use_dora: bool = False
    init_lora_weights: Start = "default"
    loraplus_lr_ratio: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0

    default_learning_rate: ClassVar[float] = 1e-3
    mergeable: ClassVar[bool] = True
    paper: ClassVar[str] = "Hu et al. 2021, arXiv:2106.09685"
    aliases: ClassVar[Mapping[str, str]] = {"r": "rank", "lora_alpha": "alpha", "lora_dropout": "dropout"}

    def __post_init__(self) -> None:
        """Refuse options that cannot be combined."""
        if self.rewrites_base and self.use_dora:
            raise ValueError(f"use_dora cannot be combined with init_lora_weights: {self.init_lora_weights}")
        if self.init_lora_weights == "orthogonal" and self.rank % 2:
            raise ValueError("init_lora_weights: orthogonal needs an even rank")

    @property
    def rewrites_base(self) -> bool:
        """Whether attaching subtracts the initial B A from the base weights."""
        return self.init_lora_weights in ("pissa", "olora")

    @property
    def reversible(self) -> bool:
        """Whether switching the adapter off gives the untouched model back."""
        return not self.rewrites_base

    @property
    def needs_data(self) -> bool:
        """Whether `start_from_data` has something to do."""
        return self.init_lora_weights == "eva"

    def attach(self, model: nn.Module, anatomy: Anatomy, seed: int) -> Attachment:
        """Wrap the model in a PeftModel; where that rewrites the base weights, keep the initial A and B."""
        if self.rewrites_base:
            modules = {name: model.get_submodule(name) for name in self.full_names(model, anatomy)}
            require_rewritable(modules, self.rank, self.init_lora_weights)
        attachment = super().attach(model, anatomy, seed)
        if self.rewrites_base:
            keep_start(attachment.model)
        return attachment

    def peft_config(self, model: nn.Module, anatomy: Anatomy) -> Any:
        """Return a LoraConfig."""
        from peft import EvaConfig, LoraConfig

        return self.configured(
            LoraConfig,
            model,
            anatomy,
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            use_rslora=self.use_rslora,
            use_dora=self.use_dora,
            init_lora_weights=True if self.init_lora_weights == "default" else self.init_lora_weights,
            eva_config=EvaConfig(rho=1.0) if self.needs_data else None,
        )

    def added_parameters(self, module: nn.Module) -> int:
        """rank * (in + out), and out more with DoRA"""
        inputs, outputs = in_and_out(module)
        return self.rank * (inputs + outputs) + outputs * self.use_dora

    def start_from_data(self, model: nn.Module, batches: Iterable[dict[str, torch.Tensor]]) -> None:
        """Take A from the principal components of the inputs."""
        if self.needs_data:
            start_from_inputs(model, self.rank, batches)

    def rate_factors(self, model: nn.Module) -> dict[str, float]:
        """Return the ratio for every B."""
        if self.loraplus_lr_ratio == 1:
            return {}
        return {name: self.loraplus_lr_ratio for name, _ in model.named_parameters() if ".lora_B." in name}

    def saved_as(self) -> Method:
        """Return the LoRA with the default initialisation that the saved tensors belong to."""
        if not self.rewrites_base:
            return replace(self, init_lora_weights="default") if self.needs_data else self
        # alpha / rank, or alpha / sqrt(rank), must stay the same.
        alpha = self.alpha * (2**0.5 if self.use_rslora else 2)
        return replace(self, rank=2 * self.rank, alpha=alpha, init_lora_weights="default")

    def state_to_save(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """Return the tensors for the untouched base."""
        state = self.state(model)
        return minus_start(model, state) if self.rewrites_base else state

    def config_to_save(self, model: nn.Module) -> Any:
        """Return the configuration that the saved tensors belong to."""
        config, plain = super().config_to_save(model), self.saved_as()
        if isinstance(plain, Lora) and plain is not self:
            config.r, config.lora_alpha = plain.rank, plain.alpha
            config.init_lora_weights, config.eva_config = True, None
        return config
