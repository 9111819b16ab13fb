"""Trained vectors before each text, computed by a small network during training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from lightune.methods import registry
from lightune.methods.base import Attachment, Method
from lightune.methods.prompt_method import PromptMethod, embedding_width

if TYPE_CHECKING:
    import torch
    from torch import nn

    from lightune.models.anatomy import Anatomy


@registry.register("p_tuning")
@dataclass(frozen=True)
class PTuning(PromptMethod):
    """Train `virtual_tokens` vectors and an encoder through which they pass.  Liu et al. 2021, arXiv:2103.10385.

    The encoder is an "mlp" of three layers or the paper's two-layer "lstm"; its width is that of the embeddings unless
    given. Only its output is saved: a saved adapter has the encoder "none".
    """

    virtual_tokens: Annotated[int, Field(ge=1)] = 20
    encoder: Literal["mlp", "lstm", "none"] = "mlp"
    encoder_width: Annotated[int, Field(ge=1)] | None = None

    default_learning_rate: ClassVar[float] = 1e-2
    paper: ClassVar[str] = "Liu et al. 2021, arXiv:2103.10385"
    aliases: ClassVar[Mapping[str, str]] = {
        "num_virtual_tokens": "virtual_tokens",
        "encoder_hidden_size": "encoder_width",
        "encoder_reparameterization_type": "encoder",
    }

    def attach(self, model: nn.Module, anatomy: Anatomy, seed: int) -> Attachment:
        """Wrap the model in a PeftModel; without an encoder the vectors go in as they are."""
        from peft.utils import ModulesToSaveWrapper
        from torch import nn

        attachment = super().attach(model, anatomy, seed)
        prompt: Any = attachment.model.get_submodule("prompt_encoder.default")
        if isinstance(prompt.mlp_head, ModulesToSaveWrapper):  # PEFT takes "mlp_head" for a classifier's "head"
            prompt.mlp_head = prompt.mlp_head.modules_to_save["default"]
        if self.encoder == "none":
            prompt.mlp_head = nn.Identity()
        return attachment

    def peft_config(self, model: nn.Module, anatomy: Anatomy) -> Any:
        """Return a PromptEncoderConfig."""
        from peft import PromptEncoderConfig

        return self.prompt_config(
            PromptEncoderConfig,
            model,
            anatomy,
            encoder_reparameterization_type="LSTM" if self.encoder == "lstm" else "MLP",
            encoder_hidden_size=self.encoder_width or embedding_width(model),
        )

    def added(self, model: nn.Module, anatomy: Anatomy) -> int:
        """virtual_tokens * width w, and with h for the encoder's width: three dense layers w, h, h, w; or a
        bidirectional LSTM of two layers (8 h (inputs + h + 2) each) and two dense layers 2h, 2h, w."""
        width = embedding_width(model)
        inner = self.encoder_width or width
        encoder = {
            "none": 0,
            "mlp": (width + 1) * inner + (inner + 1) * inner + (inner + 1) * width,
            "lstm": 8 * inner * ((width + inner + 2) + (2 * inner + inner + 2))
            + (2 * inner + 1) * 2 * inner
            + (2 * inner + 1) * width,
        }
        return self.virtual_tokens * width + encoder[self.encoder]

    def saved_as(self) -> Method:
        """Return the method without the encoder."""
        return replace(self, encoder="none")

    def state_to_save(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """Return the output of the encoder, and the head."""
        return super().state(model)

    def state(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """Return every trained tensor, those of the encoder included."""
        return super().state(model) if self.encoder == "none" else Method.state(self, model)

    def load_state(self, model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
        """Put saved tensors back, strictly."""
        if self.encoder == "none":
            super().load_state(model, tensors)
        else:
            Method.load_state(self, model, tensors)
