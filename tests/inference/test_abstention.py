"""Answers that are left out for their confidence: in Python, on the command line, in files."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import lightune
from lightune.artifact import read_config
from lightune.cli.main import main
from lightune.errors import ArtifactError, RecipeError
from lightune.inference.abstention import Abstention
from lightune.report import words
from lightune.safe_files import write_manifest
from lightune.tasks.classification import Classification
from lightune.tasks.coverage import Abstained, Covered
from tiny import sentences, write_csv

ROWS = sentences(30, seed=52)
TEXTS = [text for text, _ in ROWS]


@pytest.fixture(scope="module")
def run(tiny_run: Any) -> Path:
    return Path(tiny_run.folder)


@pytest.fixture(scope="module")
def classifier(run: Path) -> Any:
    return lightune.load(run, device="cpu")


@pytest.fixture(scope="module")
def answers(classifier: Any) -> list[Any]:
    return classifier.predict(TEXTS)


@pytest.fixture(scope="module")
def bound(answers: list[Any]) -> float:
    """A bound that some answers reach and others do not."""
    found = sorted(answer.confidence for answer in answers)
    return round((found[9] + found[10]) / 2, 4)


def test_python_gives_none_where_the_confidence_is_lower(classifier: Any, answers: list[Any], bound: float):
    found = classifier.predict(TEXTS, abstain_below=bound)
    assert found == [answer if answer.confidence >= bound else None for answer in answers]
    assert found.count(None) == 10
    assert classifier.predict(TEXTS, abstain_below=0.0) == answers
    alone = classifier.predict(TEXTS[:1])  # beside other texts its confidence may differ in the last digit
    assert classifier.predict(TEXTS[:1], abstain_below=alone[0].confidence) == alone, "a bound is reached by itself"
    assert classifier.predict([], abstain_below=0.5) == []
    with pytest.raises(RecipeError, match="not a probability"):
        classifier.predict(TEXTS, abstain_below=80)


def test_the_coverage_is_that_of_the_validation_texts(classifier: Any, tiny_data: dict[str, Path]):
    with tiny_data["validation"].open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    said = classifier.predict([row["text"] for row in rows])
    for below in (0.0, 0.5, 0.6, 0.75, 0.9, 1.0):
        kept = [(one.label, row["label"]) for one, row in zip(said, rows, strict=True) if one.confidence >= below]
        accuracy = sum(label == true for label, true in kept) / len(kept) if kept else None
        assert classifier.coverage.at(below) == Covered(below, len(rows), len(kept) / len(rows), accuracy)


@pytest.mark.parametrize("is_quick", [True, False])
def test_texts_on_the_command_line(run: Path, answers: list[Any], bound: float, is_quick: bool, capsys: Any):
    given = TEXTS[:12] if is_quick else TEXTS  # more texts than the path without torch takes
    assert main(["predict", str(run), *given, "--abstain-below", str(bound), "--device", "cpu"]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    said = answers[: len(given)]
    wanted = [answer.label if answer.confidence >= bound else "(abstained)" for answer in said]
    assert [line.split()[0] for line in lines] == wanted
    assert [line.split()[1] for line in lines] == [f"{answer.confidence:.3f}" for answer in said]
    assert len({line.index(text) for line, text in zip(lines, given, strict=True)}) == 1, "one column"
    left = wanted.count("(abstained)")
    assert f"{len(given) - left} of {len(given)} texts answered" in printed.err
    assert "of the run's 24 validation texts are answered" in " ".join(printed.err.split())


def test_texts_as_json(run: Path, answers: list[Any], bound: float, capsys: Any):
    assert main(["predict", str(run), *TEXTS, "--json", "--abstain-below", str(bound)]) == 0
    found = json.loads(capsys.readouterr().out)
    for shown, answer in zip(found["predictions"], answers, strict=True):
        is_left = answer.confidence < bound
        assert (shown["label"], shown["abstained"]) == (None if is_left else answer.label, is_left)
        assert shown["confidence"] == pytest.approx(answer.confidence)
        assert shown["probabilities"] == pytest.approx(answer.probabilities)
    told = found["abstaining"]
    assert (told["below"], told["texts"], told["answered"]) == (bound, 30, 20)
    assert told["answered_share"] == pytest.approx(2 / 3)
    assert told["validation"]["examples"] == 24
    assert main(["predict", str(run), TEXTS[0], "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain.keys() == {"predictions", "truncated"}
    assert "abstained" not in plain["predictions"][0]


def test_a_file_has_an_empty_answer_and_says_why(
    run: Path, answers: list[Any], bound: float, tmp_path: Path, capsys: Any
):
    source, target = write_csv(tmp_path / "in.csv", [*ROWS, *ROWS[:5]]), tmp_path / "out.csv"
    command = ["predict", str(run), "--file", str(source), "--abstain-below", str(bound)]
    assert main([*command, "--output", str(target)]) == 0
    printed = " ".join(capsys.readouterr().err.split())
    with target.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["text", "label", "prediction", "confidence", "abstained"]
    left = [answer.confidence < bound for answer in [*answers, *answers[:5]]]
    for row, answer, is_left in zip(rows, [*answers, *answers[:5]], left, strict=True):
        assert row["prediction"] == ("" if is_left else answer.label)
        assert row["abstained"] == ("true" if is_left else "false")
        assert float(row["confidence"]) == pytest.approx(answer.confidence, abs=1e-5)
    answered = left.count(False)
    assert f"{answered} of 35 texts answered" in printed
    kept = [row["prediction"] == row["label"] for row in rows if row["prediction"]]
    assert f"the accuracy is {sum(kept) / len(kept):.3f} on {answered} texts" in printed, "of those that are answered"
    assert f"{left.count(True)} with no answer" in printed
    assert main(command) == 0
    assert list(csv.DictReader(io.StringIO(capsys.readouterr().out))) == rows
    assert main([*command, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["label"] for row in found["predictions"]] == [row["prediction"] or None for row in rows]
    assert [row["abstained"] for row in found["predictions"]] == left
    assert found["rows_in"] == found["rows_answered"] + found["rows_abstained"] == 35
    assert found["abstaining"]["answered"] == found["rows_answered"] == answered
    assert found["known"]["abstained"] == left.count(True)


def test_a_file_that_has_such_a_column_is_refused(run: Path, tmp_path: Path, capsys: Any):
    source = write_csv(tmp_path / "in.csv", ROWS, ("text", "abstained"))
    assert main(["predict", str(run), "--file", str(source), "--abstain-below", "0.5"]) == 3
    assert "a column called abstained already exists" in capsys.readouterr().err
    assert main(["predict", str(run), "--file", str(source)]) == 0


@pytest.mark.parametrize("bound", ["1.5", "-0.1", "80%"])
def test_a_bound_that_is_no_probability_is_a_usage_error(run: Path, bound: str, capsys: Any):
    assert main(["predict", str(run), "a text", "--abstain-below", bound]) == 2
    assert "--abstain-below" in capsys.readouterr().err


def test_a_model_saved_as_a_stock_one_knows_of_no_validation_texts(run: Path, tmp_path: Path, capsys: Any):
    lightune.load(run, device="cpu").save_pretrained(tmp_path / "stock")
    assert main(["predict", str(tmp_path / "stock"), TEXTS[0], "--abstain-below", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["abstaining"]["validation"] is None
    assert found["predictions"][0]["label"] is None


def test_an_adapter_of_an_older_version_has_no_coverage_and_a_wrong_one_is_refused(run: Path, tmp_path: Path):
    folder = Path(shutil.copytree(run, tmp_path / "run")) / "adapter"
    path = folder / "lightune.json"
    written = json.loads(path.read_text(encoding="utf-8"))
    task = written.pop("task")
    assert written.pop("coverage")["examples"] == 24
    assert task["temperature"] == 1, "24 validation texts are too few"
    assert written.pop("files")
    written |= {"format_version": 1, "labels": task["labels"]}
    path.write_text(json.dumps(written), encoding="utf-8")
    write_manifest(folder)
    older = lightune.load(folder, device="cpu")
    assert older.coverage is None
    assert older.task == read_config(run / "adapter").task
    path.write_text(
        json.dumps({**written, "coverage": {"examples": 3, "answered": [3], "right": [3]}}), encoding="utf-8"
    )
    write_manifest(folder)
    with pytest.raises(ArtifactError, match="coverage") as caught:
        read_config(folder)
    assert caught.value.code == "ARTIFACT-005"


def test_cells_of_an_answer():
    abstention = Abstention(Classification(("no", "yes")), 0.8)
    assert abstention.columns == ("prediction", "confidence", "abstained")
    assert abstention.given(("no", "0.9", "false")) == ("no", "0.9")
    assert abstention.given(("no", "0.7", "true")) is None
    assert list(abstention.shown(("no", "0.7", "true"))) == ["", "0.7", "true"]
    assert abstention.answer_object(("no", "0.7", "true")) == {"label": None, "confidence": 0.7, "abstained": True}
    free = Abstention(Classification(("no", "yes")))
    assert (free.columns, free.summary(3, 3, None)) == (("prediction", "confidence"), None)


def test_what_a_bound_came_to_in_words():
    known = Covered(0.8, 500, 0.572, 0.9405)
    assert words.abstained(Abstained(0.8, 1000, 620, 0.62, known)) == (
        "620 of 1,000 texts answered (62.0%), 380 left out with a confidence below 0.8. With this bound 57.2% of the "
        "run's 500 validation texts are answered; 94.0% of these answers are right."
    )
    assert words.abstained(Abstained(0.825, 2, 2, 1.0, Covered(0.82, 500, 0.0, None))) == (
        "2 of 2 texts answered (100.0%); none is below 0.825. With this bound 0.0% of the run's 500 validation texts "
        "are answered at 0.82."
    )
    assert words.abstained(Abstained(0.8, 0, 0, None, None)) == (
        "0 of 0 texts answered; none is below 0.8. Nothing is known of this model's validation texts."
    )
