"""The page: complete, self-contained, escaped, the same every time."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from view_records import bare

from example_record import FIVE, TWO, example_predictions, example_record
from lightune.report.classification_view import confusion, most_wrong
from lightune.report.html import render_html

XSS = '<script>alert(1)</script><img src=x onerror="alert(2)">'
VOID = {"meta", "br", "wbr", "hr", "img", "input", "link"}


class Page(HTMLParser):
    """Collects what a page is made of, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def names(self):
        return [tag for tag, _ in self.tags]


def _page(labels=TWO, predictions=None, **changes):
    rows = example_predictions(labels) if predictions is None else predictions
    return render_html(example_record(labels, rows, **changes), rows)


@pytest.mark.parametrize("labels", [TWO, FIVE, tuple(f"class {number}" for number in range(20))])
def test_sections_in_order_headings_in_order_and_every_element_closed(labels):
    text = _page(labels)
    page = Page(text)
    assert page.open == []
    order = ["<h1>", 'id="results"', 'id="next"', 'id="notes"', 'id="use"', 'id="labels"', 'id="groups"',
             'id="learning"', 'id="confusion"', 'id="cost"', 'id="wrong"', 'id="details"', 'id="recipe"']  # fmt: skip
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    levels = [int(name[1]) for name in page.names() if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_nothing_is_loaded_and_nothing_runs():
    text = _page()
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & set(page.names())
    for _, attributes in page.tags:
        assert "src" not in attributes
        assert not any(name.startswith("on") for name in attributes)
    assert "http" not in re.sub(r"http-equiv", "", text)
    assert "@import" not in text
    assert re.findall(r"url\((?!#)", text) == []


def test_html_in_the_data_comes_out_as_text():
    rows = example_predictions()
    rows[0] |= {"text": XSS, "label": "positive", "prediction": "negative", "confidence": "0.99999"}
    rows[0]["kind"] = XSS
    text = _page(predictions=rows, notes=[XSS], run_folder=XSS, environment={XSS: XSS}, recipe={"name": XSS, XSS: XSS})
    assert "<script" not in text
    assert "<img" not in text
    # The text, two cells of the environment, the title, the origin, the recipe, the note, the folder.
    assert text.count("&lt;script&gt;alert(1)") >= 8
    assert Page(text).open == []


def test_html_in_label_names_comes_out_as_text():
    labels = (XSS, 'a" onmouseover="alert(3)')
    text = _page(labels)
    assert "<script" not in text
    assert not any("onmouseover" in attributes for _, attributes in Page(text).tags)


def test_the_twenty_surest_mistakes():
    rows = example_predictions()
    wrong = sorted(
        (row for row in rows if row["label"] != row["prediction"]), key=lambda row: -float(row["confidence"])
    )
    assert len(wrong) > 20
    found = most_wrong(rows, example_record().task)
    assert (found.rows, found.total) == (wrong[:20], len(wrong))
    text = _page(predictions=rows)
    part = bare(text[text.index('id="wrong"') : text.index('id="recipe"')])
    shown = [float(figure) for figure in re.findall(r"<td>(\d\.\d{3})</td></tr>", part)]
    assert len(shown) == 20
    assert shown == sorted(shown, reverse=True)
    assert f"20 of {len(wrong)} wrong" in part


def test_both_texts_of_a_pair_are_shown():
    rows = [row | {"text_pair": f"pair of {number}"} for number, row in enumerate(example_predictions())]
    data = example_record(predictions=rows).data.model_copy(update={"text_column": ["premise", "hypothesis"]})
    surest = rows.index(most_wrong(rows, example_record().task).rows[0])
    assert f"pair of {surest}</td>" in _page(predictions=rows, data=data)
    assert "pair of" not in _page(predictions=rows)


def test_no_mistakes_at_all():
    rows = [row | {"prediction": row["label"]} for row in example_predictions()]
    assert "No test prediction was wrong." in _page(predictions=rows)


def test_confusion_shares_are_of_the_true_label():
    first, second = confusion([[3, 1], [0, 0]], ["a", "b"], "x").rows
    assert [(cell.count, cell.share, cell.is_right) for cell in first.cells] == [(3, 0.75, True), (1, 0.25, False)]
    assert (first.recall, second.recall) == ("75%", "-")


def test_both_matrices_are_tables_with_every_count():
    record = example_record(FIVE)
    text = _page(FIVE)
    part = text[text.index('id="confusion"') : text.index('id="cost"')]
    counts = [int(count) for count in re.findall(r'class="cell [^>]*>(\d+)</td>', part)]
    assert counts == [
        count for found in (record.before, record.after) for row in found.confusion_matrix for count in row
    ]


def test_every_table_has_a_caption_and_scopes_and_every_plot_a_name():
    page = Page(_page())
    assert page.names().count("caption") == page.names().count("table")
    assert all("scope" in attributes for tag, attributes in page.tags if tag == "th")
    plots = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(plots) == 3
    assert all(plot["role"] == "img" and plot["aria-label"] for plot in plots)


def test_plots_take_their_colours_from_the_page_and_share_no_ids():
    text = _page()
    svgs = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    assert not re.findall(r"#[0-9a-fA-F]{6}\b", "".join(svgs))
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:href="|url\()#([^")]+)', text)
    assert set(used) <= set(ids)
    assert used


def test_the_numbers_of_the_plots_stand_in_tables():
    record = example_record()
    text = bare(_page())
    for epoch in record.training.epochs:
        for value in (epoch.train_loss, epoch.metrics["loss"], epoch.metrics["accuracy"]):
            assert f"<td>{value:.3f}</td>" in text
    assert f"<td>{100 * record.comparison.probe_gain:.1f} points</td>" in text
    assert "4 (kept)" in text


def test_the_same_record_gives_the_same_bytes():
    assert _page() == _page()


def test_none_is_not_measured_and_no_none_is_shown():
    record = example_record()
    training = record.training.model_copy(update={"peak_memory_bytes": None})
    check = record.reload_check.model_copy(update={"largest_logit_difference": None})
    model = record.model.model_copy(update={"revision": None})
    text = render_html(
        record.model_copy(update={"training": training, "reload_check": check, "model": model}), example_predictions()
    )
    assert "<td>not measured</td>" in bare(text)
    assert "largest logit difference not measured" in text
    assert "None" not in text.replace("<p>None.</p>", "")


def test_without_groups_there_is_no_such_section():
    record = example_record()
    bare = {name: getattr(record, name).model_copy(update={"groups": {}}) for name in ("before", "after")}
    assert 'id="groups"' not in render_html(record.model_copy(update=bare), example_predictions())


@pytest.mark.parametrize("epochs", [0, 1, 60])
def test_any_number_of_epochs(epochs):
    record = example_record()
    first = record.training.epochs[0]
    rows = [first.model_copy(update={"epoch": number + 1}) for number in range(epochs)]
    training = record.training.model_copy(update={"epochs": rows, "best_epoch": 1})
    assert render_html(record.model_copy(update={"training": training}), example_predictions()).count("<svg") == 3


def test_peft_code_only_where_peft_can_read_the_adapter():
    assert "PeftModel.from_pretrained" in _page()
    model = example_record().model.model_dump() | {"peft_loadable": False}
    assert "PeftModel" not in _page(model=model)


def test_the_way_out_of_the_run_folder_is_shown():
    page = re.sub(r"</?span>", "", unescape(_page()))  # a command breaks between its words
    assert 'lightune.load("runs/reviews-1").save_pretrained("my-model")' in page
    assert "lightune push runs/reviews-1 OWNER/NAME" in page
    inference = example_record().inference.model_dump() | {"merged_samples_per_second": None}
    assert "save_pretrained" not in _page(inference=inference)


def test_the_row_that_stands_out_is_the_adapted_model():
    assert re.findall(r'<tr class="chosen"><th scope="row">(\w+)', _page()) == ["after"]


def test_a_failed_reload_is_an_alarm():
    check = {"passed": False, "examples": 32, "largest_logit_difference": 0.2}
    assert 'role="alert"' in _page(status="reload_failed", reload_check=check)
    assert 'role="alert"' not in _page()
