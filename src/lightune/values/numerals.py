"""How numbers are written in a file, and which of them are the same whole number."""

from __future__ import annotations

import re
from decimal import Decimal

# A whole number as programs write it; 007 and 2e5 are codes.
WHOLE = re.compile(
    r"[+-]?(?:0|[1-9][0-9]*)(?:\.0*)?|[+-]?[0-9]\.[0-9]*[eE][+-]?[0-9]{1,2}|[+-]?[0-9]+[eE][+-][0-9]{1,2}"
)
# Each of these reads a cell of a million digits, or spaces, in one pass: nothing in it can be split in two ways.
NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*")
# 3,5 or $1,250.00 or 1,250,000 EUR or 12%: a currency's sign, or a word of up to three letters and a space.
FIGURE = r"(?:[0-9]{1,3}(?:[, ][0-9]{3})+(?:\.[0-9]+)?|[0-9]+(?:[.,][0-9]+)?)"
AMOUNT = re.compile(rf"(?:[^\W\d]{{1,3}}\s++)?[$€£¥]?\s*+[+-]?{FIGURE}(?:\s?[$€£¥%]|\s+[^\W\d]{{1,3}})?")
LONGEST_EXPONENT = 30


def whole(text: str) -> str:
    """Return a number that WHOLE describes in its shortest form, 1 for 1.0; other numbers and huge ones as they are."""
    number = Decimal(text)
    if number.adjusted() > LONGEST_EXPONENT or number != number.to_integral_value():
        return text
    return str(int(number))
