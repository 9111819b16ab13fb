"""The tests of the report draw its figures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from short_runs import whole_runs


@pytest.fixture(scope="module", autouse=True)
def _whole_runs() -> Iterator[None]:
    with whole_runs():
        yield
