"""The summary on the terminal."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from example_record import FIVE, TWO, counted_predictions, example_record
from lightune.report import gains
from lightune.report.summary import print_summary, print_table
from lightune.report.tables import Table


def _printed(record, width=80):
    sink = io.StringIO()
    print_summary(record, Console(file=sink, width=width))
    return sink.getvalue()


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("labels", [TWO, FIVE])
def test_it_fits_and_nothing_is_cut(width, labels):
    lines = _printed(example_record(labels), width).splitlines()
    assert len(lines) <= 52
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)
    assert not any(line != line.rstrip() for line in lines if not line.startswith(("linear", "always")))


def test_the_headline_comes_first():
    record = example_record()
    assert _printed(record, 200).splitlines()[:2] == [gains.headline(record), gains.before_sentence(record)]


def test_every_part_is_there():
    record = example_record()
    text = _printed(record)
    for part in (
        "always answering negative", "linear probe", "before (untrained head)", "after (lora)", "negation", "irony",
        "training                  2 min 05 s", "445,826 of 22,810,370 (1.95%)", "1.8 MB", "merged into base",
        "reload check            passed", "notes                   12 training rows",
        "runs/reviews-1/report.html", 'lightune predict runs/reviews-1 "A text to classify."',
    ):  # fmt: skip
        assert part in text, part


def test_what_could_not_be_measured_says_so():
    record = example_record()
    inference = record.inference.model_copy(
        update=dict.fromkeys(("merged_latency_ms_p50", "merged_latency_ms_p95", "merged_samples_per_second"))
    )
    training = record.training.model_copy(update={"memory_before_bytes": None, "peak_memory_bytes": None})
    text = _printed(record.model_copy(update={"inference": inference, "training": training}))
    merged = next(line for line in text.splitlines() if line.startswith("merged"))
    trained = next(line for line in text.splitlines() if line.startswith("training"))
    assert merged.count("not measured") == 3
    assert trained.count("not measured") == 2
    assert "None" not in text


def test_a_failed_reload_is_said_at_the_top():
    check = {"passed": False, "examples": 32, "largest_logit_difference": 0.2}
    text = _printed(example_record(status="reload_failed", reload_check=check))
    assert text.index("Reload check FAILED") < text.index("linear probe  ")
    assert "Do not use it." in " ".join(text.split())


def test_many_groups_and_notes_and_a_gpu_still_fit():
    record = example_record(notes=[f"note {number}" for number in range(30)])
    groups = {f"group {number}": next(iter(record.after.groups["kind"].values())) for number in range(50)}
    gpu = {"peak_cuda_allocated_bytes": 2_000_000_000, "peak_cuda_reserved_bytes": None}
    after = record.after.model_copy(update={"groups": {"topic": groups, "kind": groups}, **gpu})
    text = _printed(record.model_copy(update={"after": after}))
    assert "by topic (6 of 50)" in text
    assert [line.strip().removeprefix("notes").strip() for line in text.splitlines() if "note" in line] == [
        f"note {number}" for number in range(30)
    ]
    assert "2.00 GB" in text


def test_markup_and_control_characters_in_the_data_are_only_text():
    record = example_record(("[bold red]no[/]", "\x1b[31myes"), notes=["[link=x]click[/link]"])
    text = _printed(record)
    assert "[bold red]no[/]" in text
    assert "[link=x]click[/link]" in text
    assert "\x1b" not in text


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_table_that_is_too_wide_is_printed_in_parts_and_no_figure_is_cut(width):
    names = ["RMSE", "mean absolute error", "Spearman", "Pearson", "average precision"]
    figures = ["1,399,160,550.176", "961,102,030.173", "0.462", "not measured", "-0.044"]
    sink = io.StringIO()
    table = Table("", ["on the same 1,500 test examples", *names], [["word counts (TF-IDF) of all", *figures]] * 2)
    print_table(table, Console(file=sink, width=width))
    lines = sink.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    assert all(words.count(figure) == 2 for figure in figures if " " not in figure)
    assert sink.getvalue().count("not measured") == 2
    assert sum(line.lstrip().startswith("word") for line in lines) == 2 * (1 + lines.count(""))


def test_the_last_lines_say_how_to_use_it_with_and_without_lightune():
    record = example_record(run_folder="runs/quickstart-1")
    assert _printed(record).splitlines()[-3:] == [
        'use it                  lightune predict runs/quickstart-1 "A text to classify."',
        'without lightune        lightune.load("runs/quickstart-1").save_pretrained(DIR)',
        "share it                lightune push runs/quickstart-1 OWNER/NAME",
    ]
    inference = record.inference.model_copy(update={"merged_samples_per_second": None})
    assert "save_pretrained" not in _printed(record.model_copy(update={"inference": inference}))


GREEN, RED, YELLOW, DIM = "\x1b[1;32m", "\x1b[1;31m", "\x1b[33m", "\x1b[2m"


def _on_a_terminal(record, monkeypatch, no_color=""):
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setenv("TERM", "xterm")
    sink = io.StringIO()
    print_summary(record, Console(file=sink, width=80, force_terminal=True, color_system="standard", highlight=False))
    return sink.getvalue()


@pytest.mark.parametrize(
    ("right", "verdict", "colour"),
    [((80, 80), "better", GREEN), ((60, 60), "worse", RED), ((70, 70), "no clear difference", None)],
)
def test_the_verdict_is_coloured(right, verdict, colour, monkeypatch):
    record = example_record(TWO, counted_predictions(TWO, (100, 100), after=right, probe=(70, 70), tfidf=(50, 50)))
    text = _on_a_terminal(record, monkeypatch)
    headline = text[: text.index("Up" if "Up" in text else "\n\n")]
    assert record.comparison.gains[record.comparison.rival].verdict == verdict
    assert [shade in headline for shade in (GREEN, RED)] == [colour == GREEN, colour == RED]
    if colour:
        assert f"{colour}{verdict}\x1b[0m" in headline


def test_warnings_are_yellow_and_other_notes_are_not(monkeypatch):
    warning = "DATA-104 train.csv: 3 labels have few examples."
    text = _on_a_terminal(example_record(notes=["12 training rows were set aside.", warning]), monkeypatch)
    assert f"{YELLOW}{warning}\x1b[0m" in text
    assert f"{DIM}notes                   \x1b[0m12 training rows were set aside.\n" in text


def test_no_color_is_honoured(monkeypatch):
    rows = counted_predictions(TWO, (100, 100), after=(80, 80), probe=(70, 70))
    text = _on_a_terminal(example_record(TWO, rows, notes=["DATA-104 x"]), monkeypatch, no_color="1")
    assert "better" in text
    assert "DATA-104 x" in text
    assert set(re.findall(r"\x1b\[([\d;]*)m", text)) <= {"0", "1", "2"}, "bold and dim are no colours"
