"""`lightune evaluate`: the figures of a run, on its own test split or on another file."""

from __future__ import annotations

import json

import pytest

import lightune
from lightune.cli.main import main
from lightune.sections import Evaluation
from saved_adapters import make_adapter
from tiny import write_csv


@pytest.fixture(scope="module")
def run(tiny_run) -> str:
    return str(tiny_run.folder)


def test_the_own_test_split_gives_the_runs_accuracy(run, tiny_run, capsys):
    assert main(["evaluate", run, "--json"]) == 0
    found = Evaluation.model_validate_json(capsys.readouterr().out)
    assert found.accuracy == tiny_run.record.after.accuracy
    assert found.confusion_matrix == tiny_run.record.after.confusion_matrix
    assert list(found.per_label) == ["negative", "positive"]
    assert found.per_label == tiny_run.record.after.per_label


def test_without_json_the_figures_are_a_table(run, tiny_run, capsys):
    assert main(["evaluate", run]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["accuracy", f"{tiny_run.record.after.accuracy:.3f}"] in lines
    assert ["examples", "40"] in lines
    matrix = tiny_run.record.after.confusion_matrix
    assert ["per", "label", "precision", "recall", "F1", "examples", "answered"] in lines
    assert sum(line[:1] == ["negative"] for line in lines) == 2
    assert ["negative", *map(str, matrix[0])] in lines
    assert ["positive", *map(str, matrix[1])] in lines


def test_another_file_with_other_columns(run, capsys, tmp_path):
    path = write_csv(tmp_path / "other.csv", [("positive", "a lovely film"), ("negative", "a dull film")], ("y", "x"))
    assert main(["evaluate", run, "--test", str(path), "--text-column", "x", "--label-column", "y", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["examples"] == 2
    assert [sum(row) for row in found["confusion_matrix"]] == [1, 1]


def test_a_pair_of_columns_can_be_named(tiny_models, capsys, tmp_path):
    model = make_adapter(tiny_models["bert"], tmp_path / "a", "full", ["no", "yes"], columns=("premise", "hypothesis"))
    pairs = [("a lovely film", "the soup was cold"), ("the soup was cold", "a lovely film")]
    answers = [answer.label for answer in lightune.load(model).predict(pairs)]
    path = write_csv(
        tmp_path / "b.csv", [(*pair, label) for pair, label in zip(pairs, answers, strict=True)], ("l", "r", "y")
    )
    command = ["evaluate", str(model), "--test", str(path), "--text-column", "l,r", "--label-column", "y", "--json"]
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["examples"], found["accuracy"]) == (2, 1.0)


@pytest.mark.parametrize(
    ("label", "status", "said"), [("positve", 3, 'Did you mean "positive"?'), ("", 3, "label is missing")]
)
def test_a_label_that_cannot_be_used_is_named_by_line(run, label, status, said, capsys, tmp_path):
    path = write_csv(tmp_path / "other.csv", [("a film", "negative"), ("a book", label)])
    assert main(["evaluate", run, "--test", str(path)]) == status
    printed = capsys.readouterr()
    assert said in printed.err
    assert f"{path}:3" in printed.err
    assert printed.out == ""


def test_an_adapter_folder_has_no_test_split_of_its_own(run, capsys):
    assert main(["evaluate", f"{run}/adapter"]) == 4
    assert "Pass --test FILE." in capsys.readouterr().err


@pytest.fixture
def sorted_file(tmp_path):
    """Two groups: one that the classifier gets right, and one whose labels are turned round."""
    right = [("a lovely film", "positive", "right"), ("a dull film", "negative", "right")]
    turned = [
        ("a superb song", "negative", "turned"),
        ("a dire song", "positive", "turned"),
        ("stale bread", "positive", ""),
    ]
    return str(write_csv(tmp_path / "other.csv", [*right, *turned], ("text", "label", "kind")))


def test_metrics_by_a_column(run, sorted_file, capsys):
    assert main(["evaluate", run, "--test", sorted_file, "--by", "kind", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {name: group["examples"] for name, group in found["groups"]["kind"].items()} == {
        "(none)": 1, "right": 2, "turned": 2
    }  # fmt: skip
    groups = found["groups"]["kind"].values()
    for metric in ("accuracy", "loss"):  # means over the rows: the groups' add up to the whole
        assert sum(group[metric] * group["examples"] for group in groups) == pytest.approx(5 * found[metric])
    assert all(0 <= group["f1_macro"] <= 1 for group in groups)


def test_metrics_by_a_column_as_a_table(run, sorted_file, capsys):
    assert main(["evaluate", run, "--test", sorted_file, "--by", "kind"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["by", "kind", "examples", "accuracy", "macro", "F1", "loss"] in lines
    assert sum(line[:1] in (["right"], ["turned"], ["(none)"]) for line in lines) == 3


def test_guessed_columns_are_said_on_stderr_and_stated_ones_are_not(run, tiny_data, tmp_path, capsys):
    renamed = tmp_path / "renamed.csv"
    text = tiny_data["test"].read_text(encoding="utf-8").replace("text,label", "sentence,sentiment", 1)
    renamed.write_text(text, encoding="utf-8")
    assert main(["evaluate", run, "--test", str(renamed), "--json"]) == 0
    printed = capsys.readouterr()
    assert "Columns guessed: text = sentence, label = sentiment." in printed.err
    json.loads(printed.out)
    stated = ["--text-column", "sentence", "--label-column", "sentiment"]
    assert main(["evaluate", run, "--test", str(renamed), *stated]) == 0
    assert main(["evaluate", run, "--test", str(tiny_data["test"])]) == 0
    assert "taken by name" not in capsys.readouterr().err


def test_columns_without_a_file_are_a_usage_error(run, capsys):
    assert main(["evaluate", run, "--text-column", "text"]) == 2
    assert "need --test" in capsys.readouterr().err


@pytest.mark.parametrize("own", [True, False])
def test_a_column_that_is_not_there_is_answered_with_those_that_are(run, sorted_file, own, capsys):
    file = [] if own else ["--test", sorted_file]
    assert main(["evaluate", run, *file, "--by", "knid"]) == 3
    said = capsys.readouterr().err
    assert 'there is no column "knid" to group by' in said
    assert ("none to group by" in said) if own else ('Did you mean "kind"? Columns: text, label, kind.' in said)


def test_rows_of_no_use_are_left_out_and_said(run, capsys, tmp_path):
    path = write_csv(tmp_path / "t.csv", [("fine film", "positive"), ("dull film", "mixed"), ("", "negative")])
    assert main(["evaluate", run, "--test", str(path)]) == 3
    assert "--on-error skip" in capsys.readouterr().err
    assert main(["evaluate", run, "--test", str(path), "--on-error", "skip"]) == 0
    told = "Left out: 2 of 3 rows (1 with a label that training lacks, 1 without text or label)."
    assert told in " ".join(capsys.readouterr().out.split())


def test_only_a_file_has_rows_of_no_use(run, capsys):
    assert main(["evaluate", run, "--on-error", "skip"]) == 2
    assert "needs --test" in capsys.readouterr().err
