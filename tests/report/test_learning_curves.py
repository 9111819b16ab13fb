"""Learning curves by step: what is read from metrics.jsonl, and where it is drawn."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from view_records import write_run

from example_record import example_predictions, example_record
from lightune.errors import ArtifactError
from lightune.report.files import read_run, write_reports
from lightune.report.html import render_html
from lightune.report.learning_plots import Curves
from lightune.report.step_losses import MOST_POINTS, Line, StepLosses, read_step_losses, thinned

TRAINING = example_record().training  # 5 epochs, 250 steps


def _lines(losses: list[float], epochs: int = 5) -> list[Line]:
    """Return the lines of steps with these losses, evenly divided into epochs."""
    each = len(losses) // epochs
    return [Line(step=at + 1, epoch=min(at // each + 1, epochs), loss=loss) for at, loss in enumerate(losses)]


def _write(folder: Path, lines: list[Line]) -> None:
    # The loop writes more than is read.
    rows = [json.dumps({**line.model_dump(), "learning_rate": 1e-4, "grad_norm": 0.3, "samples": 16}) for line in lines]
    (folder / "metrics.jsonl").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")


def _path(svg: str, style: str) -> list[tuple[float, float]]:
    """Return the points of the first line whose style matches."""
    for found, drawn in re.findall(r'<path d="(M [^"]*)"[^>]*style="([^"]*)"', svg):
        if re.search(style, drawn):
            return [(float(x), float(y)) for x, y in re.findall(r"[ML] ([\d.]+) ([\d.]+)", found)]
    raise AssertionError(f"no line with {style}")


FAINT, BOLD, VALIDATION = r"stroke: var\(--accent\); stroke-opacity", r"stroke: var\(--accent\); stroke-width: 1.8", (
    r"stroke-dasharray: [^;]*; stroke-dashoffset: 0; stroke: var\(--warm\)"
)  # fmt: skip


def test_a_few_steps_are_read_as_they_are(tmp_path):
    _write(tmp_path, _lines([0.9, 0.8, 0.7, 0.6], epochs=2))
    assert read_step_losses(tmp_path) == StepLosses([1, 2, 3, 4], [0.9, 0.8, 0.7, 0.6], 1, {1: 2, 2: 4})


@pytest.mark.parametrize(("steps", "each", "points"), [(300, 1, 300), (301, 2, 151), (10_000, 34, 295)])
def test_many_steps_become_means_of_as_many_steps_in_a_row(steps, each, points):
    found = thinned(_lines([float(step) for step in range(1, steps + 1)]))
    assert (found.each, len(found.losses)) == (each, points)
    assert points <= MOST_POINTS
    # The mean of 1, 2, ..., n is (n + 1) / 2, for the losses and for the numbers of the steps.
    assert found.losses[0] == found.steps[0] == (each + 1) / 2
    assert found.ends[5] == steps


def test_a_smoothed_loss_is_the_mean_of_those_on_either_side():
    steps = thinned(_lines([1.0, 2.0, 6.0, 3.0, 0.0]))
    assert steps.beside == 1
    assert steps.smoothed() == [1.5, 3.0, pytest.approx(11 / 3), 3.0, 1.5]
    assert thinned(_lines([0.0] * 300)).beside == 10


def test_a_folder_without_steps_has_none(tmp_path):
    assert read_step_losses(tmp_path) is None
    (tmp_path / "metrics.jsonl").write_text("", encoding="utf-8")
    assert read_step_losses(tmp_path) is None


@pytest.mark.parametrize(
    "line", ['{"step": 3, "epo', "[]", '{"step": 3, "epoch": 1}', '{"step": 3, "epoch": 1, "loss": NaN}', "\udcff"]
)
def test_a_damaged_line_is_named_and_the_way_on_is_told(tmp_path, line):
    _write(tmp_path, _lines([0.9, 0.8], epochs=1))
    with (tmp_path / "metrics.jsonl").open("ab") as sink:
        sink.write(line.encode("utf-8", "surrogateescape") + b"\n")
    with pytest.raises(ArtifactError) as caught:
        read_step_losses(tmp_path)
    assert caught.value.code == "ARTIFACT-044"
    assert str(tmp_path / "metrics.jsonl") in caught.value.message
    assert "line 3 is not that of a step" in caught.value.message
    assert "by epoch" in caught.value.hint


def test_losses_are_drawn_at_their_steps_and_validation_at_the_ends_of_the_epochs():
    losses = [0.7 - 0.001 * step for step in range(250)]
    svg = Curves.of(TRAINING, thinned(_lines(losses))).losses()
    faint, bold, validation = (_path(svg, style) for style in (FAINT, BOLD, VALIDATION))
    # Straight lines are thinned by matplotlib: the ends remain.
    (left, top), (right, bottom) = faint[0], faint[-1]
    assert (bold[0][0], bold[-1][0]) == (left, right)
    for epoch, (x, y) in zip(TRAINING.epochs, validation, strict=True):
        assert (x - left) / (right - left) == pytest.approx((50 * epoch.epoch - 1) / 249, abs=2e-3)
        height = (0.7 - epoch.metrics["loss"]) / (0.7 - losses[-1])
        assert (y - top) / (bottom - top) == pytest.approx(height, abs=2e-3)
    assert ">step</text>" in svg
    assert "kept (epoch 4)" in svg


def test_without_steps_or_with_those_of_another_training_the_axis_is_that_of_the_epochs():
    fewer = thinned(_lines([0.5] * 40, epochs=4))
    for steps in (None, fewer):
        curves = Curves.of(TRAINING, steps)
        assert all(">epoch</text>" in plot for plot in curves.drawn(example_record().task.headline))
        assert not re.search(FAINT, curves.losses())
        assert "end of an epoch" in curves.sentence()


def test_the_page_says_what_the_lines_are():
    record, rows = example_record(), example_predictions()
    one, several = (thinned(_lines([0.5] * steps)) for steps in (250, 1000))
    page = render_html(record, rows, one)
    assert "The faint line is the training loss of each step, the other one its mean over 17 steps." in page
    # 1,000 steps are 250 means of 4: 8 on either side, 17 of 4.
    assert "is the mean training loss of every 4 steps, the other one its mean over 68 steps." in render_html(
        record, rows, several
    )
    assert page.count(">step</text>") == 2
    assert render_html(record, rows).count(">epoch</text>") == 2


def test_the_report_of_a_run_folder_has_its_steps(tmp_path):
    record, rows = example_record(), example_predictions()
    write_run(tmp_path, record, rows)
    write_reports(*read_run(tmp_path), tmp_path)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == render_html(record, rows)
    _write(tmp_path, _lines([0.5] * 250))
    write_reports(*read_run(tmp_path), tmp_path)
    assert ">step</text>" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_plot_of_many_steps_is_small():
    steps = thinned(_lines([0.5 + 0.3 * (step % 7) for step in range(100_000)]))
    assert len(Curves.of(TRAINING, steps).losses()) < 40_000
