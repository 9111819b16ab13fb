"""What a run says: plain lines, and one block in a notebook that is rewritten in place."""

from __future__ import annotations

import io
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from lightune.progress import Bars, Notebook, PlainLines, Reporter, Silent, in_notebook, program_reporter


class Screen:
    """What stands under the cell, and how often it was written."""

    def __init__(self) -> None:
        self.now: dict[str, str] = {}
        self.writes = 0

    def display(self, data: dict[str, str], raw: bool, display_id: bool) -> Screen:
        assert raw
        assert display_id
        self.update(data, raw)
        return self

    def update(self, data: dict[str, str], raw: bool) -> None:
        self.now = data
        self.writes += 1


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """A notebook's kernel, as far as a reporter sees it (IPython is not installed where the tests run)."""
    shown = Screen()
    package, display = ModuleType("IPython"), ModuleType("IPython.display")
    package.get_ipython = lambda: SimpleNamespace(kernel="there")
    display.display = shown.display
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return shown


def work(reporter: Reporter) -> None:
    """Report a phase, a loop of three steps and a note."""
    reporter.phase("Training with <lora>")
    with reporter.steps("steps", 3) as advance:
        for number in range(3):
            advance(f"loss {number} & less")
    reporter.note("3 examples")


def test_a_notebook_gets_one_block_without_escape_codes(screen: Screen, monkeypatch, capsys):
    monkeypatch.setattr(Notebook, "SECONDS_BETWEEN", 0.0)
    seen: list[str] = []
    update = screen.update
    screen.update = lambda data, raw: (update(data, raw), seen.append(data["text/html"]))[0]
    work(program_reporter())
    assert any('<progress value="2" max="3">' in html and "loss 1 &amp; less" in html for html in seen)
    assert "<progress" not in screen.now["text/html"]
    assert "Training with &lt;lora&gt;" in screen.now["text/html"]
    assert screen.now["text/plain"] == "Training with <lora>\n3 examples"
    assert "\x1b" not in "".join(seen)
    assert capsys.readouterr() == ("", "")


def test_a_bar_is_not_redrawn_at_every_step(screen: Screen):
    reporter: Any = Notebook()
    with reporter.steps("steps", 10_000) as advance:
        for _ in range(10_000):
            advance()
    assert screen.writes < 50


def test_programs_hear_nothing_outside_a_notebook(screen: Screen, monkeypatch):
    assert in_notebook()
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: SimpleNamespace(colors="a terminal"))
    assert isinstance(program_reporter(), Silent)
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: None)
    assert isinstance(program_reporter(), Silent)
    monkeypatch.delitem(sys.modules, "IPython")
    assert isinstance(program_reporter(), Silent)


def test_plain_lines_go_to_stderr(capsys):
    work(PlainLines())
    assert capsys.readouterr() == (
        "",
        "Training with <lora>\n  steps 1/3  loss 0 & less\n  steps 2/3  loss 1 & less\n  steps 3/3  loss 2 & less\n"
        "  3 examples\n",
    )


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> tuple[Bars, io.StringIO]:
    """Bars on a terminal of 16 colours, and what they write."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    sink, bars = io.StringIO(), Bars()
    bars.console = Console(file=sink, width=80, force_terminal=True, color_system="truecolor", highlight=False)
    return bars, sink


def test_a_running_bar_is_not_red(terminal: tuple[Bars, io.StringIO]):
    """rich's own running bar has the colour 249,38,114."""
    bars, sink = terminal
    with bars.steps("steps", 4) as advance:
        advance()
        advance()
    written = sink.getvalue()
    assert "\x1b[36m━" in written
    assert all(red not in written for red in ("\x1b[31m", "249;38;114"))


def test_a_warning_is_yellow_among_dim_notes(terminal: tuple[Bars, io.StringIO]):
    bars, sink = terminal
    bars.note("3 examples")
    bars.note("DATA-104 train.csv: a label has few examples. Add rows.")
    bars.note("DATA-013 is no warning")
    dim, yellow, other = sink.getvalue().splitlines()
    assert (dim.startswith("\x1b[2m"), yellow.startswith("\x1b[33m"), other.startswith("\x1b[2m")) == (True, True, True)
