"""Heads that checkpoints bring: used where they answer in the task's labels, replaced and told where they do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lightune.models.checkpoint_head import own_head
from lightune.models.load import LoadedModel, ModelSource, load_model
from tiny import ARCHITECTURES, classes

Load = Callable[..., LoadedModel]
TEXTS = ["a lovely film", "the soup was dreadful and cold", "dull"]


@pytest.fixture
def published(load_lively: Load, load_tiny: Load, tmp_path: Path) -> Callable[..., tuple[LoadedModel, Path]]:
    """Return a function that saves a classifier with a head and these label names, as somebody would publish it."""

    def save(architecture: str, labels: list[str] | None = None) -> tuple[LoadedModel, Path]:
        loaded = load_tiny(architecture, labels=labels) if labels else load_lively(architecture)
        loaded.model.save_pretrained(tmp_path / architecture)
        loaded.tokenizer.save_pretrained(tmp_path / architecture)
        return loaded, tmp_path / architecture

    return save


def load_folder(folder: Path, labels: list[str], seed: int = 1) -> LoadedModel:
    return load_model(ModelSource("it", folder, None), classes(labels), seed)


def logits_of(loaded: LoadedModel) -> torch.Tensor:
    with torch.no_grad():
        return loaded.model(**loaded.tokenizer(TEXTS, padding=True, return_tensors="pt")).logits


def output_weight(loaded: LoadedModel) -> torch.Tensor:
    return loaded.model.get_submodule(loaded.anatomy.output_layer).weight


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_head_answers_in_the_order_of_the_data(published: Any, architecture: str) -> None:
    """The labels of the data come the other way round, and spelt otherwise: the two columns change places."""
    theirs, folder = published(architecture)
    ours = load_folder(folder, ["Positive", "NEGATIVE"], seed=9)
    wanted = logits_of(theirs)
    assert float((wanted[:, 0] - wanted[:, 1]).abs().max()) > 0.01, "columns too alike for this test"
    assert torch.equal(logits_of(ours), wanted[:, [1, 0]])
    assert ours.head == "checkpoint"
    assert ours.anatomy.new_modules == ()
    assert ours.model.config.id2label == {0: "Positive", 1: "NEGATIVE"}
    assert "order of the data's labels" in ours.notes[0]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_head_with_other_labels_is_replaced_and_the_rest_is_kept(published: Any, architecture: str) -> None:
    theirs, folder = published(architecture)
    ours, again = (load_folder(folder, ["ham", "spam"], seed=4) for _ in range(2))
    changed = {name for name, value in theirs.model.state_dict().items() if not torch.equal(value, state(ours)[name])}
    output_layer = ours.anatomy.output_layer
    assert f"{output_layer}.weight" in changed
    assert changed <= {f"{output_layer}.weight", f"{output_layer}.bias"}
    assert torch.equal(output_weight(ours), output_weight(again)), "drawn from the seed"
    assert not torch.equal(output_weight(ours), output_weight(load_folder(folder, ["ham", "spam"], seed=5)))
    assert float(output_weight(ours).detach().std()) < 0.25, "as wide as transformers draws it, not as the lively model"
    assert ours.head == "new"
    assert ours.notes == (
        "The checkpoint's own head was replaced by a new one: its labels (negative, positive) are not those of the "
        "data (ham, spam).",
    )


def state(loaded: LoadedModel) -> dict[str, torch.Tensor]:
    return loaded.model.state_dict()


def test_a_head_with_another_number_of_labels_is_replaced(published: Any) -> None:
    theirs, folder = published("distilbert", ["a", "b"])
    ours = load_folder(folder, ["a", "b", "c"])
    assert output_weight(ours).shape == (3, 32)
    assert torch.equal(ours.model.pre_classifier.weight, theirs.model.pre_classifier.weight)
    assert (ours.head, ours.anatomy.new_modules) == ("new", ("classifier",))
    assert "its labels (a, b) are not those of the data (a, b, c)" in ours.notes[0]


def test_labels_without_names_are_taken_in_order(published: Any) -> None:
    theirs, folder = published("bert", ["LABEL_0", "LABEL_1", "LABEL_2"])
    ours = load_folder(folder, ["bad", "so-so", "good"])
    assert torch.equal(logits_of(ours), logits_of(theirs))
    assert ours.head == "checkpoint"
    assert "LABEL_0 = bad, LABEL_1 = so-so, LABEL_2 = good" in ours.notes[0]


def test_a_backbone_alone_gets_a_new_head_without_a_word(load_tiny: Load) -> None:
    assert (load_tiny("distilbert").head, load_tiny("distilbert").notes) == ("new", ())


def test_a_head_for_another_task_is_replaced_though_it_would_fit(load_tiny: Load, tmp_path: Path) -> None:
    """BERT's token classifier has the same names and shapes as its sequence classifier."""
    from transformers import AutoModelForTokenClassification

    base = load_tiny("bert")
    theirs = AutoModelForTokenClassification.from_pretrained(base.source.folder, num_labels=2)
    theirs.save_pretrained(tmp_path)
    base.tokenizer.save_pretrained(tmp_path)
    ours = load_folder(tmp_path, ["a", "b"])
    assert not torch.equal(ours.model.classifier.weight, theirs.classifier.weight)
    assert ours.head == "new"
    assert "BertForTokenClassification" in ours.notes[0]
    assert "for another task" in ours.notes[0]


def test_a_head_that_is_only_half_there_counts_as_new(published: Any) -> None:
    from safetensors.torch import load_file, save_file

    _, folder = published("roberta")
    tensors = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in tensors.items() if not name.startswith("classifier.dense")}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    ours = load_folder(folder, ["negative", "positive"])
    assert (ours.head, ours.anatomy.new_modules) == ("new", ("classifier.dense",))
    assert "only a part of the head" in ours.notes[0]


@pytest.mark.parametrize(
    ("raw", "order"),
    [
        ({"id2label": {"0": "b", "1": "c", "2": "a"}}, (2, 0, 1)),
        ({"id2label": {"2": "a", "1": "c", "0": "b"}}, (2, 0, 1)),
        ({"id2label": {"0": " A", "1": "B ", "2": "c"}}, (0, 1, 2)),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}}, (0, 1, 2)),
        ({"num_labels": 3}, (0, 1, 2)),
        ({"id2label": {"0": "a", "1": "b", "2": "B"}}, None),
        ({"id2label": {"0": "a", "1": "b"}}, None),
        ({"id2label": {"0": "LABEL_0"}}, None),
        ({}, None),
        ({"id2label": {"zero": "a"}}, None),
        ({"id2label": ["a", "b", "c"]}, None),
    ],
)
def test_rows_are_found_by_name_or_taken_in_order(raw: dict[str, Any], order: tuple[int, ...] | None) -> None:
    config = {"architectures": ["BertForSequenceClassification"], **raw}
    assert own_head(config, classes(["a", "b", "c"])).order == order


def test_names_that_differ_only_by_case_are_told_apart_when_spelt_alike_and_in_order() -> None:
    config = {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "A", "1": "a"}}
    assert own_head(config, classes(["A", "a"])).order == (0, 1)
    assert own_head(config, classes(["a", "b"])).order is None


def test_a_long_list_of_labels_is_cut_in_the_note() -> None:
    names = {str(number): f"topic {number}" for number in range(40)}
    config = {"architectures": ["BertForSequenceClassification"], "id2label": names}
    note = own_head(config, classes(["a", "b"])).note
    assert "topic 5, ...)" in note
    assert "topic 6" not in note
