"""A tokenizer that is saved for a classifier gives the same token ids to whoever reads it, with nothing switched on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from lightune.models import embedded
from lightune.models.tokenizer_files import load_tokenizer, save_tokenizer, tokenizer_sha256
from tiny import ARCHITECTURES, classes, sentences

TEXTS = [text for text, _ in sentences(12, seed=31)]


def settings(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_saved_tokenizer_gives_the_ids_and_inputs_that_the_model_was_trained_with(
    read_tiny: Any, architecture: str, tmp_path: Path
) -> None:
    tokenizer = read_tiny(architecture).tokenizer
    wanted = dict(tokenizer(TEXTS, padding=True))
    save_tokenizer(tokenizer, tmp_path / "saved", 9)
    theirs = AutoTokenizer.from_pretrained(tmp_path / "saved")
    assert dict(theirs(TEXTS, padding=True)) == wanted
    assert load_tokenizer("it", tmp_path / "saved")(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]
    assert (theirs.pad_token, theirs.padding_side) == (tokenizer.pad_token, "right")
    cut = theirs(TEXTS, truncation=True)["input_ids"]
    assert cut == tokenizer(TEXTS, truncation=True, max_length=9)["input_ids"]
    assert max(map(len, cut)) == 9, "some text should be longer"


def test_what_the_last_call_switched_on_is_off_in_the_file(read_tiny: Any, tmp_path: Path) -> None:
    tokenizer = read_tiny("bert").tokenizer
    tokenizer(TEXTS, truncation=True, max_length=5, padding="max_length")
    assert tokenizer.backend_tokenizer.truncation["max_length"] == 5
    save_tokenizer(tokenizer, tmp_path, 64)
    told = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    assert (told["truncation"], told["padding"]) == (None, None)
    assert tokenizer.backend_tokenizer.truncation["max_length"] == 5, "saving should change nothing in memory"


@pytest.mark.skipif(embedded.folder() is None, reason="the embedded model is not installed")
def test_the_embedded_tokenizer_is_saved_without_its_128_tokens(tmp_path: Path) -> None:
    place = embedded.folder()
    own = Tokenizer.from_file(str(place / "tokenizer.json"))
    assert (own.truncation["max_length"], own.padding["length"]) == (128, 128)
    save_tokenizer(load_tokenizer("minilm", place), tmp_path, 512)
    read = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    # [CLS], [SEP] and a token for each word, which is in the vocabulary.
    assert len(read.encode("word " * 300).ids) == 302
    assert len(read.encode("word").ids) == 3
    assert len(AutoTokenizer.from_pretrained(tmp_path)("word " * 900, truncation=True)["input_ids"]) == 512
    assert 128 not in settings(tmp_path).values()
    assert str(place.parent) not in (tmp_path / "tokenizer_config.json").read_text(encoding="utf-8")


def test_a_model_without_token_types_gets_none_from_the_saved_tokenizer(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    """DistilBERT's checkpoints name BERT's tokenizer, whose token types its forward does not take."""
    from transformers import BertTokenizer

    from lightune.models.load import ModelSource, load_model

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "lovely", "film"]
    base = tmp_path / "base"
    base.mkdir()
    for path in tiny_models["distilbert"].iterdir():
        (base / path.name).write_bytes(path.read_bytes())
    BertTokenizer(vocab={word: number for number, word in enumerate(words)}).save_pretrained(base)
    assert "token_type_ids" in AutoTokenizer.from_pretrained(base)("a film")
    loaded = load_model(ModelSource("it", base, None), classes(["no", "yes"]), 1)
    save_tokenizer(loaded.tokenizer, tmp_path / "saved", 64)
    given = AutoTokenizer.from_pretrained(tmp_path / "saved")("a lovely film", return_tensors="pt")
    assert set(given) == {"input_ids", "attention_mask"}
    loaded.model(**given)


def test_the_hash_depends_on_every_file_of_the_tokenizer_and_on_no_other(read_tiny: Any, tmp_path: Path) -> None:
    save_tokenizer(read_tiny("bert").tokenizer, tmp_path, 64)
    found = tokenizer_sha256(tmp_path)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"other")
    assert tokenizer_sha256(tmp_path) == found
    for name in ("tokenizer.json", "tokenizer_config.json"):
        raw = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(raw + b" ")
        assert tokenizer_sha256(tmp_path) != found
        (tmp_path / name).write_bytes(raw)
    assert tokenizer_sha256(tmp_path) == found
