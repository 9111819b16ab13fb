"""Class names of a column that holds a list of labels in each row, from the Hub's features and from Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest

from lightune.data.cells import label_cells
from lightune.data.hub_data import class_names
from lightune.data.python_data import python_tables
from lightune.data.tables import read_table
from lightune.tasks import find_task
from lightune.tasks.columns import Wishes

NAMES = ["anger", "joy", "fear"]
ONE = datasets.ClassLabel(names=NAMES)
ROWS = {"text": [f"text {row}" for row in range(6)], "labels": [[0], [1, 2], [], [2], [0, 1], [1]]}


def made(feature: Any) -> datasets.Dataset:
    return datasets.Dataset.from_dict(ROWS, datasets.Features({"text": datasets.Value("string"), "labels": feature}))


@pytest.mark.parametrize("feature", [datasets.Sequence(ONE), datasets.List(ONE), datasets.LargeList(ONE)])
def test_names_of_the_items_are_those_of_the_column(feature: Any, tmp_path: Path):
    rows = made(feature)
    assert class_names(rows.features) == {"labels": NAMES}
    rows.to_parquet(tmp_path / "rows.parquet")
    for table in (read_table(tmp_path / "rows.parquet"), python_tables(rows).train):
        assert table.class_names == {"labels": NAMES}
        task = find_task(label_cells(table, ["labels"]), Wishes()).task
        assert (task.name, list(task.labels)) == ("multi_label", NAMES)
        read = task.reader(table.class_names["labels"])
        assert [read(cell).tolist() for cell in table.columns["labels"][:3]] == [[1, 0, 0], [0, 1, 1], [0, 0, 0]]


def test_lists_of_other_things_have_no_names():
    assert class_names(made(datasets.Sequence(datasets.Value("int64"))).features) == {}
