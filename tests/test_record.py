"""A record as it shows itself in a program and in a notebook, and as JSON."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from pydantic import ValidationError

from example_record import example_record, with_accuracy
from lightune.record import RunRecord
from lightune.sections import Baseline, Evaluation
from records_of_version_1 import last_of_version_1, paths

# What differs from run to run, and is not of a fixed form.
FREE = ("recipe", "environment", "data.rows")


@pytest.fixture
def record() -> RunRecord:
    return example_record()


def test_a_record_prints_as_a_calm_table(record: RunRecord):
    lines = str(record).splitlines()
    assert lines[0] == f"accuracy                {record.after.accuracy:.3f} on 400 test examples"
    assert lines[-1] == f"run folder              {record.run_folder}"
    rival = record.comparison.best_baseline
    found = record.comparison.gains[rival]
    low, high = (100 * end for end in found.ci95)
    points = rf"[+-]\d+\.\d points \(95%: {low:.1f} to {high:.1f}\): {found.verdict}"
    assert re.fullmatch(rf"over the best baseline  {re.escape(record.baselines[rival].title)}: {points}", lines[1])
    assert all(line[23] == " " and line[24] != " " for line in lines), "the values should line up"
    assert repr(record) == f"<RunRecord {record.run_folder}: accuracy {record.after.accuracy:.3f}>"


def test_a_notebook_shows_the_same_figures_escaped(record: RunRecord):
    shown = record.model_copy(update={"notes": ["<script>alert(1)</script>"]})
    html = shown._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    cells = re.findall(r"<td[^>]*>(.*?)</td>", html)
    assert cells[:2] == ["accuracy", f"{record.after.accuracy:.3f} on 400 test examples"]
    assert len(cells) == 2 * len(shown.figures())


def test_every_name_of_version_1_stands_in_the_json_with_the_same_type(record: RunRecord):
    """The names are those of a results.json that version 1 wrote."""
    now = dict(paths(record.model_dump(mode="json")))
    then = {place: value for place, value in paths(last_of_version_1()) if not place.startswith(FREE)}
    assert len(then) > 100
    assert [place for place in then if place not in now] == []
    of_numbers = {place: (type(value), type(now[place])) for place, value in then.items() if value is not None}
    odd = {place: kinds for place, kinds in of_numbers.items() if kinds[0] is not kinds[1] and now[place] is not None}
    assert odd == {}


def test_figures_can_be_asked_for_by_the_names_of_version_1(record: RunRecord):
    assert record.after.accuracy == record.after.metrics["accuracy"]
    assert record.after.confusion_matrix == record.after.details["confusion_matrix"]
    assert record.baselines["probe"].accuracy == record.baselines["probe"].metrics["accuracy"]
    assert record.baselines["majority_class"].label == "negative"
    assert record.training.epochs[0].validation_accuracy == 0.595
    assert record.comparison.accuracy_gain == record.comparison.gains["before"].value
    assert record.comparison.probe_gain_ci95 == record.comparison.gains["probe"].ci95
    assert record.comparison.probe_verdict == record.comparison.gains["probe"].verdict
    with pytest.raises(AttributeError, match="Baseline has no loss"):
        _ = record.baselines["majority_class"].loss


def test_a_record_comes_back_from_its_json_and_strange_names_are_refused(record: RunRecord):
    text = record.model_dump_json()
    assert RunRecord.model_validate_json(text) == record
    fields = json.loads(text)
    fields["after"]["acuracy"] = 0.5
    with pytest.raises(ValidationError, match="acuracy"):
        RunRecord.model_validate(fields)


@pytest.mark.parametrize("name", ["before", "tfidf"])
def test_a_record_without_what_its_headline_compares_with_is_refused(record: RunRecord, name: str):
    fields = record.model_dump(mode="json")
    fields["comparison"]["best_baseline"] = "tfidf"
    del fields["comparison"]["gains"][name]
    for beside in [key for key in fields["comparison"] if key not in {"gains", "best_baseline", "cautions"}]:
        del fields["comparison"][beside]
    with pytest.raises(ValidationError, match=f"no comparison with {name}"):
        RunRecord.model_validate(fields)


def test_a_section_without_its_fields_says_so():
    with pytest.raises(AttributeError, match="Evaluation has no metrics"):
        _ = Evaluation.model_construct().accuracy


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("after", "accuracy"), 0.99, "accuracy is 0.99, but the other fields give 0.5"),
        (("after", "accuracy"), None, "accuracy is None, but the other fields give 0.5"),
        (("after", "confusion_matrix"), [[1, 1], [1, 1]], "confusion_matrix is "),
        (("baselines", "probe", "C"), 3.0, "C is 3.0, but the other fields give "),
        (("comparison", "probe_gain_ci95"), [0.1, 0.2], "probe_gain_ci95 is [0.1, 0.2], but the other fields give "),
        (("training", "epochs", 0, "validation_accuracy"), 0.9, "but the other fields give 0.595"),
    ],
)
def test_what_stands_beside_the_fields_has_to_follow_from_them(record: RunRecord, place, value, said):
    record = with_accuracy(record, 0.5)
    fields = json.loads(record.model_dump_json())
    section: Any = fields
    for name in place[:-1]:
        section = section[name]
    assert place[-1] in section
    section[place[-1]] = value
    with pytest.raises(ValidationError, match=re.escape(said)):
        RunRecord.model_validate(fields)


def test_equal_as_json_is_equal():
    fields = {"examples": 2, "metrics": {"kappa": float("nan"), "accuracy": 1}, "details": {"per_label": (1, 2)}}
    beside = {"kappa": None, "accuracy": 1.0, "per_label": [1, 2]}
    cost = {"runtime": 1.0, "samples_per_second": 2.0, "steps_per_second": 1.0}
    assert Evaluation.model_validate({**fields, **beside, **cost}).accuracy == 1.0


def test_a_detail_with_the_name_of_a_metric_is_refused_when_the_section_is_made():
    with pytest.raises(ValidationError, match="kappa: a metric and a detail cannot have the same name"):
        Baseline(title="the median", metrics={"kappa": 0.1, "mae": 1.0}, details={"kappa": [1]})


def test_only_details_of_version_1_are_written_twice():
    found = Baseline(title="x", metrics={"accuracy": 0.5}, details={"C": 0.1, "residuals": [1.0, 2.0]})
    written = found.model_dump(mode="json")
    assert written == {
        "title": "x", "article": "", "runtime": None, "metrics": {"accuracy": 0.5}, "accuracy": 0.5, "C": 0.1,
        "details": {"C": 0.1, "residuals": [1.0, 2.0]},
    }  # fmt: skip
    assert Baseline.model_validate(written) == found
