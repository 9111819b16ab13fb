"""The one object on a base model that says how its calls run: found through all that wraps it, and never shared."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from lightune.errors import RecipeError
from lightune.execution.execution import ATTRIBUTE, Execution, execution_of, is_own_hook, known_batch
from lightune.execution.packed_layout import Layout
from lightune.execution.unpadding import padding_free
from lightune.methods import make_method
from lightune.models.shared_base import copy_on_same_tensors
from padded_and_ragged import DEVICE, batch_of, texts


def notes_on(model: torch.nn.Module) -> list[str]:
    """Return what lightune pinned on modules of a stock model."""
    return [f"{name}.{key}" for name, module in model.named_modules() for key in vars(module) if "lightune" in key]


def test_there_is_one_and_it_lies_on_the_base(load_lively: Any) -> None:
    loaded = load_lively("bert")
    stock = loaded.model
    found = execution_of(stock)
    adapted = make_method("prefix").attach(stock, loaded.anatomy, 3).model
    with padding_free(adapted):
        assert execution_of(adapted) is execution_of(stock) is execution_of(stock.base_model) is found
        assert notes_on(stock) == [f"bert.{ATTRIBUTE}"]
        assert found.unpadder is not None
    assert found == Execution(is_claimed=True)


@pytest.mark.parametrize("copied", [copy.deepcopy, copy_on_same_tensors])
def test_a_copy_has_one_of_its_own_without_what_is_under_way(load_lively: Any, copied: Any) -> None:
    loaded = load_lively("gpt2")
    model, batch = make_method("head").attach(loaded.model, loaded.anatomy, 3).model, batch_of(loaded, texts())
    execution_of(model).fill_rows(32)
    with padding_free(model), known_batch(model, batch["attention_mask"], batch["attention_mask"].cpu()):
        twin = copied(model)
        assert execution_of(model).batches
    assert execution_of(twin) is not execution_of(model)
    assert execution_of(twin) == Execution(row_multiple=32, is_claimed=True)
    with pytest.raises(RecipeError, match="RECIPE-035"):
        make_method("lora").attach(twin, loaded.anatomy, 3)


def test_a_merged_model_is_free_again(load_lively: Any) -> None:
    loaded = load_lively("bert")
    for name in ("lora", "full"):
        method = make_method(name)
        model = method.attach(loaded.model, loaded.anatomy, 3).model
        assert execution_of(model).is_claimed
        merged = method.merged(model)
        assert merged is not None
        assert execution_of(merged) == Execution()


def test_a_batch_is_known_to_the_thread_and_by_the_very_mask(load_lively: Any) -> None:
    loaded = load_lively("bert")
    mask = batch_of(loaded, texts())["attention_mask"]
    execution = execution_of(loaded.model)
    assert execution.batch_of(mask) is None
    with known_batch(loaded.model, mask, mask.cpu()):
        outer = execution.batch_of(mask)
        assert outer is not None
        assert execution.batch_of(mask.clone()) is None
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(execution.batch_of, mask).result() is None
        with known_batch(loaded.model, mask, layout=Layout.of(mask.cpu())):
            inner = execution.batch_of(mask)
            assert inner is not None
            assert inner.layout is not None
        assert execution.batch_of(mask) is outer
    with pytest.raises(ZeroDivisionError), known_batch(loaded.model, mask):
        _ = 1 / 0
    assert execution.batches == {}


def test_the_mask_on_the_host_and_a_prepared_layout_are_used(load_lively: Any) -> None:
    """Each says less padding than there is, so that it shows in what the layers see."""
    loaded = load_lively("distilbert")
    batch, model = batch_of(loaded, texts((3, 5))), loaded.model.eval()
    seen: list[int] = []
    first = model.get_submodule(loaded.anatomy.modules(["query"])[0])
    first.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[:-1].numel()))
    mask = batch["attention_mask"]
    other = torch.ones_like(mask).cpu()
    other[:, -1] = 0
    layout = Layout.of(other, multiple=32, device=torch.device(DEVICE))
    with torch.no_grad(), padding_free(model):
        model(**batch)
        with known_batch(model, mask, host_mask=other):
            model(**batch)
        with known_batch(model, mask, layout=layout):
            model(**batch)
    assert seen == [int(mask.sum()), int(other.sum()), 32]


def test_hooks_of_this_package_are_known_as_such(load_lively: Any) -> None:
    model = load_lively("distilbert").model
    with padding_free(model):
        hooks = [
            hook
            for module in model.modules()
            for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
        ]
        assert hooks
        assert all(map(is_own_hook, hooks))
    assert not is_own_hook(print)
    assert not is_own_hook(model.forward)
