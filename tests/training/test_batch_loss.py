"""The loss of rows: from logits, to the last bit what the models of transformers compute from labels themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lightune.execution.unpadding import padding_free
from lightune.training.batch_loss import RowLoss

ROWS = [0, 3, 5, 6, 9]


@pytest.mark.parametrize("is_packed", [False, True], ids=["padded", "without padding"])
@pytest.mark.parametrize("architecture", ["distilbert", "gpt2", "roberta", "modernbert", "llama"])
def test_loss_and_gradients_are_those_of_the_models_own_loss(
    make_loop: Callable[..., Any], architecture: str, is_packed: bool
) -> None:
    trial = make_loop(architecture, method="full", dropout=False)
    model, row_loss = trial.model.train(), RowLoss(trial.loaded.task, trial.tokenizer, trial.train, trial.settings)
    inputs, targets = row_loss.batch(ROWS, 1)
    assert set(inputs) == {"input_ids", "attention_mask"}
    assert targets.tolist() == trial.train.targets[list(ROWS)].tolist()

    def both(own: bool) -> tuple[torch.Tensor, list[torch.Tensor]]:
        model.zero_grad(set_to_none=True)
        answer = model(**inputs, labels=targets) if own else model(**inputs)
        loss, plain = (answer.loss, answer.loss) if own else row_loss.of(answer.logits, targets, ROWS)
        assert own or not plain.requires_grad
        loss.backward()
        return plain.detach(), [value.grad for value in model.parameters() if value.grad is not None]

    if is_packed:
        with padding_free(model, logits_only=True):
            wanted, found = both(own=True), both(own=False)
    else:
        wanted, found = both(own=True), both(own=False)
    assert torch.equal(found[0], wanted[0])
    assert len(found[1]) == len(wanted[1]) > 0
    assert all(torch.equal(one, other) for one, other in zip(found[1], wanted[1], strict=True))
