"""Symbolic links in a run folder: nothing is written, removed or read through one, whoever put it there."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lightune
from lightune.cli.main import main
from lightune.durable import append_to, disk, library_files, new_folder, write_file
from lightune.errors import ArtifactError, InterruptedRunError, LightuneError, RecipeError
from lightune.inference.answer_files import write_rows
from lightune.links import require_own_files
from lightune.run_folder import RunFolder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")

SECRET = "what must not change"
WRITES = "Nothing is written through a symbolic link in a run folder, or to an output that is one"
READS = "The files of a run are not read through symbolic links that lead elsewhere"


@pytest.fixture
def run(tiny_run: Any, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run.folder, tmp_path / "run"))


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Path]:
    """Somebody's folder with a file and a folder in it, which are as they were afterwards."""
    home = tmp_path / "victim"
    (home / "folder").mkdir(parents=True)
    for path in (home / "file", home / "folder" / "file"):
        path.write_text(SECRET)
    yield home
    assert sorted(path.relative_to(home).as_posix() for path in home.rglob("*")) == ["file", "folder", "folder/file"]
    assert {path.read_text() for path in (home / "file", home / "folder" / "file")} == {SECRET}


def unfinished(folder: Path) -> Path:
    """An unfinished run folder, as an interruption leaves it."""

    def stop() -> None:
        with RunFolder("a", folder) as place:
            (place.working / "checkpoints").mkdir()
            raise InterruptedRunError("RUN-001", "stopped")

    with pytest.raises(InterruptedRunError):
        stop()
    return folder.with_name(f"{folder.name}.partial")


@pytest.mark.guarantee(WRITES)
@pytest.mark.parametrize("name", ["report.html", "README.md"])
@pytest.mark.parametrize("target", ["file", "folder", "new"])
def test_report_does_not_write_through_a_link(
    run: Path, victim: Path, name: str, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / name).unlink()
    (run / name).symlink_to(victim / target)
    assert main(["report", str(run)]) == 4
    told = capsys.readouterr().err
    assert f"ARTIFACT-070 {run / name} is a symbolic link" in told
    assert "Remove the link" in told


@pytest.mark.guarantee(WRITES)
def test_report_does_not_write_into_a_run_folder_that_is_a_link(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "latest").symlink_to(run)
    before = (run / "report.html").stat().st_mtime_ns
    assert main(["report", str(tmp_path / "latest")]) == 4
    assert "ARTIFACT-070" in capsys.readouterr().err
    assert (run / "report.html").stat().st_mtime_ns == before
    assert main(["predict", str(tmp_path / "latest"), "a fine film"]) == 0, "reading by another name is the user's wish"


@pytest.mark.guarantee(WRITES)
@pytest.mark.parametrize("name", [".", "checkpoints", ".lock", "run.json", "metrics.jsonl", "checkpoints/step-000002"])
def test_an_unfinished_run_with_a_link_in_it_is_not_taken(tmp_path: Path, victim: Path, name: str) -> None:
    working = unfinished(tmp_path / "out")
    link = working / name
    if name in {".", "checkpoints"}:
        link = working if name == "." else link
        shutil.rmtree(link)
    link.symlink_to(victim / ("folder" if name in {".", "checkpoints"} else "file"))
    with pytest.raises(ArtifactError, match="ARTIFACT-070"):
        lightune.resume(tmp_path / "out")
    assert link.is_symlink()


@pytest.mark.guarantee(WRITES)
@pytest.mark.parametrize("target", ["folder", "new"])
def test_a_run_does_not_begin_in_a_link(tmp_path: Path, victim: Path, target: str) -> None:
    (tmp_path / "out").symlink_to(victim / target)
    with pytest.raises(RecipeError, match="RECIPE-110"), RunFolder("a", tmp_path / "out"):
        raise AssertionError("not reached")
    (tmp_path / "other.partial").symlink_to(victim / target)
    with pytest.raises(LightuneError), RunFolder("a", tmp_path / "other"):
        raise AssertionError("not reached")


@pytest.mark.guarantee(WRITES)
def test_answers_are_not_written_through_a_link(
    run: Path, victim: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.csv").write_text("text\na fine film\n")
    for target in ("file", "new"):
        (tmp_path / f"{target}.csv").symlink_to(victim / target)
        output = str(tmp_path / f"{target}.csv")
        assert main(["predict", str(run), "--file", str(tmp_path / "in.csv"), "--output", output]) == 2
        assert f"RECIPE-111 {output} is a symbolic link" in capsys.readouterr().err


def test_the_folder_of_answers_may_be_a_link_of_the_users_own(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "named").symlink_to(tmp_path / "disk")
    assert write_rows(iter([["a"], ["1"]]), tmp_path / "named" / "out.csv") == 1
    assert (tmp_path / "disk" / "out.csv").read_text() == "a\n1\n"


def test_a_home_folder_behind_a_link_works(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "home").symlink_to(tmp_path / "disk")
    with RunFolder("a", tmp_path / "home" / "runs" / "a") as place:
        write_file(place.working / "results.json", b"{}")
    assert (tmp_path / "disk" / "runs" / "a" / "results.json").read_bytes() == b"{}"


@pytest.mark.guarantee(WRITES)
def test_each_call_of_the_writer_refuses_a_link(tmp_path: Path, victim: Path) -> None:
    (tmp_path / "file").symlink_to(victim / "file")
    (tmp_path / "folder").symlink_to(victim / "folder")
    calls: list[Callable[[], Any]] = [
        lambda: write_file(tmp_path / "file", b"x"),
        lambda: write_file(tmp_path / "folder" / "file", b"x"),
        lambda: append_to(tmp_path / "file", b"x"),
        lambda: append_to(tmp_path / "folder" / "file", b"x"),
        lambda: new_folder(tmp_path / "folder" / "new").__enter__(),
        lambda: library_files(tmp_path / "folder").__enter__(),
    ]
    for call in calls:
        with pytest.raises(ArtifactError, match="ARTIFACT-070"):
            call()
    # Where a link is put between the look and the call itself, the system refuses to follow it.
    with pytest.raises(OSError, match="symbolic links"):
        disk.append(tmp_path / "file", b"x")
    disk.write(tmp_path / "file", [b"x"])
    assert not (tmp_path / "file").is_symlink()


@pytest.mark.guarantee("What is removed never reaches beyond a symbolic link")
def test_a_temporary_sibling_that_is_a_link_is_replaced_and_never_followed(tmp_path: Path, victim: Path) -> None:
    (tmp_path / ".a.partial").symlink_to(victim / "file")
    write_file(tmp_path / "a", b"x")
    (tmp_path / ".b.partial").symlink_to(victim / "folder")
    with new_folder(tmp_path / "b") as partial:
        write_file(partial / "c", b"x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "victim"]


@pytest.mark.guarantee("What is removed never reaches beyond a symbolic link")
def test_removing_ends_at_links(tmp_path: Path, victim: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    for link in (folder / "file", folder / "deep" / "file"):
        link.symlink_to(victim / "file")
    for link in (folder / "all", folder / "deep" / "all", tmp_path / "link"):
        link.symlink_to(victim)
    disk.remove(tmp_path / "link")
    disk.remove(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["victim"]


@pytest.mark.guarantee("What is removed never reaches beyond a symbolic link")
def test_an_unfinished_folder_that_became_a_link_is_removed_as_a_link(tmp_path: Path, victim: Path) -> None:
    def fail() -> None:
        with RunFolder("a", tmp_path / "out") as place:
            shutil.rmtree(place.working)
            place.working.symlink_to(victim)
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    assert not list(tmp_path.glob("out*"))


@pytest.mark.guarantee(READS)
@pytest.mark.parametrize("name", ["results.json", "predictions.csv", "metrics.jsonl"])
def test_a_report_shows_no_file_of_somebody_else(
    run: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / name).rename(tmp_path / "elsewhere")
    (run / name).symlink_to(tmp_path / "elsewhere")
    assert main(["report", str(run)]) == 4
    assert f"ARTIFACT-071 {run / name} is a symbolic link" in capsys.readouterr().err


@pytest.mark.guarantee(READS)
@pytest.mark.parametrize(
    "name", ["adapter", "adapter/MANIFEST.json", "adapter/lightune.json", "adapter/adapter_model.safetensors"]
)
def test_an_adapter_is_not_read_through_a_link(
    run: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (run / name).rename(tmp_path / "elsewhere")
    (run / name).symlink_to(tmp_path / "elsewhere")
    for arguments in (["predict", str(run), "a fine film"], ["predict", str(run), "--json", "a fine film"]):
        assert main(arguments) == 4
        assert "ARTIFACT-071" in capsys.readouterr().err
    with pytest.raises(ArtifactError, match="ARTIFACT-071"):
        lightune.load(run)


def in_hub_cache(folder: Path, cache: Path) -> Path:
    """Put the files of a folder as the Hub's cache holds them: snapshots/COMMIT/NAME -> ../../blobs/HASH."""
    snapshot, blobs = cache / "models--anna--x" / "snapshots" / ("0" * 40), cache / "models--anna--x" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for path in folder.iterdir():
        blob = blobs / hashlib.sha256(path.read_bytes()).hexdigest()
        shutil.copy(path, blob)
        (snapshot / path.name).symlink_to(Path("../../blobs") / blob.name)
    return snapshot


def test_the_links_of_the_hubs_cache_are_followed_within_it(run: Path, tmp_path: Path, tiny_models: Any) -> None:
    snapshot = in_hub_cache(run / "adapter", tmp_path / "hub")
    base = in_hub_cache(tiny_models["distilbert"], tmp_path / "base")
    assert lightune.load(snapshot, base_model=str(base)).predict(["a fine film"])
    name = "lightune.json"
    (snapshot / name).unlink()
    (snapshot / name).symlink_to(run / "adapter" / name)
    with pytest.raises(ArtifactError, match="ARTIFACT-071"):
        lightune.load(snapshot, base_model=str(base))


def test_links_of_the_hubs_cache_are_followed_however_they_are_reached(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = in_hub_cache(run / "adapter", tmp_path / "hub")
    (tmp_path / "mine").symlink_to(snapshot)
    (tmp_path / "cache").symlink_to(tmp_path / "hub")
    for folder in (snapshot, tmp_path / "mine", tmp_path / "cache" / snapshot.relative_to(tmp_path / "hub")):
        require_own_files(folder, "lightune.json")
    monkeypatch.chdir(snapshot)
    require_own_files(Path(), "lightune.json")
    monkeypatch.chdir(tmp_path)
    require_own_files(Path("mine"), "lightune.json")


def test_links_that_lead_out_of_the_hubs_cache_are_not_followed(run: Path, tmp_path: Path, victim: Path) -> None:
    """Not even in a folder named snapshots, nor through a link to it."""
    snapshot = in_hub_cache(run / "adapter", tmp_path / "hub")
    (tmp_path / "mine").symlink_to(snapshot)
    (snapshot / "evil.json").symlink_to(victim)
    for folder in (snapshot, tmp_path / "mine"):
        with pytest.raises(ArtifactError, match="ARTIFACT-071"):
            require_own_files(folder, "evil.json")
