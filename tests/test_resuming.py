"""An interrupted run goes on to the results of an uninterrupted one, or says what has changed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import lightune
from interrupting import AfterStep
from lightune.cli.main import main
from lightune.errors import ArtifactError, DataError, InterruptedRunError, LightuneError, RecipeError
from lightune.progress import Silent
from lightune.run_state import read_state
from lightune.training.checkpoint import newest
from reloading_here import reloading_here

# What is measured anew, or says where the run lies.
MEASURED = {"why", "runtime", "memory_before_bytes", "peak_memory_bytes", "samples_per_second", "steps_per_second"}
ELSEWHERE = {"run_folder", "inference", "resumed", "checkpoints"}


class Interrupter(AfterStep):
    """Sends the process a signal after a step of training, or raises KeyboardInterrupt when a phase begins."""

    def __init__(self, step: int = 0, phase: str = "") -> None:
        super().__init__(step)
        self._phase = phase

    def phase(self, title: str) -> None:
        if self._phase and title.startswith(self._phase):
            raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Work in an empty folder, and check reloads in this process."""
    monkeypatch.chdir(tmp_path)
    with reloading_here():
        yield tmp_path


@pytest.fixture(scope="module")
def recipe(tiny_recipe: Callable[..., Any]) -> Any:
    return tiny_recipe("distilbert", "lora", num_train_epochs=3, save_steps=2)


@pytest.fixture(scope="module")
def whole(recipe: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that was never interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    with reloading_here():
        lightune.run(recipe, folder)
    return folder


def stopped(recipe: Any, error: type[BaseException] = InterruptedRunError, **when: Any) -> Path:
    with pytest.raises(error):
        lightune.run(recipe, "out", Interrupter(**when))
    return Path("out.partial")


def results(folder: Path) -> Any:
    """The record, without what is measured."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: without(item) for name, item in value.items() if name not in MEASURED | ELSEWHERE}
        return list(map(without, value)) if isinstance(value, list) else value

    return without(json.loads((folder / "results.json").read_text(encoding="utf-8")))


def require_same_run(folder: Path, whole: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in whole.iterdir())
    assert results(folder) == results(whole)
    for name in ("predictions.csv", "metrics.jsonl", "recipe.yaml", "adapter/adapter_model.safetensors"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name


@pytest.mark.parametrize("when", [{"step": 1}, {"step": 5}, {"phase": "After"}, {"phase": "Reloading"}])
def test_it_ends_as_the_uninterrupted_run(recipe: Any, whole: Path, when: dict[str, Any]) -> None:
    stopped(recipe, **when)
    record = lightune.resume("out.partial" if "step" in when else "out")
    (resumed,) = record.training.resumed
    assert resumed.recomputed_steps == 0
    assert resumed.from_step == when.get("step", record.training.steps)
    require_same_run(Path("out"), whole)
    assert not Path("out.partial").exists()


def test_before_the_first_checkpoint_nothing_is_left(recipe: Any, here: Path) -> None:
    stopped(recipe, KeyboardInterrupt, phase="Before")
    assert list(here.iterdir()) == []


def test_a_killed_process_loses_no_more_than_the_steps_since_the_last_checkpoint(
    recipe: Any, whole: Path, here: Path
) -> None:
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json")), encoding="utf-8")
    program = (
        "import os, signal, sys, time; import lightune.training.step as s; take = s.Step.take\n"
        "def slow(self, *a): time.sleep(0.05); return take(self, *a)\n"
        "s.Step.take = slow; import lightune; lightune.run('recipe.yaml', 'out')"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    metrics = Path("out.partial/metrics.jsonl")
    while not (metrics.is_file() and len(metrics.read_bytes().splitlines()) >= 5):
        time.sleep(0.01)
    process.kill()
    process.wait()
    record = lightune.resume("out")
    (resumed,) = record.training.resumed
    assert resumed.from_step >= 4
    assert resumed.recomputed_steps <= 2
    require_same_run(Path("out"), whole)


def test_the_command_shows_the_summary_and_ends_with_0(
    recipe: Any, whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped(recipe, step=3)
    assert main(["resume", "out", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["training"]["resumed"] == [{"from_step": 3, "recomputed_steps": 0}]
    assert main(["resume", "out"]) == 2
    assert "lightune report out" in capsys.readouterr().err


def test_the_run_may_have_moved_and_the_command_may_be_called_from_elsewhere(
    recipe: Any, whole: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped(recipe, step=2)
    (here / "other" / "deep").mkdir(parents=True)
    Path("out.partial").rename(here / "other" / "moved.partial")
    monkeypatch.chdir(here / "other" / "deep")
    lightune.resume("../moved")
    require_same_run(here / "other" / "moved", whole)


def test_it_says_what_has_changed(recipe: Any, here: Path) -> None:
    folder = stopped(recipe, step=2)
    written = (folder / "recipe.yaml").read_text(encoding="utf-8")
    (folder / "recipe.yaml").write_text(written.replace("weight_decay: 0.01", "weight_decay: 0.02"), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"training\.weight_decay: 0\.01 then, 0\.02 now") as caught:
        lightune.resume("out")
    assert (caught.value.code, caught.value.exit_code) == ("ARTIFACT-050", 4)
    (folder / "recipe.yaml").write_text(written, encoding="utf-8")
    state = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    state["versions"]["torch"] = "1.0"
    (folder / "run.json").write_text(json.dumps(state), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r'torch: "1\.0" then'):
        lightune.resume("out")
    assert folder.is_dir()


def test_other_data_and_another_base_model_are_refused(
    tiny_recipe: Callable[..., Any], tiny_data: dict[str, Path], tiny_models: dict[str, Path], here: Path
) -> None:
    given = tiny_recipe("distilbert", "lora").model_dump(mode="json")
    for name in ("train", "validation", "test"):
        shutil.copy(tiny_data[name], here / f"{name}.csv")
        given["data"]["source"][name] = f"{name}.csv"
    shutil.copytree(tiny_models["distilbert"], here / "base")
    given["model"] = "base"
    stopped(given, step=2)
    rows = Path("train.csv").read_text(encoding="utf-8")
    Path("train.csv").write_text(rows + "one more lovely film,positive\n", encoding="utf-8")
    with pytest.raises(ArtifactError, match="data: not the same bytes"):
        lightune.resume("out")
    Path("train.csv").write_text(rows, encoding="utf-8")
    config = Path("base/config.json")
    config.write_text(config.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(ArtifactError, match="base model: not the same bytes"):
        lightune.resume("out")
    config.write_text(config.read_text(encoding="utf-8")[:-1], encoding="utf-8")
    assert lightune.resume("out").status == "completed"


def test_only_one_process_at_a_time(recipe: Any) -> None:
    stopped(recipe, step=2)

    class Second(Silent):
        def phase(self, title: str) -> None:
            if title.startswith("Before"):
                with pytest.raises(RecipeError, match="another process is writing there"):
                    lightune.resume("out")

    assert lightune.resume("out", Second()).status == "completed"


def test_data_from_python_has_to_be_given_again(recipe: Any) -> None:
    texts = [f"{word} film number {n}" for n in range(40) for word in ("lovely", "dreadful")]
    data = texts, ["positive", "negative"] * 40
    with pytest.raises(InterruptedRunError):
        lightune.run(recipe, "out", Interrupter(step=2), data=data)
    with pytest.raises(DataError, match="DATA-067"):
        lightune.resume("out")
    with pytest.raises(ArtifactError, match="data: not the same bytes"):
        lightune.resume("out", data=(texts[::-1], data[1]))
    assert lightune.resume("out", data=data).status == "completed"


def test_a_damaged_checkpoint_is_passed_over_and_named(recipe: Any, whole: Path) -> None:
    folder = stopped(recipe, step=5)
    newest = folder / "checkpoints" / "step-000005" / "parameters.safetensors"
    newest.write_bytes(newest.read_bytes()[:-4])
    record = lightune.resume("out")
    assert record.training.resumed[0].model_dump() == {"from_step": 4, "recomputed_steps": 1}
    (told,) = [note for note in record.notes if "passed over" in note]
    assert told.startswith("step-000005 was passed over")
    assert (Path("out") / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


def test_diverging_training_keeps_the_last_good_state(
    tiny_recipe: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lightune.training.step import Step

    take = Step.take

    def spoil(step: Step, shares: Any, epoch: int) -> Any:
        if step.count == 8:
            raise step.diverged("step 9: the loss is nan.")
        return take(step, shares, epoch)

    recipe = tiny_recipe("distilbert", "lora", num_train_epochs=3, save_steps=2)
    with monkeypatch.context() as patch:
        patch.setattr(Step, "take", spoil)
        with pytest.raises(LightuneError, match="TRAIN-001") as caught:
            lightune.run(recipe, "out", Silent())
    assert "lightune resume out" in caught.value.hint
    found = newest(Path("out.partial"))
    assert found is not None
    assert found.state["step"] == 8


def test_what_says_what_was_run_is_refused_when_damaged(recipe: Any) -> None:
    folder = stopped(recipe, step=2)
    raw = (folder / "run.json").read_bytes()
    for spoilt in (b"", b"[]", b'{"format_version": 2}', raw[:-20], b'{"format_version": 1}'):
        (folder / "run.json").write_bytes(spoilt)
        with pytest.raises(ArtifactError, match="ARTIFACT-049"):
            read_state(folder)
    (folder / "run.json").unlink()
    with pytest.raises(ArtifactError, match="ARTIFACT-049"):
        lightune.resume("out")


def test_a_name_that_is_no_unfinished_run(recipe: Any) -> None:
    stopped(recipe, step=1)
    with pytest.raises(RecipeError, match="RECIPE-066") as caught:
        lightune.resume("outt")
    assert 'Did you mean "out.partial"?' in caught.value.hint


@pytest.mark.parametrize("left", [(), (".lock",), ("recipe.yaml", ".run.json.partial")])
def test_a_run_that_was_killed_before_it_could_train_is_begun_again(
    recipe: Any, whole: Path, left: tuple[str, ...]
) -> None:
    Path("out.partial").mkdir()
    for name in left:
        Path("out.partial", name).write_text("{", encoding="utf-8")
    lightune.run(recipe, "out")
    require_same_run(Path("out"), whole)


def test_a_folder_of_that_name_with_other_files_is_left_alone(recipe: Any) -> None:
    Path("out.partial").mkdir()
    Path("out.partial/notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(RecipeError, match="an unfinished run is there"):
        lightune.run(recipe, "out")
    assert Path("out.partial/notes.txt").read_text(encoding="utf-8") == "mine"


def test_where_no_checkpoint_is_whole_it_begins_again_says_so_and_removes_nothing(
    recipe: Any, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their names count as newer than those of the first steps: pruning took these for the old ones."""
    folder = stopped(recipe, step=7)
    found = sorted(path.name for path in (folder / "checkpoints").iterdir() if path.name.startswith("step-"))
    assert len(found) == 2
    for name in found:
        (folder / "checkpoints" / name / "state.json").unlink()
    said: list[str] = []

    class Ended(Interrupter):
        def note(self, text: str) -> None:
            said.append(text)

    with pytest.raises(InterruptedRunError):
        lightune.resume("out", Ended(step=5))
    left = {path.name for path in (folder / "checkpoints").iterdir()}
    assert {f"damaged-{name}" for name in found} <= left
    assert all(any(f"{name} was passed over" in text for text in said) for name in found)
    lightune.resume("out")
    require_same_run(Path("out"), whole)


def test_an_error_in_a_resumed_run_without_a_checkpoint_removes_nothing(
    recipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stopped(recipe, step=2)
    for path in folder.glob("checkpoints/step-*/state.json"):
        path.unlink()
    kept = sorted(folder.glob("checkpoints/*/*"))
    monkeypatch.setattr("lightune.resuming.finish", lambda *given: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        lightune.resume("out")
    assert len(sorted(folder.glob("checkpoints/damaged-*/*"))) == len(kept)


def test_where_the_data_is_gone_it_says_that_the_checkpoint_is_kept(
    tiny_recipe: Callable[..., Any], here: Path, tiny_data: dict[str, Path]
) -> None:
    moved = {name: shutil.copy(path, here / f"{name}.csv") for name, path in tiny_data.items()}
    given = tiny_recipe("distilbert", "lora", save_steps=2)
    source = given.data.source.model_copy(update={name: str(path) for name, path in moved.items()})
    stopped(given.model_copy(update={"data": given.data.model_copy(update={"source": source})}), step=2)
    (here / "train.csv").rename(here / "elsewhere.csv")
    with pytest.raises(DataError, match="there is no such file") as caught:
        lightune.resume("out")
    assert "The last checkpoint is kept. Once that is mended, go on from it: lightune resume out" in caught.value.hint
    (here / "elsewhere.csv").rename(here / "train.csv")
    assert lightune.resume("out").training.resumed[0].from_step == 2
