"""Adapter layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from lightune.methods import registry
from lightune.methods.base import count_parameters
from lightune.methods.peft_method import PeftMethod
from lightune.models.linear_widths import in_and_out

if TYPE_CHECKING:
    from torch import nn

    from lightune.models.anatomy import Anatomy

ROLES: Mapping[str, tuple[str, ...]] = {
    "seq_bn": ("ffn_out",),
    "double_seq_bn": ("attention_out", "ffn_out"),
    "par_bn": ("ffn_out",),
}
REDUCTION: Mapping[str, float] = {"seq_bn": 16, "double_seq_bn": 16, "par_bn": 8}
SCALING: Mapping[str, float] = {"seq_bn": 1, "double_seq_bn": 1, "par_bn": 4}


@registry.register("bottleneck")
@dataclass(frozen=True)
class Bottleneck(PeftMethod):
    """h + s W_up f(W_down h) after a sub-layer; W_up zero at the start.  Houlsby et al. 2019, arXiv:1902.00751.

    Presets: `seq_bn` after the feed-forward part (Pfeiffer et al. 2020, arXiv:2005.00247), `double_seq_bn` after both
    sub-layers (Houlsby), `par_bn` beside the feed-forward part, reading its input, with scale s = 4 (He et al. 2022,
    arXiv:2110.04366). W_down: (width / reduction_factor) x width. h is the sub-layer's last linear layer's output,
    before dropout, residual and norm.
    """

    preset: Literal["seq_bn", "double_seq_bn", "par_bn"] = "seq_bn"
    reduction_factor: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    non_linearity: Literal["relu", "gelu", "silu", "tanh", "leaky_relu"] = "gelu"
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    scaling: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None

    default_learning_rate: ClassVar[float] = 3e-3
    reversible: ClassVar[bool] = True
    peft_loadable: ClassVar[bool] = False
    own_tuner: ClassVar[bool] = True
    paper: ClassVar[str] = "Houlsby et al. 2019, arXiv:1902.00751"
    aliases: ClassVar[Mapping[str, str]] = {"config": "preset", "adapter_dropout": "dropout"}

    @property
    def by_preset(self) -> Mapping[str, float]:
        """The preset's reduction factor and scaling."""
        return {"reduction_factor": REDUCTION[self.preset], "scaling": SCALING[self.preset]}

    def targets(self, model: nn.Module, anatomy: Anatomy) -> list[str]:
        """Return the linear layers that end the adapted sub-layers."""
        return anatomy.modules(ROLES[self.preset])

    def peft_config(self, model: nn.Module, anatomy: Anatomy) -> Any:
        """Return our tuner's configuration."""
        from lightune.tuners import register_all
        from lightune.tuners.bottleneck import BottleneckConfig

        register_all()
        return self.configured(
            BottleneckConfig,
            model,
            anatomy,
            reduction_factor=self.reduction_factor or self.by_preset["reduction_factor"],
            non_linearity=self.non_linearity,
            dropout=self.dropout,
            scaling=self.scaling or self.by_preset["scaling"],
            inputs=self._inputs(anatomy),
        )

    def _inputs(self, anatomy: Anatomy) -> dict[str, str]:
        """Return, for a parallel adapter, the layer that begins each feed-forward part, by the one that ends it."""
        if self.preset != "par_bn":
            return {}
        begins, ends = anatomy.modules(["ffn_in"]), anatomy.modules(["ffn_out"])
        each = len(begins) // len(ends)
        return {end: begins[number * each] for number, end in enumerate(ends)}

    def trainable_formula(self, model: nn.Module, anatomy: Anatomy) -> int:
        """Sum of b (in + 1) + out (b + 1) over the targets, b = in / reduction factor, plus the head."""
        modules, inputs, total = (
            dict(model.named_modules()),
            self._inputs(anatomy),
            count_parameters(model, anatomy.head),
        )
        for name in self.targets(model, anatomy):
            out = in_and_out(modules[name])[1]
            read = in_and_out(modules[inputs[name]])[0] if inputs else out
            inner = max(1, round(read / (self.reduction_factor or self.by_preset["reduction_factor"])))
            total += inner * (read + 1) + out * (inner + 1)
        return total
