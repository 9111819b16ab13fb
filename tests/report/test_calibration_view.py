"""What the reports show about probabilities, on made-up logits whose figures numpy gives."""

from __future__ import annotations

import html
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from other_tasks import PREDICTIONS, regression
from rich.console import Console
from test_report_html import Page
from view_records import write_run

from example_record import FIVE, TWO, example_predictions, example_record
from lightune.errors import ArtifactError
from lightune.record import RunRecord
from lightune.report import views
from lightune.report.calibration_plots import FORMS
from lightune.report.calibration_view import CalibrationView
from lightune.report.card import render_card
from lightune.report.files import read_run
from lightune.report.html import render_html
from lightune.report.summary import print_evaluation, print_summary
from lightune.tasks.classification import Classification
from lightune.tasks.curves import MOST_LABELS
from lightune.tasks.multi_label import MultiLabel

HOSTILE = ("<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "$x_1$ `b` *c* {{ 7 * 7 }}")


def probable(labels: tuple[str, ...] = TWO, temperature: float = 2.0, sets: bool = False) -> RunRecord:
    """Return a record whose probabilities are those of random logits divided by a temperature."""
    draw = np.random.default_rng(4)
    logits = draw.normal(size=(400, len(labels))) * 3
    if sets:
        task: Any = MultiLabel(labels, temperature=temperature)
        targets: Any = (draw.random(logits.shape) < 1 / (1 + np.exp(-logits / 2))).astype(np.uint8)
    else:
        task = Classification(labels, temperature=temperature)
        targets = (logits / 2 + draw.gumbel(size=logits.shape)).argmax(axis=1)
    record = example_record(labels)
    own = {name: value for name, value in task.details(logits, targets).items() if name in {"calibration", "curves"}}
    after = record.after.model_copy(update={"details": {**record.after.details, **own}})
    return record.model_copy(update={"after": after})


def printed(show: Any, *given: Any) -> list[str]:
    sink = io.StringIO()
    show(*given, Console(file=sink, width=80))
    return sink.getvalue().splitlines()


def section_of(page: str) -> str:
    start = page.index('aria-labelledby="confidence"')
    return page[start : page.index("</section>", start)]


def test_the_summary_has_it_on_one_line_and_the_card_in_a_sentence():
    record = probable()
    found = record.after.details["calibration"]
    error = f"error {100 * found['ece_uncalibrated']:.1f}% to {100 * found['ece']:.1f}%"
    loss = f"loss {found['loss_uncalibrated']:.3f} to {found['loss']:.3f}"
    line = f"{'calibration':<24}{error}, {loss} (T = 2)"
    assert line in printed(print_summary, record)
    assert line in printed(print_evaluation, record.after, record.task, [])
    assert "Logits are divided by a temperature of 2, fitted on validation texts" in render_card(record)


def test_without_a_temperature_it_says_so():
    record = probable(temperature=1.0)
    error = f"{100 * record.after.details['calibration']['ece']:.1f}%"
    assert f"{'calibration':<24}error {error}, as trained (T = 1)" in printed(print_summary, record)
    sentence = f"Probabilities are as the model was trained (temperature 1): the calibration error is {error}."
    assert sentence in html.unescape(section_of(render_html(record, example_predictions())))
    assert sentence in render_card(record)
    part = section_of(render_html(record, example_predictions()))
    assert "Calibrated: how often" not in part
    assert "As trained: how often" in part


def test_the_page_draws_three_plots_and_has_their_numbers():
    record = probable(FIVE)
    part = section_of(render_html(record, example_predictions(FIVE)))
    spoken = [html.unescape(text) for text in re.findall(r'aria-label="([^"]+)"', part) if " over " in text]
    found, curves = record.after.details["calibration"], record.after.details["curves"]
    assert spoken == [
        "Share of answers that are right over confidence; on the diagonal both agree. "
        f"Calibrated, error {100 * found['ece']:.1f}%; as trained, error {100 * found['ece_uncalibrated']:.1f}%.",
        "True positive rate over false positive rate: "
        + "; ".join(f"{each['label']}, AUC {each['roc_auc']:.3f}" for each in curves) + ".",
        "Precision over recall: "
        + "; ".join(f"{each['label']}, AP {each['average_precision']:.3f}" for each in curves) + ".",
    ]  # fmt: skip
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", part)]
    for one in found["bins"]:
        figures = [str(one["examples"]), f"{one['confidence']:.3f}", f"{one['accuracy']:.3f}"]
        assert [f"{one['low']:.2f} to {one['high']:.2f}", *figures] in rows
    assert "lightune predict runs/reviews-1 --file texts.csv --abstain-below 0.8" in part


def test_points_of_the_curves_are_those_that_can_be_reached():
    """Of the points whose false positive rate is 0.1 at most the highest; of those with a recall of 0.5 or more too."""
    record = probable()
    points = {"roc": [[0, 0.05, 0.1, 0.3, 1], [0, 0.4, 0.6, 0.9, 1]],
              "precision_recall": [[0, 0.2, 0.6, 0.8, 1], [1, 1, 0.7, 0.75, 0.5]]}  # fmt: skip
    curve = {"label": "positive", "roc_auc": 0.8, "average_precision": 0.7, **points}
    after = record.after.model_copy(update={"details": {**record.after.details, "curves": [curve]}})
    roc, precision = CalibrationView.of(after, record.task).curve_tables()
    assert roc.columns == ["label", "AUC", "at 0.01", "at 0.05", "at 0.1", "at 0.2", "at 0.5"]
    assert roc.rows == [["positive", "0.800", "0.000", "0.400", "0.600", "0.600", "0.900"]]
    assert precision.columns == ["label", "AP", "at 0.25", "at 0.5", "at 0.75", "at 0.9", "at 0.95"]
    assert precision.rows == [["positive", "0.700", "0.750", "0.750", "0.750", "0.500", "0.500"]]


def test_decisions_on_labels_are_called_so_and_the_average_comes_first():
    record = probable(("a", "b", "c"), sets=True)
    view = CalibrationView.of(record.after, record.task)
    assert view.names() == ["all labels", "a", "b", "c"]
    part = section_of(render_html(record, example_predictions(("a", "b", "c"))))
    assert "probability of a label" in part
    assert "share of texts that have it" in part
    assert "weighted by its decisions" in part


def test_there_is_a_form_for_each_curve():
    assert len(FORMS) == len(set(FORMS)) == MOST_LABELS + 1, "of each label, and of all"


def test_names_that_cannot_be_drawn_are_numbers_that_the_table_explains():
    record = probable(HOSTILE)
    view = CalibrationView.of(record.after, record.task)
    assert view.names() == ["label 1", "label 2", "label 3"]
    shown = [f"{name} (label {place})" for place, name in enumerate(HOSTILE, 1)]
    assert [row[0] for row in view.curve_tables()[0].rows] == shown
    text = render_html(record, example_predictions(HOSTILE))
    page = Page(text)
    assert page.open == []
    assert not {"script", "img"} & set(page.names())
    assert all(name in html.unescape(section_of(text)) for name in HOSTILE), "as they are"
    ids = [dict(attributes)["id"] for _, attributes in page.tags if "id" in dict(attributes)]
    assert len(ids) == len(set(ids))
    long = probable(("a" * 60, "ok"))
    assert CalibrationView.of(long.after, long.task).names() == ["ok"]


def test_labels_without_curves_have_none():
    record = probable()
    after = record.after.model_copy(update={"details": {**record.after.details, "curves": []}})
    part = section_of(render_html(record.model_copy(update={"after": after}), example_predictions()))
    assert part.count("<figure>") == 1
    assert "AUC" not in part


def test_the_same_record_gives_the_same_bytes_also_from_its_file(tmp_path: Path):
    record, rows = probable(FIVE), example_predictions(FIVE)
    write_run(tmp_path, record, rows)
    again, predictions = read_run(tmp_path)
    assert render_html(again, predictions) == render_html(record, rows)
    assert render_card(again) == render_card(record)


@pytest.mark.parametrize(
    "change",
    [
        {"calibration": {"temperature": 2}},
        {"calibration": "good"},
        {"curves": [{"label": "positive"}]},
        {"curves": "steep"},
    ],
)
def test_damaged_details_are_refused(change: dict[str, Any], tmp_path: Path):
    record = probable()
    after = record.after.model_copy(update={"details": {**record.after.details, **change}})
    write_run(tmp_path, record.model_copy(update={"after": after}), example_predictions())
    with pytest.raises(ArtifactError) as caught:
        read_run(tmp_path)
    assert (caught.value.code, "after.details" in caught.value.message) == ("ARTIFACT-034", True)


def test_a_curve_with_a_missing_number_is_refused(tmp_path: Path):
    record = json.loads(json.dumps(probable().after.details["curves"]))
    record[0]["roc"][0].pop()
    whole = probable()
    after = whole.after.model_copy(update={"details": {**whole.after.details, "curves": record}})
    with pytest.raises(ValueError, match="as many x as y"):
        CalibrationView.of(after, whole.task)


def test_an_older_record_and_one_of_numbers_show_nothing_of_it():
    for record, rows in ((example_record(), example_predictions()), (regression(), PREDICTIONS)):
        assert views.lines(record.after, record.task) == views.sentences(record.after, record.task) == []
        page = render_html(record, rows)
        assert 'id="confidence"' not in page
        assert "temperature" not in render_card(record)
