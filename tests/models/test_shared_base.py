"""Classifiers on one base in memory: what `load_model` would give, on the same tensors."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from lightune.errors import RecipeError
from lightune.models.load import LoadedModel, ModelSource, load_model
from lightune.models.shared_base import SharedBase, copy_on_same_tensors, give_own_storage, load_base
from tiny import ARCHITECTURES, classes

AB = classes(["a", "b"])
Load = Callable[..., LoadedModel]
TEXTS = ["a lovely film", "the soup was dreadful and cold", "dull"]
needs_bitsandbytes = pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="the extra `quantized` is absent")


def source_of(folder: Path) -> ModelSource:
    return ModelSource("it", folder, None)


def same_as_loaded(base: SharedBase, labels: list[str], seed: int, max_length: int | None = None) -> LoadedModel:
    """Hold a classifier on the shared base against one that is loaded from the files."""
    made = base.model_for(classes(labels), seed, max_length)
    alone = load_model(base.loaded.source, classes(labels), seed, max_length, base.precision)
    found, wanted = made.model.state_dict(), alone.model.state_dict()
    assert [name for name in wanted if not torch.equal(found.get(name, torch.empty(0)), wanted[name])] == []
    assert list(found) == list(wanted)
    # A model that is made of given tensors, as one whose head is replaced, does not know its folder's name.
    settings = [{**loaded.model.config.to_dict(), "_name_or_path": ""} for loaded in (made, alone)]
    assert settings[0] == settings[1]
    for field in ("anatomy", "max_length", "task", "head", "notes"):
        assert getattr(made, field) == getattr(alone, field)
    assert made.model.num_labels == len(labels)
    assert not made.model.training
    with torch.no_grad():
        batch = made.tokenizer(TEXTS, padding=True, return_tensors="pt")
        assert torch.equal(made.model(**batch).logits, alone.model(**batch).logits)
    return made


def places(model: torch.nn.Module) -> dict[str, int]:
    return {name: value.data_ptr() for name, value in model.named_parameters()}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_shared_base_gives_what_loading_gives_on_the_same_tensors(tiny_models: Any, architecture: str) -> None:
    base = load_base(source_of(tiny_models[architecture]), AB)
    before = {name: value.clone() for name, value in base.loaded.model.state_dict().items()}
    made = [same_as_loaded(base, ["a", "b"], 1), same_as_loaded(base, ["no", "so-so", "yes"], 5, max_length=20)]
    new = base.loaded.anatomy.new_modules
    for name, place in places(base.loaded.model).items():
        is_new = name.rpartition(".")[0] in new
        assert [places(loaded.model)[name] == place for loaded in made] == [not is_new] * 2, name
    assert all(torch.equal(value, before[name]) for name, value in base.loaded.model.state_dict().items())


@pytest.mark.parametrize("architecture", ["distilbert", "roberta", "deberta-v2", "albert", "llama"])
def test_the_checkpoints_own_head_is_used_for_its_labels_and_replaced_for_others(
    load_lively: Load, tmp_path: Path, architecture: str
) -> None:
    theirs = load_lively(architecture)
    theirs.model.save_pretrained(tmp_path)
    theirs.tokenizer.save_pretrained(tmp_path)
    base = load_base(source_of(tmp_path), AB)
    own = base.loaded.model.get_submodule(base.loaded.anatomy.output_layer).weight.clone()
    assert same_as_loaded(base, ["negative", "positive"], 1).head == "checkpoint"
    turned = same_as_loaded(base, ["Positive", "NEGATIVE"], 1)
    assert torch.equal(turned.model.get_submodule(turned.anatomy.output_layer).weight, own.flip(0))
    assert same_as_loaded(base, ["ham", "spam"], 3).head == "new"
    assert same_as_loaded(base, ["1", "2", "3", "4", "5"], 3).head == "new"
    assert torch.equal(base.loaded.model.get_submodule(base.loaded.anatomy.output_layer).weight, own)


def test_a_head_that_is_only_half_there_counts_as_new(load_lively: Load, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    theirs = load_lively("roberta")
    theirs.model.save_pretrained(tmp_path)
    theirs.tokenizer.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    kept = {name: value for name, value in tensors.items() if not name.startswith("classifier.dense")}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    base = load_base(source_of(tmp_path), AB)
    for labels in (["negative", "positive"], ["positive", "negative"], ["a", "b", "c"]):
        assert same_as_loaded(base, labels, 1).head == "new"


def test_a_regression_model_can_be_a_base(tiny_models: Any, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    AutoModelForSequenceClassification.from_pretrained(tiny_models["bert"], num_labels=1).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_models["bert"]).save_pretrained(tmp_path)
    assert same_as_loaded(load_base(source_of(tmp_path), AB), ["a", "b", "c"], 1).head == "new"


@pytest.mark.parametrize("precision", ["bf16", *(pytest.param(p, marks=needs_bitsandbytes) for p in ("int8", "nf4"))])
@pytest.mark.parametrize("architecture", ["distilbert", "gpt2"])
def test_weights_held_in_fewer_bits_are_shared_too(tiny_models: Any, architecture: str, precision: str) -> None:
    base = load_base(source_of(tiny_models[architecture]), AB, precision)
    for labels in (["a", "b"], ["a", "b", "c"]):
        made = same_as_loaded(base, labels, 2)
        query = made.anatomy.modules(["query"])[0]
        weights = [model.get_submodule(query).weight for model in (made.model, base.loaded.model)]
        assert weights[0].data_ptr() == weights[1].data_ptr()
        assert weights[0].dtype != torch.float32


def test_more_tokens_than_the_model_takes_are_refused(tiny_models: Any) -> None:
    base = load_base(source_of(tiny_models["bert"]), AB)
    with pytest.raises(RecipeError, match="at most 64 tokens"):
        base.model_for(AB, 1, max_length=65)


def test_a_copy_has_a_configuration_and_parameters_of_its_own(load_tiny: Load) -> None:
    model = load_tiny("llama").model
    other: Any = copy_on_same_tensors(model)
    other.set_attn_implementation("eager")
    other.requires_grad_(False)
    assert other.model.layers[0].self_attn.config is other.config
    assert model.config._attn_implementation == "sdpa"
    assert all(value.requires_grad for value in model.parameters())
    give_own_storage(other.score.parameters())
    shared = [name for name, place in places(other).items() if places(model)[name] == place]
    assert sorted(set(places(model)) - set(shared)) == ["score.weight"]


def test_tied_parameters_stay_tied(load_tiny: Load) -> None:
    model = load_tiny("bert").model
    model.bert.encoder.layer[1] = model.bert.encoder.layer[0]
    other: Any = copy_on_same_tensors(model)
    assert other.bert.encoder.layer[1] is other.bert.encoder.layer[0]
    assert other.bert.encoder.layer[0] is not model.bert.encoder.layer[0]
