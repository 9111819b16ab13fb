"""Names of column separators and of text encodings, as people write them."""

from __future__ import annotations

from collections.abc import Sequence

SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "bar": "|", "pipe": "|", "space": " "}
VALID_SEPARATORS = "one character, or comma, semicolon, tab, bar or space"
VALID_NAMES = "a name for every column, each a different one, such as label,text"
VALID_ENCODINGS = "an encoding such as cp1252, latin1, utf-16 or shift_jis"


def named_separator(value: str) -> str:
    """Return the character that a name stands for: a tab is hard to write on a command line. ValueError for others."""
    mark = SEPARATORS.get(value.strip().lower() or value, value)
    if len(mark) != 1 or mark in '"\r\n':
        raise ValueError(VALID_SEPARATORS)
    return mark


def listed_names(value: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of columns in their order, from "label,text" or a list. ValueError for empty or equal ones."""
    names = tuple(name.strip() for name in (value.split(",") if isinstance(value, str) else value))
    if not all(names) or len(set(names)) < len(names):
        raise ValueError(VALID_NAMES)
    return names


def named_encoding(value: str) -> str:
    """Return the name of a text encoding that Python knows. ValueError for others."""
    try:
        b"\xe9".decode(value, "replace")
    except (LookupError, UnicodeError) as error:  # LookupError also for what is no text encoding, such as hex
        raise ValueError(VALID_ENCODINGS) from error
    return value


def stated_texts(stated: str | Sequence[str] | None) -> list[str]:
    """Return every name that may be meant by what is stated as text: of premise,hypothesis the whole and both parts."""
    parts = stated.split(",") if isinstance(stated, str) else [*(stated or ())]
    return list(dict.fromkeys([stated, *parts] if isinstance(stated, str) else parts))
