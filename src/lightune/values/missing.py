"""Whether a cell holds a value, and whether it can be written as UTF-8."""

from __future__ import annotations

from typing import Any

from lightune.values.lookalikes import is_blank

LONGEST_TEXT = 5_000_000  # characters: a long book; counting the tokens of more takes gigabytes
# How programs write that a value is missing; "none" is left out, since it is often a class.
MISSING = frozenset(
    [
        "nan",
        "<na>",
        "nat",
        "na",
        "n/a",
        "k.a.",
        "#n/a",
        "#ref!",
        "#name?",
        "#value!",
        "null",
        "(null)",
        "nil",
        "undefined",
        "\\n",
        '""',
        "''",
        "-",
        "?",
        ".",
    ]
)


def is_missing(value: Any) -> bool:
    """Say whether a cell holds nothing: None, NaN, pandas' NA, or a text without visible characters."""
    if isinstance(value, str):
        return is_blank(value)
    if value is None:
        return True
    try:
        return bool(value != value) or not str(value).strip()
    except (TypeError, ValueError):  # pandas' NA is neither true nor false; an array has several truth values
        return type(value).__name__ == "NAType"


def is_writable(text: str) -> bool:
    """Say whether a text can be written as UTF-8 (half a surrogate pair cannot)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def character_fault(text: str) -> str:
    """Return what is wrong with the characters of a text, or nothing."""
    if "\0" in text:
        return "holds a NUL byte"
    return "" if text.isascii() or is_writable(text) else "holds half a character (an unpaired surrogate)"
