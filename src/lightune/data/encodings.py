"""Which encodings bytes look like, so that they can be proposed; none is taken in silence."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Sequence

# Encodings of text files that people still have: of Windows, of DOS and Unix in Russian, of East Asia. Those of one
# family differ in a few letters; which of them is right only a reader of the text can tell.
LIKELY = (
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "koi8_r", "cp866", "cp932",
    "gb18030", "big5", "cp949",
)  # fmt: skip
USUAL = "cp1252"
SAMPLE_BYTES = 200_000
AS_GOOD = 0.02  # of the share of odd characters that charset-normalizer calls chaos
MOST_PROPOSED = 3
SHOWN = 30
WORD_BEYOND_ASCII = re.compile(r"(?<![^\W\d_])[^\W\d_]*[^\x00-\x7f][^\W\d_]*")


def proposed(sample: bytes) -> str:
    """Return the remedy for bytes that are not UTF-8: what they look like, and how a word reads in each encoding."""
    names = looks_like(sample)
    if not names:
        return "State its encoding with --encoding, for example --encoding cp1252."
    words = _words(sample[:SAMPLE_BYTES], names)
    first, *others = [f'{name} ("{word}")' for name, word in zip(names, words, strict=True)]
    or_else = f", or {' or '.join(others)}" if others else ""
    return f"It looks like {first}{or_else}: pass --encoding {names[0]}{' if that reads right' if others else ''}."


def looks_like(sample: bytes) -> list[str]:
    """Return the encodings that bytes look like, of those that read them alike only one; none where none fits."""
    from charset_normalizer import from_bytes

    found = list(from_bytes(sample[:SAMPLE_BYTES], cp_isolation=list(LIKELY)))
    good = [match for match in found if match.chaos <= found[0].chaos + AS_GOOD]
    names = [USUAL if USUAL in match.could_be_from_charset else match.encoding for match in good]
    return sorted(dict.fromkeys(names), key=lambda name: name != USUAL)[:MOST_PROPOSED]


def is_utf8(parts: Iterable[bytes]) -> bool:
    """Say whether bytes are UTF-8 throughout and hold at least one character beyond ASCII."""
    decoder, found = codecs.getincrementaldecoder("utf-8")(), False
    try:
        for part in parts:
            found |= not decoder.decode(part).isascii()
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return found


def _words(sample: bytes, names: Sequence[str]) -> list[str]:
    """Return how a word beyond ASCII reads in each encoding: the first that differs in all, else the first."""
    lines = [line for line in sample.splitlines() if not line.isascii()]
    read = [[_word(line.decode(name, "replace")) for name in names] for line in lines[:100]]
    return next((words for words in read if len(set(words)) == len(names)), read[0] if read else [""] * len(names))


def _word(line: str) -> str:
    found = WORD_BEYOND_ASCII.search(line)
    word = found.group() if found else line.strip()
    return word if len(word) <= SHOWN else f"{word[:SHOWN]}…"
