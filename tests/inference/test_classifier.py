"""A trained classifier loaded from its run folder: answers, refusals, and the stock model it can be saved as."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np
import pandas
import polars
import pyarrow
import pytest
import torch
from scipy.special import softmax
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import lightune
from case_table import case
from lightune.artifact import ArtifactConfig, save_adapter
from lightune.errors import ArtifactError, DataError
from lightune.methods import make_method
from lightune.models.load import find_model, fingerprint
from tiny import classes, sentences

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
        2, str(place.folder), None, fingerprint(place), "full", {}, classes(["no", "yes"]), 64,
        ["premise", "hypothesis"], "x", 1,
    )  # fmt: skip
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


def test_predict_proba_is_the_softmax_of_the_logits_in_the_order_of_the_classes(classifier):
    found = classifier.predict_proba(TEXTS)
    np.testing.assert_allclose(found, softmax(classifier.logits(TEXTS).astype(float), axis=1), rtol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-12)
    assert classifier.classes_.tolist() == classifier.labels == ["negative", "positive"]
    assert classifier.classes_[found.argmax(axis=1)].tolist() == [answer.label for answer in classifier.predict(TEXTS)]
    np.testing.assert_allclose(classifier.predict_proba(TEXTS[0]), found[:1], atol=1e-6)
    assert classifier.predict_proba([]).shape == (0, 2)


def test_a_text_gets_the_same_answer_alone_and_in_bulk(classifier):
    together = classifier.predict(TEXTS)
    assert {found.label for found in together} == {"negative", "positive"}, "one label alone would show nothing"
    for text, found in zip(TEXTS, together, strict=True):
        (alone,) = classifier.predict(text)
        assert alone.label == found.label
        assert alone.confidence == pytest.approx(found.confidence, abs=1e-5)


def test_the_adapter_folder_and_its_base_are_enough(tiny_run, tiny_models, tmp_path):
    shutil.copytree(tiny_run.folder / "adapter", tmp_path / "moved")
    moved = lightune.load(tmp_path / "moved", base_model=str(tiny_models["distilbert"])).logits(TEXTS)
    np.testing.assert_array_equal(moved, lightune.load(tiny_run.folder).logits(TEXTS))


def test_no_text_gives_no_answer(classifier):
    assert classifier.predict([]) == []


@pytest.mark.parametrize("text", ["", "  \n", None, float("nan")])
def test_an_empty_text_is_refused_with_its_number(classifier, text):
    with pytest.raises(DataError, match="text 2 is empty"):
        classifier.predict(["fine", text])


FRAME = {"text": TEXTS[:4], "id": [1, 2, 3, 4]}
ROWS = datasets.Dataset.from_dict(FRAME)
BY_COLUMNS = "one answer for each column name"


class Document(NamedTuple):
    """A row of a program's own."""

    id: str
    text: str
    kind: str


class Swapped(NamedTuple):
    """A pair whose fields stand the other way round."""

    hypothesis: str
    premise: str


@pytest.mark.parametrize(
    ("data", "told"),
    [
        pytest.param(
            pandas.DataFrame(FRAME), r'type DataFrame.*\n.*predict\(frame\["text"\].tolist\(\)\)', id="pandas",
            marks=case("predict(DataFrame)", BY_COLUMNS, "DATA-043 that says what to pass", "names are no texts"),
        ),
        pytest.param(
            polars.DataFrame(FRAME), r'predict\(frame\["text"\].to_list\(\)\)', id="polars",
            marks=case("predict(polars DataFrame)", "TypeError: truth value of a Series", "DATA-043", "as of pandas"),
        ),
        pytest.param(
            polars.LazyFrame(FRAME), r'predict\(frame.collect\(\)\["text"\]', id="polars-lazy",
            marks=case("predict(LazyFrame)", "TypeError: has no len()", "DATA-043", "as of pandas"),
        ),
        pytest.param(
            FRAME, r'type dict.*\n.*predict\(data\["text"\]\)', id="dict",
            marks=case("predict(dict of columns)", BY_COLUMNS, "DATA-043 that says what to pass", "as of pandas"),
        ),
        pytest.param(
            datasets.DatasetDict(test=ROWS), r'predict\(dataset\["test"\]\["text"\]\)', id="dataset-dict",
            marks=case("predict(DatasetDict)", "one answer for each split's name", "DATA-043", "as of pandas"),
        ),
        pytest.param(
            ROWS.to_iterable_dataset(), r'predict\(dataset\["text"\]\)', id="iterable",
            marks=case("predict(IterableDataset)", "TypeError: has no len()", "DATA-043", "as of a Dataset"),
        ),
        pytest.param(ROWS, r'predict\(dataset\["text"\]\)', id="dataset"),
        pytest.param(pyarrow.table(FRAME), r'predict\(table\["text"\].to_pylist\(\)\)', id="arrow"),
        pytest.param(np.array([("a", 1)], dtype=[("text", "U9"), ("id", int)]), r'data\["text"\]', id="structured"),
        pytest.param(
            set(TEXTS), "type set.*\n.*order", id="set",
            marks=case("predict(set)", "answers in another order each time", "DATA-043", "answers have no keys"),
        ),
        pytest.param(frozenset(TEXTS), "type frozenset", id="frozenset"),
    ],
)  # fmt: skip
def test_tables_and_sets_are_refused_with_what_to_pass_instead(classifier, data, told):
    for ask in (classifier.predict, classifier.logits):
        with pytest.raises(DataError, match=f"(?s)DATA-043.*{told}"):
            ask(data)


@pytest.mark.parametrize(
    "make",
    [
        pandas.Series,
        lambda texts: pandas.Series(texts, dtype="string"),
        pandas.Categorical,
        np.array,
        lambda texts: np.array(texts, dtype=object),
        polars.Series,
        tuple,
        lambda texts: dict.fromkeys(texts).keys(),
        pytest.param(
            pyarrow.array, id="arrow",
            marks=case("predict(Arrow array)", "DATA-043: no text but StringScalar", "an answer each", "a column"),
        ),
        pytest.param(lambda texts: pyarrow.chunked_array([texts]), id="arrow-chunks"),
        pytest.param(
            lambda texts: (text for text in texts), id="generator",
            marks=case("predict(generator)", "TypeError: has no len()", "an answer each", "it is passed over once"),
        ),
        pytest.param(lambda texts: map(str, texts), id="map"),
        pytest.param(
            lambda texts: ROWS.select(range(len(texts))).to_iterable_dataset()["text"], id="iterable-column",
            marks=case("a column of an IterableDataset", "TypeError: has no len()", "an answer each", "a Dataset's is"),
        ),
        pytest.param(
            lambda texts: [text.encode() for text in texts], id="bytes",
            marks=case("texts as bytes", "DATA-043: no text but bytes", "decoded as UTF-8", "run does so too"),
        ),
        pytest.param(lambda texts: np.array([text.encode() for text in texts]), id="array-bytes"),
        pytest.param(lambda texts: list(pyarrow.array(texts)), id="arrow-scalars"),
    ],
)  # fmt: skip
def test_a_column_of_any_library_is_many_texts(classifier, make: Callable[..., Any]):
    assert classifier.predict(make(TEXTS[:3])) == classifier.predict(TEXTS[:3])


@pytest.mark.parametrize(
    "text",
    [
        np.str_(TEXTS[0]),
        pytest.param(
            np.array(TEXTS[0]), id="array-0d",
            marks=case("predict(array of no dimensions)", "TypeError: len() of unsized", "one answer", "one text"),
        ),
        pytest.param(
            TEXTS[0].encode(), id="bytes",
            marks=case("predict(bytes)", "DATA-043: text 1 is int, not a text", "one answer", "it is UTF-8"),
        ),
        pytest.param(
            Document("7", TEXTS[0], "note"), id="named",
            marks=case("predict(named tuple with a text)", "three texts: every field", "one answer", "it is a row"),
        ),
        [Document("7", TEXTS[0], "note")],
    ],
)  # fmt: skip
def test_one_text_is_one_text(classifier, text):
    assert classifier.predict(text) == classifier.predict(TEXTS[0])


@case("logits(a string)", "DATA-040: a text for each letter", "one text", "predict does so")
def test_the_logits_of_a_string_are_those_of_one_text(classifier):
    np.testing.assert_array_equal(classifier.logits(TEXTS[0]), classifier.logits([TEXTS[0]]))


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        pytest.param(
            ["fine", pandas.NA], "DATA-040 text 2 is empty", id="pd.NA",
            marks=case("predict([.., pd.NA])", "TypeError: boolean value of NA", "DATA-040 with its number", "None is"),
        ),
        pytest.param(
            pandas.Series(["fine", None], dtype="string"), "DATA-040 text 2 is empty", id="series",
            marks=case("a Series with a missing text", "TypeError: boolean value of NA", "DATA-040", "None is"),
        ),
        pytest.param(
            pyarrow.array(["fine", None]), "DATA-040 text 2 is empty", id="arrow",
        ),
        pytest.param(
            None, "DATA-040 text 1 is empty", id="None",
            marks=case("predict(None)", "TypeError: has no len()", "DATA-040", "it is one text, and empty"),
        ),
        pytest.param(pandas.NaT, "DATA-040 text 1 is empty", id="NaT"),
        pytest.param(
            7, "DATA-043 text 1 is int, not a text", id="number",
            marks=case("predict(7)", "TypeError: has no len()", "DATA-043", "as predict([7])"),
        ),
        pytest.param(
            Path("a.txt"), f"DATA-043 text 1 is {type(Path()).__name__}, not a text", id="path",
            marks=case("predict(Path)", "TypeError: has no len()", "DATA-043", "it is no text"),
        ),
        pytest.param(torch.arange(3), "DATA-043 text 1 is int, not a text", id="tensor"),
        pytest.param(torch.tensor(3), "DATA-043 text 1 is int, not a text", id="tensor-0d"),
        pytest.param([{"text": "fine"}], "DATA-043 text 1 is dict, not a text", id="dict-inside"),
        pytest.param([{"fine"}], "DATA-043 text 1 is set, not a text", id="set-inside"),
        pytest.param(
            [pandas.DataFrame(FRAME)], "DATA-043 text 1 is DataFrame, not a text", id="frame-inside",
            marks=case("predict([DataFrame])", "ValueError: truth value of a DataFrame", "DATA-043", "it is no text"),
        ),
        pytest.param(
            ["fine", "café".encode("latin1")], "DATA-043 text 2 is bytes that are not UTF-8", id="latin1",
        ),
        pytest.param(
            [np.array(["a", "b"])], "DATA-041 text 1 has 2 parts; this classifier takes 1", id="array-inside",
            marks=case("predict([array])", "ValueError: truth value of an array", "DATA-041", "as a list in the list"),
        ),
        pytest.param(
            [pandas.Series(["a", "b"])], "DATA-041 text 1 has 2 parts; this classifier takes 1", id="series-inside",
        ),
    ],
)  # fmt: skip
def test_what_is_no_text_is_refused_with_its_number(classifier, texts, told):
    with pytest.raises(DataError) as caught:
        classifier.predict(texts)
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param(
            np.array([TEXTS[:2], TEXTS[2:4]]), id="array",
            marks=case("predict(array of pairs)", "DATA-041: text 1 has 1 part", "an answer each", "lists of two are"),
        ),
        pytest.param([np.array(TEXTS[:2]), pandas.Series(TEXTS[2:4])], id="arrays-inside"),
        pytest.param([TEXTS[:2], TEXTS[2:4]], id="lists"),
        pytest.param(
            zip(TEXTS[:4:2], TEXTS[1:4:2], strict=True), id="zip",
            marks=case("predict(zip of two columns)", "TypeError: has no len()", "an answer each", "it yields pairs"),
        ),
        pytest.param(
            [Swapped(TEXTS[1], TEXTS[0]), Swapped(TEXTS[3], TEXTS[2])], id="named",
            marks=case("named tuples (hypothesis, premise)", "the pair swapped", "by name", "the model has names"),
        ),
    ],
)  # fmt: skip
def test_pairs_may_have_any_of_their_forms(pair_classifier, texts):
    expected = pair_classifier.predict([(TEXTS[0], TEXTS[1]), (TEXTS[2], TEXTS[3])])
    assert expected[0] != pair_classifier.predict((TEXTS[1], TEXTS[0]))[0], "the order of a pair should matter"
    assert pair_classifier.predict(texts) == expected


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


def test_a_classifier_of_pairs_that_was_saved_reads_pairs_again(pair_classifier, tmp_path):
    pair = (TEXTS[0], TEXTS[1])
    before = pair_classifier.logits([pair])
    pair_classifier.save_pretrained(tmp_path / "stock")
    again = lightune.load(tmp_path / "stock")
    assert again.text_columns == pair_classifier.text_columns
    np.testing.assert_allclose(again.logits([pair]), before, atol=1e-5)


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
