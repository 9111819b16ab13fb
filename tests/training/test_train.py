"""The one way to train: what it does to the model and the folder, what it gives back, and that there is no other."""

from __future__ import annotations

import ast
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import FrozenInstanceError, asdict
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from trials import Trial

from lightune.errors import TrainingDivergedError
from lightune.evaluation.evaluate import predict_logits
from lightune.methods import make_method
from lightune.sections import Training
from lightune.training.journal import Journal
from lightune.training.train import Surroundings, Texts, train

ROOT = Path(__file__).resolve().parents[2]
WHERE = ("src", "tools", "benchmarks", "tests", "examples")


def trained_by(trial: Trial, **options: Any) -> Any:
    texts = Texts(trial.train, trial.validation)
    return train(trial.loaded, trial.method, texts, trial.settings, Surroundings(trial.folder), **options)


@pytest.fixture
def fresh(make_loop: Callable[..., Trial], load_lively: Callable[..., Any]) -> Callable[..., Trial]:
    """Return a function that makes a trial whose model has nothing attached yet."""

    def make(method: str = "lora", **settings: Any) -> Trial:
        trial = make_loop(method=method, **settings)
        trial.loaded = load_lively("distilbert")
        return trial

    return make


def test_it_is_what_a_loop_made_by_hand_does(make_loop: Callable[..., Trial], fresh: Callable[..., Trial]) -> None:
    """With the same seed the same epochs and weights."""
    by_hand, trial = make_loop(), fresh()
    fitted, found = by_hand.fit(), trained_by(trial)
    assert found.fitted.epochs == fitted.epochs
    state, wanted = trial.method.state(found.model), by_hand.method.state(by_hand.model)
    assert state.keys() == wanted.keys()
    assert all(torch.equal(state[name], wanted[name]) for name in state)
    assert sorted(path.name for path in trial.folder.iterdir()) == ["checkpoints", "metrics.jsonl"]
    assert (by_hand.folder / "checkpoints" / f"best-{fitted.best_epoch:03d}").is_dir()


def test_what_it_gives_back_is_the_kept_model_and_how_it_came_to_be(fresh: Callable[..., Trial]) -> None:
    trial = fresh()
    found = trained_by(trial)
    attached = make_method("lora").attach(fresh().loaded.model, trial.loaded.anatomy, 1)
    assert found.changed == attached.changed
    best = found.fitted.epochs[found.fitted.best_epoch - 1]
    logits = predict_logits(found.model, trial.tokenizer, trial.validation.encoded, 8)
    again = trial.loaded.task.measure(logits, trial.validation.targets)
    assert again["loss"] == pytest.approx(best.validation_loss, rel=1e-5)
    assert not found.model.training
    section = found.section
    assert isinstance(section, Training)
    assert (section.steps, section.learning_rate, section.precision) == (8, 5e-3, "fp32")
    assert section.epochs == found.fitted.epochs
    assert found.choices.as_json() == {
        "precision": {"training": {"name": "fp32", "why": "asked for"}},
        "cache_frozen": asdict(found.fitted.cached),
    }
    with pytest.raises(FrozenInstanceError):
        found.model = None


@pytest.mark.parametrize("rate", [5e-3, 1e30])
def test_no_file_stays_open_also_where_it_fails(fresh: Callable[..., Trial], rate: float) -> None:
    """A process that trains a thousand models, as a search does, would run out of files."""
    trial = fresh(learning_rate=rate)
    with nullcontext() if rate < 1 else pytest.raises(TrainingDivergedError):
        trained_by(trial)
    assert (trial.folder / "metrics.jsonl").stat().st_size > 0
    assert [one.path for one in psutil.Process().open_files() if trial.folder in Path(one.path).parents] == []


@pytest.mark.parametrize(("rate", "finished"), [(5e-3, 1), (1e30, 0)])
def test_trackers_are_finished_only_where_the_training_is(
    fresh: Callable[..., Trial], monkeypatch: pytest.MonkeyPatch, rate: float, finished: int
) -> None:
    """A tracker that is not told the end marks the run as ended by an error."""
    calls: list[Journal] = []
    monkeypatch.setattr(Journal, "finish_trackers", lambda journal: calls.append(journal))
    with nullcontext() if rate < 1 else pytest.raises(TrainingDivergedError):
        trained_by(fresh(learning_rate=rate))
    assert len(calls) == finished


def test_without_a_rate_it_is_the_methods_own(fresh: Callable[..., Trial]) -> None:
    trial = fresh("prefix", learning_rate=None, num_train_epochs=1)
    assert trained_by(trial).learning_rate == trial.method.default_learning_rate


def test_what_is_attached_already_is_trained_on_as_it_is(make_loop: Callable[..., Trial]) -> None:
    from lightune.methods import Attachment

    trial = make_loop(num_train_epochs=1)
    first = trained_by(trial, attachment=Attachment(trial.model, ("a",)))
    started = {name: value.clone() for name, value in trial.method.state(first.model).items()}
    second = trained_by(trial, attachment=Attachment(first.model, first.changed))
    assert second.changed == ("a",)
    assert second.model is first.model is trial.model
    assert second.fitted.epochs[0].train_loss < first.fitted.epochs[0].train_loss
    assert any(not torch.equal(value, started[name]) for name, value in trial.method.state(second.model).items())


def test_nobody_else_makes_a_loop() -> None:
    makers = []
    for path in (file for part in WHERE for file in (ROOT / part).rglob("*.py")):
        calls = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
        if any(getattr(call.func, "id", getattr(call.func, "attr", "")) == "Loop" for call in calls):
            makers.append(path.relative_to(ROOT).as_posix())
    assert makers == ["src/lightune/training/train.py"]
