"""Trained vectors before each text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from lightune.methods import registry
from lightune.methods.prompt_method import PromptMethod, embedding_width

if TYPE_CHECKING:
    from torch import nn

    from lightune.models.anatomy import Anatomy


@registry.register("prompt_tuning")
@dataclass(frozen=True)
class PromptTuning(PromptMethod):
    """Train the embeddings of `virtual_tokens` tokens that are put before each text.  Lester et al. 2021.

    They start as those of tokens drawn from the vocabulary ("vocabulary", as the paper advises) or from N(0, 1)
    ("random").
    """

    virtual_tokens: Annotated[int, Field(ge=1)] = 20
    init: Literal["vocabulary", "random"] = "vocabulary"

    default_learning_rate: ClassVar[float] = 3e-1
    paper: ClassVar[str] = "Lester et al. 2021, arXiv:2104.08691"
    aliases: ClassVar[Mapping[str, str]] = {"num_virtual_tokens": "virtual_tokens"}

    def peft_config(self, model: nn.Module, anatomy: Anatomy) -> Any:
        """Return a PromptTuningConfig."""
        from peft import PromptTuningConfig, PromptTuningInit

        start = PromptTuningInit.SAMPLE_VOCAB if self.init == "vocabulary" else PromptTuningInit.RANDOM
        return self.prompt_config(PromptTuningConfig, model, anatomy, prompt_tuning_init=start)

    def added(self, model: nn.Module, anatomy: Anatomy) -> int:
        """virtual_tokens * width of the embeddings"""
        return self.virtual_tokens * embedding_width(model)
