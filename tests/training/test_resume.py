"""An interrupted training that goes on ends with the bits of one that was never interrupted."""

from __future__ import annotations

import hashlib
import json
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from interrupting import AfterStep
from lightune.errors import InterruptedRunError
from lightune.methods import METHODS
from lightune.training.checkpoint import newest
from lightune.training.step import Step
from lightune.training.training_state import frozen_sha256, trained_parameters

Make = Callable[..., Any]
# Between the last step of an epoch and the first of the next there are two places: before and after the validation.
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulation": {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 8},
    "weight averaging": {"weight_averaging": 0.6},
    "by length": {"train_sampling_strategy": "group_by_length"},
    "the last epoch": {"load_best_model_at_end": False},
    "early stopping": {"early_stopping_patience": 1, "num_train_epochs": 4},
    "plateau": {"lr_scheduler_type": "reduce_lr_on_plateau", "num_train_epochs": 3},
    "greedy": {"lr_scheduler_type": "greedy", "num_train_epochs": 3},
    "restarts": {"lr_scheduler_type": "cosine_with_restarts", "lr_scheduler_kwargs": {"num_cycles": 2}},
    "class weights": {"class_weights": "auto"},
    "recomputed": {"gradient_checkpointing": True},
    "uncached": {"cache_frozen": "off"},
}


@pytest.fixture(autouse=True)
def taken(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The rows of every step that is taken, micro-batch by micro-batch."""
    rows, take = list[Any](), Step.take

    def noted(step: Step, shares: Any, epoch: int) -> Any:
        found = take(step, shares, epoch)
        rows.append(shares)
        return found

    monkeypatch.setattr(Step, "take", noted)
    return rows


def outcome(trial: Any, fitted: Any) -> dict[str, Any]:
    """All that training leaves."""
    lines = (trial.folder / "metrics.jsonl").read_text(encoding="utf-8")
    return {
        "parameters": {name: value.clone() for name, value in trained_parameters(trial.model).items()},
        "state": {name: value.clone() for name, value in trial.method.state(trial.model).items()},
        "lines": lines,
        "epochs": fitted.epochs,
        "best": fitted.best_epoch,
        "counts": (fitted.steps, fitted.samples),
    }


def require_equal(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    for kind in ("parameters", "state"):
        assert found[kind].keys() == wanted[kind].keys()
        different = [name for name in wanted[kind] if not torch.equal(found[kind][name], wanted[kind][name])]
        assert different == [], kind
    for kind in ("lines", "epochs", "best", "counts"):
        assert found[kind] == wanted[kind], kind


def stopped(make_loop: Make, step: int, **asked: Any) -> Any:
    """Return the trial that was interrupted after this step."""
    trial = make_loop(reporter=AfterStep(step), **asked)
    with pytest.raises(InterruptedRunError):
        trial.fit()
    return trial


def went_on(make_loop: Make, folder: Path, **asked: Any) -> dict[str, Any]:
    """Go on in a freshly loaded model, as a new process does."""
    found = newest(folder)
    assert found is not None
    assert found.passed_over == ()
    trial = make_loop(folder=folder, **asked)
    fitted = trial.loop.fit(found)
    assert [one.recomputed_steps for one in fitted.resumed][-1] == 0
    return outcome(trial, fitted)


def uninterrupted(make_loop: Make, **asked: Any) -> dict[str, Any]:
    trial = make_loop(**asked)
    return outcome(trial, trial.fit())


@pytest.mark.guarantee(
    "A stopped training with accumulation, averaged weights, early stopping or any schedule: the same bits"
)
@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_at_every_kind_of_place(make_loop: Make, name: str) -> None:
    asked = {"method": "lora", **SETTINGS[name]}
    wanted = uninterrupted(make_loop, **asked)
    steps = wanted["counts"][0]
    per_epoch = steps // len(wanted["epochs"])
    for step in sorted({1, per_epoch, per_epoch + 1, steps}):  # in an epoch, at its end, in the next one, at the end
        trial = stopped(make_loop, step, **asked)
        require_equal(went_on(make_loop, trial.folder, **asked), wanted)


def require_equal_at(stops: int, make_loop: Make, taken: list[Any], **asked: Any) -> None:
    """Stop at so many drawn steps, each time go on, and compare all that training leaves and the rows it took."""
    wanted, rows = uninterrupted(make_loop, **asked), [*taken]
    for step in random.Random(str(asked)).sample(range(1, wanted["counts"][0] + 1), stops):
        taken.clear()
        trial = stopped(make_loop, step, **asked)
        assert len(taken) == step
        require_equal(went_on(make_loop, trial.folder, **asked), wanted)
        assert taken == rows


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method(make_loop: Make, taken: list[Any], method: str) -> None:
    require_equal_at(1, make_loop, taken, method=method, learning_rate=None)  # with `faults` twenty times


def test_adalora_goes_on_after_its_ranks_are_settled(make_loop: Make) -> None:
    """Then importance is of none any more, and only which ranks are left is kept."""
    asked = {"method": "adalora"}
    wanted = uninterrupted(make_loop, **asked)
    trial = stopped(make_loop, wanted["counts"][0] - 1, **asked)
    require_equal(went_on(make_loop, trial.folder, **asked), wanted)


@pytest.mark.faults
@pytest.mark.guarantee(
    "A training stopped at any step, every method: the same bits, from the same examples in the same order"
)
@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_at_twenty_stops(
    make_loop: Make, taken: list[Any], record_property: Callable[[str, object], None], method: str
) -> None:
    require_equal_at(20, make_loop, taken, method=method, learning_rate=None, per_device_train_batch_size=4)
    record_property("figure", f"{len(list(METHODS))} methods, 20 drawn stops of 32 steps each")


def test_a_training_may_be_interrupted_again_and_again(make_loop: Make) -> None:
    wanted = uninterrupted(make_loop)
    trial = stopped(make_loop, 1)
    for step in range(2, wanted["counts"][0]):
        again = make_loop(folder=trial.folder, reporter=AfterStep(step))
        with pytest.raises(InterruptedRunError):
            again.loop.fit(newest(trial.folder))
    require_equal(went_on(make_loop, trial.folder), wanted)


def test_the_hash_of_the_frozen_weights_covers_every_byte_and_copies_none():
    model = torch.nn.Sequential(torch.nn.Linear(1000, 2000, dtype=torch.bfloat16), torch.nn.Linear(3, 2))
    model[0].requires_grad_(False)
    digest = hashlib.sha256()
    for name in ("0.bias", "0.weight"):
        value = model.get_parameter(name)
        digest.update(json.dumps([name, "torch.bfloat16", list(value.shape)]).encode())
        digest.update(value.detach().view(torch.uint8).numpy().tobytes())
    wanted = digest.hexdigest()
    tracemalloc.start()
    try:
        assert frozen_sha256(model) == wanted
        assert tracemalloc.get_traced_memory()[1] < 100_000  # of 4 MB
    finally:
        tracemalloc.stop()
    with torch.no_grad():
        model[0].weight[-1, -1] += 1
    assert frozen_sha256(model) != wanted
