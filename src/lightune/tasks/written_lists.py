"""Lists that are written out in a cell of text, as JSON, Python, pandas and NumPy write them."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from typing import Any

from lightune.tasks.joined_labels import LIST

EMPTY = {"[]", "()", "{}", "set()"}
TRUTHS = {"True", "False"}
LEAST_LISTS = 0.9
# One pair of brackets around everything.
BRACKETED = re.compile(r"\[[^\[\]]*\]|\([^()]*\)|\{[^{}]*\}")
# As NumPy writes them, without commas.
NUMBERS = re.compile(r"\[\s*(?:[0-9]+\.?|True|False)(?:\s+(?:[0-9]+\.?|True|False))*\s*\]")
QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
MOST_LETTERS = 10_000
BARE = re.compile(r"[^\s'\"]+")


def are_lists(texts: Sequence[str]) -> bool:
    """Say whether texts are lists that are written out: nearly all stand in brackets, and some hold several items.

    Brackets around one bare word each are names: (A), [NEG], [1].
    """
    found = [text.strip() for text in texts]
    many = sum(is_bracketed(text) or is_list(text) for text in found) >= LEAST_LISTS * len(found)
    return many and any(map(_holds_several, found))


def is_list(text: str) -> bool:
    """Say whether a text alone shows that it is a list."""
    return text in EMPTY or bool(LIST.fullmatch(text) or NUMBERS.fullmatch(text))


def is_bracketed(text: str) -> bool:
    """Say whether a text may be a list, beside others that are."""
    return text in EMPTY or bool(BRACKETED.fullmatch(text))


def is_unclosed(text: str) -> bool:
    """Say whether a text has the first bracket of a list or the last, and not the other."""
    return (text[:1] in {"[", "{", "("}) != (text[-1:] in {"]", "}", ")"}) and bool(set(text) & set(",'\""))


def written_items(text: str) -> list[Any] | None:
    """Return the items of a list that is written out; None for an object, which is none."""
    if text in EMPTY:
        return []
    inside = text[1:-1].strip()
    is_short = len(text) <= MOST_LETTERS  # unclosed quotes of a longer one would take minutes
    if is_short and "," not in QUOTED.sub("", inside) and text[0] != "{":  # Python would join 'a' 'b' to one text
        return _without_commas(inside)
    for read in (json.loads, ast.literal_eval):
        try:
            found = read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return list(found) if isinstance(found, list | tuple | set) else None
    return [part for part in (part.strip(" '\"") for part in inside.split(",")) if part]


def _without_commas(inside: str) -> list[Any]:
    """Return what NumPy writes beside each other: texts in quotes, or numbers; anything else is one item."""
    quoted, bare = QUOTED.findall(inside), BARE.findall(QUOTED.sub(" ", inside))
    if quoted and not bare:
        return [re.sub(r"\\(.)", r"\1", part[1:-1]) for part in quoted]
    if NUMBERS.fullmatch(f"[{inside}]"):
        return [part == "True" if part in TRUTHS else int(float(part)) for part in bare]
    return [inside] if inside else []


def _holds_several(text: str) -> bool:
    return bool(LIST.fullmatch(text)) or bool(NUMBERS.fullmatch(text) and " " in text[1:-1].strip())
