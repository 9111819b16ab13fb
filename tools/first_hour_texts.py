"""Made-up texts whose words tell their label, for the files of first_hour.py; the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True)
class Words:
    """How a text is put together: `form` has {opener}, {thing}, {word} and {closer}; `words` are by label."""

    form: str
    openers: Sequence[str]
    things: Sequence[str]
    closers: Sequence[str]
    words: Mapping[str, Sequence[str]]


ENGLISH = Words(
    "{opener} the {thing} was {word}, {closer}.",
    ("Honestly,", "Last week", "This time", "On Friday", "As usual", "For us"),
    ("soup", "staff", "delivery", "room", "coffee", "booking", "music", "dessert"),
    ("and I told everybody", "said my sister", "from start to end", "what more can I say", "as in the photos"),
    {
        "bad": ("terrible", "disgusting", "rude and slow", "a waste of money", "broken and dirty"),
        "poor": ("rather weak", "a bit cold", "disappointing", "below what we hoped", "too slow"),
        "fair": ("all right", "average", "neither here nor there", "acceptable", "what you expect"),
        "good": ("nice", "pleasant", "tasty and quick", "rather good", "friendly"),
        "great": ("wonderful", "delicious", "the best in town", "perfect", "lovely beyond words"),
    },
)
GERMAN = Words(
    "{opener} {thing} war {word}, {closer}.",
    ("Letzte Woche:", "Für uns gilt:", "Am Freitag –", "Ganz ehrlich,", "Überraschend:"),
    ("die Küche", "das Frühstück", "der Empfang", "das Zimmer", "die Getränkekarte", "das Gemüse"),
    ("so auch beim zweiten Mal", "fanden alle Gäste", "schade für Köln", "wie erwähnt", "für 10 €"),
    {
        "negativ": ("schrecklich", "ungenießbar", "lieblos und schmutzig", "eine Zumutung"),
        "positiv": ("großartig", "köstlich", "wunderschön", "äußerst freundlich"),
    },
)
FRENCH = Words(
    "{opener} {thing} était {word}, {closer}.",
    ("Cet été,", "À midi,", "Franchement,", "Comme prévu,", "Pour nous,"),
    ("la crème brûlée", "le café", "l'hôtel", "la réception", "le dîner", "le pâté"),
    ("déjà la deuxième fois", "d'après ma mère", "c'est sûr", "où que l'on s'asseye", "à 12 €"),
    {
        "négatif": ("dégoûtant", "très décevant", "sale et bruyant", "à éviter"),
        "positif": ("délicieux", "parfaitement réussi", "très agréable", "à recommander"),
    },
)
POLISH = Words(
    "{opener} {thing} w tym hotelu: {word}, {closer}.",
    ("Zdaniem żony", "Jak zwykle", "W piątek", "Niestety czy stety,", "Dziś"),
    ("śniadanie", "łóżko", "obsługa", "łazienka", "kawa i żurek", "wieża widokowa"),
    ("już drugi raz", "także dla gości z Łodzi", "więc wiem, co piszę", "i to się nie zmieni", "za 20 złotych"),
    {
        "zła": ("okropność, brud i ścisk", "zupełnie źle", "żenujący poziom", "strata pieniędzy"),
        "dobra": ("świetność pod każdym względem", "bardzo dobrze", "pyszności", "warto wrócić"),
    },
)
JAPANESE = Words(
    "{opener}{thing}は{word}。{closer}。",
    ("先週、", "金曜日に、", "正直に言うと、", "家族で行きましたが、", "初めてでしたが、"),
    ("料理", "部屋", "店員の対応", "朝食", "配達", "コーヒー"),
    ("写真のとおりです", "妹もそう言いました", "二回目も同じでした", "友人にも話しました", "以上です"),
    {
        "悪い": ("とても悪かった", "最低でした", "汚くて残念でした", "遅くて失礼でした"),
        "良い": ("とても美味しかった", "最高でした", "きれいで快適でした", "親切で早かった"),
    },
)
RUSSIAN = Words(
    "{opener} {thing} в этом месте: {word}, {closer}.",
    ("Честно говоря,", "В пятницу", "Как всегда,", "На этот раз", "По-моему,"),
    ("завтрак", "обслуживание", "номер", "доставка", "кофе", "музыка"),
    ("и я всем рассказал", "как на фотографиях", "сказала сестра", "уже второй раз", "за пятьсот рублей"),
    {
        "плохо": ("ужасно и грязно", "отвратительно", "грубо и медленно", "зря потраченные деньги"),
        "хорошо": ("прекрасно и вкусно", "замечательно", "быстро и вежливо", "лучшее в городе"),
    },
)
TICKETS = Words(
    "{opener} {word} - {thing}; {closer}.",
    ("Hello,", "Good morning,", "Hi team,", "Dear support,", "Once more:"),
    ("order 4411", "my account", "the mobile app", "the second parcel", "our office", "the new phone"),
    ("please answer by mail", "this is the third time", "thanks in advance", "see the picture", "I wait for your call"),
    {
        "billing": ("I was charged twice on the invoice", "the invoice shows a wrong price", "payment by card failed"),
        "refund": ("please send my money back", "I return it and want a refund", "where is my refund"),
        "delivery": ("the parcel has not arrived", "the courier left it in the rain", "tracking shows no delivery"),
        "login": ("I cannot log in", "the password reset mail never comes", "my login is locked"),
    },
)
PRIORITIES = {"billing": "high", "refund": "low", "delivery": "medium", "login": "high"}
STARS = ("bad", "poor", "fair", "good", "great")


def texts(words: Words, count: int, seed: int = 0, labels: Sequence[str] = ()) -> list[tuple[str, str]]:
    """Return (text, label) pairs, all texts different, each label as often as the others (up to one)."""
    labels = labels or list(words.words)
    rng, found = random.Random(seed), list[tuple[str, str]]()
    each = {name: list(product(words.openers, words.things, words.words[name], words.closers)) for name in labels}
    for parts in each.values():
        rng.shuffle(parts)
    for number in range(count):
        label = labels[number % len(labels)]
        opener, thing, word, closer = each[label].pop()
        found.append((words.form.format(opener=opener, thing=thing, word=word, closer=closer), label))
    rng.shuffle(found)
    return found


def several(count: int, seed: int = 0, least: int = 1) -> list[tuple[str, list[str]]]:
    """Return tickets with `least` to two topics each, in the order in which their text names them."""
    rng, names = random.Random(seed), list(TICKETS.words)
    pool = {name: [text for text, _ in texts(TICKETS, count, seed, [name])] for name in names}
    found = []
    for number in range(count):
        chosen = rng.sample(names, (least, 1, 2)[number % 3])
        text = " ".join(pool[name][number] for name in chosen) or f"Just a note, number {number}, nothing to do."
        found.append((text, chosen))
    return found
