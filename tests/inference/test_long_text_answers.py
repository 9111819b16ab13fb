"""A classifier that reads long texts in windows does so however it is asked, and says so to whoever loads it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lightune
from lightune.errors import ArtifactError
from lightune.inference.bulk import answered_rows
from lightune.inference.prediction_cache import Answers
from lightune.inference.torch_free import quick_logits
from lightune.safe_files import write_manifest
from saved_adapters import make_adapter
from tiny import GOOD, write_csv

LIMIT = 12
LONG = " ".join(["the plot was dull and my lamp is very warm"] * 4)  # 40 words
TEXTS = ["a lovely film", LONG, f"{LONG} a {GOOD[0]} soup", "dull"]
Made = Callable[..., Path]


@pytest.fixture(scope="module")
def made(tiny_models: Any, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Return a function that saves an adapter with random trained numbers and returns its folder."""

    def make(architecture: str = "bert", method: str = "lora", long_texts: str = "windows", **given: Any) -> Path:
        folder = tmp_path_factory.mktemp("long") / "adapter"
        labels = ["no", "so-so", "yes"]
        return make_adapter(
            tiny_models[architecture], folder, method, labels, max_length=LIMIT, long_texts=long_texts, **given
        )

    return make


def by_hand(classifier: Any, text: str) -> Any:
    """Return the mean of the logits of a text's windows: of 10 words each, the starts spread by hand for 40 and 43."""
    words = text.split()
    starts = {40: [0, 7, 15, 22, 30], 43: [0, 6, 13, 19, 26, 33]}.get(len(words), [0])
    found = []
    for start in starts:
        batch = classifier.tokenizer(" ".join(words[start : start + 10]), return_tensors="pt")
        with torch.no_grad():
            found.append(classifier.model(**batch).logits[0].numpy())
    return np.mean(found, axis=0)


@pytest.mark.parametrize("method", ["lora", "prefix", "full", "head"])
def test_logits_are_the_mean_over_the_windows(made: Made, method: str):
    classifier = lightune.load(made(method=method))
    assert classifier.long_texts == "windows"
    wanted = np.stack([by_hand(classifier, text) for text in TEXTS])
    np.testing.assert_allclose(classifier.logits(TEXTS), wanted, atol=1e-5)
    for text, expected in zip(TEXTS, wanted, strict=True):
        np.testing.assert_allclose(classifier.logits([text])[0], expected, atol=1e-5)


@pytest.mark.parametrize("architecture", ["distilbert", "bert"])
@pytest.mark.parametrize("method", ["lora", "full", "head"])
def test_the_path_without_torch_reads_the_same_windows(made: Made, architecture: str, method: str):
    folder = made(architecture, method)
    found = quick_logits(str(folder), TEXTS)
    assert found is not None
    np.testing.assert_allclose(found[1], lightune.load(folder).logits(TEXTS), atol=1e-5)


def test_a_cutting_classifier_ignores_the_end(made: Made):
    folder = made(long_texts="cut")
    classifier = lightune.load(folder)
    assert classifier.long_texts == "cut"
    assert json.loads((folder / "lightune.json").read_text())["long_texts"] == "cut"
    logits = classifier.logits(TEXTS)
    assert np.allclose(logits[1], logits[2], atol=1e-6)
    assert not np.allclose(*lightune.load(made()).logits(TEXTS[1:3]), atol=1e-4)


def test_a_value_that_means_nothing_is_refused(made: Made):
    folder = made()
    path = folder / "lightune.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "long_texts": "whole"}))
    write_manifest(folder)
    with pytest.raises(ArtifactError, match="cannot be understood"):
        lightune.load(folder)


def test_files_the_cache_and_the_bank_answer_alike(made: Made, tmp_path: Path):
    folder = made()
    classifier = lightune.load(folder)
    wanted = classifier.predict(TEXTS)
    path = write_csv(tmp_path / "texts.csv", [(text,) for text in TEXTS], header=("text",))
    _, *rows = answered_rows(classifier, path)
    assert [row[1] for row in rows] == [answer.label for answer in wanted]
    assert [cells[0] for cells in Answers(classifier).of(TEXTS)] == [answer.label for answer in wanted]
    bank = lightune.load_adapters({"long": folder, "short": made(long_texts="cut", seed=2)})
    assert (bank["long"].long_texts, bank["short"].long_texts) == ("windows", "cut")
    np.testing.assert_allclose(bank["long"].logits(TEXTS), classifier.logits(TEXTS), atol=1e-6)


def test_answers_in_bf16_read_the_same_windows(made: Made):
    folder = made()
    exact, rough = (lightune.load(folder, precision=precision).logits(TEXTS) for precision in ("fp32", "bf16"))
    np.testing.assert_allclose(rough, exact, atol=0.1)


def test_pairs_are_read_beside_each_other(made: Made):
    classifier = lightune.load(made(columns=("one", "two")))
    pairs = [("a lovely film", LONG), (LONG, "a lovely film"), ("dull", "soup")]
    found = classifier.logits(pairs)
    encoded = classifier.encoded(pairs)
    assert [len(own) for own in encoded.rows_of(range(3))] == [8, 8, 1]
    np.testing.assert_allclose(found[2], classifier.logits([pairs[2]])[0], atol=1e-6)


def test_a_stock_model_cuts_in_transformers_and_reads_windows_in_lightune(made: Made, tmp_path: Path):
    classifier = lightune.load(made())
    wanted = classifier.logits(TEXTS)
    classifier.save_pretrained(tmp_path / "stock")
    again = lightune.load(tmp_path / "stock")
    assert again.long_texts == "windows"
    np.testing.assert_allclose(again.logits(TEXTS), wanted, atol=1e-4)
    assert len(again.tokenizer(LONG, truncation=True)["input_ids"]) == LIMIT
    cut: Any = lightune.load(made(long_texts="cut"))
    cut.model.config.lightune_long_texts = "windows"  # as that of a base that was saved so
    cut.save_pretrained(tmp_path / "cut")
    assert "lightune_long_texts" not in json.loads((tmp_path / "cut" / "config.json").read_text())
