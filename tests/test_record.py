"""A record as it shows itself in a program and in a notebook."""

from __future__ import annotations

import re

import pytest

from lightune.record import RunRecord


@pytest.fixture
def record(tiny_run) -> RunRecord:
    return tiny_run.record


def test_a_record_prints_as_a_calm_table(record: RunRecord):
    lines = str(record).splitlines()
    assert lines[0] == f"accuracy                {record.after.accuracy:.3f} on 40 test examples"
    assert lines[-1] == f"run folder              {record.run_folder}"
    rival = record.comparison.best_baseline
    found = record.comparison.gains[rival]
    low, high = (100 * end for end in found.ci95)
    points = rf"[+-]\d+\.\d points \(95%: {low:.1f} to {high:.1f}\): {found.verdict}"
    assert re.fullmatch(rf"over the best baseline  {re.escape(record.baseline_name(rival))}: {points}", lines[1])
    assert len({line.index(line.split("  ")[-1].lstrip()) for line in lines}) == 1, "the values should line up"
    assert repr(record) == f"<RunRecord {record.run_folder}: accuracy {record.after.accuracy:.3f}>"


def test_a_notebook_shows_the_same_figures_escaped(record: RunRecord):
    shown = record.model_copy(update={"notes": ["<script>alert(1)</script>"]})
    html = shown._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    cells = re.findall(r"<td[^>]*>(.*?)</td>", html)
    assert cells[:2] == ["accuracy", f"{record.after.accuracy:.3f} on 40 test examples"]
    assert len(cells) == 2 * len(shown.figures())
