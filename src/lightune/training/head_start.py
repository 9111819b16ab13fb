"""A head start: the output layer begins as a logistic regression on what it receives, instead of at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lightune.data.encoding import Encoded, collate, length_sorted_batches
from lightune.evaluation.evaluate import to_device
from lightune.evaluation.logistic import fit_logistic

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

STRENGTHS = (0.0001, 0.001, 0.01, 0.1, 1.0)


def output_inputs(
    model: nn.Module, output_layer: nn.Module, tokenizer: PreTrainedTokenizerBase, encoded: Encoded, batch_size: int
) -> NDArray[Any]:
    """Return what the output layer receives for each text: (texts, width).

    A decoder's output layer sees every position; the stock models take the last that is not the pad token's.
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
                    is_real = batch["input_ids"] != model.config.pad_token_id  # type: ignore[union-attr]
                    positions = torch.arange(hidden.shape[1], device=device) * is_real
                    hidden = hidden[torch.arange(len(rows), device=device), positions.argmax(1)]
                for row, vector in zip(rows, hidden.float().cpu().numpy(), strict=True):
                    found[row] = vector
    finally:
        hook.remove()
    return np.stack(found)


def start_from_probe(output_layer: nn.Module, inputs: NDArray[Any], labels: Sequence[int]) -> float:
    """Fit logistic regression on the output layer's inputs, copy it into the layer, and return the chosen C.

    The fit is on (x - m) / s with means m and standard deviations s, so weight = coef / s and bias = intercept -
    weight m; a layer without a bias is fitted on x / s. Two classes have one coefficient vector w: their rows are
    -w/2 and w/2.
    """
    import torch

    has_bias = output_layer.bias is not None
    scaler, regression = fit_logistic(inputs, labels, STRENGTHS, intercept=has_bias)
    weight = regression.coef_ / scaler.scale_
    bias = regression.intercept_ - weight @ scaler.mean_ if has_bias else np.zeros(len(weight))
    if len(weight) == 1:
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    with torch.no_grad():
        output_layer.weight.copy_(torch.from_numpy(weight))  # type: ignore[operator]
        if has_bias:
            output_layer.bias.copy_(torch.from_numpy(bias))  # type: ignore[operator]
    return float(regression.C)
