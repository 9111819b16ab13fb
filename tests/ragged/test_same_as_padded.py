"""Without padding every architecture and every kind of method answers and learns as with it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lightune.methods import make_method
from lightune.ragged.door import supported
from padded_and_ragged import answers, batch_of, largest_difference, texts, without_dropout
from tiny import ARCHITECTURES

OWN_ATTENTION = ("deberta-v2", "mpnet")
SUPPORTED = [name for name in ARCHITECTURES if name not in OWN_ATTENTION]
LIMIT = 1e-5  # relative, in fp32
METHODS: dict[str, dict[str, Any]] = {
    "lora": {},
    "bottleneck": {},
    "bottleneck double": {"preset": "double_seq_bn"},
    "bottleneck parallel": {"preset": "par_bn"},
    "prefix": {},
    "prefix ungated": {"gated": False},
    "bitfit": {},
    "ia3": {},
    "prompt_tuning": {},
}


@pytest.mark.parametrize("architecture", SUPPORTED)
def test_all_parameters_of_every_architecture(load_lively: Any, architecture: str) -> None:
    loaded = load_lively(architecture)
    model, batch = without_dropout(loaded.model), batch_of(loaded, texts())
    assert supported(model)
    wanted = answers(model, batch, is_ragged=False)
    rows = rows_seen(loaded)
    found = answers(model, batch, is_ragged=True)
    assert set(rows) == {int(batch["attention_mask"].sum())}, "a linear layer saw something but the real tokens"
    assert largest_difference(found, wanted) < LIMIT


def rows_seen(loaded: Any) -> list[int]:
    """Return a list that will hold how many tokens each linear layer of each layer saw."""
    seen: list[int] = []
    for name in loaded.anatomy.modules(("query", "attention_out", "ffn_in", "ffn_out")):
        module = loaded.model.get_submodule(name)
        module.register_forward_pre_hook(lambda _, args: seen.append(args[0].flatten(0, -2).shape[0]))
    return seen


@pytest.mark.parametrize(
    ("method", "architecture"),
    [
        (method, architecture)
        for method in METHODS
        for architecture in ("distilbert", "bert", "roberta", "modernbert", "gpt2", "llama", "mistral")
        if method != "bitfit" or architecture not in ("modernbert", "llama", "mistral")  # which have no biases
    ],
)
def test_methods(load_lively: Any, method: str, architecture: str) -> None:
    loaded = load_lively(architecture)
    batch = batch_of(loaded, texts())
    if method == "prompt_tuning":
        batch.pop("token_type_ids", None)
    attached = make_method(method.split()[0], METHODS[method]).attach(loaded.model, loaded.anatomy, 3).model
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for value in attached.parameters():
            if value.requires_grad:
                value += torch.randn(value.shape, generator=draw) * 0.1
    model = without_dropout(attached)
    wanted = answers(model, batch, is_ragged=False)
    assert largest_difference(answers(model, batch, is_ragged=True), wanted) < LIMIT


@pytest.mark.parametrize("architecture", OWN_ATTENTION)
def test_what_computes_attention_itself_keeps_its_padding(load_lively: Any, architecture: str) -> None:
    loaded = load_lively(architecture)
    model, batch = without_dropout(loaded.model), batch_of(loaded, texts())
    assert not supported(model)
    rows = rows_seen(loaded)
    wanted, found = (answers(model, batch, is_ragged) for is_ragged in (False, True))
    assert max(rows) == batch["attention_mask"].numel()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
