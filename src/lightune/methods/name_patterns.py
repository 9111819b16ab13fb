"""Names of modules that PEFT reads as regular expressions: only those are taken that are matched in no time.

An adapter that somebody else made may hold any. What may take forever is a repeat inside a repeat, and many choices
after each other: so repeats are of single letters and classes, and the ways to match are counted.
"""

from __future__ import annotations

import re
from typing import Any

LONGEST = 500
MOST_WAYS = 1_000_000
BY_REPEAT = 100  # the letters of a long name of a module
# Letters, dots, escapes and classes, each with a repeat or none; groups without a repeat, and choices.
PATTERN = re.compile(r"\^?(?:(?:[\w.-]|\\[.dw]|\[\^?[\w.-]+\])[*+?]?|\((?:\?:)?|\)(?![*+?])|\|)+\$?")
CLASS = re.compile(r"\[[^]]*\]")


def is_pattern(name: Any) -> bool:
    """Say whether this is the name of a module, or a regular expression that is matched in no time."""
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST or not PATTERN.fullmatch(name):
        return False
    try:
        re.compile(name)
    except re.error:
        return False
    plain = CLASS.sub("x", name).replace("(?:", "(")
    repeats, choices = plain.count("*") + plain.count("+"), plain.count("|") + plain.count("?")
    return bool(BY_REPEAT ** min(repeats, LONGEST) * 2**choices <= MOST_WAYS)
