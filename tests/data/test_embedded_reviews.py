"""The corpus that ships with the package: frozen, balanced, varied, without leaks, and hard for a bag of words."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import Counter
from importlib import resources

import numpy as np
import pytest

SIZES = {"train": 2000, "validation": 500, "test": 1500}
TOPICS = ("food", "service", "price", "place", "story", "acting", "music", "look", "writing", "build", "use", "battery")
STARS = {"0.5", "1", "1.5", "2", "2.5", "3", "3.5", "4", "4.5", "5"}
KINDS = ("plain", "negation", "mixed", "implied", "irony")
SHA256 = {
    "train": "d2691ba787f48593e96db881957246269abcc4a18c6fd28b2eb7aab7796f8fc1",
    "validation": "e0bcfafa303242d25031560362ee36d3bc36e2689e0abdcee8013724ae8b9487",
    "test": "d2dc94a23d13bceccf18a68b8beca06c2740d03bb786dc0773a8bc0152da9fd9",
}
FILES = {name: (resources.files("lightune.data") / "reviews" / f"{name}.csv").read_bytes() for name in SIZES}
SPLITS = {name: list(csv.DictReader(io.StringIO(data.decode(), newline=""))) for name, data in FILES.items()}
EVERY = [row for rows in SPLITS.values() for row in rows]

each_split = pytest.mark.parametrize("split", SIZES)


def words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


def grams(text: str, size: int) -> set[tuple[str, ...]]:
    """Return the runs of `size` words of a text, each once."""
    found = words(text)
    return {tuple(found[start : start + size]) for start in range(len(found) - size + 1)}


@each_split
def test_the_files_are_frozen(split: str):
    assert hashlib.sha256(FILES[split]).hexdigest() == SHA256[split]


@each_split
def test_every_row_has_a_text_a_label_and_a_kind(split: str):
    rows = SPLITS[split]
    assert len(rows) == SIZES[split]
    assert all(list(row) == ["text", "label", "kind", "topics", "stars"] for row in rows)
    assert {row["kind"] for row in rows} == set(KINDS)
    assert all(row["text"] == row["text"].strip() and row["text"].isprintable() for row in rows)


@each_split
def test_every_row_has_topics_and_stars(split: str):
    """None to four of twelve topics in their order, and half a star to five; stars and label point one way."""
    apart = 0
    for row in SPLITS[split]:
        topics = row["topics"].split("|") if row["topics"] else []
        assert topics == [topic for topic in TOPICS if topic in topics]
        assert len(topics) <= 4
        assert row["stars"] in STARS
        apart += (float(row["stars"]) > 2.5) != (row["label"] == "positive")
    assert apart <= 1
    having = Counter(topic for row in SPLITS[split] for topic in row["topics"].split("|"))
    assert min(having[topic] for topic in TOPICS) >= 5
    assert 0.05 < having[""] / len(SPLITS[split]) < 0.12


@each_split
def test_the_labels_are_exactly_balanced(split: str):
    half = SIZES[split] // 2
    assert Counter(row["label"] for row in SPLITS[split]) == {"negative": half, "positive": half}


@each_split
@pytest.mark.parametrize("label", ["negative", "positive"])
def test_every_kind_is_at_least_12_percent_of_every_label(split: str, label: str):
    counts = Counter(row["kind"] for row in SPLITS[split] if row["label"] == label)
    assert all(counts[kind] >= 0.12 * counts.total() for kind in KINDS), counts


def test_texts_have_4_to_60_words():
    lengths = [len(row["text"].split()) for row in EVERY]
    assert min(lengths) >= 4
    assert max(lengths) <= 60


@pytest.mark.parametrize("split", [*SIZES, "every"])
def test_no_three_words_open_more_than_1_percent_of_the_texts(split: str):
    rows = SPLITS.get(split, EVERY)
    opening, count = Counter(tuple(words(row["text"])[:3]) for row in rows).most_common(1)[0]
    assert count <= 0.01 * len(rows), opening


def test_no_four_words_stand_in_more_than_3_texts():
    run, count = Counter(run for row in EVERY for run in grams(row["text"], 4)).most_common(1)[0]
    assert count <= 3, run


@pytest.mark.parametrize(("one", "other"), [("train", "validation"), ("train", "test"), ("validation", "test")])
def test_no_five_words_stand_in_two_splits(one: str, other: str):
    ours, theirs = ({run for row in SPLITS[name] for run in grams(row["text"], 5)} for name in (one, other))
    assert len(ours) > 1000
    assert not ours & theirs


def test_no_text_stands_there_twice_however_it_is_written():
    assert Counter(" ".join(words(row["text"])) for row in EVERY).most_common(1)[0][1] == 1


def test_no_two_texts_share_more_than_60_percent_of_their_words():
    """Jaccard similarity of the word sets, for all pairs at once by a sparse product."""
    from sklearn.feature_extraction.text import CountVectorizer

    presence = CountVectorizer(binary=True, analyzer=words, dtype=np.int32).fit_transform(row["text"] for row in EVERY)
    sizes = np.asarray(presence.sum(axis=1)).ravel()
    common = (presence @ presence.T).tocoo()
    pairs = common.row < common.col
    row, column, shared = common.row[pairs], common.col[pairs], common.data[pairs]
    similarity = shared / (sizes[row] + sizes[column] - shared)
    closest = int(similarity.argmax())
    assert similarity[closest] <= 0.6, (EVERY[row[closest]]["text"], EVERY[column[closest]]["text"])


@pytest.mark.parametrize("longest", [1, 2, 3])
def test_a_bag_of_words_gets_at_most_75_percent_of_the_hard_kinds(longest: int):
    """TF-IDF of up to so many words at a time, logistic regression on train, its strength chosen on validation."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorizer = TfidfVectorizer(ngram_range=(1, longest), sublinear_tf=True)
    features = {"train": vectorizer.fit_transform(row["text"] for row in SPLITS["train"])}
    features |= {name: vectorizer.transform(row["text"] for row in SPLITS[name]) for name in ("validation", "test")}
    labels = {name: np.array([row["label"] for row in rows]) for name, rows in SPLITS.items()}
    fitted = [LogisticRegression(C=c, max_iter=1000).fit(features["train"], labels["train"]) for c in (0.1, 1, 10, 100)]
    best = max(fitted, key=lambda model: model.score(features["validation"], labels["validation"]))
    hard = np.array([row["kind"] != "plain" for row in SPLITS["test"]])
    right = best.predict(features["test"]) == labels["test"]
    assert right[hard].mean() <= 0.75
    assert right[~hard].mean() > right[hard].mean()
