"""What a recipe says about the task, in the form that tasks read."""

from __future__ import annotations

from dataclasses import replace

from lightune.recipe import DataBlock, Recipe
from lightune.tasks.columns import Wishes


def wishes_of(recipe: Recipe) -> Wishes:
    """Return what a recipe says about the task, without its data block."""
    return Wishes(recipe.task, recipe.training.class_weights, recipe.training.head_start)


def with_data(wishes: Wishes, block: DataBlock) -> Wishes:
    """Return the wishes with what the data block says about labels."""
    return replace(
        wishes,
        label_kind=block.label_kind,
        label_separator=block.label_separator,
        merges_alike=block.on_alike_label == "merge",
        drops_rare=block.on_rare_label == "drop",
    )
