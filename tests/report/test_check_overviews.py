"""`lightune check` on the terminal: the tables that a task makes of its targets, with bars that begin in one place."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from lightune.data.findings import Findings
from lightune.faults import Fault
from lightune.report.check import print_findings
from lightune.tasks import number_scores
from lightune.tasks.overview import Overview, by_split


def _printed(*tables: Overview, width: int = 80) -> list[str]:
    sink = io.StringIO()
    print_findings(Findings("x.csv", [], [], overviews=list(tables)), Console(file=sink, width=width))
    return [line.rstrip() for line in sink.getvalue().splitlines()]


def test_a_table_is_printed_as_the_task_made_it():
    rows = {"a": ["1,000", "50.0%"], "b": ["1,000", "50.0%"], "all": ["2,000", ""]}
    lines = _printed(by_split("label", {"train": rows}, ["", "share"]))
    table = [("label", "train", "share"), ("a", "1,000", "50.0%"), ("b", "1,000", "50.0%"), ("all", "2,000", "")]
    assert lines[2:6] == [f"{name:<24}  {count:>7}  {share:>7}".rstrip() for name, count, share in table]


def test_without_a_table_there_is_none():
    assert _printed() == ["x.csv: no faults, no warnings. The data can be used.", ""]


@pytest.mark.parametrize("splits", [("train",), ("train", "test"), ("train", "validation", "test")])
@pytest.mark.parametrize("width", [80, 100, 200])
def test_bars_begin_in_one_place_and_fit(splits, width):
    values = np.array([1.0, 1.0, 1.0, 1.0, 1.5, 2.0, 2.0])[:, None]
    found = number_scores.histograms(["score"], dict.fromkeys(splits, values))
    lines = [line for line in _printed(*found, width=width) if "█" in line]
    assert len(lines) == 3
    assert max(map(len, lines)) <= width
    starts = {tuple(place for place in range(1, len(line)) if line[place] == "█" and line[place - 1] == " ")
              for line in lines}  # fmt: skip
    assert len(starts) == 1
    assert len(starts.pop()) == len(splits)


def test_shortened_bars_keep_their_proportion():
    def bars(width: int) -> list[int]:
        values = np.array([1.0] * 40 + [1.5] * 20 + [2.0] * 10)[:, None]
        lines = _printed(*number_scores.histograms(["x"], {"train": values, "test": values}), width=width)
        return [line.count("█") for line in lines if "█" in line]

    assert bars(200) == [2 * 24, 2 * 12, 2 * 6]
    narrow = bars(66)
    assert 8 <= narrow[0] < 48
    assert narrow[1] == pytest.approx(narrow[0] / 2, abs=1)


def test_faults_are_red_and_warnings_yellow(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    sink = io.StringIO()
    faults, warnings = [Fault("DATA-013", "a.csv:2", "text is empty")], [Fault("DATA-104", "a.csv", "few rows", "Add.")]
    console = Console(file=sink, width=80, force_terminal=True, color_system="standard", highlight=False)
    print_findings(Findings("a.csv", faults, warnings), console)
    lines = sink.getvalue().splitlines()
    assert f"\x1b[31m{'fault DATA-013':<24}\x1b[0ma.csv:2: text is empty" in lines
    assert f"\x1b[33m{'warning DATA-104':<24}\x1b[0ma.csv: few rows" in lines
