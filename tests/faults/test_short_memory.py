"""Memory that does not suffice: training goes on in smaller micro-batches, to the weights of a run with enough."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from short_memory import TEXTS, Notes, Shortage, examples, largest_difference, require_same, training

import lightune
from lightune import experiment
from lightune.cli.main import main
from lightune.errors import InterruptedRunError, ResourceError
from lightune.evaluation.evaluate import predict_logits
from lightune.evaluation.features import watch_texts
from lightune.recipes.compose import to_yaml
from lightune.training.checkpoint import newest
from lightune.training.epochs import Epochs
from reloading_here import reloading_here

LIMIT = 1e-5
Load = Callable[..., Any]
WAYS: dict[str, dict[str, Any]] = {
    "one micro-batch": {"per_device_train_batch_size": 16},
    "accumulation": {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2},
    "class weights": {"per_device_train_batch_size": 16, "class_weights": "auto"},
    "weight averaging": {"per_device_train_batch_size": 16, "weight_averaging": 0.6},
    "uncached": {"per_device_train_batch_size": 16, "cache_frozen": "off"},
}


SHORTAGES = ((3, 0, "forward"), (7, 2, "backward"), (1, 5, "backward"))
TASKS = ("classification", "multi_label", "regression")
SHORT = [("classification", "accumulation", 1), ("multi_label", "one micro-batch", 0), ("regression", "uncached", 2)]


@pytest.fixture(autouse=True)
def quick_release(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not look for garbage: that takes seconds among the objects of a test process."""
    monkeypatch.setattr("lightune.memory.gc.collect", lambda: 0)


def require_as_with_enough(load: Load, folder: Path, task: str, way: str, shortages: Sequence[int]) -> float:
    """Require that each shortage changes nothing but the micro-batches; return the largest difference of a weight."""
    enough, worst = training(load(), folder / "enough", task, **WAYS[way]), 0.0
    first = enough.fit()
    for number in shortages:
        most, after, where = SHORTAGES[number]
        short, shortage = training(load(), folder / str(number), task, **WAYS[way]), Shortage(most, where, after)
        with shortage.applied():
            second = short.fit()
        worst = max(worst, require_same(enough, first, short, second))
        assert worst < LIMIT, (way, most)
        assert shortage.failed
        assert second.smaller[-1].texts <= most
        assert {one.note for one in second.smaller} <= set(short.notes.said)
    return worst


@pytest.mark.parametrize(("task", "way", "shortage"), SHORT)
def test_the_weights_are_those_of_a_run_with_enough_memory(
    load_lively: Load, tmp_path: Path, task: str, way: str, shortage: int
) -> None:
    require_as_with_enough(load_lively, tmp_path, task, way, [shortage])


@pytest.mark.guarantee("Out of memory while training: a smaller micro-batch, the same steps, the same weights to 1e-5")
@pytest.mark.faults
def test_every_task_and_setting_goes_on_to_the_same_weights(
    load_lively: Load, tmp_path: Path, record_property: Any
) -> None:
    cases = [(task, way) for task in TASKS for way in WAYS if (task, way) != ("regression", "class weights")]
    worst = 0.0
    for task, way in cases:
        place = tmp_path / f"{task}-{way}"
        place.mkdir()
        worst = max(worst, require_as_with_enough(load_lively, place, task, way, range(len(SHORTAGES))))
    count = len(cases) * len(SHORTAGES)
    record_property("figure", f"{count} trainings with shortages, largest difference of a weight {worst:.0e}")


KINDS = [
    (torch.OutOfMemoryError, "CUDA out of memory. Tried to allocate 2.00 GiB."),
    (RuntimeError, "MPS backend out of memory (MPS allocated: 8.00 GB, max allowed: 9.07 GB)."),
    (
        RuntimeError,
        "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried",
    ),
    (RuntimeError, "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    (MemoryError, "std::bad_alloc"),
]


@pytest.mark.parametrize(("kind", "message"), KINDS)
def test_every_way_to_say_it_is_understood(load_lively: Load, tmp_path: Path, kind: Any, message: str) -> None:
    short = training(load_lively(), tmp_path / "run", num_train_epochs=1)
    shortage = Shortage(8, kind=kind, message=message)
    with shortage.applied():
        fitted = short.fit()
    assert [(one.from_step, one.texts, one.measured) for one in fitted.smaller] == [(1, 8, "failed")]
    assert short.notes.said[0] == fitted.smaller[0].note
    assert sum(shortage.sizes) == fitted.samples == TEXTS


def test_another_error_is_not_taken_for_it(load_lively: Load, tmp_path: Path) -> None:
    short = training(load_lively(), tmp_path / "run")
    shortage = Shortage(8, kind=RuntimeError, message="shapes do not fit")
    with shortage.applied(), pytest.raises(RuntimeError, match="shapes"):
        short.fit()


@pytest.mark.guarantee("Where memory does not suffice for one text, a run ends with status 6 and keeps its last step")
def test_with_too_little_for_one_text_the_last_state_stays(load_lively: Load, tmp_path: Path) -> None:
    enough, steps = training(load_lively(), tmp_path / "enough", num_train_epochs=1), []
    enough.fit()
    short = training(load_lively(), tmp_path / "short", num_train_epochs=1)
    with Shortage(0, after=2).applied(), pytest.raises(ResourceError, match="MEMORY-002") as caught:
        short.fit()
    assert "one text of" in caught.value.message
    assert caught.value.exit_code == 6
    found = newest(short.folder)
    assert found is not None
    steps.append(found.state["step"])
    again = training(load_lively(), short.folder, num_train_epochs=1)
    again.fit(found)
    assert steps == [2]
    assert largest_difference(enough.weights, again.weights) < LIMIT


@pytest.mark.guarantee("A resumed run goes on with the smaller micro-batch, to the same bits")
@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_resumed_run_goes_on_with_the_smaller_micro_batch(
    load_lively: Load, tmp_path: Path, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, steps = training(load_lively(), tmp_path / "whole"), 8
    with Shortage(5, after=2).applied():
        wanted = whole.fit()
    interrupted = training(load_lively(), tmp_path / "part")
    with monkeypatch.context() as patch:
        patch.setattr(Epochs, "_stop_if_asked", stopping(stop))
        with Shortage(5, after=2).applied(), pytest.raises(InterruptedRunError):
            interrupted.fit()
    went_on, shortage = training(load_lively(), tmp_path / "part"), Shortage(5, after=2 - min(stop, 2))
    with shortage.applied():
        found = went_on.fit(newest(tmp_path / "part"))
    assert found.smaller == wanted.smaller
    assert shortage.failed == (stop < 3) * 2
    assert found.steps == wanted.steps == steps
    assert torch.equal(went_on.weights, whole.weights)


def stopping(step: int) -> Callable[[Epochs], None]:
    """Return what stands for a signal that arrives in this step."""
    asked = Epochs._stop_if_asked

    def stop(epochs: Epochs) -> None:
        epochs.stop.number = 2 if epochs.parts.step.count == step else None
        asked(epochs)

    return stop


def test_windows_of_long_texts_are_halved_too(load_lively: Load, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"limit": 6, "num_train_epochs": 1, "per_device_train_batch_size": 4}
    enough, short = (training(load_lively(), tmp_path / name, **asked) for name in ("enough", "short"))
    first = enough.fit()
    with Shortage(1).applied():
        second = short.fit()
    assert second.smaller[-1].texts == 1
    assert require_same(enough, first, short, second) < LIMIT


# Answering


@pytest.mark.guarantee("Out of memory while answering: fewer texts at a time, the same answers")
@pytest.mark.parametrize("where", ["the base model", "the output layer"])
def test_answers_are_the_same_with_fewer_texts_at_a_time(load_lively: Load, where: str) -> None:
    loaded, notes = load_lively(), Notes()
    encoded = examples(loaded.tokenizer, "classification", 64, "cut").encoded
    layer = loaded.model.get_submodule(loaded.anatomy.output_layer)
    module = loaded.model.base_model if where == "the base model" else layer
    wanted = predict_logits(loaded.model, loaded.tokenizer, encoded, 16)
    features = watch_texts(loaded.model, layer, loaded.tokenizer, encoded, 16)
    sizes: list[int] = []

    def short(module: Any, args: Any, kwargs: Any) -> None:
        texts = len(kwargs["input_ids"] if kwargs else args[0])
        if texts > 5:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        sizes.append(texts)

    hook = module.register_forward_pre_hook(short, with_kwargs=True)
    found = predict_logits(loaded.model, loaded.tokenizer, encoded, 16, notes)
    seen = watch_texts(loaded.model, layer, loaded.tokenizer, encoded, 16)
    hook.remove()
    assert np.abs(found - wanted).max() < LIMIT
    assert np.abs(seen.pooled - features.pooled).max() < LIMIT
    assert np.abs(seen.head_inputs - features.head_inputs).max() < LIMIT
    assert sum(sizes) == 2 * TEXTS
    assert notes.said[0] == f"Out of memory with {TEXTS} texts at a time; going on with half as many."


def test_one_text_that_cannot_be_answered_ends_it(load_lively: Load) -> None:
    loaded = load_lively()
    encoded = examples(loaded.tokenizer, "classification", 64, "cut").encoded

    def short(module: Any, args: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    loaded.model.register_forward_pre_hook(short)
    with pytest.raises(ResourceError, match="MEMORY-004"):
        predict_logits(loaded.model, loaded.tokenizer, encoded, 16)


# Whole runs


@pytest.mark.guarantee("A run says aloud and in its record from which step on its micro-batches were smaller")
def test_the_record_says_it(tiny_recipe: Load, tmp_path: Path) -> None:
    with Shortage(4).applied(), reloading_here():
        record = lightune.run(tiny_recipe(num_train_epochs=1), tmp_path / "out")
    written = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert [one["texts"] for one in written["training"]["smaller_micro_batches"]] == [8, 4]
    assert record.training.smaller_micro_batches[-1].note in record.notes


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_a_run_that_ends_outside_a_step_keeps_its_checkpoint_and_says_so(
    tiny_recipe: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, error: Exception
) -> None:
    def fails(*given: Any) -> Any:
        raise error

    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(to_yaml(tiny_recipe(num_train_epochs=1)))
    monkeypatch.setattr(experiment, "_after", fails)
    assert main(["run", str(recipe), "-o", str(tmp_path / "out")]) == 6
    told = capsys.readouterr().err
    assert "MEMORY-001" in told
    assert "lightune resume" in told
    assert newest(tmp_path / "out.partial") is not None
