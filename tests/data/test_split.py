"""Splits read their texts late: only what is asked for is fetched from the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lightune.data.scan import Wanted, scan
from lightune.data.split import Joined, Picked, Split, split_of, stratified
from lightune.data.tables import Table
from tiny import classes

AB = classes(["a", "b"])


class Counting(Sequence[Any]):
    """A column that counts how many of its values were read."""

    def __init__(self, values: list[Any]) -> None:
        self.values, self.read = values, 0

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, place: Any) -> Any:
        found = self.values[place]
        self.read += len(found) if isinstance(place, slice) else 1
        return found


def test_drawing_rows_reads_no_text_and_reading_reads_those_rows_alone():
    texts = Counting([f"text {number}" for number in range(1000)])
    split = Split(Picked(Joined([texts]), list(range(1000))), np.arange(1000) % 2)
    rest, chosen = stratified(split, AB, 10, 1, "any")
    assert (len(rest), len(chosen), texts.read) == (990, 10, 0)
    targets = chosen.targets.tolist()
    assert all(int(text.split()[1]) % 2 == target for (text,), target in zip(chosen.texts, targets, strict=True))
    assert texts.read == 10


def test_a_pass_reads_each_text_once():
    texts, labels = Counting([f"text {number}" for number in range(100)]), Counting(["a", "b"] * 50)
    table = Table("a.csv", {"text": texts, "label": labels}, list(range(2, 102)))  # type: ignore[dict-item]
    found = scan("train", table, Wanted(["text"], ["label"], AB))
    assert found.faults == []
    assert (texts.read, labels.read) == (100, 100)
    split = split_of(found, found.rows[:3], ["text"], ["label"])
    assert split.texts[1] == ("text 1",)
    assert split.texts[:2] == [("text 0",), ("text 1",)]
    assert split.targets.tolist() == [0, 1, 0]
    assert split.texts == [("text 0",), ("text 1",), ("text 2",)]
    assert texts.read == 100 + 1 + 2 + 3


def test_pairs_stay_beside_each_other():
    joined = Joined([["a", "b"], [1, 2]])
    assert (joined[1], joined[0:2]) == (("b", "2"), [("a", "1"), ("b", "2")])
