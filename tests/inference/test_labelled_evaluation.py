"""The metrics of a trained classifier: on its own test split they are those of the run."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import ClassVar

import pytest

import lightune
from case_table import case
from lightune.data.unreadable import REMEDY
from lightune.errors import ArtifactError, DataError, RecipeError
from lightune.inference.bulk import answered_rows
from lightune.inference.labelled_evaluation import Asked, _with_option, evaluate_file, evaluate_own_test
from lightune.progress import Silent
from tiny import write_csv

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def classifier(tiny_run):
    return lightune.load(tiny_run.folder)


def _same_as_in_the_run(found, tiny_run) -> None:
    after = tiny_run.record.after
    assert (found.examples, found.accuracy) == (after.examples, after.accuracy)
    assert found.confusion_matrix == after.confusion_matrix
    assert found.loss == pytest.approx(after.loss, abs=1e-5)
    assert found.f1_macro == pytest.approx(after.f1_macro)


def test_the_runs_own_test_split_gives_the_runs_figures(classifier, tiny_run):
    _same_as_in_the_run(evaluate_own_test(classifier, tiny_run.folder), tiny_run)


def test_the_test_file_gives_the_runs_figures(classifier, tiny_run, tiny_data):
    _same_as_in_the_run(evaluate_file(classifier, tiny_data["test"]), tiny_run)


def test_the_files_of_a_pattern_are_one_test_split(classifier, tiny_run, tiny_data, tmp_path):
    with tiny_data["test"].open(encoding="utf-8", newline="") as file:
        rows = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    write_csv(tmp_path / "a.csv", rows[:13])
    write_csv(tmp_path / "b.csv", rows[13:])
    _same_as_in_the_run(evaluate_file(classifier, tmp_path / "*.csv"), tiny_run)


def test_columns_with_other_names_are_named(classifier, tiny_run, tiny_data, tmp_path):
    with tiny_data["test"].open(encoding="utf-8", newline="") as file:
        rows = [(row["label"], "x", row["text"], "y") for row in csv.DictReader(file)]
    path = write_csv(tmp_path / "other.csv", rows, header=("stars", "text", "said", "label"))
    _same_as_in_the_run(evaluate_file(classifier, path, Asked("said", ["stars"])), tiny_run)


def test_an_accuracy_by_hand(classifier, tmp_path):
    texts = ["the film was lovely", "the dull plot was dreadful", "my soup is cold here"]
    labels = [answer.label for answer in classifier.predict(texts)]
    labels[1] = "positive" if labels[1] == "negative" else "negative"
    found = evaluate_file(classifier, write_csv(tmp_path / "t.csv", list(zip(texts, labels, strict=True))))
    assert (found.examples, found.accuracy) == (3, pytest.approx(2 / 3))


def test_a_label_the_classifier_does_not_know_is_refused_with_its_line(classifier, tmp_path):
    path = write_csv(tmp_path / "t.csv", [("fine film", "positive"), ("dull film", "Postive")])
    with pytest.raises(DataError) as caught:
        evaluate_file(classifier, path)
    assert caught.value.code == "DATA-014"
    assert f"{path}:3" in caught.value.message
    assert 'Did you mean "positive"?' in str(caught.value)


def test_an_adapter_folder_has_no_test_split(classifier, tiny_run):
    with pytest.raises(ArtifactError, match="no test split"):
        evaluate_own_test(classifier, tiny_run.folder / "adapter")


@pytest.mark.parametrize("content", [b"", b"{}", b'{"schema_version": 1', b"\xff"])
def test_a_damaged_record_is_refused(classifier, tiny_run, tmp_path, content):
    shutil.copytree(tiny_run.folder, tmp_path / "run")
    (tmp_path / "run" / "results.json").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"results\.json: this file is damaged"):
        evaluate_own_test(classifier, tmp_path / "run")


def test_a_pair_for_a_classifier_of_one_text_is_refused_with_its_columns(classifier, tmp_path):
    rows = [("a film", "a book", "positive"), ("a soup", "a lamp", "negative")]
    path = write_csv(tmp_path / "pairs.csv", rows, header=("premise", "hypothesis", "label"))
    with pytest.raises(DataError, match=r"DATA-041 .*columns premise and hypothesis hold a pair of texts") as caught:
        evaluate_file(classifier, path, Asked("premise,hypothesis"))
    assert "takes one text (text)" in caught.value.message


@case("evaluate on a csv with blank lines, in which a text swallows rows", "no word", "both are said on stderr",
      "a measure on other rows than those of the file")  # fmt: skip
def test_what_reading_saw_is_said(classifier, tmp_path):
    class Listener(Silent):
        notes: ClassVar[list[str]] = []

        def note(self, text: str) -> None:
            self.notes.append(text)

    rows = ["fine film,positive", '"dull book,negative', "warm soup,positive", 'limp plot",negative', ""]
    rows += ["cold lamp,negative", "bright song,positive"]
    path = tmp_path / "in.csv"
    path.write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    assert evaluate_file(classifier, path, reporter=Listener()).examples == 4
    assert Listener.notes[0] == f"{path}: 1 blank line was skipped."
    assert Listener.notes[1].startswith(f"DATA-114 {path}:3: a quoted text continues to line 5")


@case("evaluate on four rows without a header, the first of them labelled positive", "3 examples, no word", "DATA-006",
      "one of the model's own labels is no name of a column")  # fmt: skip
def test_a_label_is_no_name_of_a_column(classifier, tmp_path):
    path = tmp_path / "in.csv"
    path.write_text("Great soup,positive\nAwful room,negative\nLovely staff,positive\nCold tea,negative\n")
    with pytest.raises(DataError, match="DATA-006"):
        evaluate_file(classifier, path)
    with pytest.raises(DataError, match="DATA-006"):
        list(answered_rows(classifier, path))


def test_a_mark_between_labels_is_for_models_of_several(classifier, tiny_data):
    with pytest.raises(RecipeError, match="the model's task is classification") as caught:
        evaluate_file(classifier, tiny_data["test"], Asked(label_separator=";"))
    assert caught.value.code == "RECIPE-104"


def test_columns_and_groups_inside_objects(classifier, tiny_run, tiny_data, tmp_path):
    with tiny_data["test"].open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    rows = [{"r": {"t": row["text"], "s": row["label"], "g": "ab"[n % 2]}} for n, row in enumerate(read)]
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    found = evaluate_file(classifier, path, Asked("r.t", ["r.s"], by="r.g"))
    assert found.accuracy == tiny_run.record.after.accuracy
    assert set(found.groups["r.g"]) == {"a", "b"}
    with pytest.raises(DataError, match="takes one text") as caught:  # and not that there is no such column
        evaluate_file(classifier, path, Asked("r.t,r.g", ["r.s"]))
    assert caught.value.code == "DATA-041"


def test_a_broken_row_of_the_own_test_file_has_no_remedy_that_evaluate_lacks(classifier, tiny_run, tiny_data):
    written = tiny_data["test"].read_bytes()
    try:
        tiny_data["test"].write_bytes(written + b"one,cell,too many\n")
        with pytest.raises(DataError) as caught:
            evaluate_own_test(classifier, tiny_run.folder)
    finally:
        tiny_data["test"].write_bytes(written)
    assert caught.value.code == "DATA-007"
    assert "--set" not in str(caught.value)


def _real_file(tmp_path: Path) -> Path:
    rows = ["fine film,positive,a", ",negative,b", "dull book,negative,b", "warm soup,,a", "cold lamp,mixed,b"]
    rows += ["one,cell,too,many", "sour milk,negative,a", "bright song,positive,b"]
    rows += [f"plain text {number},positive,a" for number in range(10)]
    path = tmp_path / "real.csv"
    path.write_text("\n".join(["text,label,shop", *rows, ""]), encoding="utf-8")
    return path


@case("evaluate on a file with an empty text, two labels of no use and a broken row", "only an error, no option",
      "14 rows are measured with --on-error skip, 4 are counted by reason", "own files are like that")  # fmt: skip
def test_rows_of_no_use_are_left_out_where_that_is_asked_for(classifier, tmp_path):
    path = _real_file(tmp_path)
    found = evaluate_file(classifier, path, Asked(by="shop", skips_faults=True))
    # By hand: 18 rows; lines 3 and 5 lack a text or a label, line 6 has an unknown label, line 7 has four cells.
    assert found.examples == 14
    assert found.rows_dropped == {
        "cannot be read": 1,
        "with a label that training lacks": 1,
        "without text or label": 2,
    }
    assert {name: part.examples for name, part in found.groups["shop"].items()} == {"a": 12, "b": 2}
    clean = tmp_path / "clean.csv"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    clean.write_text("".join(line for number, line in enumerate(lines, 1) if number not in (3, 5, 6, 7)))
    assert found.metrics == evaluate_file(classifier, clean).metrics


def test_the_remedy_of_an_evaluation_is_its_own_option(classifier, tmp_path):
    path = _real_file(tmp_path)
    with pytest.raises(DataError, match="DATA-007") as caught:
        evaluate_file(classifier, path)
    assert caught.value.hint.endswith("Or leave such rows out: --on-error skip.")
    path.write_text(path.read_text(encoding="utf-8").replace("one,cell,too,many\n", ""), encoding="utf-8")
    with pytest.raises(DataError, match="DATA-013") as caught:
        evaluate_file(classifier, path)
    assert "or leave such rows out: --on-error skip." in caught.value.hint
    assert "--set" not in str(caught.value)


def test_a_file_whose_labels_are_all_unknown_is_one_fault(classifier, tmp_path):
    path = write_csv(tmp_path / "t.csv", [(f"text {number}", f"shop {number % 3}") for number in range(30)])
    with pytest.raises(DataError) as caught:
        evaluate_file(classifier, path)
    labels = "shop 0, shop 1, shop 2) is among the training labels (negative, positive)."
    assert caught.value.message == f"{path}: no label in label ({labels}"
    assert "--label-column" in caught.value.hint
    with pytest.raises(DataError, match="30 with a label that training lacks") as caught:
        evaluate_file(classifier, path, Asked(skips_faults=True))
    assert (caught.value.code, "negative, positive" in caught.value.hint) == ("DATA-030", True)


def test_a_file_without_a_row_of_use_is_refused(classifier, tmp_path):
    path = write_csv(tmp_path / "t.csv", [("", "positive"), ("fine film", "")])
    with pytest.raises(DataError, match="DATA-030") as caught:
        evaluate_file(classifier, path, Asked(skips_faults=True))
    assert "2 without text or label" in caught.value.message


def test_whatever_is_wrong_with_a_row_it_is_left_out(classifier, tmp_path):
    rows = [*[f"plain text {number},positive" for number in range(6)], "half \ud800 of one,positive", "\u200b,negative"]
    path = tmp_path / "odd.jsonl"
    records = [dict(zip(("text", "label"), row.split(","), strict=True)) for row in rows]
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    with pytest.raises(DataError):
        evaluate_file(classifier, path)
    found = evaluate_file(classifier, path, Asked(skips_faults=True))
    assert (found.examples, sum(found.rows_dropped.values())) == (6, 2)


def test_unknown_labels_are_named_in_few_words(classifier, tmp_path):
    long = "a text that was taken for a label " * 20
    path = write_csv(tmp_path / "t.csv", [("fine film", long), ("dull film", "shop"), ("warm soup", "")])
    with pytest.raises(DataError, match="no label in label") as caught:
        evaluate_file(classifier, path)
    assert len(caught.value.message) < 500
    assert "label is missing" in caught.value.message
    many = write_csv(tmp_path / "many.csv", [(f"text {number}", f"shop {number % 3}") for number in range(10_050)])
    with pytest.raises(DataError) as caught:
        evaluate_file(classifier, many)
    assert caught.value.message.startswith(f"{many}: no label in label (shop 0, shop 1, shop 2)")


@pytest.mark.parametrize("code", sorted({"DATA-013", "DATA-033", "DATA-034", "DATA-007"}))
def test_no_remedy_is_a_setting_of_a_run(code):
    page = (ROOT / "docs" / "reference" / "error_codes.md").read_text(encoding="utf-8")
    hints = [row.split(" | ")[2] for row in page.splitlines() if row.startswith(f"| {code} ")]
    assert hints
    for hint in hints:
        told = _with_option(DataError(code, "x", f"{hint} {REMEDY}"), "").hint
        assert "--set data." not in told, hint
