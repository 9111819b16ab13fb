"""The probable language of texts, for information: by script, and for Latin script by common short words."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

WORD = re.compile(r"[^\W\d_]+")
# The most common short words of each language, without those that two of these languages share.
SMALL_WORDS = {
    "English": "the and of to is was it that this with for not you are but have they what which from",
    "German": "der und das ist nicht ein eine mit ich auf auch den dem sich wir für aber sehr wie noch",
    "French": "le les et est des une du dans pas qui que pour ce il je vous nous avec très mais",
    "Spanish": "el los y las por con no una está muy lo pero su más como fue esta todo hay ser",
    "Italian": "il di che è non una per sono ho della questo molto anche ma più gli nel con alla ci",
    "Portuguese": "o os não um uma em do da para com é muito mas foi isso você ao são mais seu",
    "Dutch": "de het een en van niet dat ik op zijn voor met maar wat ook er aan heel naar bij",
}
WORDS = {name: frozenset(words.split()) for name, words in SMALL_WORDS.items()}
LEAST_WORDS = 30
LEAST_SHARE = 0.08  # a fifth or more of running text is such words; of names and codes almost nothing
LEAST_LEAD = 2.0


@dataclass(frozen=True)
class Language:
    """The most common script, its share of the letters, and what the language probably is."""

    script: str
    share: float
    said: str


def guess_language(texts: Iterable[str]) -> Language:
    """Return the script and the probable language of some texts, or "unclear"."""
    scripts, words = Counter[str](), Counter[str]()
    for text in texts:
        found = WORD.findall(text.casefold())
        words.update(found)
        scripts.update(_script(letter) for word in found for letter in word)
    if not scripts:
        return Language("none", 0.0, "unclear: there are no letters")
    script, letters = scripts.most_common(1)[0]
    share = letters / scripts.total()
    if scripts["Hiragana"] + scripts["Katakana"] > scripts.total() * 0.05:
        return Language("Japanese", share, "probably Japanese")
    if script != "Latin":
        alone = {"Hangul": "Korean", "Greek": "Greek", "Hebrew": "Hebrew", "Thai": "Thai", "Cjk": "Chinese"}.get(script)
        return Language(script, share, f"probably {alone}" if alone else f"{script} script")
    return Language(script, share, _latin(words))


def _latin(words: Counter[str]) -> str:
    total = words.total()
    shares = Counter({name: sum(words[word] for word in small) / total for name, small in WORDS.items()})
    (first, most), (_, second) = shares.most_common(2)
    if total < LEAST_WORDS or most < LEAST_SHARE or most < second * LEAST_LEAD:
        return "unclear"
    return f"probably {first}"


@lru_cache(maxsize=20_000)
def _script(letter: str) -> str:
    """Return the first word of a letter's Unicode name, which is its script."""
    return unicodedata.name(letter, "unknown").split()[0].split("-")[0].capitalize()
