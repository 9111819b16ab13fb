"""Predicted numbers: figures per target and range, plots and the largest errors, on four texts counted by hand."""

from __future__ import annotations

import html
import io
import re

import pytest
from rich.console import Console
from test_report_html import Page
from view_records import ANSWERS, TARGETS, bare, numbers, write_run

from example_record import example_predictions, example_record
from lightune.errors import ArtifactError
from lightune.report.card import render_card
from lightune.report.files import read_run
from lightune.report.html import render_html
from lightune.report.number_plots import error_plot, scatter_plot
from lightune.report.numbers_view import MOST_TARGETS, NumbersView, Points
from lightune.report.summary import print_evaluation, print_summary

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
ONE = {"joy": TARGETS["joy"]}, {"joy": ANSWERS["joy"]}


def _view(record) -> NumbersView:
    return NumbersView.of(record.after, record.task)


def _section(page: str, name: str) -> str:
    page = bare(page)
    start = page.index(f'aria-labelledby="{name}"')
    return html.unescape(page[start : page.index("</section>", start)])


def _points(svg: str) -> list[tuple[float, float]]:
    group = re.search(r'<g clip-path="[^"]+" style="fill: var\(--accent\).*?</g>', svg, flags=re.DOTALL)
    assert group
    return [(float(x), float(y)) for x, y in re.findall(r'<use href="#[^"]+" x="([\d.]+)" y="([\d.]+)"/>', group[0])]


def test_the_figures_of_each_target():
    (table,) = _view(numbers()[0]).per_target("x")
    assert table.columns == ["target", "R2", "RMSE", "MAE", "Spearman", "Pearson"]
    # joy: errors 0.5, 0, -1, -1 around a mean of 2.75: 1 - 2.25 / 8.75, sqrt(2.25 / 4), 2.5 / 4, 4.5 / sqrt(5 * 4.5),
    # 5.375 / sqrt(8.75 * 3.6875). anger: errors 2, -2, 3, -10: 1 - 117 / 500, sqrt(117 / 4), 17 / 4, 1 - 12 / 60.
    assert table.rows[0] == ["joy", "0.743", "0.750", "0.625", "0.949", "0.946"]
    assert table.rows[1][:5] == ["anger", "0.766", "5.408", "4.250", "0.800"]


def test_the_ends_of_each_target_in_training_among_true_values_and_among_answers():
    (table,) = _view(numbers()[0]).ends()
    assert table.rows == [
        ["joy", "0 to 6", "1 to 5", "1.5 to 4"],
        ["anger", "10 to 50", "10 to 40", "12 to 33"],
    ]
    record, _ = numbers()
    unknown = record.after.model_copy(update={"details": record.after.details | {"scale": {}}})
    assert [row[1] for row in NumbersView.of(unknown, record.task).ends()[0].rows] == ["-", "-"]


def test_errors_by_range_of_the_true_value():
    (table,) = _view(numbers()[0]).by_range("anger")
    assert table.columns == ["range", "texts", "mean", "mean answer", "MAE", "bias"]
    # A fifth of 10 to 40 is 6 wide; none of the values is between 22 and 28.
    assert table.rows == [
        ["10 to 16", "1", "10.00", "12.00", "2.000", "+2.000"],
        ["16 to 22", "1", "20.00", "18.00", "2.000", "-2.000"],
        ["28 to 34", "1", "30.00", "33.00", "3.000", "+3.000"],
        ["34 to 40", "1", "40.00", "30.00", "10.00", "-10.00"],
    ]


def test_figures_that_are_not_defined_are_dashes():
    record, rows = numbers({"joy": [2.0, 2.0]}, {"joy": [1.0, 3.0]})
    assert _view(record).per_target("x")[0].rows == [["joy", "-", "1.000", "1.000", "-", "-"]]
    assert "<svg" in _section(render_html(record, rows), "numbers")


def test_a_point_stands_at_its_true_value_and_its_answer():
    true, answers = TARGETS["joy"], ANSWERS["joy"]
    points = _points(scatter_plot(0, "joy", true, answers))
    (left, bottom), *_, (right, top) = points
    for (x, y), value, answer in zip(points, true, answers, strict=True):
        assert (x - left) / (right - left) == pytest.approx((value - 1) / (5 - 1), abs=2e-3)
        assert (bottom - y) / (bottom - top) == pytest.approx((answer - 1.5) / (4 - 1.5), abs=2e-3)


def test_the_diagonal_goes_from_corner_to_corner_and_through_right_answers():
    svg = scatter_plot(0, "joy", [1.0, 2.0, 5.0], [1.0, 2.0, 5.0])
    lines = re.findall(r'<path d="M ([\d.]+) ([\d.]+)\s+L ([\d.]+) ([\d.]+)\s*"[^>]*stroke: currentColor', svg)
    ((x0, y0, x1, y1),) = [tuple(map(float, line)) for line in lines]
    for x, y in _points(svg):
        assert (y - y0) / (y1 - y0) == pytest.approx((x - x0) / (x1 - x0), abs=1e-3)


def test_an_error_stands_at_its_answer_and_above_zero_where_the_answer_is_too_high():
    svg = error_plot(0, "joy", TARGETS["joy"], ANSWERS["joy"])
    (zero,) = re.findall(r'<path d="M [\d.]+ ([\d.]+)\s+L [\d.]+ \1\s*"[^>]*stroke: currentColor', svg)
    points = _points(svg)
    signs = [(float(zero) > y + 0.2) - (float(zero) < y - 0.2) for _, y in points]
    assert signs == [1, 0, -1, -1]
    assert points[1][0] == points[2][0]  # both are answered 2
    assert points[2][1] == points[3][1]  # both are off by -1
    assert "They go from -1 to 0.5, -0.375 on average" in svg


def test_every_plot_says_in_words_what_it_shows():
    record, rows = numbers()
    page = Page(render_html(record, rows))
    told = [attributes["aria-label"] for tag, attributes in page.tags if tag == "svg"][1:5]
    assert told[0] == (
        "Scatter plot of joy: answers over true values of 4 texts. True values go from 1 to 5, answers from "
        "1.5 to 4; on the diagonal both are equal."
    )
    assert told[3].startswith("Errors of anger, answer minus true value, over the answers to 4 texts. They go from")


@pytest.mark.parametrize("ends", [(0.0, 1e7), (1e6, 1e6 + 5), (-1e149, 1e149), (1e-9, 2e-9), (3.0, 3.0), (0.0, 0.0)])
def test_any_numbers_can_be_drawn(ends):
    for svg in (scatter_plot(0, "x", ends, ends[::-1]), error_plot(1, "x", ends, ends[::-1])):
        assert len(_points(svg)) == 2
        assert "nan" not in svg


def test_at_most_two_thousand_points_are_drawn_evenly_spread():
    few = Points("x", [float(value) for value in range(5_000)], [0.0] * 5_000).thinned(2_000)
    assert few.true == [float(value) for value in range(0, 5_000, 3)]
    assert Points("x", [1.0, float("nan"), 1e200, 3.0], [1.0, 2.0, 3.0, 4.0]).thinned(10).true == [1.0, 3.0]
    many = [float(value) for value in range(2_500)]
    text = _section(render_html(*numbers({"x": many}, {"x": many[::-1]})), "numbers")
    assert text.count("<use ") < 2 * 1_250 + 100
    assert "The plots show 1,250 of 2,500 texts" in text
    assert "The plots show" not in _section(render_html(*numbers()), "numbers")


def test_of_many_targets_the_first_ones_are_drawn():
    names = [f"target {number}" for number in range(8)]
    record, rows = numbers(dict.fromkeys(names, TARGETS["joy"]), dict.fromkeys(names, ANSWERS["joy"]))
    text = _section(render_html(record, rows), "numbers")
    assert text.count("<svg") == 2 * MOST_TARGETS
    assert re.findall(r"<h3>(.*?)</h3>", text) == names[:MOST_TARGETS]
    assert "Plots and ranges are of the first 6 of 8 targets" in text
    assert len(_view(record).others()) == MOST_TARGETS
    assert len(_view(record).per_target("x")[0].rows) == 8


def test_the_largest_errors_are_ranked_in_deviations_of_each_target():
    record, rows = numbers()
    view = _view(record)
    found = view.largest(view.points(rows, record.task), rows)
    # In units of sqrt(8.75 / 4) and sqrt(500 / 4): 0.894, twice 0.676, 0.338, 0.268, twice 0.179.
    expected = [
        ("anger", "Text 3.", "-10.00"), ("joy", "Text 2.", "-1.000"), ("joy", "Text 3.", "-1.000"),
        ("joy", "Text 0.", "+0.500"), ("anger", "Text 2.", "+3.000"), ("anger", "Text 0.", "+2.000"),
        ("anger", "Text 1.", "-2.000"),
    ]  # fmt: skip
    assert [(miss.target, miss.row["text"], miss.cells()[2]) for miss in found] == expected
    part = _section(render_html(record, rows), "errors")
    assert re.findall(r"<td[^>]*>(.*?)</td>", part)[:5] == ["Text 3.", "anger", "40.00", "30.00", "-10.00"]
    assert "ranked in standard deviations" in part


def test_the_twenty_largest_errors_of_one_target():
    values = [float(value) for value in range(30)]
    record, rows = numbers({"joy": values}, {"joy": [0.0] * 30})
    part = _section(render_html(record, rows), "errors")
    rows = re.findall(r"<tr>(<td>.*?)</tr>", part)
    assert len(rows) == 20
    assert re.findall(r"<td>(.*?)</td>", rows[0]) == ["Text 29.", "29.00", "0", "-29.00"]
    assert "standard deviations" not in part
    assert "Every answer is exact." in _section(render_html(*numbers({"joy": values}, {"joy": values})), "errors")


def test_one_target_has_no_table_that_repeats_the_results():
    record, rows = numbers(*ONE)
    assert [table.caption for table in _view(record).brief()] == ["Range of values"]
    assert [table.caption for table in _view(numbers()[0]).brief()] == ["Per target", "Range of values"]
    page = _section(render_html(record, rows), "numbers")
    assert "<td>0.743</td>" in page
    assert "Range of values:\n\n| target | in training | true values | answers |" in render_card(record)


def test_hostile_names_come_out_as_text():
    targets, answers = ({HOSTILE: found["joy"], "$x_1$": found["anger"]} for found in (TARGETS, ANSWERS))
    record, rows = numbers(targets, answers)
    rows[0]["text"] = HOSTILE
    text = render_html(record, rows)
    page = Page(text)
    assert page.open == []
    assert not {"script", "img"} & set(page.names())
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', text)) <= set(ids)
    assert not re.findall(r"#[0-9a-fA-F]{6}\b", "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)))
    assert sum(HOSTILE in (attributes.get("aria-label") or "") for _, attributes in page.tags) == 3
    assert "<img" not in render_card(record).replace("\\<", "")


def test_the_same_record_gives_the_same_bytes():
    assert render_html(*numbers()) == render_html(*numbers())


def test_nothing_of_it_is_shown_for_labels():
    record = example_record()
    page = render_html(record, example_predictions())
    assert 'id="numbers"' not in page
    assert 'id="errors"' not in page
    assert _view(record).brief() + _view(record).others() == []
    assert NumbersView.figures(record) == {}


def test_a_page_without_predictions_has_the_tables_only():
    page = render_html(numbers()[0], [])
    assert "<svg" not in _section(page, "numbers")
    assert "By range of the true joy" in page
    assert 'id="errors"' not in page


def test_the_terminal_shows_targets_ends_and_ranges():
    record, _ = numbers()
    sink = io.StringIO()
    print_evaluation(record.after, record.task, [], Console(file=sink, width=80))
    text = sink.getvalue()
    assert re.search(r"^joy +0\.743 +0\.750 +0\.625 +0\.949 +0\.946$", text, flags=re.MULTILINE)
    assert re.search(r"^joy +0 to 6 +1 to 5 +1\.5 to 4$", text, flags=re.MULTILINE)
    assert re.search(r"^true anger +texts +mean +mean answer +MAE +bias$", text, flags=re.MULTILINE)
    assert max(map(len, text.splitlines())) <= 80
    sink = io.StringIO()
    print_summary(record, Console(file=sink, width=80))
    assert "\nper target " in sink.getvalue()
    assert "\nrange of values " in sink.getvalue()


def test_names_are_cut_before_figures_are():
    long = {"joy " * 20: TARGETS["joy"], "b" * 90: TARGETS["anger"]}
    record, _ = numbers(long, dict(zip(long, ANSWERS.values(), strict=True)))
    sink = io.StringIO()
    print_summary(record, Console(file=sink, width=60))
    ends = [line for line in sink.getvalue().splitlines() if "10 to 40" in line]
    assert len(ends) == 1
    assert ends[0].startswith("bbbb")
    assert ends[0].endswith("12 to 33")


@pytest.mark.parametrize(
    ("column", "cell"),
    [("target", "1"), ("target", "1|2|3"), ("target", "1|x"), ("prediction", "nan|2"), ("prediction", "")],
)
def test_numbers_that_cannot_be_read_are_found_when_the_run_is_read(tmp_path, column, cell):
    record, rows = numbers()
    write_run(tmp_path, record, rows)
    assert read_run(tmp_path) == (record, rows)
    write_run(tmp_path, record, [rows[0], rows[1] | {column: cell}, *rows[2:]])
    with pytest.raises(ArtifactError, match="prediction 2 is incomplete or a figure in it is not a number") as caught:
        read_run(tmp_path)
    assert caught.value.code == "ARTIFACT-038"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("per_target", {"joy": {"r2": 0.5}}, "after.details.per_target.joy.rmse"),
        ("scale", {"joy": [1]}, "after.details.scale.joy"),
    ],
)
def test_details_that_cannot_be_drawn_are_named(tmp_path, name, value, said):
    record, rows = numbers(*ONE)
    after = record.after.model_copy(update={"details": record.after.details | {name: value}})
    write_run(tmp_path, record.model_copy(update={"after": after}), rows)
    with pytest.raises(ArtifactError, match=re.escape(said)) as caught:
        read_run(tmp_path)
    assert caught.value.code == "ARTIFACT-034"
