"""Texts that come again are computed once, and what is remembered stays bounded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

import lightune
from lightune.inference import bulk
from lightune.inference.bulk import answered_rows
from lightune.inference.prediction_cache import MOST_CELLS, Answers
from lightune.tasks.answers import Prediction
from tiny import sentences, write_csv

TEXTS = list(dict.fromkeys(text for text, _ in sentences(60, seed=41)))[:12]


class Asked:
    """Stands in for a classifier: the answer is the text itself, and every text asked for is noted."""

    answer_columns = ("prediction", "confidence")

    def __init__(self) -> None:
        self.texts: list[Any] = []
        self.task = self

    def logits(self, texts: Sequence[Any]) -> np.ndarray:
        """Return the numbers of the texts among all that were asked for."""
        first = len(self.texts)
        self.texts.extend(texts)
        return np.arange(first, len(self.texts))

    def cells(self, logits: np.ndarray) -> Iterator[tuple[str, ...]]:
        """Yield each text as its label, its length as the confidence."""
        texts = (self.texts[number] for number in logits)
        return (Prediction(str(text), float(len(text)), {}).cells() for text in texts)


def test_each_text_is_asked_once_within_a_call_and_across_calls() -> None:
    asked: Any = Asked()
    answers = Answers(asked)
    a, bb, c = ("a", "1.000000"), ("bb", "2.000000"), ("c", "1.000000")
    assert answers.of(["a", "bb", "a"]) == [a, bb, a]
    assert answers.of(["bb", "c", "a", "c"]) == [bb, c, a, c]
    assert answers.of([]) == []
    assert asked.texts == ["a", "bb", "c"]


def test_what_was_asked_for_longest_ago_is_forgotten_first() -> None:
    asked: Any = Asked()
    answers = Answers(asked, most=3)
    answers.of(["a", "b", "c"])
    answers.of(["a"])
    answers.of(["d"])
    assert len(answers) == 3
    answers.of(["c", "a", "d"])
    assert asked.texts == ["a", "b", "c", "d"]
    answers.of(["b"])
    assert asked.texts == ["a", "b", "c", "d", "b"]


@pytest.mark.parametrize("most", [0, 1, 5])
def test_never_more_is_remembered_than_was_allowed_and_nothing_is_lost_from_a_call(most: int) -> None:
    asked: Any = Asked()
    answers = Answers(asked, most)
    for start in range(0, 200, 20):
        texts = [str(number) for number in range(start, start + 20)]
        assert [label for label, _ in answers.of([*texts, *texts[:3]])] == [*texts, *texts[:3]]
        assert len(answers) == most


def test_pairs_are_told_apart_by_where_their_parts_end() -> None:
    asked: Any = Asked()
    pairs = [("a", "bc"), ("ab", "c"), ("abc", ""), ("a", "bc")]
    Answers(asked).of(pairs)
    assert asked.texts == pairs[:3]


def test_a_file_of_repeated_rows_is_computed_once_across_chunks(
    tiny_run: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = lightune.load(tiny_run.folder)
    wanted = dict(zip(TEXTS, classifier.predict(TEXTS), strict=True))
    computed: list[Any] = []
    inner = classifier.logits
    monkeypatch.setattr(classifier, "logits", lambda texts: computed.extend(texts) or inner(texts))
    monkeypatch.setattr(bulk, "CHUNK_ROWS", 5)
    rows = [(text, "x") for text in [*TEXTS, *TEXTS[::-1], *TEXTS[:3]]]
    _, *found = answered_rows(classifier, write_csv(tmp_path / "in.csv", rows))
    assert computed == TEXTS
    assert [row[0] for row in found] == [text for text, _ in rows]
    for text, _, label, confidence in found:
        assert label == wanted[text].label
        assert float(confidence) == pytest.approx(wanted[text].confidence, abs=1e-5)


def test_a_classifier_computes_equal_texts_of_a_call_once(tiny_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from lightune.inference import classifier as module

    classifier = lightune.load(tiny_run.folder)
    wanted, lengths = classifier.logits(TEXTS), []
    inner = module.predict_logits

    def counted(model: Any, tokenizer: Any, encoded: Any, batch_size: int) -> Any:
        lengths.append(len(encoded))
        return inner(model, tokenizer, encoded, batch_size)

    monkeypatch.setattr(module, "predict_logits", counted)
    found = classifier.logits([TEXTS[3], *TEXTS, TEXTS[3], TEXTS[0]])
    assert lengths == [len(TEXTS)]
    np.testing.assert_allclose(found, wanted[[3, *range(len(TEXTS)), 3, 0]], atol=1e-5)


def test_answers_of_many_cells_are_fewer_in_the_cache():
    """Its memory is bounded by cells: with 1,000 labels an answer has a probability of each."""
    asked = Asked()
    asked.answer_columns = tuple(map(str, range(MOST_CELLS // 4)))
    answers = Answers(asked)  # type: ignore[arg-type]
    answers.of([f"text {row}" for row in range(10)])
    assert len(answers) == 4
