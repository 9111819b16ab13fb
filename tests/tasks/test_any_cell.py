"""Whatever a label column holds, it is a task's or is refused in words, and each cell is a target or a fault."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightune.errors import LightuneError
from lightune.faults import Fault
from lightune.tasks import find_task
from lightune.tasks.columns import Beside, LabelColumn, Wishes

WORDS = st.sampled_from(
    ["food", "price", "food|price", "food;price", "", " ", "nan", "0", "1", "2", "1.5", "3,5", "1e5", "1e999", "007"]
)
WRITTEN = st.text(st.sampled_from(list("[]{}()'\",|;: 01.\\ab\n")), max_size=14)
PLAIN = st.one_of(
    WORDS,
    WRITTEN,
    st.text(max_size=8),
    st.booleans(),
    st.none(),
    st.integers(),
    st.floats(),
    st.decimals(allow_nan=False),
    st.just(date(2026, 1, 2)),
    st.just(b"x"),
    st.just(np.float32(2.5)),
    st.just(np.bool_(True)),
)
CELLS = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=2))
KINDS = [WORDS, WRITTEN, CELLS, st.lists(st.integers(0, 1), min_size=2, max_size=3), st.lists(WORDS, max_size=3)]
WISHES = st.builds(
    Wishes,
    task=st.sampled_from(["auto", "classification", "multi_label", "regression"]),
    label_kind=st.sampled_from(["auto", "class"]),
    label_separator=st.sampled_from([None, None, "|", ";", "[", "a"]),
)


def read(column: LabelColumn, wishes: Wishes, others: list[Any]) -> None:
    try:
        task = find_task(column, wishes).task
    except LightuneError:
        return
    reader, room = task.reader(column.class_names), task.targets(1)
    for cell in [*column.values, *others]:
        found = reader(cell)
        if isinstance(found, Fault):
            assert found.text
            assert found.hint
            continue
        room[0] = found
        assert np.isfinite(room).all()
        again = task.reader(())(task.shown(room[0]))
        assert not isinstance(again, Fault)


@pytest.mark.parametrize("kind", range(len(KINDS)))
@settings(max_examples=120)
@given(data=st.data(), wishes=WISHES, others=st.lists(CELLS, max_size=3))
def test_a_column_is_read_or_refused(kind: int, data: st.DataObject, wishes: Wishes, others: list[Any]):
    values = data.draw(st.lists(KINDS[kind], max_size=8)) * 2
    names = data.draw(st.sampled_from([(), (), ("ape", "bee"), ("ape", "bee", "owl")]))
    read(LabelColumn("label", "a.csv", values, len(values), names), wishes, others)


@settings(max_examples=150)
@given(
    rows=st.lists(st.tuples(PLAIN, st.one_of(st.integers(0, 1), CELLS)), max_size=8), wishes=WISHES,
    others=st.lists(st.tuples(CELLS, CELLS), max_size=2),
)  # fmt: skip
def test_several_columns_are_read_or_refused(rows: list[Any], wishes: Wishes, others: list[Any]):
    values = [Beside(row) for row in rows] * 2
    read(LabelColumn("a, b", "a.csv", values, len(values), (), ("a", "b")), wishes, [Beside(row) for row in others])
