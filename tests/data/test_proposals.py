"""What a message proposes where the label or the text is not clear: flags to copy, and fields inside objects."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from lightune.data.check import check_data
from lightune.data.columns import text_columns
from lightune.data.dataset import load_splits
from lightune.data.inner_fields import add_fields, field_names
from lightune.data.label_columns import label_columns
from lightune.data.tables import Table
from lightune.errors import DataError
from lightune.recipe import DataBlock

ROWS = 24


def table(**columns: Any) -> Table:
    return Table("a.csv", columns, range(2, 2 + len(next(iter(columns.values())))))


def hint_of(given: Table) -> str:
    with pytest.raises(DataError) as caught:
        label_columns(given, None, ["text"], ["label"])
    assert caught.value.code == "DATA-025"
    return caught.value.hint


TEXTS = [f"text {row}" for row in range(ROWS)]


def test_columns_whose_values_repeat_are_proposed_those_with_fewest_values_first():
    given = table(
        text=TEXTS, id=[*range(ROWS)], shop=[f"shop {row % 6}" for row in range(ROWS)],
        mood=["glad", "sad"] * 12, note=["", *TEXTS[1:]], same=["x"] * ROWS,
    )  # fmt: skip
    assert "It may be --label-column mood or --label-column shop." in hint_of(given)


def test_a_proposed_name_can_be_copied_into_a_shell():
    given = table(text=TEXTS, at=TEXTS, **{"How's it?": [1, 2, 3] * 8})
    proposed = hint_of(given).split("It may be ")[1].split(".")[0]
    assert shlex.split(proposed) == ["--label-column", "How's it?"]


def test_a_guessed_label_is_told_with_the_others(tmp_path: Path):
    """Tickets have tags, which is a usual name, and a priority, which is as likely meant."""
    path = tmp_path / "tickets.csv"
    rows = [f"ticket number {row},{('low', 'high')[row % 2]},{('web', 'mail', 'shop')[row % 3]}" for row in range(ROWS)]
    path.write_text("\n".join(["body,priority,tags", *rows]), encoding="utf-8")
    found = check_data(DataBlock(source=str(path)))
    assert (found.labels, found.guessed) == (["tags"], (True, True))
    assert "If another column is the label: --label-column priority." in found.notes
    named = check_data(DataBlock(source=str(path), label_column="tags"))
    assert not any("another column" in note for note in named.notes)


def nested(row: int) -> dict[str, Any]:
    inner = {"body": f"It was fine, number {row}", "by": {"name": f"u{row}"}, "stars": row % 3 + 1, "a.b": "x"}
    return {"url": f"u/{row}", "review": inner, "lists": [{"x": 1}]}


@pytest.fixture
def nested_file(tmp_path: Path) -> str:
    path = tmp_path / "scraped.jsonl"
    path.write_text("".join(json.dumps(nested(row)) + "\n" for row in range(ROWS)), encoding="utf-8")
    return str(path)


def test_fields_inside_objects_are_proposed_and_can_be_named(nested_file: str):
    (fault,) = check_data(DataBlock(source=nested_file)).faults
    assert (fault.code, fault.hint) == ("DATA-027", "It may be --text-column review.body.")
    (fault,) = check_data(DataBlock(source=nested_file, text_column="review.body")).faults
    assert fault.code == "DATA-025"
    assert "--label-column review.stars" in fault.hint
    splits = load_splits(DataBlock(source=nested_file, text_column="review.body", label_column="review.stars"), 1)
    every = [text for split in (splits.train, splits.validation, splits.test) for (text,) in split.texts]
    assert sorted(every) == sorted(nested(row)["review"]["body"] for row in range(ROWS))
    assert (splits.task.name, splits.task.labels) == ("classification", ("1", "2", "3"))


def test_the_fields_of_objects():
    given = table(review=[nested(row)["review"] for row in range(3)] + [None, "plain"])
    assert field_names(given) == ["review.body", "review.by.name", "review.stars", "review.a.b"]
    add_fields(given, ["review.by.name", "review.a.b", "review.none", "other"])
    assert list(given.columns) == ["review", "review.by.name", "review.a.b"]
    assert given.columns["review.by.name"][:] == ["u0", "u1", "u2", None, None]
    assert given.columns["review.a.b"][1] == "x"


def test_a_column_with_a_point_in_its_name_is_not_looked_into():
    given = table(**{"review.body": ["first", "second"], "review": [{"body": "other"}, {"body": "other"}]})
    add_fields(given, ["review.body"])
    assert given.columns["review.body"] == ["first", "second"]
    assert text_columns(given, "review.body")[0] == ["review.body"]
