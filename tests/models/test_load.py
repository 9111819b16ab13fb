"""Loading a classifier from a folder: what it gets from us, and the folders that are refused."""

from __future__ import annotations

import json
import pickle
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lightune.errors import ArtifactError, RecipeError
from lightune.models.config import read_config
from lightune.models.load import LoadedModel, ModelSource, find_model, fingerprint, load_model
from tiny import REPRESENTATIVE, classes

Load = Callable[..., LoadedModel]
LABELS = ["negative", "positive"]


@pytest.fixture
def copied(tiny_models: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that copies a tiny model, so that a test may spoil it."""
    return lambda architecture: Path(shutil.copytree(tiny_models[architecture], tmp_path / architecture))


def load_folder(folder: Path, labels: Sequence[str] = LABELS, max_length: int | None = None) -> LoadedModel:
    return load_model(ModelSource("it", folder, None), classes(labels), 1, max_length)


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    """Rewrite the folder's weights file."""
    tensors = load_file(folder / "model.safetensors")
    save_file(change(tensors), folder / "model.safetensors", metadata={"format": "pt"})


def change_json(path: Path, **values: Any) -> None:
    """Set top-level keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


# What a loaded model has


@pytest.mark.parametrize("architecture", REPRESENTATIVE)
def test_the_labels_are_in_the_config_and_the_model_is_a_stock_classifier(read_tiny: Load, architecture: str) -> None:
    model = read_tiny(architecture, labels=["bad", "so-so", "good"]).model
    assert model.config.id2label == {0: "bad", 1: "so-so", 2: "good"}
    assert model.config.label2id == {"bad": 0, "so-so": 1, "good": 2}
    assert type(model).__module__.startswith("transformers.models.")
    assert type(model).__name__.endswith("ForSequenceClassification")
    assert not model.training


def test_the_same_seed_draws_the_same_head_whatever_the_global_generators_say(read_tiny: Load) -> None:
    torch.manual_seed(11)
    first = read_tiny("distilbert", seed=5).model.state_dict()
    torch.manual_seed(12)
    second = read_tiny("distilbert", seed=5).model.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_another_seed_draws_another_head_and_changes_nothing_else(read_tiny: Load) -> None:
    first, second = (read_tiny("distilbert", seed=seed).model.state_dict() for seed in (5, 6))
    changed = {name for name in first if not torch.equal(first[name], second[name])}
    assert changed == {"pre_classifier.weight", "classifier.weight"}


def test_loading_leaves_the_global_generators_alone(read_tiny: Load) -> None:
    before = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy())
    read_tiny("distilbert", seed=99)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert np.array_equal(before[2], np.random.get_state()[1])


def test_a_tokenizer_with_padding_and_truncation_of_its_own_loses_them(copied: Callable[[str], Path]) -> None:
    folder = copied("distilbert")
    own = {
        "padding": {"strategy": {"Fixed": 12}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
                    "pad_type_id": 0, "pad_token": "[PAD]"},
        "truncation": {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0},
    }  # fmt: skip
    change_json(folder / "tokenizer.json", **own)
    tokenizer = load_folder(folder).tokenizer
    assert tokenizer.backend_tokenizer.padding is None
    assert tokenizer.backend_tokenizer.truncation is None
    assert len(tokenizer("good")["input_ids"]) == 3  # not 12: [CLS] word [SEP]
    assert len(tokenizer("a " * 20)["input_ids"]) == 22  # not 5


def test_a_decoder_without_a_pad_token_gets_one_and_its_model_knows(read_tiny: Load) -> None:
    loaded = read_tiny("gpt2")
    assert loaded.tokenizer.pad_token == loaded.tokenizer.eos_token == "[SEP]"
    assert loaded.model.config.pad_token_id == loaded.tokenizer.pad_token_id == 3


def test_the_longest_text_is_what_model_and_tokenizer_take(read_tiny: Load, tiny_models: dict[str, Path]) -> None:
    assert read_tiny("distilbert").max_length == 64
    assert read_tiny("gpt2").max_length == 64
    assert load_folder(tiny_models["bert"], max_length=16).max_length == 16


def test_a_max_length_beyond_the_model_is_refused(tiny_models: dict[str, Path]) -> None:
    with pytest.raises(RecipeError, match=r"data\.max_length 65: this model takes at most 64 tokens"):
        load_folder(tiny_models["bert"], max_length=65)


# Folders that are refused


@pytest.mark.parametrize(
    "place",
    [{"auto_map": {"AutoModel": "evil.Model"}}, {"text_config": {"auto_map": {"AutoConfig": "evil.Config"}}},
     {"parts": [{"inner": {"auto_map": {"AutoModel": "owner/name--evil.Model"}}}]}],
    ids=["top", "nested", "in-a-list"],
)  # fmt: skip
def test_a_config_that_asks_for_code_is_refused(copied: Callable[[str], Path], place: dict[str, Any]) -> None:
    folder = copied("distilbert")
    change_json(folder / "config.json", **place)
    with pytest.raises(RecipeError, match="never done") as caught:
        load_folder(folder)
    assert caught.value.code == "RECIPE-043"


@pytest.mark.parametrize("label", ["auto_map", "code_revision", "quantization_config", "use_kernels", "n_head"])
def test_a_label_may_have_the_name_of_a_setting(copied: Callable[[str], Path], label: str) -> None:
    folder, number = copied("distilbert"), 2000  # more than any model has heads
    change_json(folder / "config.json", id2label={str(number): label}, label2id={label: number})
    assert read_config("model", folder)["label2id"] == {label: number}


def test_quantized_weights_are_refused_for_what_they_are(copied: Callable[[str], Path]) -> None:
    folder = copied("distilbert")
    change_json(folder / "config.json", quantization_config={"quant_method": "gptq", "bits": 4})
    with pytest.raises(RecipeError, match="quantized") as caught:
        read_config("model", folder)
    assert caught.value.code == "RECIPE-120"
    assert "code" not in caught.value.message


@pytest.mark.parametrize("known_class", [True, False])
def test_code_that_a_tokenizer_asks_for_is_not_run(
    copied: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, known_class: bool
) -> None:
    """Not even when somebody, or a text on stdin, would answer transformers' question with yes."""
    folder = copied("distilbert")
    trace = folder / "it-ran"
    (folder / "evil.py").write_text(
        f"open({str(trace)!r}, 'w').close()\nfrom transformers import PreTrainedTokenizerFast as Evil\n"
    )
    name = "PreTrainedTokenizerFast" if known_class else "Evil"
    change_json(
        folder / "tokenizer_config.json", tokenizer_class=name, auto_map={"AutoTokenizer": ["evil.Evil", "evil.Evil"]}
    )
    monkeypatch.setattr("builtins.input", lambda prompt="": "y")
    with pytest.raises(RecipeError, match=r"code of its own \(auto_map\)"):
        load_folder(folder)
    assert not trace.exists()


def test_a_folder_with_pickled_weights_alone_is_refused_and_they_are_not_read(copied: Callable[[str], Path]) -> None:
    folder = copied("distilbert")
    trace = folder / "it-ran"

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (trace,)

    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(RecipeError, match="no safetensors weights") as caught:
        load_folder(folder)
    assert caught.value.code == "RECIPE-044"
    assert not trace.exists()


def test_a_folder_without_a_config_is_refused(copied: Callable[[str], Path]) -> None:
    folder = copied("distilbert")
    (folder / "config.json").unlink()
    with pytest.raises(RecipeError, match=r"no config\.json"):
        load_folder(folder)


@pytest.mark.parametrize("raw", [b"{not json", b"\xff\xfe\xff", b"[]", b"null", b'"text"'])
def test_a_config_that_is_no_json_object_is_refused(copied: Callable[[str], Path], raw: bytes) -> None:
    folder = copied("distilbert")
    (folder / "config.json").write_bytes(raw)
    with pytest.raises(RecipeError, match=r"config\.json"):
        load_folder(folder)


def test_an_architecture_that_is_not_known_is_refused(copied: Callable[[str], Path]) -> None:
    folder = copied("distilbert")
    change_json(folder / "config.json", model_type="roformer")
    with pytest.raises(RecipeError, match='"roformer" is not known yet'):
        load_folder(folder)


def test_weights_that_are_no_safetensors_file_are_refused(copied: Callable[[str], Path]) -> None:
    folder = copied("distilbert")
    (folder / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(ArtifactError, match=r"ARTIFACT-011.*not a readable safetensors file"):
        load_folder(folder)


@pytest.mark.parametrize(
    ("architecture", "part"),
    [("distilbert", "transformer.layer.1."), ("bert", "encoder.layer.0.output.dense."), ("gpt2", "h.0.attn.c_attn."),
     ("distilbert", "embeddings.word_embeddings."), ("bert", "embeddings.LayerNorm."), ("gpt2", "ln_f."),
     ("gpt2", "wpe.")],
)  # fmt: skip
def test_a_checkpoint_that_lacks_a_part_of_the_body_is_refused(
    copied: Callable[[str], Path], architecture: str, part: str
) -> None:
    """A random layer, embedding or norm would be taken for a new head otherwise."""
    folder = copied(architecture)
    change_tensors(folder, lambda tensors: {name: v for name, v in tensors.items() if not name.startswith(part)})
    with pytest.raises(ArtifactError, match="lack") as caught:
        load_folder(folder)
    assert caught.value.exit_code == 4


def test_a_checkpoint_whose_body_has_another_shape_is_refused(copied: Callable[[str], Path]) -> None:
    folder = copied("distilbert")
    change_json(folder / "config.json", vocab_size=1000)
    with pytest.raises(ArtifactError):
        load_folder(folder)


# Names and fingerprints


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "~/models/x", "a/b/c", "..\\models\\x"])
def test_what_looks_like_a_path_is_never_looked_for_on_the_hub(name: str) -> None:
    with pytest.raises(RecipeError, match="there is no folder"):
        find_model(name)


def test_a_local_folder_is_found_and_has_no_revision(tiny_models: dict[str, Path]) -> None:
    source = find_model(str(tiny_models["bert"]))
    assert source.folder == tiny_models["bert"]
    assert source.revision is None


def test_a_fingerprint_follows_the_bytes_and_not_the_place(
    tiny_models: dict[str, Path], copied: Callable[[str], Path]
) -> None:
    original = fingerprint(ModelSource("a", tiny_models["bert"], None))
    folder = copied("bert")
    assert fingerprint(ModelSource("b", folder, None)) == original
    weights = folder / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    changed = fingerprint(ModelSource("b", folder, None))
    change_json(folder / "config.json", layer_norm_eps=1e-5)
    assert len({original, changed, fingerprint(ModelSource("b", folder, None))}) == 3
