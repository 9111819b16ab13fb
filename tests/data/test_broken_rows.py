"""Rows that cannot be read, and words for a missing value: faults that propose how to leave them out, and counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightune.data.check import Checked, check_data
from lightune.data.tables import Table
from lightune.data.unreadable import settle_unreadable
from lightune.faults import Fault
from lightune.recipe import DataBlock

GOOD = [f"the text number {row},{('good', 'bad')[row % 2]}" for row in range(60)]
BROKEN = ["one cell", '"a quote" that ends early,good', "a \0 byte,bad"]


def checked(tmp_path: Path, rows: list[str], **stated: str) -> Checked:
    path = tmp_path / "a.csv"
    path.write_bytes("\n".join(["text,label", *rows]).encode() + b"\n")
    return check_data(DataBlock.model_validate({"source": str(path), **stated}))


def test_broken_rows_are_faults_that_propose_to_leave_them_out(tmp_path: Path):
    found = checked(tmp_path, [*GOOD, *BROKEN])
    assert sorted(fault.code for fault in found.faults) == ["DATA-005", "DATA-007", "DATA-060"]
    assert all(fault.hint.endswith("--set data.on_unreadable=drop.") for fault in found.faults)


def test_broken_rows_are_left_out_named_and_counted(tmp_path: Path):
    found = checked(tmp_path, [*GOOD[:10], *BROKEN, *GOOD[10:]], on_unreadable="drop")
    assert found.faults == []
    counts = found.rows["train"]
    assert (counts.rows_in, counts.used, counts.dropped) == (63, {"train": 60}, {"cannot be read": 3})
    (told,) = [note for note in found.notes if "cannot be read" in note]
    assert told.startswith(f"{tmp_path}/a.csv: 3 rows that cannot be read were left out: line 12 (1 cells, 2 columns)")


def test_where_a_tenth_of_the_rows_are_broken_the_file_is_misread(tmp_path: Path):
    """A wrong separator or encoding breaks many rows: they are not left out."""
    found = checked(tmp_path, [*GOOD[:20], *BROKEN], on_unreadable="drop")
    assert len(found.faults) == 3
    assert not any("on_unreadable" in fault.hint for fault in checked(tmp_path, [*GOOD[:20], *BROKEN]).faults)


@pytest.mark.parametrize("word", ["-", "NA", "null"])
def test_words_for_a_missing_value_are_left_out_where_that_is_asked_for(tmp_path: Path, word: str):
    rows = [*GOOD, *[f"a text of no label {row},{word}" for row in range(4)]]
    found = checked(tmp_path, rows)
    assert len(found.task.labels) == 3
    (warning,) = [one for one in found.warnings if one.code == "DATA-116"]
    assert "--set data.on_missing=drop_words" in warning.hint
    left = checked(tmp_path, rows, on_missing="drop_words")
    assert left.faults == []
    assert left.task.labels == ("bad", "good")
    assert left.rows["train"].dropped == {"without text or label": 4}
    assert len(checked(tmp_path, rows, on_missing="drop").task.labels) == 3


def test_entities_of_html_are_told(tmp_path: Path):
    rows = [*GOOD, "fish &amp; chips,good", "it&#39;s bad,bad", "A&B; R&D,bad"]
    (warning,) = [one for one in checked(tmp_path, rows).warnings if one.code == "DATA-122"]
    assert "hold characters as HTML writes them, such as &amp;: 2 (line 62, line 63)" in warning.text


def test_one_row_of_each_file_is_told_of_that_file():
    faults = [Fault("DATA-007", f"{name}.csv:{line}", "1 cells, 2 columns") for name, line in (("a", 3), ("b", 9))]
    tables = [Table(f"{name}.csv", {"text": ["x"] * 20}, range(20), skipped={"cannot be read": 1}) for name in "ab"]
    notes = settle_unreadable(faults, tables, drops=True)
    assert notes == [
        "a.csv: 1 row that cannot be read was left out: line 3 (1 cells, 2 columns).",
        "b.csv: 1 row that cannot be read was left out: line 9 (1 cells, 2 columns).",
    ]


def test_long_texts_are_no_warning_where_they_are_read_whole(tmp_path: Path):
    rows = [*GOOD, f"{'a long text ' * 2000},good"]
    (warning,) = (one for one in checked(tmp_path, rows).warnings if one.code == "DATA-110")
    assert warning.hint.endswith("--set data.long_texts=windows.")
    assert not any(one.code == "DATA-110" for one in checked(tmp_path, rows, long_texts="windows").warnings)


def test_a_label_of_dropped_rows_alone_is_no_label(tmp_path: Path):
    """The last row of an export: "Total" in one column, and no text."""
    found = checked(tmp_path, [*GOOD, ",Total"], on_missing="drop")
    assert (found.faults, found.task.labels) == ([], ("bad", "good"))
    assert found.rows["train"].dropped == {"without text or label": 1}


def test_the_training_file_as_test_file_is_told_to_be_left_out(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["text,label", *GOOD, ""]), encoding="utf-8")
    found = check_data(DataBlock.model_validate({"source": {"train": str(path), "test": str(path)}}))
    (fault,) = [one for one in found.faults if one.code == "DATA-030"]
    assert fault.hint.endswith("Leave --test out, and rows are held out for it.")
