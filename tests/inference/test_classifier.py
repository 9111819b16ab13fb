"""A trained classifier loaded from its run folder: answers, refusals, and the stock model it can be saved as."""

from __future__ import annotations

import math
import shutil

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import lightune
from lightune.artifact import ArtifactConfig, save_adapter
from lightune.errors import ArtifactError, DataError
from lightune.methods import make_method
from lightune.models.load import find_model, fingerprint
from tiny import sentences

TEXTS = [text for text, _ in sentences(20, seed=77)]


@pytest.fixture(scope="module")
def classifier(tiny_run):
    return lightune.load(tiny_run.folder)


@pytest.fixture(scope="module")
def pair_classifier(load_lively, tiny_models, tmp_path_factory):
    """A classifier of pairs of texts, never trained."""
    folder, loaded, method = tmp_path_factory.mktemp("pairs") / "adapter", load_lively(), make_method("full")
    place = find_model(str(tiny_models["distilbert"]))
    config = ArtifactConfig(
        1, str(place.folder), None, fingerprint(place), "full", {}, ["no", "yes"], 64, ["premise", "hypothesis"], "x", 1
    )
    save_adapter(method.attach(loaded.model, loaded.anatomy, 1).model, method, config, folder)
    return lightune.load(folder)


def test_the_labels_and_columns_are_those_of_the_training_data(classifier):
    assert classifier.labels == ["negative", "positive"]
    assert (classifier.text_columns, classifier.label_column, classifier.max_length) == (["text"], "label", 64)


def test_a_prediction_is_the_softmax_of_the_logits(classifier):
    zero, one = classifier.logits(TEXTS[:1])[0].tolist()
    (found,) = classifier.predict(TEXTS[0])
    share = 1 / (1 + math.exp(zero - one))
    assert found.probabilities == pytest.approx({"negative": 1 - share, "positive": share})
    assert found.label == ("positive" if one > zero else "negative")
    assert found.confidence == max(found.probabilities.values())


def test_probabilities_sum_to_one(classifier):
    for found in classifier.predict(TEXTS):
        assert sum(found.probabilities.values()) == pytest.approx(1, abs=1e-12)


def test_a_text_gets_the_same_answer_alone_and_in_bulk(classifier):
    together = classifier.predict(TEXTS)
    assert {found.label for found in together} == {"negative", "positive"}, "one label alone would show nothing"
    for text, found in zip(TEXTS, together, strict=True):
        (alone,) = classifier.predict(text)
        assert alone.label == found.label
        assert alone.confidence == pytest.approx(found.confidence, abs=1e-5)


def test_the_adapter_folder_alone_is_enough(tiny_run, tmp_path):
    shutil.copytree(tiny_run.folder / "adapter", tmp_path / "moved")
    here, moved = (lightune.load(folder).logits(TEXTS) for folder in (tiny_run.folder, tmp_path / "moved"))
    np.testing.assert_array_equal(moved, here)


def test_no_text_gives_no_answer(classifier):
    assert classifier.predict([]) == []


@pytest.mark.parametrize("text", ["", "  \n", None, float("nan")])
def test_an_empty_text_is_refused_with_its_number(classifier, text):
    with pytest.raises(DataError, match="text 2 is empty"):
        classifier.predict(["fine", text])


@pytest.mark.parametrize("texts", [[("a premise", "a hypothesis")], [["a premise", "a hypothesis"]]])
def test_a_pair_is_refused_by_a_classifier_of_single_texts(classifier, texts):
    with pytest.raises(DataError, match=r"has 2 parts; this classifier takes 1"):
        classifier.predict(texts)


def test_pairs_are_answered_one_or_many_and_single_texts_refused(pair_classifier):
    pair = (TEXTS[0], TEXTS[1])
    (alone,) = pair_classifier.predict(pair)
    many = pair_classifier.predict([pair, (TEXTS[1], TEXTS[0])])
    assert alone.probabilities == pytest.approx(many[0].probabilities)
    assert many[0].probabilities != pytest.approx(many[1].probabilities), "the order of a pair should matter"
    with pytest.raises(DataError, match=r"text 1 has 1 part; this classifier takes 2.\nIt takes pairs"):
        pair_classifier.predict(TEXTS[0])
    with pytest.raises(DataError, match="text 1 is empty"):
        pair_classifier.predict(("a premise", ""))


def test_a_classifier_saved_as_a_stock_model_is_read_by_transformers_alone(tiny_run, tmp_path):
    classifier = lightune.load(tiny_run.folder)
    before = classifier.logits(TEXTS)
    classifier.save_pretrained(tmp_path / "stock")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "stock")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "stock")
    assert model.config.id2label == {0: "negative", 1: "positive"}
    with torch.no_grad():
        logits = [model(**tokenizer(text, return_tensors="pt")).logits[0].numpy() for text in TEXTS]
    np.testing.assert_allclose(logits, before, atol=1e-5)


def test_a_classifier_still_answers_after_it_was_saved_and_can_be_saved_again(tiny_run, tmp_path):
    classifier = lightune.load(tiny_run.folder)
    before = classifier.logits(TEXTS)
    classifier.save_pretrained(tmp_path / "first")
    np.testing.assert_allclose(classifier.logits(TEXTS), before, atol=1e-5)
    classifier.save_pretrained(tmp_path / "second")
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "second"))
    assert first == second


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="there is no such folder"):
        lightune.load(tmp_path / "nowhere")
