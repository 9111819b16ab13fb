"""Reading results.json: this version, version 1 as two commits wrote it, damaged files, later versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from example_record import counted_predictions, example_record
from lightune.errors import ArtifactError
from lightune.record import RunRecord
from lightune.record_file import read_record
from lightune.tasks.classification import Classification
from lightune.tasks.schema1 import upgraded_config
from records_of_version_1 import as_version_1, last_of_version_1, older, older_of_version_1, paths


def _read(folder: Path, fields: Any) -> RunRecord:
    (folder / "results.json").write_text(json.dumps(fields), encoding="utf-8")
    return read_record(folder)


def test_a_record_of_this_version_is_read_as_it_is(tmp_path: Path):
    record = example_record()
    assert _read(tmp_path, record.model_dump(mode="json")) == record


def test_a_record_of_version_1_keeps_every_figure_under_its_name(tmp_path: Path):
    then = last_of_version_1()
    record = _read(tmp_path, then)
    now = record.model_dump(mode="json")
    assert now.pop("schema_version") == 2
    assert then.pop("schema_version") == 1
    found = dict(paths(now))
    assert {place: found.get(place, "missing") for place, _ in paths(then)} == dict(paths(then))
    assert RunRecord.model_validate_json(record.model_dump_json()) == record


def test_a_record_without_a_version_is_of_version_1(tmp_path: Path):
    fields = last_of_version_1()
    wanted = _read(tmp_path, fields)
    del fields["schema_version"]
    assert _read(tmp_path, fields) == wanted


def test_version_1_was_classification(tmp_path: Path):
    record = _read(tmp_path, last_of_version_1())
    assert record.task == Classification(("negative", "positive")).record()
    assert [found.title for found in record.baselines.values()] == [
        "always answering positive",
        "word counts (TF-IDF)",
        "linear probe",
    ]
    assert record.after.metrics == {"accuracy": 0.625, "f1_macro": 0.613153, "loss": 0.689278}
    assert record.before.groups["kind"]["plain"].metrics == {"accuracy": 0.555556, "f1_macro": 0.55, "loss": 0.69077}
    assert record.comparison.best_baseline == "probe"
    assert (record.comparison.gains["tfidf"].test, record.comparison.gains["tfidf"].unit) == ("McNemar's test", "share")
    assert record.comparison.cautions == []


def test_an_older_record_is_compared_with_the_probe_and_gets_its_figures_per_label(tmp_path: Path):
    record = _read(tmp_path, older_of_version_1())
    assert record.comparison.best_baseline == "probe"
    gains = {name: (gain.value, gain.p_value, gain.verdict) for name, gain in record.comparison.gains.items()}
    assert gains == {
        "probe": (0.075, 0.629059, "no clear difference"),
        "before": (0.1, 0.503445, "no clear difference"),
    }
    # The later commit computed these figures from the same confusion matrix.
    assert record.after.per_label == {
        label: pytest.approx(scores, abs=1e-6) for label, scores in last_of_version_1()["after"]["per_label"].items()
    }
    assert (record.after.known_examples, record.after.without_known, record.data.rows) == (None, None, {})


def test_cautions_are_those_of_the_task(tmp_path: Path):
    rows = counted_predictions(("ham", "spam"), (90, 10), after=(90, 0), tfidf=(80, 5), probe=(85, 4))
    record = example_record(("ham", "spam"), rows)
    said = [
        'All 100 test texts get the same answer, "ham": nothing is told apart.',
        'It never answers "spam": 0 of 10 such texts were found.',
        # By hand: 2*90/(90+100) and 0; the probe 2*85/(90+91) and 2*4/(10+9).
        'Macro F1 is 0.474, 20.6 points below the linear probe, though accuracy is not: it does worst on "spam" '
        "(F1 0.000).",
    ]
    assert record.comparison.cautions == said
    assert _read(tmp_path, as_version_1(record)).comparison.cautions == said
    others = _read(tmp_path, older(record)).comparison.cautions
    assert others[:3] == said
    assert others[3:] == [
        "Always answering ham: 0.900, linear probe: 0.890; an older lightune wrote this record and compared only "
        "with the latter."
    ]


def test_known_texts_of_version_1_are_kept(tmp_path: Path):
    fields = last_of_version_1()
    part = {"examples": 3, "accuracy": 0.5, "loss": None, "f1_macro": None}
    fields["after"] |= {"known_examples": 37, "without_known": part}
    found = _read(tmp_path, fields).after
    assert (found.known_examples, found.without_known.metrics) == (37, {"accuracy": 0.5})


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("after", "accuracy"), None, "after.accuracy"),
        (("after", "confusion_matrix"), [[1]], "a confusion matrix is not 2 by 2"),
        (("training", "best_epoch"), "x", "training.best_epoch"),
        (("training", "epochs"), [{"epoch": 1}], "training.epochs.0.validation_accuracy"),
        (("baselines", "probe"), {}, "baselines.probe.accuracy"),
        (("comparison", "verdict"), "best", "comparison.gains.before.verdict"),
        (("after", "acuracy"), 0.5, "unknown: acuracy"),
        (("data",), [], "data"),
    ],
)
def test_what_is_wrong_with_a_record_of_version_1_is_named(tmp_path, place, value, said):
    fields = older_of_version_1()
    section = fields
    for name in place[:-1]:
        section = section[name]
    section[place[-1]] = value
    with pytest.raises(ArtifactError) as caught:
        _read(tmp_path, fields)
    assert caught.value.code == "ARTIFACT-034"
    assert said in caught.value.message
    assert str(tmp_path / "results.json") in caught.value.message


def test_a_later_version_is_refused_and_what_else_can_be_done_is_said(tmp_path: Path):
    (tmp_path / "results.json").write_text('{"schema_version": 3}', encoding="utf-8")
    with pytest.raises(ArtifactError, match="schema_version 3; this lightune reads versions 1 to 2") as caught:
        read_record(tmp_path, "Or pass --test FILE.")
    assert (caught.value.code, caught.value.hint) == (
        "ARTIFACT-033",
        "Use the lightune that wrote it. Or pass --test FILE.",
    )
    with pytest.raises(ArtifactError, match="not a finished run folder") as caught:
        read_record(tmp_path / "nowhere", "Or pass --test FILE.")
    assert caught.value.hint.endswith("Or pass --test FILE.")


def test_an_adapter_of_format_1_was_made_for_classification():
    given = {"format_version": 1, "method": "lora", "labels": ["no", "yes"], "seed": 42}
    assert upgraded_config(given) == {
        "format_version": 2,
        "method": "lora",
        "seed": 42,
        "task": {"name": "classification", "labels": ["no", "yes"]},
    }
    assert given["labels"] == ["no", "yes"]
