"""JSON of unknown origin is read within bounds, in time that grows with its size alone."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import nullcontext

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


@pytest.mark.parametrize(("digits", "is_read"), [(400, True), (401, False), (5000, False)])
def test_numbers_have_at_most_400_digits(digits: int, is_read: bool) -> None:
    for text in ("9" * digits, "-" + "9" * digits):
        with nullcontext() if is_read else pytest.raises(ValueError, match="digits"):
            assert parse_json(f'{{"a": [{text}]}}'.encode()) == {"a": [int(text)]}


@pytest.mark.parametrize(("deep", "is_read"), [(64, True), (65, False), (200_000, False)])
def test_values_are_nested_at_most_64_deep(deep: int, is_read: bool) -> None:
    for opening, closing in (("[", "]"), ('{"a": ', "}")):
        with nullcontext() if is_read else pytest.raises(ValueError, match="deep"):
            parse_json((opening * deep + "1" + closing * deep).encode())


def test_answering_a_text_without_torch_needs_no_yaml() -> None:
    """It would take a tenth of the time of an answer."""
    code = "import sys, lightune.artifact, lightune.inference.torch_free; print('yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
