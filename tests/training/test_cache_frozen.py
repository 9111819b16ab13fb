"""Frozen layers computed once for each text: the same training, in fewer passes; and where that is not possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from lightune.data.encoding import encode
from lightune.errors import RecipeError, ResourceError
from lightune.methods import make_method
from lightune.models.architectures import ARCHITECTURES as TABLE
from lightune.progress import Silent
from lightune.recipe import TrainingBlock, parse_recipe
from lightune.training import cache_frozen
from lightune.training.accelerate_setup import make_accelerator
from lightune.training.loop import Examples, Loop
from padded_and_ragged import texts
from tiny import ARCHITECTURES

MakeLoop = Callable[..., Loop]
LIMIT = 1e-6
# ALBERT runs one layer again and again: what it leaves hangs on how often it was run.
STACKED = [name for name in ARCHITECTURES if name != "albert"]
# Words of each text: long ones beside short ones, so that batches are padded and packed.
WORDS = (3, 12, 1, 8, 8, 5, 9, 2, 14, 6, 4)
METHODS = ["head", "top_layers", "upper_lora"]


def quiet(model: Any, layers: int) -> None:
    """Switch dropout off in the lowest layers and below them, and leave it on above."""
    row = TABLE[model.config.model_type]
    above = [*model.get_submodule(row.layers)[layers:], *map(model.get_submodule, row.head)]
    loud = {id(module) for part in above for module in part.modules()} | {id(getattr(model, "dropout", None))}
    for module in model.modules():
        for name in ("p", "dropout", "attention_dropout", "activation_dropout", "layerdrop"):
            if id(module) not in loud and isinstance(vars(module).get(name), float):
                setattr(module, name, 0.0)


@pytest.fixture
def make(load_lively: Callable[..., Any], tmp_path: Path) -> MakeLoop:
    """Return a function that makes a loop over eleven texts; keywords it does not know are training settings."""
    count = 0

    def loop(
        architecture: str, method: str = "head", quiet_layers: int = 2, in_bf16: bool = False, **settings: Any
    ) -> Loop:
        nonlocal count
        count += 1
        loaded = load_lively(architecture)
        if quiet_layers:
            quiet(loaded.model, quiet_layers)
        options: dict[str, Any] = {}
        if method == "upper_lora":
            layers = f"{TABLE[architecture].layers}.1."
            roles = ("value", "ffn_in")
            names = [name for name in loaded.anatomy.modules(roles) if name.startswith(layers)]
            method, options = "lora", {"rank": 2, "dropout": 0.1, "target_modules": names}
        chosen = make_method(method, options)
        encoded = encode(loaded.tokenizer, [(text,) for text in texts(WORDS)], 64)
        examples = Examples(encoded, [row % 2 for row in range(len(WORDS))])
        folder = tmp_path / f"loop-{count}"
        folder.mkdir()
        block = TrainingBlock(
            **{"num_train_epochs": 3, "per_device_train_batch_size": 4, "seed": 1, "adam_epsilon": 1e-4, **settings}
        )
        accelerator = make_accelerator(torch.device("cpu"), "fp32", (), folder, "tiny", {})
        attached = chosen.attach(loaded.model, loaded.anatomy, 3).model
        return Loop(attached, chosen, loaded.tokenizer, examples, examples, block, 1e-2, 64, folder, accelerator,
                    Silent(), in_bf16)  # fmt: skip

    return loop


def layers_of(loop: Loop) -> Any:
    return loop.model.get_submodule(TABLE[loop.model.config.model_type].layers)  # type: ignore[union-attr]


def trained(loop: Loop) -> torch.Tensor:
    return torch.cat([value.detach().flatten() for value in loop.method.state(loop.model).values()])


def same_training(first: Loop, second: Loop, limit: float, lines_of: Any) -> None:
    """Fit both, and hold their losses and what they trained against each other."""
    start = trained(first).clone()
    first.fit(), second.fit()
    losses = [torch.tensor([line["loss"] for line in lines_of(loop)]) for loop in (first, second)]
    torch.testing.assert_close(losses[0], losses[1], rtol=10 * limit, atol=10 * limit)
    validation = [torch.tensor([epoch["validation_loss"] for epoch in loop.done.epochs]) for loop in (first, second)]
    torch.testing.assert_close(validation[0], validation[1], rtol=10 * limit, atol=10 * limit)
    moved = (trained(first) - start).norm()
    assert float(moved) > 0
    assert float((trained(first) - trained(second)).norm() / trained(first).norm()) < limit


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("architecture", STACKED)
def test_training_is_the_same(make: MakeLoop, lines_of: Any, architecture: str, method: str) -> None:
    """Padded or packed, with dropout above: the same losses and weights, and the layers below run in one epoch alone."""
    depth = 2 if method == "head" else 1
    cached, plain = (make(architecture, method, depth, cache_frozen=value) for value in ("on", "off"))
    same_training(cached, plain, LIMIT, lines_of)
    assert (cached.done.cached.used, cached.done.cached.layers) == (True, depth)
    assert not plain.done.cached.used
