"""A run folder is there whole or not at all, is never overwritten, and keeps an interrupted run's checkpoint."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lightune.errors import DataError, HubError, InterruptedRunError, LightuneError, RecipeError, ResourceError
from lightune.run_folder import RunFolder


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(name: str = "a", output: str | None = None, error: BaseException | None = None) -> RunFolder:
    """Write a run of one file, or fail after it."""
    with RunFolder(name, output) as folder:
        (folder.working / "results.json").write_text("{}")
        assert not (folder.final / "results.json").exists()
        if error:
            raise error
    return folder


def everything(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_a_run_gets_its_name_once_it_is_whole(here: Path):
    assert make().final == Path("runs/a-1")
    assert everything(here) == ["runs", "runs/a-1", "runs/a-1/results.json"]


def test_runs_are_numbered_each_name_by_itself():
    assert [make(name).final.name for name in ("a", "a", "b", "a")] == ["a-1", "a-2", "b-1", "a-3"]


def test_a_number_that_is_taken_is_passed_over_whoever_took_it(here: Path):
    (here / "runs").mkdir()
    (here / "runs" / "a-1").write_text("a file")
    (here / "runs" / "a-2.partial").mkdir()
    assert make().final.name == "a-3"


def test_runs_at_the_same_time_do_not_meet(here: Path):
    with RunFolder("a") as first, RunFolder("a") as second:
        assert (first.final.name, second.final.name) == ("a-1", "a-2")
    assert everything(here) == ["runs", "runs/a-1", "runs/a-2"]


@pytest.mark.parametrize("output", ["out", "deep/er/out", "out/"])
def test_output_is_the_run_folder_itself(here: Path, output: str):
    make(output=output)
    assert (here / output / "results.json").is_file()
    assert not (here / "runs").exists()


def test_output_may_be_an_empty_folder(here: Path):
    (here / "out").mkdir()
    make(output="out")
    assert everything(here) == ["out", "out/results.json"]


def test_output_may_be_the_folder_we_are_in(here: Path, monkeypatch: pytest.MonkeyPatch):
    (here / "inside").mkdir()
    monkeypatch.chdir(here / "inside")
    make(output=".")
    assert everything(here) == ["inside", "inside/results.json"]


@pytest.mark.parametrize(
    ("kind", "told"), [("folder", "out: already exists and is not empty"), ("file", "out: this is a file")]
)
def test_output_that_holds_something_is_refused_and_left_alone(here: Path, kind: str, told: str):
    if kind == "folder":
        (here / "out").mkdir()
        (here / "out" / "old.txt").write_text("kept")
    else:
        (here / "out").write_text("kept")
    before = everything(here)
    with pytest.raises(RecipeError, match=told) as caught:
        make(output="out")
    assert (caught.value.exit_code, caught.value.code) == (2, "RECIPE-060")
    assert "another" in caught.value.hint
    assert "remove" not in str(caught.value).lower(), "it is not ours"
    assert everything(here) == before


def test_an_output_that_another_run_writes_to_is_refused_and_left_alone(here: Path):
    with RunFolder("a", "out") as first:
        (first.working / "results.json").write_text("{}")
        with pytest.raises(RecipeError, match=r"out\.partial: another process is writing there"):
            make(output="out")
    assert everything(here) == ["out", "out/results.json"]


def test_an_output_that_cannot_be_made_is_a_resource_error(here: Path):
    (here / "file").write_text("")
    with pytest.raises(ResourceError, match="cannot be created") as caught:
        make(output="file/out")
    assert caught.value.exit_code == 6


@pytest.mark.parametrize("error", [DataError("DATA-001", "x"), ValueError("x"), KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("output", [None, "out", "deep/er/out"])
def test_a_failure_leaves_nothing(here: Path, output: str | None, error: BaseException):
    with pytest.raises(type(error)):
        make(output=output, error=error)
    assert everything(here) == []


def test_a_failure_leaves_what_was_there(here: Path):
    make()
    (here / "out").mkdir()
    for output in (None, "out"):
        with pytest.raises(ValueError, match="x"):
            make(output=output, error=ValueError("x"))
    assert everything(here) == ["out", "runs", "runs/a-1", "runs/a-1/results.json"]


@pytest.mark.parametrize("output", [None, "out"])
def test_an_interruption_leaves_the_unfinished_folder_under_another_name(here: Path, output: str | None):
    with pytest.raises(InterruptedRunError):
        make(output=output, error=InterruptedRunError("RUN-001", "stopped"))
    name = "out" if output else "runs/a-1"
    assert not (here / name).exists()
    assert (here / f"{name}.partial" / "results.json").is_file()


def test_an_interrupted_run_is_never_overwritten(here: Path):
    for output in (None, "out"):
        with pytest.raises(InterruptedRunError):
            make(output=output, error=InterruptedRunError("RUN-001", "stopped"))
    assert make().final.name == "a-2"
    with pytest.raises(RecipeError, match="an unfinished run is there") as caught:
        make(output="out")
    assert "lightune resume out" in caught.value.hint
    assert (here / "runs" / "a-1.partial" / "results.json").is_file()
    assert (here / "out.partial" / "results.json").is_file()


@pytest.mark.parametrize(
    ("setting", "kind"), [({"model": "no/such"}, HubError), ({"data": {"source": "none.csv"}}, LightuneError)]
)
def test_a_real_run_that_fails_leaves_nothing(
    here: Path, tiny_recipe: Callable[..., object], setting: dict[str, object], kind: type[LightuneError]
):
    import lightune
    from lightune.recipe import parse_recipe

    recipe = parse_recipe({**tiny_recipe().model_dump(), **setting})
    with pytest.raises(kind):
        lightune.run(recipe)
    assert everything(here) == []


@pytest.mark.skipif(os.name != "posix", reason="making a link needs no rights on POSIX")
def test_an_unfinished_folder_that_is_a_link_to_nothing_is_named_as_a_link(tmp_path: Path) -> None:
    (tmp_path / "out.partial").symlink_to(tmp_path / "nowhere")
    with pytest.raises(RecipeError, match=r"RECIPE-110 .*out\.partial: this is a symbolic link"):
        RunFolder("out", tmp_path / "out")
