"""Cells that a spreadsheet would compute: a text that begins like a formula gets an apostrophe, which can be undone.

The beginnings are those of https://owasp.org/www-community/attacks/CSV_Injection, also behind blanks and quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# Blanks, quotes and characters without a width may stand before the mark; \uff1d, \uff0b, \uff0d and \uff20 are the
# wide forms of = + - @.
BEFORE = r"""[\s\x00-\x20"'`\u2018-\u201f\u200b-\u200f\u2060\ufeff]*"""
MARKS = r"=+\-@\uff1d\uff0b\uff0d\uff20"
# Of these alone nothing can be computed: + and --- are labels. Brackets, quotes and all letters are not among them.
IDLE = rf"[\s{MARKS}!#$%&*,./:;<>?\\^`|~]*"
COMPUTED = re.compile(rf"(?:[\t\r\n]|{BEFORE}[{MARKS}])(?!{IDLE}\Z)")
NUMBER = r"[+-]?([0-9]+([.,][0-9]+)*|[.,][0-9]+)([eE][+-]?[0-9]+)?%?"
NUMBERS = re.compile(rf"{NUMBER}(\|{NUMBER})*")  # several are joined by |
MARK = "'"


def is_computed(text: str) -> bool:
    """Say whether a spreadsheet may take a text for a formula; a number is none, although -1.5 begins like one."""
    return COMPUTED.match(text) is not None and NUMBERS.fullmatch(text) is None


def neutral(text: str) -> str:
    """Return a text as a cell that no spreadsheet computes."""
    return MARK + text if is_computed(text) else text


def undone(cell: str) -> str:
    """Return the text of which `neutral` made a cell."""
    return cell[1:] if cell.startswith(MARK) and is_computed(cell[1:]) else cell


def are_neutral(cells: Iterable[str]) -> bool:
    """Say whether cells may come from `neutral`; those that earlier versions wrote may not, where it matters."""
    return not any(is_computed(cell) and not cell.startswith(MARK) for cell in cells)
