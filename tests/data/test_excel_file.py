"""Workbooks: the first sheet with rows, cells with their types, and the place of each row."""

from __future__ import annotations

import builtins
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from lightune.data.tables import read_table
from lightune.errors import DataError
from lightune.extras import install_command

openpyxl = pytest.importorskip("openpyxl")


def workbook(path: Path, *sheets: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets):
        sheet = book.create_sheet(f"Sheet{number + 1}")
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_cells_keep_their_types_and_rows_their_place(tmp_path: Path):
    rows = [["text", "stars", "on", "when"], ["schön", 3, True, date(2024, 5, 1)], [None] * 4, ["trüb", 2.5, False]]
    path = workbook(tmp_path / "a.xlsx", rows)
    table = read_table(path)
    assert table.columns == {
        "text": ["schön", "trüb"], "stars": [3, 2.5], "on": [True, False], "when": ["2024-05-01T00:00:00", None],
    }  # fmt: skip
    assert [table.place(row) for row in range(2)] == [f"{path}:2", f"{path}:4"]
    assert table.skipped == {"blank line": 1}


def test_the_first_sheet_with_rows_is_read_and_the_others_are_named(tmp_path: Path):
    path = workbook(tmp_path / "a.xlsx", [], [["text", "label"], ["x", "y"]], [["old", "rows"]])
    table = read_table(path)
    assert table.columns == {"text": ["x"], "label": ["y"]}
    assert table.notes == [f"{path}: the sheet Sheet2 was read; others have rows too: --sheet Sheet3."]


def test_empty_columns_at_the_end_are_none(tmp_path: Path):
    path = workbook(tmp_path / "a.xlsx", [["text", "label", None, None], ["x", "y", None, None]])
    assert list(read_table(path).columns) == ["text", "label"]


@pytest.mark.parametrize(
    ("rows", "code"),
    [([], "DATA-004"), ([["text", "label"]], "DATA-004"), ([["text", "text"], ["a", "b"]], "DATA-006")],
)
def test_what_cannot_be_used_is_a_fault(tmp_path: Path, rows: list[list[Any]], code: str):
    with pytest.raises(DataError) as caught:
        read_table(workbook(tmp_path / "a.xlsx", rows))
    assert caught.value.code == code


def test_a_damaged_workbook_is_a_fault(tmp_path: Path):
    path = workbook(tmp_path / "a.xlsx", [["text", "label"], ["x", "y"]])
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert caught.value.code == "DATA-078"


def test_without_the_package_its_installation_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, load = workbook(tmp_path / "a.xlsx", [["text", "label"], ["x", "y"]]), builtins.__import__

    def refuse(name: str, *rest: Any, **more: Any) -> Any:
        if name == "openpyxl":
            raise ImportError(name)
        return load(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(DataError) as caught:
        read_table(path)
    assert (caught.value.code, install_command("excel") in caught.value.hint) == ("DATA-077", True)


def test_a_workbook_whose_sheet_is_no_xml_is_a_fault(tmp_path: Path):
    path, spoilt = tmp_path / "a.xlsx", tmp_path / "b.xlsx"
    book = openpyxl.Workbook()
    book.active.append(["text", "label"])
    book.active.append(["fine", "good"])
    book.save(path)
    with zipfile.ZipFile(path) as packed, zipfile.ZipFile(spoilt, "w") as again:
        for name in packed.namelist():
            raw = packed.read(name)
            again.writestr(name, raw.replace(b"fine", b"fi\xef\xbf\xbene") if b"fine" in raw else raw)
    with pytest.raises(DataError, match="DATA-078"):
        read_table(spoilt)
