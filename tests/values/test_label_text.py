"""How a label is written, whatever kind of cell holds it."""

from __future__ import annotations

import pytest

from lightune.values.label_text import label_text


@pytest.mark.parametrize(
    ("value", "shown"), [(True, "true"), (1.0, "1"), (3, "3"), (" Positive ", "Positive"), ("1.0", "1")]
)
def test_a_label_is_shown_as_people_write_it(value: object, shown: str):
    assert label_text(value) == shown
