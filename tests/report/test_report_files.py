"""Writing the reports, and reading run folders back."""

from __future__ import annotations

import csv
import html
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from example_record import example_predictions, example_record
from lightune.errors import ArtifactError
from lightune.report.files import read_run, write_reports


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = example_predictions()
    rows[0]["text"] = 'quoted "text", with a comma\nand a second line, ümlaut'
    (tmp_path / "results.json").write_text(example_record(predictions=rows).model_dump_json(), encoding="utf-8")
    _write_predictions(tmp_path, rows)
    return tmp_path


def _write_predictions(folder: Path, rows: list[dict[str, str]]) -> None:
    with (folder / "predictions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_a_run_comes_back_as_it_was_and_its_reports_are_written(folder):
    record, rows = read_run(folder)
    assert record == example_record(predictions=rows)
    assert rows[0]["text"] == 'quoted "text", with a comma\nand a second line, ümlaut'
    write_reports(record, rows, folder)
    for name in ("report.html", "README.md"):
        raw = (folder / name).read_bytes()
        assert b"\r" not in raw
        assert raw.endswith(b"\n")
        raw.decode("utf-8")


def test_a_very_long_text_can_be_read(folder):
    rows = example_predictions()
    rows[3]["text"] = "long " * 100_000
    _write_predictions(folder, rows)
    assert read_run(folder)[1][3]["text"] == rows[3]["text"]


def _code(folder: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        read_run(folder)
    assert str(folder) in caught.value.message
    assert caught.value.hint
    return caught.value.code


def test_no_run_folder(tmp_path):
    assert _code(tmp_path / "nowhere") == "ARTIFACT-030"
    assert _code(tmp_path) == "ARTIFACT-031"


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ('{"schema_version": 1, "run_', "ARTIFACT-032"),
        ("\udcff", "ARTIFACT-032"),
        ("[1, 2]", "ARTIFACT-034"),
        ('{"schema_version": 3}', "ARTIFACT-033"),
        ('{"schema_version": 0}', "ARTIFACT-033"),
        ('{"schema_version": 2}', "ARTIFACT-034"),
        ('{"schema_version": 1}', "ARTIFACT-034"),
        ("{}", "ARTIFACT-034"),
    ],
)
def test_broken_results(folder, content, code):
    (folder / "results.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert _code(folder) == code


def test_a_wrong_field_is_named(folder):
    text = (folder / "results.json").read_text(encoding="utf-8")
    (folder / "results.json").write_text(text.replace('"best_epoch":4', '"best_epoch":"x"'), encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"training\.best_epoch"):
        read_run(folder)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("confusion_matrix", [[1]], "after.details.confusion_matrix: not 2 by 2, as the labels are"),
        ("confusion_matrix", [["x", 1], [1, 1]], "after.details.confusion_matrix.0.0"),
        ("per_label", {"negative": {"precision": 0.5}}, "after.details.per_label.negative.recall"),
    ],
)
def test_details_that_cannot_be_drawn_are_named(folder, name, value, said):
    path = folder / "results.json"
    fields = json.loads(path.read_text(encoding="utf-8"))
    fields["after"]["details"][name] = fields["after"][name] = value
    path.write_text(json.dumps(fields), encoding="utf-8")
    with pytest.raises(ArtifactError, match=re.escape(said)) as caught:
        read_run(folder)
    assert caught.value.code == "ARTIFACT-034"


def test_broken_predictions(folder):
    path = folder / "predictions.csv"
    whole = path.read_text(encoding="utf-8")
    for content, code in (
        ("text,label\na,b\n", "ARTIFACT-037"),
        (whole + "cut,off\n", "ARTIFACT-038"),
        (whole.replace(",0.", ",zero.", 1), "ARTIFACT-038"),
        (whole[: whole.rindex("\n", 0, -2) + 1], "ARTIFACT-039"),
        ("", "ARTIFACT-039"),
        (whole + '"never closed', "ARTIFACT-036"),
    ):
        path.write_text(content, encoding="utf-8", newline="")
        assert _code(folder) == code
    path.write_bytes(b"\xff\xfe\xfa")
    assert _code(folder) == "ARTIFACT-036"
    path.unlink()
    assert _code(folder) == "ARTIFACT-035"


def test_reports_import_no_torch_and_reading_imports_no_matplotlib():
    code = (
        "import sys, lightune.report.files, lightune.report.summary\n"
        "assert not {'matplotlib', 'jinja2', 'torch', 'transformers', 'peft'} & set(sys.modules), 'too early'\n"
        "import lightune.report.html, lightune.report.card\n"
        "assert not {'torch', 'transformers', 'peft'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_report_of_a_checkpoints_own_head_speaks_of_an_untrained_one(tmp_path):
    record = example_record()
    record = record.model_copy(update={"model": record.model.model_copy(update={"head": "checkpoint"})})
    write_reports(record, example_predictions(), tmp_path)
    for name in ("report.html", "README.md"):
        page = html.unescape((tmp_path / name).read_text(encoding="utf-8"))
        assert "untrained" not in page
        assert "before (checkpoint's own head)" in page
        assert "the checkpoint's own head, as it was" in page
