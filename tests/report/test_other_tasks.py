"""Reports of tasks that are not classification: every figure by its own title, unit and direction."""

from __future__ import annotations

import csv
import html
import io
import re
from pathlib import Path

import pytest
import yaml
from other_tasks import PREDICTIONS, grades, regression, without_baselines
from rich.console import Console
from view_records import bare

from example_record import example_predictions, example_record
from lightune.errors import ArtifactError
from lightune.measured import Metric
from lightune.record import RunRecord
from lightune.report import gains, tables, views
from lightune.report.card import render_card
from lightune.report.details_view import Part, View
from lightune.report.files import read_run, write_reports
from lightune.report.html import render_html
from lightune.report.summary import print_evaluation, print_summary
from lightune.report.tables import Table
from lightune.report.usage import peft_code, python_code

ALL = pytest.mark.parametrize("make", [regression, grades, without_baselines])


def _printed(record: RunRecord, width: int = 80) -> str:
    sink = io.StringIO()
    print_summary(record, Console(file=sink, width=width))
    return sink.getvalue()


def _write_run(record: RunRecord, rows: list[dict[str, str]], folder: Path) -> None:
    (folder / "results.json").write_text(record.model_dump_json(), encoding="utf-8")
    with (folder / "predictions.csv").open("w", encoding="utf-8", newline="") as sink:
        writer = csv.DictWriter(sink, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (regression, "0.530 R2, 0.120 above a linear probe of the untouched model (95%: 0.050 to 0.190): better."),
        (grades, "1.020 mean absolute error, 0.120 higher than always answering 3 (95%: +0.050 to +0.190): worse."),
        (
            without_baselines,
            "0.810 entity F1, 12.0 points above before, the untrained head, which can only guess "
            "(95%: 10.0 to 14.0): better.",
        ),
    ],
)
def test_the_headline_has_the_metric_s_unit_and_direction(make, expected):
    record = make()
    assert gains.headline(record) == expected
    assert _printed(record, 300).splitlines()[0] == expected
    assert html.unescape(render_html(record, PREDICTIONS)).count(f"<h1>{expected}</h1>") == 1
    assert expected in render_card(record).replace("\\", "")


@pytest.mark.parametrize("changed", [{"value": None, "ci95": None, "p_value": None}, {"ci95": None}])
def test_a_gain_without_a_figure_is_shown_as_not_measured(changed):
    record = regression()
    measured = {
        name: gain.model_copy(update={**changed, "verdict": "no clear difference"})
        for name, gain in record.comparison.gains.items()
    }
    comparison = record.comparison.model_copy(update={"gains": measured})
    record = record.model_copy(update={"comparison": comparison})
    expected = (
        "0.530 R2; the gain over the linear probe was not measured."
        if "value" in changed
        else "0.530 R2, 0.120 above a linear probe of the untouched model (95%: not measured): no clear difference."
    )
    assert gains.headline(record) == expected
    assert "not measured" in gains.before_sentence(record)
    assert tables.gained(record).rows[0][2] == "not measured"
    for text in (_printed(record), str(record), render_html(record, PREDICTIONS), render_card(record)):
        assert "not measured" in text
        assert "None" not in text.replace("<p>None.</p>", "")
    assert RunRecord.model_validate_json(record.model_dump_json()) == record


def test_before_is_said_once():
    assert gains.before_sentence(without_baselines()) == ""
    assert _printed(without_baselines(), 300).count("can only guess") == 1
    lower = "0.300 lower than before, the untrained head, which can only guess (95%: -0.500 to -0.100): better."
    assert gains.before_sentence(grades()) == lower


@pytest.mark.parametrize(
    ("gain", "unit", "higher", "expected"),
    [
        (0.021, "share", True, "2.1 points above"),
        (-0.021, "share", True, "2.1 points below"),
        (0.021, "share", False, "2.1 points lower than"),
        (0.12, "", True, "0.120 above"),
        (-0.12, "nats", False, "0.120 nats higher than"),
        (-0.0004, "share", True, "level with"),
        (0.0004, "", False, "level with"),
    ],
)
def test_where_a_gain_puts_the_model(gain, unit, higher, expected):
    assert gains.position(gain, Metric(name="x", title="x", unit=unit, higher_is_better=higher)) == expected


@ALL
def test_a_record_says_the_same_after_json(make):
    record = make()
    assert RunRecord.model_validate_json(record.model_dump_json()) == record
    assert repr(record).startswith(f"<RunRecord runs/other-1: {record.task.headline.title} ")
    assert "<table>" in record._repr_html_()


def test_a_printed_record_has_the_headline_and_each_baseline():
    lines = [re.split(r"  +", line) for line in str(regression()).splitlines()]
    assert lines[:6] == [
        ["R2", "0.530 on 3 test examples"],
        ["over the best baseline", "linear probe: +0.120 (95%: 0.050 to 0.190): better"],
        ["over before", "+0.730 (95%: 0.600 to 0.900): better"],
        ["baseline", "linear probe: 0.410"],
        ["baseline", "always answering 2.5: 0.000"],
        ["before", "-0.200"],
    ]
    assert (
        str(without_baselines()).splitlines()[1].startswith("over before             +12.0 points (95%: 10.0 to 14.0)")
    )
    assert "baseline" not in str(without_baselines())


@ALL
def test_nothing_of_labels_is_shown_where_no_label_is_confused_with_another(make):
    record = make()
    page = render_html(record, PREDICTIONS)
    for part in ('id="labels"', 'id="confusion"', 'id="wrong"', "accuracy", "McNemar"):
        assert part not in page, part
    assert page.count("<svg") == 3
    assert "None" not in page.replace("<p>None.</p>", "")
    text = _printed(record)
    assert "per label" not in text
    assert "accuracy" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_tables_have_a_column_for_each_metric_and_a_dash_where_there_can_be_none():
    table = tables.results(grades())
    assert table.columns == ["model", "mean absolute error", "weighted kappa"]
    assert table.rows == [
        ["always answering 3", "0.900", "-"],
        ["before (untrained head)", "1.320", "0.000"],
        ["after (lora)", "1.020", "not measured"],
    ]
    assert "a constant prediction has no weighted kappa." in html.unescape(render_html(grades(), PREDICTIONS))
    assert tables.epochs(regression()).columns[1:5] == [
        "train loss",
        "validation R2",
        "validation RMSE",
        "validation loss",
    ]


def test_gains_are_named_by_direction_and_test():
    table = tables.gained(grades())
    assert table.caption == "Gain in mean absolute error (how much lower it is), paired on the test examples"
    assert table.columns[3] == "paired bootstrap"
    assert [row[:3] for row in table.rows] == [
        ["over always answering 3", "-0.120", "-0.190 to -0.050"],
        ["over before (untrained head)", "0.300", "0.100 to 0.500"],
    ]
    mixed = grades()
    other = mixed.comparison.gains["before"].model_copy(update={"test": "sign test"})
    comparison = mixed.comparison.model_copy(update={"gains": {**mixed.comparison.gains, "before": other}})
    mixed = mixed.model_copy(update={"comparison": comparison})
    assert tables.gained(mixed).columns[3] == "p-value"
    assert "the p-value comes from a paired bootstrap and sign test." in " ".join(
        render_html(mixed, PREDICTIONS).split()
    )
    assert tables.gained(example_record()).columns[3] == "McNemar's test"


def test_the_best_of_equal_baselines_is_the_later_and_the_lowest_error_comes_first():
    record = grades()
    errors = {"a": 1.1, "b": 0.9, "c": 0.9, "d": None}
    baselines = {
        name: record.baselines["constant"].model_copy(update={"metrics": {"mae": value}})
        for name, value in errors.items()
    }
    named = dict.fromkeys((*errors, "before"), record.comparison.gains["before"])
    for best, expected in (("c", ["c", "b", "a", "d", "before"]), ("a", ["a", "c", "b", "d", "before"])):
        comparison = record.comparison.model_copy(update={"gains": named, "best_baseline": best})
        changed = record.model_copy(update={"baselines": baselines, "comparison": comparison})
        assert tables.compared(changed) == expected


def test_groups_of_an_error_have_no_bar_and_no_points():
    page = html.unescape(render_html(grades(), PREDICTIONS))
    part = page[page.index('id="groups"') : page.index('id="learning"')]
    assert "Mean absolute error by group" in part
    assert 'class="bar"' not in part
    assert "percentage points" not in part
    assert "Lower is better." in part


def test_the_card_names_task_metrics_and_code_of_its_own():
    card = render_card(regression())
    front = yaml.safe_load(card.split("---\n")[1])
    assert (front["pipeline_tag"], front["metrics"]) == ("text-regression", ["r_squared"])
    assert "Each text has something of regression.\nThe model is sentence-transformers/all-MiniLM-L6-v2 (" in card
    assert "text classifier" not in card
    assert "from transformers import AutoModelForSomething, AutoTokenizer" in card
    assert "num_labels=1)" in card
    assert "print(answer)" in card
    assert "print(logits.tolist())" in card
    assert "Another sample of texts would give somewhat different figures." in card
    assert "| labels |" not in card
    for block in re.findall(r"^```python\n(.*?)^```$", card, flags=re.MULTILINE | re.DOTALL):
        compile(block, "card", "exec")
    assert "Each text has something of tokens." in render_card(without_baselines())


@ALL
def test_a_run_folder_is_written_and_read(make, tmp_path):
    record = make()
    _write_run(record, PREDICTIONS, tmp_path)
    read, rows = read_run(tmp_path)
    assert (read, rows) == (record, PREDICTIONS)
    write_reports(read, rows, tmp_path)
    assert (tmp_path / "README.md").is_file()


@ALL
def test_an_evaluation_is_printed_by_its_metrics(make):
    record = make()
    sink = io.StringIO()
    print_evaluation(record.after, record.task, ["It says something."], Console(file=sink, width=80))
    lines = sink.getvalue().splitlines()
    assert lines[0] == "It says something."
    for metric in record.task.metrics:
        assert any(line.startswith(f"{metric.title} ") for line in lines)


def test_a_target_of_another_name_is_the_column_that_is_compared():
    rows = example_predictions()
    record = example_record(predictions=rows)
    task = record.task.model_copy(update={"target_column": "labels"})
    renamed = [{"labels" if key == "label" else key: value for key, value in row.items()} for row in rows]
    before, after = (
        bare(page[page.index('id="wrong"') :])
        for page in (render_html(record, rows), render_html(record.model_copy(update={"task": task}), renamed))
    )
    assert '<th scope="col">labels</th>' in after
    assert after.replace('<th scope="col">labels</th>', '<th scope="col">label</th>') == before


def test_names_of_many_metrics_take_several_lines_before_anything_is_cut():
    record = regression()
    long = [found.model_copy(update={"title": f"some {found.title} of a long name"}) for found in record.task.metrics]
    text = _printed(record.model_copy(update={"task": record.task.model_copy(update={"metrics": long})}))
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def _with_answers(record: RunRecord, *columns: str) -> RunRecord:
    return record.model_copy(update={"task": record.task.model_copy(update={"answer_columns": list(columns)})})


def test_which_python_is_shown_depends_on_the_columns_of_answers():
    record = example_record()
    assert "answer.label, answer.confidence" in python_code(record)
    assert "num_labels=2)" in (peft_code(record) or "")
    assert "print(logits.tolist())" in (peft_code(record) or ""), "a record of an earlier version"
    assert "print(answer)" in python_code(_with_answers(record, "prediction"))


def test_python_that_a_task_gives_for_its_logits_is_shown():
    record = example_record()
    lines = ["cut = 0.5", "print([share >= cut for share in logits.sigmoid()[0].tolist()])"]
    told = record.model_copy(update={"task": record.task.model_copy(update={"reads_logits": lines})})
    code = peft_code(told) or ""
    assert code.endswith("\n    logits = model(**batch).logits\n" + "\n".join(lines) + "\n")
    assert "num_labels=2)" in code
    assert "argmax" not in code
    compile(code, "card", "exec")


def test_a_group_column_named_confidence_is_not_a_confidence(tmp_path):
    rows = [row | {"confidence": "high"} for row in PREDICTIONS]
    assert "Most confidently wrong" not in render_html(regression(), rows)
    _write_run(regression(), rows, tmp_path)
    assert read_run(tmp_path)[1] == rows


def test_the_first_column_of_answers_is_the_answer(tmp_path):
    rows = [
        {"answer" if key == "prediction" else key: value for key, value in row.items()} for row in example_predictions()
    ]
    record = _with_answers(example_record(predictions=example_predictions()), "answer", "confidence")
    assert '<th scope="col">answer</th>' in bare(render_html(record, rows))
    _write_run(record, rows, tmp_path)
    assert read_run(tmp_path)[1] == rows
    _write_run(record, example_predictions(), tmp_path)
    with pytest.raises(ArtifactError, match="it lacks the column answer"):
        read_run(tmp_path)


class Residuals(View):
    """A view of details that lightune does not have yet."""

    def __init__(self, widths: list[float]) -> None:
        self.widths = widths

    @classmethod
    def of(cls, found, task):
        return cls(found.details.get("residuals", []))

    def brief(self):
        return [Table("Residuals", ["quartile", "value"], [[str(width), "0"] for width in self.widths])]

    @classmethod
    def parts(cls, record, predictions):
        table = cls.of(record.after, record.task).brief()[0]
        return [Part("learning", "labels.html.j2", {"tables": [table], "long_list": False})]


def test_a_view_is_one_class_and_one_name_in_the_list(monkeypatch):
    monkeypatch.setattr(views, "VIEWS", (*views.VIEWS, Residuals))
    record = regression()
    after = record.after.model_copy(update={"details": {"residuals": [0.25, 0.75]}})
    record = record.model_copy(update={"after": after})
    page = render_html(record, PREDICTIONS)
    assert page.index('id="learning"') < page.index("<caption>Residuals</caption>") < page.index('id="cost"')
    assert "Residuals:\n\n| quartile | value |" in render_card(record)
    assert "\nresiduals " in _printed(record)
    sink = io.StringIO()
    print_evaluation(record.after, record.task, [], Console(file=sink, width=80))
    assert "\nresiduals " in sink.getvalue()
