"""Parameter-efficient fine-tuning of pre-trained transformers, measured honestly.

>>> import lightune
>>> recipe = lightune.Recipe(model="distilbert-base-uncased", method={"name": "lora", "rank": 4})
>>> recipe.training.per_device_train_batch_size
16

`lightune.run(recipe)` does the whole job and returns a RunRecord, `lightune.resume("runs/x")` goes on with one that was
interrupted; `lightune.load("runs/x")` returns a Classifier.
Importing lightune loads neither torch nor transformers: the names below are looked up when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightune.errors import LightuneError
    from lightune.experiment import run
    from lightune.inference.adapters import AdapterBank, load_adapters
    from lightune.inference.classifier import Classifier, load
    from lightune.methods.base import Method
    from lightune.recipe import Recipe
    from lightune.record import RunRecord
    from lightune.resuming import resume
    from lightune.tasks.answers import Prediction

__version__ = "0.2.0"

_HOMES = {
    "AdapterBank": "lightune.inference.adapters",
    "Classifier": "lightune.inference.classifier",
    "LightuneError": "lightune.errors",
    "Method": "lightune.methods.base",
    "Prediction": "lightune.tasks.answers",
    "Recipe": "lightune.recipe",
    "RunRecord": "lightune.record",
    "load": "lightune.inference.classifier",
    "load_adapters": "lightune.inference.adapters",
    "resume": "lightune.resuming",
    "run": "lightune.experiment",
}

__all__ = [
    "AdapterBank",
    "Classifier",
    "LightuneError",
    "Method",
    "Prediction",
    "Recipe",
    "RunRecord",
    "__version__",
    "load",
    "load_adapters",
    "resume",
    "run",
]


def __getattr__(name: str) -> Any:
    """Import a public name from the module that defines it."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'lightune' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
