"""What saves memory changes no gradient: checkpointing and accumulation, on representative tiny architectures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lightune.errors import RecipeError, is_out_of_memory
from lightune.models import load as loading
from lightune.models.load import ModelSource
from tiny import REPRESENTATIVE, classes

MakeLoop = Callable[..., Any]


def first_gradients(loop: Any) -> dict[str, torch.Tensor]:
    """Return the gradient of each trained tensor in the first step, summed over its micro-batches."""
    found: dict[str, torch.Tensor] = {}

    def listen(name: str, value: torch.nn.Parameter) -> None:
        def add(gradient: torch.Tensor) -> None:
            if loop.loop.step.count == 0:
                found[name] = found.get(name, 0) + gradient.detach().clone()

        value.register_hook(add)

    for name, value in loop.model.named_parameters():
        if value.requires_grad:
            listen(name, value)
    loop.fit()
    return found


def assert_same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    assert max(float(gradient.abs().max()) for gradient in wanted.values()) > 1e-3
    for name, gradient in found.items():
        assert torch.allclose(gradient, wanted[name], atol=1e-6, rtol=1e-5), name


@pytest.mark.parametrize("method", ["lora", "full", "head"])
@pytest.mark.parametrize("architecture", REPRESENTATIVE)
def test_checkpointing_gives_the_same_gradients(make_loop: MakeLoop, architecture: str, method: str) -> None:
    """With dropout: what is computed twice must be dropped alike. Frozen embeddings must not cut the graph."""
    options = {"architecture": architecture, "method": method, "num_train_epochs": 1}
    wanted = first_gradients(make_loop(**options))
    assert_same(first_gradients(make_loop(gradient_checkpointing=True, **options)), wanted)


@pytest.mark.parametrize("architecture", REPRESENTATIVE)
def test_four_times_four_gives_the_gradients_of_sixteen(make_loop: MakeLoop, architecture: str) -> None:
    options = {"architecture": architecture, "dropout": False, "num_train_epochs": 1}
    wanted = first_gradients(make_loop(**options))
    parts = make_loop(per_device_train_batch_size=4, gradient_accumulation_steps=4, **options)
    assert_same(first_gradients(parts), wanted)


def test_memory_that_runs_out_while_a_model_is_loaded_is_not_taken_for_a_bad_model(
    tiny_models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The allocator's real words; any other RuntimeError is a model that cannot be loaded."""

    def load_with(size: int) -> None:
        monkeypatch.setattr(loading, "hold", lambda *parts: None)
        monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lambda *a, **k: torch.empty(size))
        loading.load_model(ModelSource("it", tiny_models["bert"], None), classes(["no", "yes"]), 1)

    with pytest.raises(RuntimeError) as caught:
        load_with(2**55)
    assert is_out_of_memory(caught.value)
    with pytest.raises(RecipeError, match="cannot be loaded"):
        load_with(-1)
