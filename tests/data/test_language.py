"""The language of texts: sentences written here in seven languages, other scripts, and what has none."""

from __future__ import annotations

import pytest

from lightune.data.language import guess_language

TEXTS = {
    "English": "The film is long and I do not know what they have seen in it, but the end was good for all of us.",
    "German": "Der Film ist sehr lang und ich weiß nicht, was die Leute daran finden, aber das Ende war für mich gut.",
    "French": "Le film est très long et je ne sais pas ce que les gens lui trouvent, mais la fin est bonne pour nous.",
    "Spanish": "La película es muy larga y no sé lo que la gente ve en ella, pero el final está bien para todos.",
    "Italian": "Il film è molto lungo e non so che cosa la gente ci trovi, ma la fine è buona anche per me.",
    "Portuguese": "O filme é muito longo e não sei o que as pessoas veem nele, mas o fim foi bom para você e em geral.",
    "Dutch": "De film is heel lang en ik weet niet wat de mensen er in zien, maar het einde was goed voor ons.",
}


@pytest.mark.parametrize("language", TEXTS)
def test_running_text_is_told_by_its_small_words(language: str):
    found = guess_language([TEXTS[language]] * 3)
    assert (found.script, found.said) == ("Latin", f"probably {language}")
    assert found.share == 1.0


@pytest.mark.parametrize(
    ("text", "script", "said"),
    [
        ("Фильм очень длинный", "Cyrillic", "Cyrillic script"),
        ("映画はとても長いです", "Hiragana", "probably Japanese"),
        ("这部电影很长", "Cjk", "probably Chinese"),
        ("영화는 아주 길다", "Hangul", "probably Korean"),
        ("η ταινία είναι μεγάλη", "Greek", "probably Greek"),
        ("الفيلم طويل جدا", "Arabic", "Arabic script"),
        ("12 345 !?", "none", "unclear: there are no letters"),
        ("", "none", "unclear: there are no letters"),
    ],
)
def test_other_scripts_are_named(text: str, script: str, said: str):
    found = guess_language([text])
    assert found.said == said
    assert script in (found.script, "Hiragana")


@pytest.mark.parametrize("text", ["lovely film", "foo bar baz qux " * 40, "Zürich Genève Roma Madrid Lisboa " * 20])
def test_too_little_and_no_running_text_is_unclear(text: str):
    assert guess_language([text]).said == "unclear"


def test_a_mixture_of_two_languages_is_unclear():
    assert guess_language([TEXTS["English"], TEXTS["German"]]).said == "unclear"
