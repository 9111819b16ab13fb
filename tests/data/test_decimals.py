"""Numbers with a decimal comma: decided for a whole column, said, and never where thousands may be meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightune.data.check import Checked, check_data
from lightune.data.dataset import labelled_split
from lightune.data.decimals import write_with_points
from lightune.data.tables import Table, read_table
from lightune.errors import DataError
from lightune.recipe import DataBlock
from lightune.tasks.columns import Wishes
from lightune.tasks.regression import Regression


def checked(tmp_path: Path, cells: list[str], test: list[str] | None = None, **stated: str) -> Checked:
    files = {}
    for name, column in (("train", cells), ("test", test)):
        if column:
            path = files[name] = tmp_path / f"{name}.csv"
            rows = [f"{name} text number {row};{cell}" for row, cell in enumerate(column)]
            path.write_text("\n".join(["text;score", *rows]), encoding="utf-8")
    return check_data(DataBlock.model_validate({"source": {name: str(path) for name, path in files.items()}, **stated}))


def read(found: Checked, split: str = "train") -> list[float]:
    assert found.faults == []
    return found.scans[split].targets[:, 0].tolist()


def test_a_column_with_decimal_commas_is_read_and_said(tmp_path: Path):
    found = checked(tmp_path, ["3,5", "4", "-1,25", "0,125", "10"], ["1,5", "2"])
    assert read(found) == [3.5, 4.0, -1.25, 0.125, 10.0]
    assert read(found, "test") == [1.5, 2.0]
    told = f"{tmp_path}/train.csv: in column score a comma stands before the fraction of a number (3,5 is 3.5)."
    assert any(note.startswith(told) for note in found.notes)
    assert "Task: regression; column score holds numbers, -1.25 to 10." in found.notes


@pytest.mark.parametrize("odd", ["1,234", "3.5", "1.234,5", "12%", "1,2,3"])
def test_one_cell_that_may_mean_something_else_leaves_all_as_they_are(tmp_path: Path, odd: str):
    found = checked(tmp_path, ["3,5", "4,5", "5,5", "2,5", "1,5", "6,5", "7,5", "8,5", "9,5", "0,5", "2,1", odd])
    assert len(found.faults) >= 11
    assert {fault.code for fault in found.faults} == {"DATA-013"}
    assert "--decimal comma" in found.faults[0].hint


def test_thousands_are_stated(tmp_path: Path):
    cells = ["1,204", "12,000", "999", "1,234,567.5"]
    found = checked(tmp_path, cells[:-1])
    assert found.faults[0].code == "DATA-013"
    assert "--decimal point if it is 1204, --decimal comma if it is 1.204" in found.faults[0].hint
    assert read(checked(tmp_path, cells, decimal="point")) == [1204.0, 12000.0, 999.0, 1234567.5]
    assert read(checked(tmp_path, ["1.204,5", "12,25", "7"], decimal="comma")) == [1204.5, 12.25, 7.0]


def test_a_number_that_the_statement_does_not_fit_is_a_fault(tmp_path: Path):
    """3.5 is no number with a decimal comma, and would be read as three and a half all the same."""
    (fault,) = checked(tmp_path, ["2,5", "3.5", "1,5"], decimal="comma").faults
    assert (fault.code, fault.place) == ("DATA-082", f"{tmp_path}/train.csv:3")


def test_a_cell_without_a_digit_has_its_own_fault(tmp_path: Path):
    found = checked(tmp_path, ["3,5", "none", "4,5", "", *[f"{row},5" for row in range(20)]])
    assert [(fault.place.rpartition(":")[2], fault.code) for fault in found.faults] == [
        ("3", "DATA-013"),
        ("5", "DATA-013"),
    ]


def test_labels_stay_as_they_are():
    table = Table("a.csv", {"label": ["3,5", "4", "x,y"], "n": [1.5, None, "2,5"]}, [2, 3, 4])
    write_with_points(table, ["n"], None)
    assert table.columns["label"] == ["3,5", "4", "x,y"]
    assert list(table.columns["n"]) == [1.5, None, "2.5"]


def test_a_file_to_evaluate_is_decided_by_itself(tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("text;score\nfine;3,5\nbad;1\n", encoding="utf-8")
    found = labelled_split(read_table(path), DataBlock(), Regression(columns=("score",)))
    assert found.split.targets[:, 0].tolist() == [3.5, 1.0]
    assert any("comma" in note for note in found.notes)
    with pytest.raises(DataError, match='"3,5", not a number'):
        labelled_split(read_table(path), DataBlock(decimal="point"), Regression(columns=("score",)))


@pytest.mark.parametrize("decimal", ["comma", "point"])
def test_no_thousands_begin_with_a_zero(tmp_path: Path, decimal: str):
    """0.125 is an eighth, never 125."""
    odd, good = ("0.125", "0,5") if decimal == "comma" else ("0,125", "0.5")
    found = checked(tmp_path, [*[good.replace("0", str(row)) for row in range(20)], odd], decimal=decimal)
    if decimal == "point":
        assert [(fault.code, fault.place) for fault in found.faults] == [("DATA-013", f"{tmp_path}/train.csv:22")]
    else:
        assert read(found)[-1] == 0.125
        assert f'{tmp_path}/train.csv:22: column score holds "0.125", read as it is, although commas' in " ".join(
            found.notes
        )


def test_where_points_are_many_the_statement_does_not_fit(tmp_path: Path):
    cells = ["1,5", "2,5", "3.5"] * 8
    (fault,) = checked(tmp_path, cells, decimal="comma").faults
    assert (fault.code, fault.place) == ("DATA-082", f"{tmp_path}/train.csv:4")
    found = checked(tmp_path, [*["1,5", "2,5"] * 10, "3.5", "1.500,5"], decimal="comma")
    assert found.faults == []
    assert read(found)[-2:] == [3.5, 1500.5]


def test_commas_that_may_stand_between_two_labels_are_asked_about(tmp_path: Path):
    cells = ["1,2", "2,3", "3", "1,3"] * 5
    (first, *_) = checked(tmp_path, cells).faults
    assert first.code == "DATA-013"
    assert "--decimal comma" in first.hint
    assert "--task multi_label" in first.hint
    assert read(checked(tmp_path, cells, decimal="comma"))[:3] == [1.2, 2.3, 3.0]
    assert read(checked(tmp_path, [*cells, "3,3"]))[-1] == 3.3  # no text has a label twice
    assert read(checked(tmp_path, ["1,0", "2,0"] * 5)) == [1.0, 2.0] * 5
    assert read(checked(tmp_path, ["1,5", "2,5", "5", "3"] * 5))[:3] == [1.5, 2.5, 5.0]  # grades in halves


def test_a_stated_comma_leaves_labels_as_they_are(tmp_path: Path):
    for labels in (["10 000", "20 000"], ["good", "bad"]):
        found = checked(tmp_path, labels * 5, labels, decimal="comma")
        assert found.faults == []
        assert found.task is not None
        assert set(found.task.labels) == set(labels)
        assert not any("fraction" in note for note in found.notes)
        assert "--decimal comma is not used: the labels stay as they are." in found.notes
    block = {"source": str(tmp_path / "train.csv"), "decimal": "comma"}
    checked(tmp_path, ["1,2", "2", "1,3", "3"] * 5)
    found = check_data(DataBlock.model_validate(block), Wishes(task="multi_label"))
    assert found.faults == []
    assert found.task is not None
    assert found.task.labels == ("1", "2", "3")
