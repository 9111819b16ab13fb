"""A model with its padding and without: the same logits, the same gradients."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import Any

import torch

from lightune.execution.unpadding import padding_free
from lightune.methods import Method
from lightune.methods.prompt_method import PromptMethod
from lightune.models.load import LoadedModel
from tiny import BAD, FILLER, GOOD, THINGS

# Words of each text: one alone, some of one length, several times the sliding window, each length once more or less.
WORDS = (3, 30, 1, 8, 8, 14, 9, 5, 22, 2)
# LIGHTUNE_TEST_DEVICE=cuda pytest tests/execution tests/execution/test_bf16.py
DEVICE = os.environ.get("LIGHTUNE_TEST_DEVICE", "cpu")


def texts(words: tuple[int, ...] = WORDS, seed: int = 1) -> list[str]:
    """Return texts of so many words."""
    draw = torch.Generator().manual_seed(seed)
    known = [*FILLER, *GOOD, *BAD, *THINGS]
    return [" ".join(known[int(at)] for at in torch.randint(len(known), (n,), generator=draw)) for n in words]


def batch_of(loaded: LoadedModel, *columns: list[str]) -> dict[str, torch.Tensor]:
    """Return the texts (or pairs of texts), padded, on the device that the model goes to as well."""
    loaded.model.to(torch.device(DEVICE))  # type: ignore[arg-type]
    return dict(loaded.tokenizer(*columns, padding=True, return_tensors="pt").to(DEVICE))


def without_dropout(model: torch.nn.Module) -> torch.nn.Module:
    """Switch every dropout off, and return the model in training mode."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name in ("dropout", "attention_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model.to(DEVICE).train()


def adapted(method: Method, loaded: LoadedModel) -> tuple[Any, dict[str, torch.Tensor]]:
    """Return a model with a method that is no longer at its start, without dropout, and a batch for it."""
    batch = batch_of(loaded, texts())
    if isinstance(method, PromptMethod):
        batch.pop("token_type_ids", None)
    model = without_dropout(method.attach(loaded.model, loaded.anatomy, 3).model)
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for value in model.parameters():
            if value.requires_grad and value.is_floating_point():
                value += (torch.randn(value.shape, generator=draw) * 0.02).to(DEVICE)
    return model, batch


def answers(
    model: Any, batch: dict[str, torch.Tensor], is_ragged: bool, logits_only: bool = False
) -> dict[str, torch.Tensor]:
    """Return the logits and the gradient of every trained parameter, of one step on alternating labels."""
    model.zero_grad(set_to_none=True)
    with padding_free(model, logits_only) if is_ragged else nullcontext():
        found = model(**batch, labels=torch.arange(len(batch["attention_mask"]), device=DEVICE) % 2)
        found.loss.backward()
    trainable = {name: value for name, value in model.named_parameters() if value.requires_grad}
    gradients = {name: value.grad.clone() for name, value in trainable.items() if value.grad is not None}
    return {"logits": found.logits.detach(), **gradients}


def largest_difference(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> float:
    """Return the larger of two relative differences: of the logits, and of all gradients as one vector."""
    assert found.keys() == wanted.keys()
    assert float(wanted["logits"].std()) > 1e-3, "texts that are answered alike prove nothing"
    logits = (found["logits"] - wanted["logits"]).norm() / wanted["logits"].norm()
    names = [name for name in wanted if name != "logits"]
    both = [torch.cat([answer[name].flatten() for name in names]) for answer in (found, wanted)]
    assert float(both[1].norm()) > 0
    return float(max(logits, (both[0] - both[1]).norm() / both[1].norm()))
