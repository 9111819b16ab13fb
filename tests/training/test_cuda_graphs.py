"""Passes that are recorded give the gradients of passes that are called: LIGHTUNE_TEST_DEVICE=cuda pytest ..."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lightune.data.encoding import encode
from lightune.errors import RecipeError
from lightune.execution.bf16 import frozen_in_bf16
from lightune.execution.fast_modules import lean
from lightune.execution.packed_layout import Layout
from lightune.execution.unpadding import padding_free
from lightune.methods import METHODS, make_method
from lightune.recipe import SettledTraining
from lightune.training.accelerate_setup import make_accelerator
from lightune.training.batch_loss import Examples, RowLoss
from lightune.training.forward_backward import Passes
from padded_and_ragged import DEVICE, adapted, texts

on_cuda = pytest.mark.skipif(DEVICE != "cuda", reason="nothing else than CUDA records")

# Two shapes, each called, recorded, played and played again.
BATCHES = ([0, 1, 2, 3], [4, 5, 6, 7, 8]) * 4
# Attention over a window in fp32, or over a prefix that is prepended, has no kernel that knows borders.
ARCHITECTURES = ("distilbert", "bert", "roberta", "electra", "albert", "gpt2", "opt", "llama", "qwen3", "gemma")
FROZEN = sorted(name for name, method in METHODS.items() if method.base_is_frozen)
# PEFT makes the masks of the first two anew for each call, and waits for the device in the others.
CALLED = ("prompt_tuning", "p_tuning", "boft", "fourierft")


def plain_passes(loaded: Any, folder: Path, method: Any = None) -> Passes:
    """Return passes over nine texts, of a model away from its start and without dropout."""
    method = method or make_method("lora")
    model, _ = adapted(method, loaded)
    words = (3, 30, 1, 8, 12, 14, 9, 5, 22)
    train = Examples(
        encode(loaded.tokenizer, [(text,) for text in texts(words)], 64), np.array([0, 1, 0, 1, 1, 0, 1, 0, 1])
    )
    row_loss = RowLoss(loaded.task, loaded.tokenizer, train, SettledTraining())
    return Passes(model, method, row_loss, make_accelerator(torch.device(DEVICE), "fp32", (), folder, "test", {}))


def both(method: Any, loaded: Any, folder: Path, in_bf16: bool = False) -> tuple[list[Any], list[Any], Any]:
    """Return the (loss, gradients) of each batch called and recorded, and the recorded passes."""
    from lightune.training.cuda_graphs import GraphedPasses

    plain = plain_passes(loaded, folder, method)
    model = plain.model
    made = [plain, GraphedPasses(model, method, plain.row_loss, plain.accelerator)]
    with padding_free(model, logits_only=True), lean(model), frozen_in_bf16(model) if in_bf16 else nullcontext():
        found = [[passed(passes, model, rows, number) for number, rows in enumerate(BATCHES)] for passes in made]
    return found[0], found[1], made[1]


def passed(passes: Any, model: Any, rows: list[int], seed: int) -> torch.Tensor:
    """Return the loss and all gradients of a micro-batch that weighs a half, as one vector."""
    torch.manual_seed(seed)
    loss = passes.run(rows, 1, 0.5)
    found = [loss.flatten()]
    for value in model.parameters():
        if value.grad is not None:
            found.append(value.grad.flatten().clone())
    for value in model.parameters():
        if value.grad is not None and passes.records:
            value.grad.zero_()
        else:
            value.grad = None
    return torch.cat(found)


def assert_alike(called: list[Any], recorded: list[Any], limit: float) -> None:
    for wanted, found in zip(called, recorded, strict=True):
        assert float(wanted[1:].norm()) > 0
        assert float((found - wanted).norm() / wanted.norm()) < limit


@pytest.mark.parametrize("kind", [torch.long, torch.float32])
def test_static_inputs_hold_a_batch_and_where_its_texts_end(kind: torch.dtype) -> None:
    """Two texts of 3 and 5 tokens, padded to 16 positions, filled up to 64 tokens; then two others.

    Targets that are not of the ids' dtype have a buffer of their own; all else is filled by one copy.
    """
    from lightune.training.cuda_graphs import StaticInputs

    static, places = None, []
    for lengths, labels in (((3, 5), [1, 0]), ((6, 1), [0, 1])):
        mask = (torch.arange(16) < torch.tensor(lengths)[:, None]).long()
        inputs = {"input_ids": torch.randint(9, (2, 16)), "attention_mask": mask}
        targets, layout = torch.tensor(labels, dtype=kind), Layout.of(mask, narrows=True, multiple=64)
        assert layout is not None
        static = static or StaticInputs.like(inputs, targets, layout, torch.device("cpu"))
        static.fill(inputs, targets, layout, 0.25)
        assert set(static.buffers) == {torch.long, kind}
        assert static.inputs.keys() == inputs.keys()
        assert all(torch.equal(static.inputs[name], inputs[name]) for name in inputs)
        assert torch.equal(static.targets, targets)
        assert static.targets.dtype == kind
        longer = max(lengths)
        assert static.layout.ends.tolist() == [0, longer, sum(lengths), 64]
        wanted = [
            16 * row + place for row in sorted((0, 1), key=lambda row: -lengths[row]) for place in range(lengths[row])
        ]
        assert static.layout.real[: sum(lengths)].tolist() == wanted
        assert float(static.weight) == 0.25
        assert static.layout.longest >= longer
        own = (*static.inputs.values(), static.targets, static.layout.real, static.layout.ends, static.weight)
        places.append([part.data_ptr() for part in own])
    assert places[0] == places[1]


@pytest.mark.parametrize("architecture", ["distilbert", "gpt2"])
def test_a_pass_over_static_inputs_is_the_pass_that_is_called(
    load_lively: Any, tmp_path: Path, architecture: str
) -> None:
    """On a CPU, where attention needs the grids that recordings do without; the layout is taken as it was prepared."""
    from lightune.training.cuda_graphs import POSITIONS, TOKENS, GraphedPasses, StaticInputs

    loaded = load_lively(architecture)
    passes, model = plain_passes(loaded, tmp_path), loaded.model
    first = model.get_submodule(loaded.anatomy.modules(["query"])[0])
    seen: list[int] = []
    with padding_free(model, logits_only=True):
        wanted = passed(passes, model, BATCHES[0], 0)
        inputs, targets = passes.row_loss.batch(BATCHES[0], 1, POSITIONS)
        layout = Layout.of(inputs["attention_mask"], narrows=True, multiple=TOKENS)
        assert layout is not None
        static = StaticInputs.like(inputs, targets, layout, torch.device("cpu"))
        static.fill(inputs, targets, layout, 0.5)
        static.layout = replace(static.layout, groups=layout.groups)
        first.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[:-1].numel()))
        GraphedPasses._pass(passes, static, BATCHES[0])  # type: ignore[arg-type]  # which need a GPU to be made
    gradients = [value.grad.flatten() for value in model.parameters() if value.grad is not None]
    assert static.loss is not None
    found = torch.cat([static.loss.flatten(), *gradients])
    assert seen == [TOKENS]
    assert_alike([wanted], [found], 1e-5)


@on_cuda
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("in_bf16", [False, True])
def test_every_architecture(load_lively: Any, tmp_path: Path, architecture: str, in_bf16: bool) -> None:
    called, recorded, passes = both(make_method("lora"), load_lively(architecture), tmp_path, in_bf16)
    assert [static.graph is not None for static in passes.shapes.values()] == [True, True]
    assert_alike(called, recorded, 0.05 if in_bf16 else 1e-5)


@on_cuda
@pytest.mark.parametrize("architecture", ["distilbert", "llama"])
@pytest.mark.parametrize("name", FROZEN)
def test_every_method(load_lively: Any, tmp_path: Path, name: str, architecture: str) -> None:
    try:
        called, recorded, passes = both(make_method(name), load_lively(architecture), tmp_path)
    except RecipeError:
        pytest.skip("this method does not fit this architecture")
    assert all(passes.shapes.values()) == (name not in CALLED)
    assert_alike(called, recorded, 1e-5)


@on_cuda
def test_what_has_no_kernel_that_knows_borders_is_called(load_lively: Any, tmp_path: Path) -> None:
    method = make_method("prefix", {"attended": "prepended"})
    called, recorded, passes = both(method, load_lively("bert"), tmp_path)
    assert not any(passes.shapes.values())
    assert_alike(called, recorded, 1e-5)


@on_cuda
def test_dropout_follows_the_seed_of_each_playing(load_lively: Any, tmp_path: Path) -> None:
    from lightune.training.cuda_graphs import GraphedPasses

    loaded, method = load_lively("bert"), make_method("lora", {"dropout": 0.3})
    model = method.attach(loaded.model, loaded.anatomy, 3).model.to(DEVICE).train()
    train = Examples(encode(loaded.tokenizer, [(text,) for text in texts((5, 9, 14))], 64), np.array([0, 1, 0]))
    accelerator = make_accelerator(torch.device(DEVICE), "fp32", (), tmp_path, "test", {})
    passes = GraphedPasses(model, method, RowLoss(loaded.task, loaded.tokenizer, train, SettledTraining()), accelerator)
    with padding_free(model, logits_only=True), lean(model):
        found = [passed(passes, model, [0, 1, 2], seed) for seed in (1, 1, 2, 1, 2)]
    assert next(iter(passes.shapes.values())).graph is not None
    for one, other in ((0, 1), (1, 3), (2, 4)):
        assert torch.allclose(found[one], found[other], rtol=1e-3, atol=1e-6)
    assert not torch.allclose(found[1], found[2], rtol=1e-2)


@on_cuda
def test_a_fit_learns_the_same(make_loop: Any) -> None:
    weights = []
    for recorded in (False, True):
        loop = make_loop("distilbert", dropout=False, device=DEVICE, cuda_graphs=recorded)
        loop.fit()
        weights.append(torch.cat([value.flatten() for value in loop.model.parameters() if value.requires_grad]))
        assert type(loop.loop.step.passes).__name__ == ("GraphedPasses" if recorded else "Passes")
    assert float((weights[0] - weights[1]).norm() / weights[0].norm()) < 1e-4
