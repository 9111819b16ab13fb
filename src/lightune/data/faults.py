"""What is wrong with data, as data: a fault has a code, a place, a reason and a remedy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: a stable code, `file:line` (or the file), the reason, what to do about it."""

    code: str
    place: str
    text: str
    hint: str = ""
