"""Which modules of a model ask for a prefix: those that call transformers' attention interface themselves."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

from torch import nn

from lightune.execution.own_attention import calls_the_one

# The table in which transformers' attention modules look up the attention function, which they pass themselves to.
INTERFACE = "ALL_ATTENTION_FUNCTIONS"


def asks(module: nn.Module) -> bool:
    """Whether the module itself (not one inside it) calls the attention function."""
    kind: Any = type(module)
    return calls_the_one(module) or _class_asks(kind)


@cache
def _class_asks(kind: type) -> bool:
    """Whether the `forward` of the class, or of a base class, uses the interface's table.

    All of transformers' attention modules do. Setting up a model uses it too, so methods other than `forward` prove
    nothing.
    """
    own = (inspect.unwrap(vars(each)["forward"]) for each in kind.__mro__ if "forward" in vars(each))
    return any(INTERFACE in function.__code__.co_names for function in own if inspect.isfunction(function))


def where_to_ask(model: nn.Module, instead_of: str) -> str:
    """Return a sentence that names valid targets: those inside the wrong one, or else those of the whole model."""
    found = {name: type(module).__name__ for name, module in model.named_modules() if asks(module)}
    every = {name.replace(".base_layer", ""): kind for name, kind in found.items()}  # some may be wrapped by now
    if not every:
        return "No module of this model asks for one."
    asking = {name: kind for name, kind in every.items() if name.startswith(f"{instead_of}.")} or every
    first, kind = next(iter(asking.items()))
    endings = list(dict.fromkeys(map(_after_number, asking)))
    return f'A module that asks is "{first}" ({kind}): pass target_modules={endings}.'


def _after_number(name: str) -> str:
    """Return the part of a module's name that all layers share: what follows their number."""
    parts = name.split(".")
    last = max((place for place, part in enumerate(parts) if part.isdigit()), default=-1)
    return ".".join(parts[last + 1 :]) or name
