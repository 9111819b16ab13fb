"""What a model does not offer is refused by name; what it offers passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lightune.errors import RecipeError
from lightune.recipe import SettledTraining
from lightune.training.feasibility import require_feasible


@pytest.mark.parametrize("architecture", ["albert", "mpnet"])
def test_checkpointing_where_transformers_has_none_is_refused(load_tiny: Callable[..., Any], architecture: str) -> None:
    loaded = load_tiny(architecture)
    with pytest.raises(ValueError, match="does not support"):
        loaded.model.gradient_checkpointing_enable()
    with pytest.raises(RecipeError, match="gradient_checkpointing"):
        require_feasible(SettledTraining(gradient_checkpointing=True), loaded.model, loaded.tokenizer)


def test_masking_without_a_mask_token_is_refused(load_tiny: Callable[..., Any]) -> None:
    loaded = load_tiny("gpt2")
    with pytest.raises(RecipeError, match="no mask token"):
        require_feasible(SettledTraining(token_masking=0.1), loaded.model, loaded.tokenizer)


def test_what_is_offered_passes(load_tiny: Callable[..., Any]) -> None:
    loaded = load_tiny("bert")
    require_feasible(SettledTraining(gradient_checkpointing=True), loaded.model, loaded.tokenizer)
