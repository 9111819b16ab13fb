"""How the page is laid out: contents, tables that fit a phone, no empty rows, colours that can be read."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from html.parser import HTMLParser
from importlib.resources import files

import pytest
from other_tasks import PREDICTIONS, grades, regression, without_baselines
from rich.console import Console
from test_report_html import Page
from view_records import label_sets, numbers

from example_record import FIVE, TWO, example_predictions, example_record
from lightune.record import RunRecord
from lightune.report import tables
from lightune.report.card import render_card
from lightune.report.html import form, render_html
from lightune.report.summary import print_evaluation, print_summary
from lightune.report.tables import Table

TWENTY = tuple(f"class {number}" for number in range(20))
STYLE = files("lightune.report").joinpath("templates/report.css").read_text(encoding="utf-8")
Made = tuple[RunRecord, list[dict[str, str]]]
RECORDS: dict[str, Callable[[], Made]] = {
    "two labels": lambda: (example_record(TWO), example_predictions(TWO)),
    "five labels": lambda: (example_record(FIVE), example_predictions(FIVE)),
    "twenty labels": lambda: (example_record(TWENTY), example_predictions(TWENTY)),
    "label sets": label_sets,
    "numbers": numbers,
    "regression": lambda: (regression(), PREDICTIONS),
    "grades": lambda: (grades(), PREDICTIONS),
    "without baselines": lambda: (without_baselines(), PREDICTIONS),
}
ALL = pytest.mark.parametrize("made", RECORDS.values(), ids=list(RECORDS))


class Tables(HTMLParser):
    """Collects the tables of a page: the class of each, its columns, and its rows of (attributes, text)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.classes: list[str] = []
        self.columns: list[list[str]] = []
        self.rows: list[list[list[tuple[dict[str, str | None], str]]]] = []
        self.is_head = False
        self.cell: tuple[dict[str, str | None], list[str]] | None = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "table":
            self.classes.append(dict(attrs).get("class") or "")
            self.columns.append([])
            self.rows.append([])
        elif tag in {"thead", "tbody"}:
            self.is_head = tag == "thead"
        elif tag == "tr" and not self.is_head:
            self.rows[-1].append([])
        elif tag in {"th", "td"}:
            self.cell = (dict(attrs), [])

    def handle_endtag(self, tag):
        if tag in {"th", "td"} and self.cell:
            attributes, text = self.cell[0], " ".join("".join(self.cell[1]).split())
            if self.is_head:
                self.columns[-1].append(text)
            else:
                self.rows[-1][-1].append((attributes, text))
            self.cell = None

    def handle_data(self, data):
        if self.cell:
            self.cell[1].append(data)


@ALL
def test_the_contents_name_every_section_in_order_and_lead_to_it(made):
    text = render_html(*made())
    nav = re.search(r'<nav class="contents" aria-label="Contents">.*?</nav>', text, flags=re.DOTALL)[0]
    links = re.findall(r'<a href="#([^"]+)">([^<]+)</a>', nav)
    assert links[0] == ("verdict", "Verdict")
    assert links[1:] == re.findall(r'<h2 id="([^"]+)">([^<]+)</h2>', text)
    assert text.count("<h2") == len(links) - 1
    ids = [attributes["id"] for _, attributes in Page(text).tags if "id" in attributes]
    assert all(ids.count(name) == 1 for name, _ in links)
    # A closed list that opens without a script; links and the summary can be reached with the keyboard.
    assert re.search(r"<details>\s*<summary>Contents</summary>\s*<ol>", nav)
    assert text.index(nav) < text.index("<h1>")


@ALL
def test_what_to_know_comes_before_the_details_and_the_recipe_is_folded_at_the_end(made):
    text = render_html(*made())
    names = re.findall(r'<h2 id="([^"]+)">', text)
    fixed = [name for name in names if name in {"results", "next", "notes", "use"}]
    assert names[: len(fixed)] == fixed
    assert fixed == [name for name in ("results", "next", "notes", "use") if name in fixed]
    assert names[-2:] == ["details", "recipe"]
    end = text[text.index('id="recipe"') :]
    assert end.index("<details>") < end.index("num_train_epochs") < end.index("</details>")


def test_without_notes_and_next_steps_there_are_no_such_sections():
    record, rows = label_sets()
    text = render_html(record, rows)
    assert 'id="notes"' not in text
    assert 'id="next"' not in text
    assert 'id="notes"' in render_html(record.model_copy(update={"notes": ["x"]}), rows)


@ALL
def test_every_cell_of_a_table_that_a_phone_stacks_has_the_name_of_its_column(made):
    found = Tables(render_html(*made()))
    stacked = [index for index, kind in enumerate(found.classes) if "stack" in kind.split()]
    assert stacked
    for index in stacked:
        for row in found.rows[index]:
            first, *others = [cell for cell in row if "aria-hidden" not in cell[0]]
            assert "data-label" not in first[0]
            assert [attributes["data-label"] for attributes, _ in others] == found.columns[index][1 : 1 + len(others)]
            # Cells that are drawn as blocks are no longer cells to some readers, unless they say so.
            assert all(attributes["role"] in {"cell", "rowheader"} for attributes, _ in row)


def test_verdict_prediction_and_confidence_are_stacked():
    found = Tables(render_html(example_record(), example_predictions()))
    stacked = [
        column for columns, kind in zip(found.columns, found.classes, strict=True) if "stack" in kind
        for column in columns
    ]  # fmt: skip
    assert {"verdict", "gain", "95% interval", "prediction", "confidence"} <= set(stacked)


@pytest.mark.parametrize(
    ("columns", "cells", "expected"),
    [
        # 2 + 8, 2 + 5 and 2 + 14 characters: 33.
        (["accuracy", "macro F1", "confidence bar"], ["0.8", "0.7", "x" * 14], ""),
        (["accuracy", "macro F1", "confidence bar"], ["0.8", "0.7", "x" * 15], "stack"),
        (["R2", "RMSE", "MAE", "Spearman", "Pearson"], ["0.587", "1.190", "0.786", "0.738", "0.772"], "stack two"),
        (["gain", "95% interval", "McNemar's test", "verdict"],
         ["1.0 points", "0.0 to 1.0", "p = 1.000", "no clear difference"], "stack"),
    ],
)  # fmt: skip
def test_a_table_is_stacked_where_its_figures_are_wider_than_a_phone(columns, cells, expected):
    assert form(Table("", ["name", *columns], [["a", *cells]])) == expected
    assert form(Table("", ["name", "figure"], [])) == ""


@ALL
def test_no_row_is_empty(made):
    record, rows = made()
    odd = {"nothing": None, "blank": "", "none": [], "bare": {}, "nested": {"place": "", "size": None}, "on": False}
    record = record.model_copy(update={"environment": {**record.environment, **odd}})
    page = render_html(record, rows)
    for table in Tables(page).rows:
        for row in table:
            assert all(
                text not in {"", "None", "[]", "{}"} for attributes, text in row if "aria-hidden" not in attributes
            )
    assert not re.search(r"<(?:li|p|pre|h[1-3])\b[^>]*>\s*</", page)
    shown = dict(tables.surroundings(record).rows)
    assert shown["on"] == "no"
    assert not {"nothing", "blank", "none", "bare", "nested place", "nested size"} & set(shown)


def test_what_was_not_used_is_one_row_with_its_reason():
    used = {"used": True, "reason": "", "layers": 4, "of_layers": 6, "bytes": 5_000_000, "place": "memory"}
    unused = {"used": False, "reason": "there is only one epoch", "layers": 0, "of_layers": 0, "bytes": 0, "place": ""}
    for found, expected in (
        (unused, [["cache frozen", "no: there is only one epoch"]]),
        ({"used": False, "reason": ""}, [["cache frozen", "no"]]),
        (used, [["cache frozen used", "yes"], ["cache frozen layers", "4"], ["cache frozen of layers", "6"],
                ["cache frozen bytes", "5.0 MB"], ["cache frozen place", "memory"]]),
    ):  # fmt: skip
        rows = tables.surroundings(example_record(environment={"cache_frozen": found})).rows
        assert [row for row in rows if row[0].startswith("cache frozen")] == expected


def test_a_model_without_a_revision_has_no_row_for_it():
    assert "model revision" in dict(tables.surroundings(example_record()).rows)
    model = example_record().model.model_copy(update={"revision": None})
    assert "model revision" not in dict(tables.surroundings(example_record(model=model.model_dump())).rows)


def _summary(record: RunRecord) -> str:
    sink = io.StringIO()
    print_summary(record, Console(file=sink, width=200))
    return sink.getvalue()


def _evaluation(record: RunRecord) -> str:
    sink = io.StringIO()
    print_evaluation(record.after, record.task, [], Console(file=sink, width=200))
    return sink.getvalue()


@pytest.mark.parametrize(
    "render", [lambda record: render_html(record, PREDICTIONS), render_card, _summary, _evaluation],
    ids=["page", "card", "summary", "evaluation"],
)  # fmt: skip
def test_a_metric_says_what_its_figures_by_group_are(render):
    record = grades()
    sentence = "Of a group it is something else."
    first, *others = record.task.metrics
    metrics = [first.model_copy(update={"by_group": sentence}), *others]
    told = record.model_copy(update={"task": record.task.model_copy(update={"metrics": metrics})})
    ungrouped = {part: getattr(told, part).model_copy(update={"groups": {}}) for part in ("before", "after")}
    assert sentence in render(told)
    assert sentence not in render(record)
    assert sentence not in render(told.model_copy(update=ungrouped))


def _colours(block: str) -> dict[str, tuple[float, ...]]:
    found = re.findall(r"--(\w+): #([0-9a-f]{6})", block)
    return {name: tuple(int(value[at : at + 2], 16) / 255 for at in (0, 2, 4)) for name, value in found}


def _luminance(colour: tuple[float, ...]) -> float:
    """Relative luminance by WCAG 2.1."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_contrast_is_that_of_the_standard():
    """Black on white is 21, #767676 on white is 4.54: examples of WCAG."""
    assert _contrast((0, 0, 0), (1, 1, 1)) == pytest.approx(21)
    assert _contrast((0x76 / 255,) * 3, (1, 1, 1)) == pytest.approx(4.54, abs=0.005)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [(text, ground) for text in ("ink", "muted", "accent", "warm") for ground in ("page", "panel")]
    + [("ink", "right"), ("ink", "wrong")],
)
def test_text_can_be_read_on_every_ground(scheme, text, ground):
    colours = _colours(re.findall(r":root \{(.*?)\}", STYLE, flags=re.DOTALL)[scheme])
    assert _contrast(colours[text], colours[ground]) >= 4.5
