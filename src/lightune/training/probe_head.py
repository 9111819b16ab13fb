"""A head start: the output layer begins as a logistic regression on what it receives, instead of at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lightune.evaluation.logistic import fit_logistic

if TYPE_CHECKING:
    from torch import nn

STRENGTHS = (0.0001, 0.001, 0.01, 0.1, 1.0)


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
