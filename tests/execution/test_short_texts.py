"""A text alone in its batch: nothing is packed, and the last layer works for its first token."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from lightune.execution.short_texts import Alone
from lightune.execution.unpadding import padding_free
from lightune.models.architectures import ARCHITECTURES
from padded_and_ragged import batch_of, texts

NARROWED = sorted(name for name, row in ARCHITECTURES.items() if row.projects_input)


@pytest.mark.parametrize("architecture", NARROWED)
@pytest.mark.parametrize("words", [1, 6, 17])
def test_the_logits_are_those_of_the_stock_model(load_lively: Any, architecture: str, words: int) -> None:
    loaded = load_lively(architecture)
    model = loaded.model.eval()
    batch = batch_of(loaded, texts((words,)))
    with torch.no_grad():
        wanted = model(**batch).logits
        with padding_free(model, logits_only=True):
            found = model(**batch).logits
    assert (found - wanted).abs().max() < 1e-5


def test_the_last_layer_is_narrowed_and_keeps_the_padded_shape(load_lively: Any) -> None:
    loaded = load_lively("bert")
    model = loaded.model.eval()
    batch = batch_of(loaded, texts((9,)))
    tokens = batch["input_ids"].shape[1]
    seen: dict[str, list[int]] = {"first": [], "last": []}
    for name, number in (("first", 0), ("last", -1)):
        layer = model.bert.encoder.layer[number].intermediate.dense
        layer.register_forward_pre_hook(lambda _, args, name=name: seen[name].append(args[0].shape[1]))
    shapes = []
    model.bert.pooler.register_forward_pre_hook(lambda _, args: shapes.append(tuple(args[0].shape[:2])))
    with torch.no_grad(), padding_free(model, logits_only=True):
        model(**batch)
    assert seen == {"first": [tokens], "last": [1]}
    assert shapes == [(1, tokens)]


@pytest.mark.parametrize(
    ("mask", "narrows"), [([[1, 1, 0]], True), ([[1, 1], [1, 1]], True), ([[1, 1]], False), ([[0, 1]], True)]
)
def test_it_is_only_for_one_whole_text(mask: list[list[int]], narrows: bool) -> None:
    assert Alone.of_one(torch.tensor(mask), narrows, torch.device("cpu")) is None
