"""A head start: the output layer begins as a logistic regression on what it receives, instead of at random."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lightune.data.encoding import Encoded, collate, length_sorted_batches
from lightune.evaluation.evaluate import to_device

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

PENALTIES = (0.001, 0.01, 0.1, 1.0)


def output_inputs(
    model: nn.Module, output_layer: nn.Module, tokenizer: PreTrainedTokenizerBase, encoded: Encoded, batch_size: int
) -> NDArray[Any]:
    """Return what the output layer receives for each text: (texts, width).

    A decoder's output layer sees every position; the last real token's is the one that counts.
    """
    import torch

    device = next(model.parameters()).device
    seen: list[torch.Tensor] = []
    hook = output_layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    found: list[Any] = [None] * len(encoded)
    try:
        with torch.inference_mode():
            for rows in length_sorted_batches(encoded, batch_size):
                batch = to_device(collate(tokenizer, [encoded.rows[row] for row in rows]), device)
                model(**batch)
                hidden = seen.pop()
                if hidden.dim() == 3:
                    positions = torch.arange(hidden.shape[1], device=device) * batch["attention_mask"]
                    hidden = hidden[torch.arange(len(rows), device=device), positions.argmax(1)]
                for row, vector in zip(rows, hidden.float().cpu().numpy(), strict=True):
                    found[row] = vector
    finally:
        hook.remove()
    return np.stack(found)


def start_from_probe(
    output_layer: nn.Module, train: NDArray[Any], labels: list[int], validation: NDArray[Any], expected: list[int]
) -> float:
    """Fit on the training inputs, choose the penalty on validation, copy into the layer; return that accuracy.

    The fit is on x / s with s the inputs' standard deviations, so the layer's weight is coef / s. Two classes have
    one coefficient vector w: their rows are -w/2 and w/2.
    """
    import torch
    from sklearn.linear_model import LogisticRegression

    scale = train.std(axis=0) + 1e-6
    has_bias = output_layer.bias is not None
    best, best_accuracy = None, -1.0
    for penalty in PENALTIES:
        model = LogisticRegression(C=penalty, fit_intercept=has_bias, max_iter=2000)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(train / scale, labels)
        accuracy = float(model.score(validation / scale, expected))
        if accuracy > best_accuracy:
            best, best_accuracy = model, accuracy
    assert best is not None
    weight, bias = best.coef_ / scale, best.intercept_
    if len(weight) == 1:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    with torch.no_grad():
        output_layer.weight.copy_(torch.from_numpy(weight))  # type: ignore[operator]
        if has_bias:
            output_layer.bias.copy_(torch.from_numpy(bias))  # type: ignore[operator]
    return best_accuracy
