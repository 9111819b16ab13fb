"""Sets of labels: thresholds, pairs, sizes and the most wrong answers, on five texts that are counted by hand."""

from __future__ import annotations

import html
import io
import re

import pytest
from other_tasks import PREDICTIONS, regression
from rich.console import Console
from test_report_html import Page
from view_records import bare, label_sets, write_run

from example_record import example_predictions, example_record
from lightune.errors import ArtifactError
from lightune.report.card import render_card
from lightune.report.classification_view import LabelView
from lightune.report.files import read_run
from lightune.report.html import render_html
from lightune.report.label_sets_view import MOST_WRONG, LabelSetsView, most_wrong
from lightune.report.summary import print_evaluation, print_summary

HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "$x_1$ `b` *c* {{ 7 * 7 }}")


def _section(page: str, name: str) -> str:
    page = bare(page)
    start = page.index(f'aria-labelledby="{name}"')
    return page[start : page.index("</section>", start)]


def _cells(part: str) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", part, flags=re.DOTALL)
    return [[re.sub("<[^>]*>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


def test_the_threshold_of_each_label_is_a_column_where_labels_have_one():
    record, _ = label_sets()
    (table,) = LabelView.of(record.after, record.task).per_label("x")
    assert table.columns == ["label", "precision", "recall", "F1", "examples", "answered", "threshold"]
    # Of "price" one of three answers is right, and one of two texts is found: F1 is 2 / 5.
    assert table.rows == [
        ["food", "1.000", "1.000", "1.000", "3", "3", "0.500"],
        ["price", "0.333", "0.500", "0.400", "2", "3", "0.450"],
        ["staff", "0.000", "0.000", "0.000", "3", "1", "0.600"],
    ]
    single = example_record()
    assert "threshold" not in LabelView.of(single.after, single.task).per_label("x")[0].columns
    assert "reaches its threshold" not in render_html(single, example_predictions())


def test_pairs_and_sizes_are_counted():
    record, rows = label_sets()
    view = LabelSetsView.of(record.after, record.task)
    assert view.others()[0].rows == [
        ["food + price", "2", "2"],
        ["food + staff", "2", "0"],
        ["price + staff", "1", "1"],
    ]
    assert view.brief()[0].rows == [["none", "1", "1"], ["1", "1", "1"], ["2", "2", "3"], ["3", "1", "0"]]
    part = _section(render_html(record, rows), "label-sets")
    assert _cells(part) == [
        ["labels together", "texts", "answers"],
        *view.others()[0].rows,
        ["labels", "texts", "answers"],
        *view.brief()[0].rows,
    ]


def test_a_long_table_of_sizes_is_not_in_the_card_but_in_an_evaluation():
    record, rows = label_sets()
    many = [{"labels": size, "examples": 1, "answered": 0} for size in range(11)]
    after = record.after.model_copy(update={"details": {**record.after.details, "labels_per_text": many}})
    view = LabelSetsView.of(after, record.task)
    assert view.brief() == []
    assert [len(table.rows) for table in view.others()] == [3, 11]
    assert "How many labels" in render_card(record)
    assert "How many labels" not in render_card(record.model_copy(update={"after": after}))
    assert "How many labels" in render_html(record.model_copy(update={"after": after}), rows)


def test_the_most_wrong_answers_are_those_whose_wrong_labels_are_furthest_off():
    _, rows = label_sets()
    found = most_wrong(rows[1:], "labels", "predictions")
    # Missed labels lack 1 - p, wrongly answered ones have p too much:
    # (1 - 0.25) + (1 - 0.05), (1 - 0.2) + 0.85, 0.5 + 0.9, 1 - 0.3.
    expected = [("All of it is bad.", 1.7), ("Slow, dear, tasty.", 1.65), ("Hm.", 1.4), ("A rude waiter.", 0.7)]
    assert [(each.row["text"], pytest.approx(each.off)) for each in found] == expected
    marked = [(each.label, each.probability, each.is_wrong) for each in (*found[1].labels, *found[1].answers)]
    assert marked == [("food", 0.7, False), ("staff", 0.2, True), ("price", 0.85, True), ("food", 0.7, False)]


def test_the_page_lists_wrong_answers_with_probabilities_and_marks_wrong_labels():
    record, rows = label_sets()
    part = _section(render_html(record, rows), "wrong-sets")
    assert _cells(part) == [
        ["text", "labels", "predictions", "off by"],
        ["All of it is bad.", "food 0.60price 0.25staff 0.05", "food 0.60", "1.70"],
        ["Slow, dear, tasty.", "food 0.70staff 0.20", "price 0.85food 0.70", "1.65"],
        ["Hm.", "no label", "price 0.50staff 0.90", "1.40"],
        ["A rude waiter.", "staff 0.30", "no label", "0.70"],
    ]
    assert "4 of 4 wrong test answers" in part
    assert re.findall(r"<strong>(\w+)</strong>", part) == [
        "price",
        "staff",
        "staff",
        "price",
        "price",
        "staff",
        "staff",
    ]


def test_only_the_twenty_most_wrong_are_shown():
    record, rows = label_sets()
    many = [row for row in rows for _ in range(10)]
    part = _section(render_html(record, many), "wrong-sets")
    assert f"{MOST_WRONG} of 40 wrong test answers" in part
    assert len(_cells(part)) == 1 + MOST_WRONG
    right = [row | {"predictions": "|".join(reversed(row["labels"].split("|")))} for row in rows]
    assert "No test answer was wrong." in _section(render_html(record, right), "wrong-sets")


def test_hostile_names_come_out_as_text():
    record, rows = label_sets(HOSTILE)
    rows[2]["text"] = HOSTILE[0]
    text = render_html(record, rows)
    page = Page(text)
    assert page.open == []
    assert not {"script", "img"} & set(page.names())
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "49" not in _section(text, "label-sets")
    shown = html.unescape(re.sub("<wbr>", "", _section(text, "wrong-sets")))
    assert all(name in shown for name in HOSTILE)
    card = render_card(record)
    assert "<script" not in card.replace("\\<", "")
    assert all(len(line.split(" | ")) == 3 for line in card.splitlines() if line.startswith(("| none", "| 1 |")))


def test_both_texts_of_a_pair_are_shown():
    record, rows = label_sets()
    data = record.data.model_copy(update={"text_column": ["premise", "hypothesis"]})
    rows = [row | {"text_pair": f"other {place}"} for place, row in enumerate(rows)]
    assert "other 2</td>" in render_html(record.model_copy(update={"data": data}), rows)


def test_nothing_of_it_is_shown_for_other_answers():
    for record, rows in ((example_record(), example_predictions()), (regression(), PREDICTIONS)):
        page = render_html(record, rows)
        assert "label-sets" not in page
        assert "wrong-sets" not in page
        view = LabelSetsView.of(record.after, record.task)
        assert view.brief() + view.others() == []
        assert LabelSetsView.figures(record) == {}


def test_the_page_without_probabilities_has_no_most_wrong_answers():
    record, rows = label_sets()
    bare = [{name: row[name] for name in ("text", "labels", "predictions")} for row in rows]
    page = render_html(record, bare)
    assert 'id="label-sets"' in page
    assert 'id="wrong-sets"' not in page


def test_the_terminal_shows_all_tables_and_cuts_no_figure():
    record, _ = label_sets(("a" * 60, "b" * 60, "c"))
    sink = io.StringIO()
    print_evaluation(record.after, record.task, [], Console(file=sink, width=80))
    lines = sink.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert not any(line.rstrip().endswith("…") for line in lines)
    for figures in (["0.333", "0.500", "0.400", "2", "3", "0.450"], ["2", "0"]):
        assert any(line.split()[-len(figures) :] == figures for line in lines)
    sink = io.StringIO()
    print_summary(label_sets()[0], Console(file=sink, width=80))
    assert "\nhow many labels a text has    texts  answers\n" in sink.getvalue()
    assert re.search(r"^price +0\.333 +0\.500 +0\.400 +2 +3 +0\.450$", sink.getvalue(), flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "cell"), [("probability_food", "much"), ("probability_staff", "nan"), ("probability_price", "")]
)
def test_a_probability_that_is_no_number_is_found_when_the_run_is_read(tmp_path, name, cell):
    record, rows = label_sets()
    write_run(tmp_path, record, rows)
    assert read_run(tmp_path) == (record, rows)
    write_run(tmp_path, record, [*rows[:2], rows[2] | {name: cell}, *rows[3:]])
    with pytest.raises(ArtifactError, match="prediction 3 is incomplete or a figure in it is not a number") as caught:
        read_run(tmp_path)
    assert caught.value.code == "ARTIFACT-038"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("together", [{"labels": ["food"], "examples": 1, "answered": 1}], "after.details.together.0.labels"),
        (
            "labels_per_text",
            [{"labels": "two", "examples": 1, "answered": 1}],
            "after.details.labels_per_text.0.labels",
        ),
    ],
)
def test_details_that_cannot_be_drawn_are_named(tmp_path, name, value, said):
    record, rows = label_sets()
    after = record.after.model_copy(update={"details": {**record.after.details, name: value}})
    write_run(tmp_path, record.model_copy(update={"after": after}), rows)
    with pytest.raises(ArtifactError, match=re.escape(said)) as caught:
        read_run(tmp_path)
    assert caught.value.code == "ARTIFACT-034"
