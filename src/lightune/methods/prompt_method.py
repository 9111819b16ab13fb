"""The base of methods that put trained vectors before each text: prompt tuning and p-tuning."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lightune.methods.base import Attachment
from lightune.methods.peft_method import PeftMethod

if TYPE_CHECKING:
    import torch
    from torch import nn

    from lightune.models.anatomy import Anatomy


@dataclass(frozen=True)
class PromptMethod(PeftMethod):
    """A method of PEFT that passes embeddings to the model: its own vectors, then those of the text.

    An encoder that classifies from its first position does so from the first of these vectors, so the model does not
    start unchanged. PEFT's `disable_adapter` does not work here: it needs what only text generation models have.
    """

    @property
    def starts_unchanged(self) -> bool:
        """The vectors change the model from the start."""
        return False

    def attach(self, model: nn.Module, anatomy: Anatomy, seed: int) -> Attachment:
        """Wrap the model in a PeftModel, and let decoders answer from the last position of each text."""
        attachment = super().attach(model, anatomy, seed)
        LastPosition().watch(attachment.model, anatomy.output_layer)
        return Attachment(attachment.model, ("prompt_encoder", *attachment.changed))

    def targets(self, model: nn.Module, anatomy: Anatomy) -> list[str]:
        """Return nothing: no module is replaced."""
        return []

    def prompt_config(self, kind: type, model: Any, anatomy: Anatomy, **options: Any) -> Any:
        """Return a configuration of this kind with the sizes of the model, which PEFT finds only for some models."""
        return self.configured(
            kind,
            model,
            anatomy,
            num_virtual_tokens=self.virtual_tokens,
            token_dim=embedding_width(model),
            num_layers=model.config.num_hidden_layers,
            num_attention_heads=model.config.num_attention_heads,
            num_transformer_submodules=1,
            **options,
        )


class LastPosition:
    """Passes only the last position of each text that is not padding to the output layer of a decoder.

    Stock decoder classifiers find it by the pad token's id. Given embeddings, they use the last position of the batch,
    which is padding in a shorter text.
    """

    def __init__(self) -> None:
        # By thread: two threads may run the model at the same time.
        self._masks: dict[int, torch.Tensor] = {}

    def watch(self, model: Any, output_layer: str) -> None:
        """Add the hooks to an attached model."""
        model.base_model.register_forward_pre_hook(self.remember, with_kwargs=True)
        model.base_model.get_submodule(output_layer).register_forward_pre_hook(self.pick)

    def remember(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Keep the attention mask of a call with embeddings: (texts, positions)."""
        if kwargs.get("inputs_embeds") is not None and kwargs.get("attention_mask") is not None:
            self._masks[threading.get_ident()] = kwargs["attention_mask"]

    def pick(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[torch.Tensor] | None:
        """Return (texts, 1, width) for (texts, positions, width); encoders pass (texts, width), which stays."""
        import torch

        mask = self._masks.pop(threading.get_ident(), None)
        if mask is None or args[0].dim() != 3:
            return None
        positions = torch.arange(mask.shape[1], device=mask.device)
        last = (mask * positions).argmax(dim=1)
        return (args[0][torch.arange(len(last), device=last.device), last].unsqueeze(1),)


def embedding_width(model: Any) -> int:
    """Return the width of the word embeddings, which ALBERT and ELECTRA widen before the first layer."""
    return int(model.get_input_embeddings().weight.shape[1])
