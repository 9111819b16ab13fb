"""Names that look the same but are not: invisible characters, other Unicode forms, letters of other alphabets."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from lightune.values.numerals import WHOLE, whole

QUOTES = "\"'`“”„‘’«»‚‹›"
# Characters that Unicode asks programs not to draw, besides category Cf: fillers, joiners, variation selectors.
SELECTORS = "".join(map(chr, range(0xFE00, 0xFE10)))
UNDRAWN = f"\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0{SELECTORS}"
# Flags of regions differ only in their tags, so tags count although they are not drawn.
TAGS = range(0xE0020, 0xE0080)
# Format characters that are drawn nevertheless: number marks of Arabic, Syriac and Kaithi.
DRAWN_FORMATS = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
DASHES = "‐‑‒–—−﹘﹣－"
APOSTROPHES = str.maketrans("‘’ʼ´`", "'" * 5)
# 007 beside 7: one of them was written by a program that drops zeros.
LEADING_ZEROS = re.compile(r"^([+-]?)0+(?=[0-9])")
AS_MINUS = str.maketrans(DASHES, "-" * len(DASHES))
# Compatibility forms that differ in meaning from the plain character: x² is not x2.
MEANINGFUL = ("<super>", "<sub>", "<fraction>", "<circle>", "<square>")
# Small letters of Greek and Cyrillic that most fonts draw as Latin ones (Unicode Technical Standard 39).
DRAWN_ALIKE = str.maketrans("аеорсухіјѕһԁԛԝвкмнтοανρικ", "aeopcyxijshdqwbkmhtoavpik")


def is_blank(text: str) -> bool:
    """Say whether a text has no visible characters: only spaces, control and format characters."""
    return all(character.isspace() or is_unseen(character) for character in text)


def plain_key(name: str) -> str:
    """Return a name without differences of case, spaces and quotes."""
    return " ".join(name.casefold().strip(QUOTES).split())


def alike_key(name: str) -> str:
    """Return a key that is equal for names which look the same, or which are the same whole number.

    It is Unicode's compatibility form (NFKC, except where that changes the meaning), without invisible characters. All
    dashes become one, and letters of other alphabets that look like Latin letters become these.
    """
    number = _whole_number(name)
    if number is not None:
        return number
    drawn = "".join(_compatible(character) for character in name if not is_unseen(character))
    drawn = unicodedata.normalize("NFC", drawn).translate(AS_MINUS).casefold().translate(DRAWN_ALIKE)
    return plain_key(unicodedata.normalize("NFC", drawn).translate(APOSTROPHES))


def is_unseen(character: str) -> bool:
    """Say whether a character is not drawn: formats such as U+200B, control characters, variation selectors."""
    if character in UNDRAWN:
        return True
    is_drawn = ord(character) in TAGS or character in DRAWN_FORMATS or character.isspace()
    return not is_drawn and unicodedata.category(character) in {"Cf", "Cc"}


def spelled_out(name: str) -> str:
    """Return a name with characters that cannot be seen written as `<U+FEFF>`; a no-break space is one of them."""
    return "".join(
        f"<U+{ord(character):04X}>" if is_unseen(character) or (character.isspace() and character != " ") else character
        for character in name
    )


def differences(name: str, common: str) -> str:
    """Name the characters outside ASCII that one name has and the other lacks: "U+00AD SOFT HYPHEN"."""
    found = dict.fromkeys(character for character in name if not character.isascii() and character not in common)
    return ", ".join(f"U+{ord(character):04X} {unicodedata.name(character, 'unnamed')}" for character in found)


def described(names: Sequence[str]) -> str:
    """Return names so that a reader can tell them apart: `"pos" and "pos<U+00AD>" (U+00AD SOFT HYPHEN)`."""
    shown = []
    for name in names:
        told = differences(name, "".join(other for other in names if other != name))
        shown.append(f'"{spelled_out(name)}"' + (f" ({told})" if told else ""))
    return " and ".join(shown)


def _compatible(character: str) -> str:
    meaning = unicodedata.decomposition(character)
    return character if meaning.startswith(MEANINGFUL) else unicodedata.normalize("NFKC", character)


def _whole_number(name: str) -> str | None:
    """Return the whole number that a name writes, in digits of any script and with any dash, or None."""
    text = name.strip().translate(AS_MINUS)
    digits = "".join(str(unicodedata.digit(character, character)) for character in text)
    plain = LEADING_ZEROS.sub(r"\1", digits)
    return whole(plain) if WHOLE.fullmatch(plain) else None
