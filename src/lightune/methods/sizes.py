"""Whether a method asks for no more than its adapter holds: looked at before training, and before one is loaded.

A method of PEFT has no formula; a size that it asks for, such as a rank, is that of a tensor, or small.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from lightune.errors import RecipeError
from lightune.methods.base import Method
from lightune.methods.peft_method import REFUSALS
from lightune.models.weight_files import MOST_NEW

if TYPE_CHECKING:
    from torch import nn

    from lightune.models.load import LoadedModel

LARGEST_OPTION = 4096
# Parts of the names of options whose numbers are no sizes.
NO_SIZES = ("seed", "prng_key", "alpha", "lambda", "scaling", "interval")


def asked_beyond(method: Method, loaded: LoadedModel, shapes: Sequence[Sequence[int]]) -> str:
    """Return what a method asks for far beyond tensors of these shapes, or ""."""
    sizes, held = {size for shape in shapes for size in shape}, sum(map(math.prod, shapes))
    for name, option in method.options().items():
        numbers = [one for one in (option.values() if isinstance(option, Mapping) else [option]) if type(one) is int]
        large = [one for one in numbers if one > LARGEST_OPTION and one not in sizes]
        if large and not any(word in name for word in NO_SIZES):
            return f"{name} {large[0]:,}"
    asked = 0
    with suppress(*REFUSALS):  # where a method does not suit the model, attaching it says why
        asked = method.trainable_formula(loaded.model, loaded.anatomy)
    return f"{asked:,} numbers" if asked > held + MOST_NEW else ""


def require_reloadable(method: Method, loaded: LoadedModel, attached: nn.Module) -> None:
    """Raise RecipeError for a method whose adapter would be refused when it is loaded, before it is trained."""
    shapes = [tuple(value.shape) for value in method.state_to_save(attached).values()]
    asks = asked_beyond(method.saved_as(), loaded, shapes)
    if asks:
        message = f"the method asks for {asks}, and no tensor of its adapter is of that size."
        raise RecipeError("RECIPE-121", message, f"Give a number of at most {LARGEST_OPTION:,}.")
