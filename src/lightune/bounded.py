"""Reading JSON of unknown origin: its size, depth and number of values are bounded, and names are not given twice."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

MOST_BYTES = 64 << 20  # of a JSON file, such as tokenizer.json, or the names of 100,000 labels
MOST_BRACKETS = 2_000_000  # objects and lists, at 64 bytes of memory each
DEEPEST = 64
LONGEST_NUMBER = 400  # digits; a float has at most 309 before the point
LONG_RUN = re.compile(rb"[0-9]{%d}" % (LONGEST_NUMBER + 1))


def read_json(path: Path, most_bytes: int = MOST_BYTES) -> Any:
    """Return the content of a JSON file.

    Raises ValueError, with the reason, for what is no JSON in UTF-8, and for what no file of ours or of transformers
    is: too large, nested too deep, a name twice in one object. OSError where it cannot be read.
    """
    size = path.stat().st_size
    if size > most_bytes:
        raise ValueError(f"{size:,} bytes; at most {most_bytes:,} are read")
    return parse_json(path.read_bytes())


def read_own_json(path: Path, most_bytes: int = MOST_BYTES) -> Any:
    """Return the content of a JSON file that lightune wrote: an object, without NaN and infinity. Raises as above."""
    found = read_json(path, most_bytes)
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    _require_finite(found)
    return found


def parse_json(raw: bytes) -> Any:
    """Return the value of a JSON text; ValueError as `read_json`."""
    # Brackets in strings are counted too, which does no harm: no file has nearly so many.
    brackets = raw.count(b"{") + raw.count(b"[")
    if brackets > MOST_BRACKETS:
        raise ValueError(f"more than {MOST_BRACKETS:,} lists and objects")
    whole = _whole if LONG_RUN.search(raw) else None  # a function of Python for each number takes long
    try:
        found = json.loads(raw.decode("utf-8"), object_pairs_hook=_distinct, parse_int=whole)
    except RecursionError:
        raise ValueError(f"nested more than {DEEPEST} deep") from None
    if brackets > DEEPEST and depth(found) > DEEPEST:
        raise ValueError(f"nested more than {DEEPEST} deep")
    return found


def depth(value: Any) -> int:
    """Return how deep lists and objects are nested; counted without recursion."""
    level, deep = [value], int(isinstance(value, dict | list))
    while level := [inner for one in level for inner in _inner(one) if isinstance(inner, dict | list)]:
        deep += 1
        if deep > DEEPEST:
            break
    return deep


def first_twin(names: Iterable[str]) -> str | None:
    """Return the first name that was there before, or None; in one pass, however many there are."""
    seen = set[str]()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _inner(value: Any) -> Any:
    return value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f'the name "{str(first_twin(name for name, _ in pairs))[:80]}" is given twice')
    return found


def _whole(digits: str) -> int:
    if len(digits.lstrip("-")) > LONGEST_NUMBER:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)


def _require_finite(value: Any) -> None:
    """Raise ValueError for NaN and infinity, which JSON does not have and Python reads all the same."""
    level = [value]
    while level:
        if any(isinstance(one, float) and one - one != 0 for one in level):
            raise ValueError("NaN or infinity, which JSON does not have")
        level = [inner for one in level for inner in _inner(one)]
