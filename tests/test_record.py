"""A record as it shows itself in a program and in a notebook, and as JSON."""

from __future__ import annotations

import json
import re

import pytest
from pydantic import ValidationError

from example_record import example_record
from lightune.record import RunRecord
from lightune.sections import Evaluation
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
