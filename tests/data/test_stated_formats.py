"""What a user states about files and what fits none of them, contradicts itself or names nothing."""

from __future__ import annotations

import json
from pathlib import Path

import openpyxl
import pytest

from lightune.data.check import check_data
from lightune.data.tables import read_table
from lightune.data.text_file import TextFormat
from lightune.errors import DataError, RecipeError
from lightune.recipe import DataBlock, parse_recipe
from lightune.values.text_formats import listed_names

ROWS = [(f"text number {row}", "good" if row % 2 else "bad") for row in range(20)]


def put(path: Path, header: bool = True) -> Path:
    lines = ["text,label"] * header + [",".join(row) for row in ROWS]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def put_json(path: Path) -> Path:
    path.write_text(
        "".join(json.dumps({"text": f"other {text}", "label": label}) + "\n" for text, label in ROWS), encoding="utf-8"
    )
    return path


@pytest.mark.parametrize("stated", [{"header_row": 3}, {"column_names": ("a", "b")}, {"sheet": "Data"}])
def test_what_fits_no_file_is_a_fault_that_names_their_kind(tmp_path: Path, stated: dict[str, object]):
    (flag,) = (f"--{name.replace('_', '-')}" for name in stated)
    for source in (str(put_json(tmp_path / "a.jsonl")), "reviews"):
        (fault,) = check_data(DataBlock.model_validate({"source": source, **stated})).faults
        assert (fault.code, fault.hint) == ("DATA-084", f"Leave out {flag}.")
        assert ("this is .jsonl" if source != "reviews" else "this is the embedded data set") in fault.text


def test_a_statement_is_for_the_files_that_it_fits(tmp_path: Path):
    files = {"train": str(put(tmp_path / "a.csv", header=False)), "test": str(put_json(tmp_path / "b.jsonl"))}
    assert check_data(DataBlock.model_validate({"source": files, "column_names": "text,label"})).faults == []


def test_a_row_of_names_and_names_contradict_each_other(tmp_path: Path):
    block = DataBlock(source=str(put(tmp_path / "a.csv")), header_row=2, column_names=("text", "label"))
    assert [fault.code for fault in check_data(block).faults] == ["DATA-084"]


def test_a_row_of_names_beyond_the_end(tmp_path: Path):
    book = openpyxl.Workbook()
    for row in (("text", "label"), *ROWS):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    for path in (put(tmp_path / "a.csv"), tmp_path / "a.xlsx"):
        with pytest.raises(DataError) as caught:
            read_table(path, stated=TextFormat(header_row=50))
        assert caught.value.code == "DATA-006"
        assert f"{path}: the column names are stated to be in row 50, and the last row is 21" in caught.value.message


def test_equal_names_are_no_matter_of_the_file(tmp_path: Path):
    with pytest.raises(DataError) as caught:
        read_table(put(tmp_path / "a.csv"), stated=TextFormat(column_names=("text", "text")))
    assert '--column-names: 2 columns are called "text"' in caught.value.message
    assert "If the file has no column names" not in caught.value.hint


def test_names_keep_their_places():
    assert listed_names(" label , text") == ("label", "text")
    assert DataBlock(column_names="a, b").column_names == ("a", "b")
    for wrong in ("label,,text", "text,text", "", ["a", ""]):
        with pytest.raises(ValueError, match="a name for every column"):
            listed_names(wrong)
        with pytest.raises(RecipeError, match="a name for every column"):
            parse_recipe({"data": {"column_names": wrong}})
