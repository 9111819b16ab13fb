"""`lightune report`: a run's summary again, and its pages written anew."""

from __future__ import annotations

import json
import shutil

import pytest

from lightune.cli.main import main


@pytest.fixture
def moved(tiny_run, tmp_path):
    """A copy of the run folder, somewhere else and without its pages."""
    folder = tmp_path / "moved"
    shutil.copytree(tiny_run.folder, folder)
    (folder / "report.html").unlink()
    (folder / "README.md").unlink()
    return folder


def test_the_pages_are_written_anew_and_show_where_the_run_is_now(moved, tiny_run, capsys):
    assert main(["report", str(moved)]) == 0
    first = capsys.readouterr().out
    assert first.startswith(f"{tiny_run.record.after.accuracy:.3f} accuracy")
    assert str(moved) in first
    assert str(tiny_run.folder) not in first
    # Apart from the place, they are the pages of the run itself; these may be passed on, and have the name alone.
    for name, here, there in ((name, moved.name, tiny_run.folder.name) for name in ("report.html", "README.md")):
        page = (moved / name).read_text(encoding="utf-8")
        assert str(here) in page
        assert page.replace(str(here), str(there)) == (tiny_run.folder / name).read_text(encoding="utf-8")


def test_json_is_the_record_and_nothing_else(moved, capsys):
    assert main(["report", str(moved), "--json"]) == 0
    expected = json.loads((moved / "results.json").read_text(encoding="utf-8"))
    assert json.loads(capsys.readouterr().out) == {**expected, "run_folder": str(moved)}


def test_no_color_is_honoured_even_where_colours_are_forced(moved, capsys, monkeypatch):
    """The headline of a failed reload check is red."""
    path = moved / "results.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"completed"', '"reload_failed"'), encoding="utf-8")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main(["report", str(moved)]) == 0
    assert "\x1b[1;31m" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(["report", str(moved)]) == 0
    printed = capsys.readouterr().out
    assert "Reload check" in printed
    assert "31m" not in printed


def test_a_damaged_record_ends_with_4(moved, capsys):
    (moved / "results.json").write_text("{", encoding="utf-8")
    assert main(["report", str(moved)]) == 4
    printed = capsys.readouterr()
    assert "ARTIFACT-032" in printed.err
    assert printed.out == ""
    assert not (moved / "report.html").exists()
