"""Refuses settings that a model does not support, before anything is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightune.errors import RecipeError
from lightune.training.token_masking import TokenMasking

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from lightune.recipe import SettledTraining


def require_feasible(settings: SettledTraining, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise RecipeError for gradient checkpointing or token masking that this model or tokenizer does not support."""
    if settings.gradient_checkpointing and not model.supports_gradient_checkpointing:
        message = f"training.gradient_checkpointing: {type(model).__name__} does not support it."
        hint = "Leave it out; smaller batches with gradient_accumulation_steps save memory too."
        raise RecipeError("RECIPE-053", message, hint)
    TokenMasking(tokenizer, settings.token_masking, settings.seed)
