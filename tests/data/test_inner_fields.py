"""Fields inside the objects of a column: proposed, and found wherever in the file they begin."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lightune.data.check import check_data
from lightune.recipe import DataBlock


def put(path: Path, rows: list[Any]) -> str:
    path.write_text(json.dumps(rows), encoding="utf-8")
    return str(path)


ROWS = [{"r": {"t": f"a text with number {row}", "s": ("good", "bad")[row % 2]}} for row in range(20)]


def test_the_fields_of_an_only_column_of_objects_are_proposed(tmp_path: Path):
    source = put(tmp_path / "a.json", ROWS)
    (fault,) = check_data(DataBlock(source=source)).faults
    assert fault.code == "DATA-025"
    assert "--text-column r.t" in fault.hint
    (fault,) = check_data(DataBlock(source=source, text_column="r.t")).faults
    assert fault.code == "DATA-025"
    assert "--label-column r.s" in fault.hint
    assert check_data(DataBlock(source=source, text_column="r.t", label_column="r.s")).faults == []


def test_a_field_that_the_first_rows_lack_is_found(tmp_path: Path):
    rows = [*[{"r": {"s": "good"}} for _ in range(300)], *ROWS]
    block = DataBlock(source=put(tmp_path / "a.json", rows), text_column="r.t", label_column="r.s", on_missing="drop")
    found = check_data(block)
    assert found.faults == []
    assert len(found.kept["train"]) == 20
