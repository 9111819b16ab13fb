"""The head start: the output layer decides as scikit-learn's logistic regression on the same inputs."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from lightune import experiment
from lightune.data.encoding import encode
from lightune.evaluation.evaluate import predict_logits
from lightune.evaluation.features import watch_texts
from lightune.sections import ReloadCheck
from lightune.training.probe_head import start_from_probe

# Labels that hang on one word each: two classes, or three.
WORDS = {2: ["lovely", "dull"], 3: ["lovely", "dull", "bread"]}


def texts_and_labels(classes: int, count: int) -> tuple[list[tuple[str]], list[int]]:
    """Texts of different lengths that name one of the words, and which."""
    draw = np.random.default_rng(classes * 1000 + count)
    filler = ["the", "film", "was", "very", "quite", "song", "story", "here"]
    rows = []
    for number in range(count):
        words = list(draw.choice(filler, draw.integers(2, 12)))
        words.insert(int(draw.integers(len(words))), WORDS[classes][number % classes])
        rows.append((" ".join(words),))
    return rows, [number % classes for number in range(count)]


def inputs_by_hand(architecture: str, model: Any, tokenizer: Any, texts: list[tuple[str]]) -> np.ndarray:
    """What the output layer receives, by the published recipe of each architecture, one text at a time."""
    found = []
    for (text,) in texts:
        batch = tokenizer(text, return_tensors="pt")
        with torch.no_grad():
            body = model.base_model(**batch)
            if architecture == "bert":
                vector = body.pooler_output[0]
            elif architecture == "distilbert":
                vector = torch.relu(model.pre_classifier(body.last_hidden_state[0, 0]))
            else:
                vector = body.last_hidden_state[0, -1]
        found.append(vector.numpy())
    return np.stack(found)


def logits_of(model: Any, tokenizer: Any, texts: list[tuple[str]]) -> np.ndarray:
    with torch.no_grad():
        return np.concatenate([model(**tokenizer(text, return_tensors="pt")).logits.numpy() for (text,) in texts])


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("architecture", ["distilbert", "bert", "gpt2"])
def test_the_started_head_answers_as_the_logistic_regression_does(
    load_tiny: Callable[..., Any], architecture: str, classes: int
) -> None:
    loaded = load_tiny(architecture, labels=[str(number) for number in range(classes)])
    model, tokenizer = loaded.model, loaded.tokenizer
    with torch.no_grad():  # a body whose answers depend on the text
        for value in model.base_model.parameters():
            if value.dim() == 2:
                value.normal_(0, 0.3, generator=torch.Generator().manual_seed(value.numel()))
    texts, labels = texts_and_labels(classes, 90)
    layer = model.get_submodule(loaded.anatomy.output_layer)

    inputs = watch_texts(model, layer, tokenizer, encode(tokenizer, texts, 64), 7).head_inputs
    by_hand = inputs_by_hand(architecture, model, tokenizer, texts)
    np.testing.assert_allclose(inputs, by_hand, atol=1e-4)
    note = start_from_probe(layer, inputs, np.array(labels), loaded.task)
    strength = float(re.search(r"C = ([\d.e-]+)", note).group(1))

    has_bias = layer.bias is not None
    spread = np.where(by_hand.std(axis=0) == 0, 1, by_hand.std(axis=0))  # a dead ReLU
    scaled = (by_hand - by_hand.mean(axis=0) * has_bias) / spread
    fit = LogisticRegression(C=strength, fit_intercept=has_bias, max_iter=2000).fit(scaled, labels)
    assert fit.score(scaled, labels) > 1 / classes + 0.1, "nothing was learned, so the equality says little"
    shares = torch.from_numpy(logits_of(model, tokenizer, texts)).softmax(1).numpy()
    np.testing.assert_allclose(shares, fit.predict_proba(scaled), atol=5e-3)


def test_only_the_output_layer_changes(load_tiny: Callable[..., Any]) -> None:
    loaded = load_tiny("distilbert")
    before = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    texts, labels = texts_and_labels(2, 20)
    layer = loaded.model.classifier
    inputs = watch_texts(loaded.model, layer, loaded.tokenizer, encode(loaded.tokenizer, texts, 64), 8).head_inputs
    start_from_probe(layer, inputs, np.array(labels), loaded.task)
    changed = {name for name, value in loaded.model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"classifier.weight", "classifier.bias"}
    assert not layer._forward_pre_hooks


def test_a_recipe_that_asks_for_it_gets_it(
    tiny_recipe: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a rate near 0 the trained model is the started one, and it beats what an untrained head scores."""
    # The reload check has tests of its own; a fresh process would take longer than all else here.
    unchecked = ReloadCheck(passed=True, examples=0, largest_logit_difference=None)
    monkeypatch.setattr(experiment, "check_reload", lambda *arguments: (unchecked, ""))
    options = {"num_train_epochs": 1, "learning_rate": 1e-12}
    run = experiment.run(tiny_recipe("gpt2", "head", head_start="probe", **options), tmp_path / "run")
    assert run.training.epochs[0].validation_loss < run.before.loss
    assert run.after.accuracy > run.before.accuracy


def test_a_decoders_output_layer_receives_the_token_that_the_model_answers_from(load_lively):
    """Also for a text that ends in the pad token, which is the end-of-text token: the model does not count it."""
    loaded = load_lively("gpt2")
    encoded = encode(loaded.tokenizer, [("a lovely film [SEP]",), ("the soup was cold and dull",)], 64)
    assert encoded.rows[0]["input_ids"][-1] == loaded.model.config.pad_token_id
    inputs = watch_texts(loaded.model, loaded.model.score, loaded.tokenizer, encoded, 2).head_inputs
    logits = predict_logits(loaded.model, loaded.tokenizer, encoded, 2)
    np.testing.assert_allclose(inputs @ loaded.model.score.weight.detach().numpy().T, logits, atol=1e-5)
