"""Features of a classifier on the way to its logits, against each text passed alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from lightune.data.encoding import encode
from lightune.evaluation.evaluate import predict_logits
from lightune.evaluation.features import FeatureRecorder, watch_texts
from tiny import REPRESENTATIVE, sentences

TEXTS = [(text,) for text, _ in sentences(24, seed=5)]


@pytest.mark.parametrize("architecture", REPRESENTATIVE)
def test_pooling_takes_the_mean_over_real_tokens_only(load_lively: Callable[..., Any], architecture: str) -> None:
    loaded = load_lively(architecture)
    encoded = encode(loaded.tokenizer, TEXTS, loaded.max_length)
    assert len(set(encoded.lengths[:8])) > 1, "without padding this would show nothing"
    layer = loaded.model.get_submodule(loaded.anatomy.output_layer)
    found = watch_texts(loaded.model, layer, loaded.tokenizer, encoded, 8).pooled
    with torch.no_grad():
        for row, (text,) in enumerate(TEXTS):
            hidden = loaded.model.base_model(**loaded.tokenizer(text, return_tensors="pt")).last_hidden_state
            np.testing.assert_allclose(found[row], hidden[0].mean(dim=0).numpy(), atol=2e-5)


@pytest.mark.parametrize("architecture", REPRESENTATIVE)
def test_the_output_layer_makes_the_logits_of_the_inputs_that_were_noted(
    load_lively: Callable[..., Any], architecture: str
) -> None:
    loaded = load_lively(architecture)
    encoded = encode(loaded.tokenizer, TEXTS, loaded.max_length)
    layer = loaded.model.get_submodule(loaded.anatomy.output_layer)
    with FeatureRecorder(loaded.model, layer) as seen:
        logits = predict_logits(loaded.model, loaded.tokenizer, encoded, 7)
    inputs = seen.features(encoded, 7).head_inputs
    with torch.no_grad():
        np.testing.assert_allclose(layer(torch.from_numpy(inputs)).numpy(), logits, atol=1e-5)


def test_nothing_stays_behind_in_the_model(load_tiny: Callable[..., Any]) -> None:
    model = load_tiny().model
    with FeatureRecorder(model, model.classifier):
        pass
    modules = (model, model.base_model, model.classifier)
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in modules)
