"""Room on the disk: asked before anything is trained, by every way to start a training."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import lightune
from lightune import durable, fitting
from lightune.cli.main import main
from lightune.durable import Disk
from lightune.errors import InterruptedRunError, ResourceError
from lightune.recipes.compose import to_yaml
from lightune.sklearn import TextClassifier
from lightune.training import checkpoint, loop, room
from lightune.training.epochs import Epochs
from reloading_here import reloading_here

Recipes = Callable[..., Any]
FEW = 1_000_000  # bytes: less than any run is planned with


def only(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    """Let the disk have so many bytes free."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(total=10**12, free=free))


def never(*given: Any, **named: Any) -> Any:
    raise AssertionError("nothing may be trained")


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Largest(Disk):
    """Knows how large a folder was at most, by asking after each call that adds something."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bytes = folder, 0

    def write(self, path: Path, parts: Any) -> None:
        super().write(path, parts)
        self.bytes = max(self.bytes, size_of(self.folder))


@pytest.mark.guarantee("Too little room on the disk ends a run with status 6 before anything is trained or left behind")
def test_too_little_room_ends_a_run_before_it_begins(
    tiny_recipe: Recipes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(loop.Loop, "fit", never)
    only(monkeypatch, FEW)
    kept = tmp_path / "own.txt"
    kept.write_text("mine")
    with pytest.raises(ResourceError, match="DISK-007") as caught:
        lightune.run(tiny_recipe(), tmp_path / "out")
    assert re.search(r"needs about [\d,]+ bytes .* 1,000,000 are free", caught.value.message)
    assert caught.value.exit_code == 6
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(to_yaml(tiny_recipe()))
    assert main(["run", str(recipe), "-o", str(tmp_path / "out")]) == 6
    assert "DISK-007" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own.txt", "tiny.yaml"]


def test_an_estimator_asks_too(tiny_models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, FEW)
    texts = [f"a {word} film number {row}" for row in range(20) for word in ("good", "bad")]
    with pytest.raises(ResourceError, match="DISK-007"):
        TextClassifier(model=str(tiny_models["distilbert"])).fit(texts, ["a", "b"] * 20)


@pytest.mark.guarantee("An interrupted run for whose rest there is no room keeps its checkpoints, and goes on later")
def test_resume_asks_too_and_keeps_what_is_there(
    tiny_recipe: Recipes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(epochs: Epochs) -> None:
        epochs.stop.number = 2 if epochs.parts.step.count >= 3 else None
        asked(epochs)

    asked = Epochs._stop_if_asked
    with monkeypatch.context() as patch:
        patch.setattr(Epochs, "_stop_if_asked", interrupted)
        with pytest.raises(InterruptedRunError):
            lightune.run(tiny_recipe(), tmp_path / "out")
    folder = tmp_path / "out.partial"
    before = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}
    with monkeypatch.context() as patch:
        only(patch, FEW)
        with pytest.raises(ResourceError, match="DISK-007"):
            lightune.resume(tmp_path / "out")
    after = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}
    assert after == before
    with reloading_here():
        assert lightune.resume(tmp_path / "out").training.resumed[0].from_step == 3


@pytest.mark.guarantee("The room asked for before a run is at least what its folder takes, checkpoints included")
@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("full", {}),
        pytest.param("lora", {"weight_averaging": 0.6}, marks=pytest.mark.faults),
        pytest.param("adalora", {"num_train_epochs": 4}, marks=pytest.mark.faults),
    ],
)
def test_the_estimate_covers_what_a_run_takes(
    tiny_recipe: Recipes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    settings: Any,
    record_property: Any,
) -> None:
    monkeypatch.setattr("lightune.training.epochs.MOST_SHARE", 1e9)  # a checkpoint after each epoch
    monkeypatch.setattr(room, "REST", 30_000)  # of so small a model
    asked: list[room.Room] = []
    require = fitting.require_room
    monkeypatch.setattr(fitting, "require_room", lambda folder, wanted: (asked.append(wanted), require(folder, wanted)))
    watched = Largest(tmp_path)
    for module in (durable, checkpoint):
        monkeypatch.setattr(module, "disk", watched)
    training: list[int] = []
    fit = loop.Loop.fit
    monkeypatch.setattr(loop.Loop, "fit", lambda *given: (fit(*given), training.append(watched.bytes))[0])
    with reloading_here():
        lightune.run(tiny_recipe("distilbert", method, **{"num_train_epochs": 3, **settings}), tmp_path / "out")
    share = asked[0].training / training[0]
    assert 1.0 <= share < 1.6
    assert asked[0].needed + 4_000_000 >= watched.bytes
    record_property("figure", f"{method}: {share:.2f} times the largest size while training")
