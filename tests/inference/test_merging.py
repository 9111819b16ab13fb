"""From many texts on a copy with the adapter folded in answers; the model itself stays as it is."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer

import lightune
from lightune.artifact import load_adapter
from lightune.inference import merging
from lightune.inference.merging import MERGE_FROM, agree, merged_copy
from lightune.methods import METHODS
from lightune.methods.support import support
from saved_adapters import make_adapter
from tiny import classes, sentences

TEXTS = list(dict.fromkeys(text for text, _ in sentences(3000, seed=52)))[: MERGE_FROM + 6]
FOLDED = ("lora", "adalora", "vera", "randlora", "loha", "lokr", "oft", "boft", "fourierft", "miss", "ia3", "ln_tuning")
LABELS = ["negative", "positive"]


@pytest.fixture
def copies(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `merged_copy` returned, each time."""
    made: list[Any] = []

    def noted(adapted: Any) -> Any:
        made.append(merged_copy(adapted))
        return made[-1]

    monkeypatch.setattr(merging, "merged_copy", noted)
    return made


def state(model: torch.nn.Module) -> dict[str, tuple[torch.Tensor, int, bool]]:
    return {name: (value.clone(), value.data_ptr(), value.requires_grad) for name, value in model.named_parameters()}


def assert_unchanged(before: Any, model: torch.nn.Module) -> None:
    after = state(model)
    assert before.keys() == after.keys()
    for name, (value, place, trains) in before.items():
        assert torch.equal(value, after[name][0]), name
        assert (place, trains) == after[name][1:], name


@pytest.mark.parametrize("method", sorted(METHODS))
def test_the_copy_has_the_same_logits_and_leaves_the_model_as_it_is(
    method: str, tiny_models: Any, tmp_path: Path
) -> None:
    if support().get(method, {}).get("distilbert"):
        pytest.skip("not on this architecture")
    folder = make_adapter(tiny_models["distilbert"], tmp_path / "a", method, LABELS)
    adapted, classifier = load_adapter(folder), lightune.load(folder, device="cpu")
    before = state(adapted.model)
    merged = merged_copy(adapted)
    assert_unchanged(before, adapted.model)
    assert (merged is not None) == (method in FOLDED), "only what can be folded in, and is no stock model already"
    if merged is None:
        return
    assert not any(isinstance(module, BaseTunerLayer) for module in merged.modules())
    assert not merged.training
    wanted = classifier.logits(TEXTS[:8])
    many = classifier.logits(TEXTS)
    np.testing.assert_allclose(many[:8], wanted, atol=1e-4)
    assert (many[:8].argmax(1) == wanted.argmax(1)).all()


def test_only_adapted_layers_take_memory_twice(tiny_models: Any, tmp_path: Path) -> None:
    folder = make_adapter(tiny_models["distilbert"], tmp_path / "a", "lora", LABELS)
    adapted = load_adapter(folder)
    merged: Any = merged_copy(adapted)
    ours = {value.data_ptr() for value in adapted.model.parameters()}
    new = {name for name, value in merged.named_parameters() if value.data_ptr() not in ours}
    layers = {
        name.removeprefix("base_model.model.")
        for name, module in adapted.model.named_modules()
        if isinstance(module, BaseTunerLayer)
    }
    assert layers
    assert {name.rpartition(".")[0] for name in new} == layers


def test_few_texts_are_answered_without_merging_and_many_with_it(tiny_run: Any, copies: list[Any]) -> None:
    classifier = lightune.load(tiny_run.folder, device="cpu")
    few = classifier.logits(TEXTS[: MERGE_FROM - 1])
    assert copies == []
    one_more = classifier.logits(TEXTS[:1])  # the count goes over calls
    assert len(copies) == 1
    assert copies[0] is not None
    classifier.logits(TEXTS)
    assert len(copies) == 1
    np.testing.assert_allclose(one_more, few[:1], atol=1e-4)


def test_a_copy_that_answers_otherwise_is_not_used(tiny_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(adapted: Any) -> Any:
        merged: Any = merged_copy(adapted)
        merged.classifier.register_forward_hook(lambda module, args, output: output + 0.01)
        return merged

    monkeypatch.setattr(merging, "merged_copy", wrong)
    classifier = lightune.load(tiny_run.folder, device="cpu")
    few = classifier.logits(TEXTS[:3])
    many = classifier.logits(TEXTS)
    np.testing.assert_allclose(many[:3], few, atol=1e-5)


@pytest.mark.parametrize(
    ("other", "same"), [([[1.0, 1.00009]], True), ([[1.0, 1.2]], False), ([[1.0, 0.99999]], False)]
)
def test_logits_agree_within_rounding_and_in_their_label(other: list[list[float]], same: bool) -> None:
    assert agree(classes(["no", "yes"]), np.array([[1.0, 1.00001]]), np.array(other)) is same


def test_equal_texts_do_not_count(tiny_run: Any, copies: list[Any]) -> None:
    lightune.load(tiny_run.folder, device="cpu").logits(TEXTS[:2] * MERGE_FROM)
    assert copies == []


def test_whoever_takes_the_model_finds_the_answers_follow_it(tiny_run: Any, copies: list[Any]) -> None:
    classifier = lightune.load(tiny_run.folder, device="cpu")
    before = classifier.logits(TEXTS)
    assert len(copies) == 1
    model: Any = classifier.model
    with model.disable_adapter():
        assert np.abs(classifier.logits(TEXTS) - before).max() > 1e-2
    with torch.no_grad():
        for value in model.parameters():
            value.mul_(0)
    assert not classifier.logits(TEXTS).any()
    assert len(copies) == 1


def test_what_is_saved_is_the_same_before_and_after_many_answers(tiny_run: Any, tmp_path: Path) -> None:
    for name, texts in (("few", TEXTS[:1]), ("many", TEXTS)):
        classifier = lightune.load(tiny_run.folder, device="cpu")
        classifier.logits(texts)
        classifier.save_pretrained(tmp_path / name)
        classifier.logits(TEXTS)
    few, many = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("few", "many"))
    assert few == many


def test_adapters_on_one_base_are_never_folded_in(tiny_models: Any, tmp_path: Path, copies: list[Any]) -> None:
    names = ("one", "two")
    folders = {
        name: make_adapter(tiny_models["bert"], tmp_path / name, "lora", LABELS, seed=len(name)) for name in names
    }
    bank = lightune.load_adapters(folders, device="cpu")
    for name in names:
        bank[name].logits(TEXTS)
    assert copies == [None, None]


def test_weights_held_in_fewer_bits_are_not_folded_into(tiny_models: Any, tmp_path: Path) -> None:
    folder = make_adapter(tiny_models["distilbert"], tmp_path / "a", "lora", LABELS, precision="bf16")
    assert merged_copy(load_adapter(folder)) is None


def test_two_threads_get_the_answers_of_one(tiny_run: Any) -> None:
    wanted = lightune.load(tiny_run.folder, device="cpu").logits(TEXTS)
    classifier = lightune.load(tiny_run.folder, device="cpu")
    found: list[Any] = []

    def ask() -> None:
        for start in range(0, len(TEXTS), 7):
            found.append((start, classifier.logits(TEXTS[start : start + 7])))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(TEXTS) == MERGE_FROM + 6, "too few for merging"
    assert len(found) == 2 * len(range(0, len(TEXTS), 7))
    for start, logits in found:
        np.testing.assert_allclose(logits, wanted[start : start + 7], atol=1e-4)
