"""Fingerprints of texts: what counts as one text, what a file of them holds, and what is no such file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from case_table import case
from lightune.data.fingerprints import FINGERPRINTS_FILE, Fingerprints, folded_words, normal_form, read_fingerprints
from lightune.data.scan import Wanted, scan
from lightune.data.tables import Table
from lightune.errors import ArtifactError
from tiny import classes

TEXTS = [("A lovely film.",), ("Cold soup",), ("STRASSE",), ("a question?", "An answer!")]


@pytest.fixture
def fingerprints() -> Fingerprints:
    return Fingerprints.of(TEXTS, "the data")


@pytest.mark.parametrize(
    ("text", "is_known"),
    [
        (("a lovely film",), True),
        (("  A   LOVELY\n film!?",), True),
        (("“A lovely film”…",), True),
        (("straße",), True),  # case folding makes ss of it
        (("A question", "an answer."), True),
        (("an answer", "a question"), False),  # a pair has an order
        (("a question an answer",), False),
        (("a question",), False),
        (("a lovely, film",), False),  # punctuation inside counts
        (("a lovely film :)",), False),  # brackets count
        (("a love ly film",), False),
    ],
)
def test_what_counts_as_the_same_text(fingerprints, text, is_known):
    assert fingerprints.known([text]).tolist() == [is_known]


def test_texts_are_one_here_exactly_where_the_check_of_data_finds_duplicates():
    """The scan of a table and the fingerprints beside an adapter share the normal form."""
    written = ["Fine.", "fine", " FINE ", "(fine)", "fi ne", "...", ". . .", "straße", "STRASSE!", "ﬁne", "İ", "i̇"]
    table = Table("t", {"text": written, "label": ["a"] * len(written)}, range(len(written)))
    normal = scan("train", table, Wanted(["text"], ["label"], classes(["a"]))).normal
    for place, text in enumerate(written):
        found = Fingerprints.of([(text,)], "").known([(other,) for other in written])
        assert found.tolist() == (normal == normal[place]).tolist()


def test_a_fingerprint_is_keyed_blake2b_of_the_normal_form(fingerprints):
    """By hand: hashlib on the forms as a reader of the docs would write them."""
    forms = ["a lovely film", "cold soup", "strasse", "a question\0an answer"]
    digests = [hashlib.blake2b(form.encode(), digest_size=8, key=fingerprints.key).digest() for form in forms]
    assert fingerprints.values.tolist() == sorted(int.from_bytes(digest, "little") for digest in digests)


def test_an_empty_set_knows_nothing_and_no_texts_are_answered_by_nothing(fingerprints):
    assert Fingerprints.of([], "").known(TEXTS).tolist() == [False] * 4
    assert fingerprints.known([]).tolist() == []


def test_the_file_holds_one_sorted_tensor_and_the_key_and_comes_back(fingerprints, tmp_path):
    fingerprints.write(tmp_path)
    with safe_open(tmp_path / FINGERPRINTS_FILE, "numpy") as file:
        (name,) = file.keys()
        values = file.get_tensor(name)
        assert file.metadata() == {"key": fingerprints.key.hex()}
    assert values.dtype == np.uint64
    assert values.tolist() == sorted(set(values.tolist()))
    again = read_fingerprints(tmp_path)
    assert again.key == fingerprints.key
    assert again.values.tolist() == fingerprints.values.tolist()


def test_the_same_texts_and_data_give_the_same_bytes_and_other_data_another_key(fingerprints, tmp_path):
    def written(name: str, secret: str, texts: list[tuple[str, ...]]) -> bytes:
        (tmp_path / name).mkdir()
        Fingerprints.of(texts, secret).write(tmp_path / name)
        return (tmp_path / name / FINGERPRINTS_FILE).read_bytes()

    first = written("first", "the data", TEXTS)
    assert first == written("second", "the data", [*reversed(TEXTS), ("cold soup.",)])
    assert not set(Fingerprints.of(TEXTS, "other data").values.tolist()) & set(fingerprints.values.tolist())
    assert not any(part.lower().encode() in first.lower() for text in TEXTS for part in text)


@pytest.mark.parametrize(
    ("tensors", "metadata"),
    [
        ({"normal_form_1": np.array([2, 1], np.uint64)}, {"key": "00" * 32}),  # not in order
        ({"normal_form_1": np.array([1, 1], np.uint64)}, {"key": "00" * 32}),  # one twice
        ({"normal_form_1": np.array([1, 2], np.int64)}, {"key": "00" * 32}),
        ({"normal_form_1": np.array([[1, 2]], np.uint64)}, {"key": "00" * 32}),
        ({"normal_form_2": np.array([1, 2], np.uint64)}, {"key": "00" * 32}),  # of a later lightune, say
        ({"normal_form_1": np.array([1, 2], np.uint64)}, {"key": "00" * 31}),
        ({"normal_form_1": np.array([1, 2], np.uint64)}, {"key": "no number"}),
        ({"normal_form_1": np.array([1, 2], np.uint64)}, None),
    ],
)
def test_another_file_under_this_name_is_refused(tensors, metadata, tmp_path):
    save_file(tensors, tmp_path / FINGERPRINTS_FILE, metadata=metadata)
    with pytest.raises(ArtifactError, match="cannot be used") as caught:
        read_fingerprints(tmp_path)
    assert caught.value.code == "ARTIFACT-016"


@pytest.mark.parametrize("raw", [b"", b"{}", json.dumps({"key": 1}).encode()])
def test_what_is_no_safetensors_file_is_refused(raw, tmp_path: Path):
    (tmp_path / FINGERPRINTS_FILE).write_bytes(raw)
    with pytest.raises(ArtifactError, match="cannot be used"):
        read_fingerprints(tmp_path)


@case("a training text with a zero-width space, a byte order mark, a soft hyphen or decomposed accents", "not known",
      "known", "nobody sees the difference")  # fmt: skip
@pytest.mark.parametrize(
    "other", ["caf\u00e9 noir\u200b", "\ufeffcaf\u00e9 noir", "caf\u00e9 no\u00adir", "cafe\u0301 noir"]
)
def test_what_cannot_be_seen_makes_no_other_text(other):
    assert normal_form(folded_words(other)) == normal_form(folded_words("caf\u00e9 noir"))
