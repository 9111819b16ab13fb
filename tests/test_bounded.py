"""JSON of unknown origin is read within bounds, in time that grows with its size alone."""

from __future__ import annotations

import time

import pytest

from lightune.bounded import parse_json

SECONDS = 1.0  # with a second loop over all names for each of them: 3 s


@pytest.mark.parametrize("twin", [0, 19_999])
def test_a_name_given_twice_is_found_at_once(twin: int) -> None:
    names = [f"n{number:05d}" for number in range(20_000)]
    raw = ("{" + ", ".join(f'"{name}": 0' for name in [*names, names[twin]]) + "}").encode()
    began = time.perf_counter()
    with pytest.raises(ValueError, match=f'the name "{names[twin]}" is given twice'):
        parse_json(raw)
    assert time.perf_counter() - began < SECONDS
