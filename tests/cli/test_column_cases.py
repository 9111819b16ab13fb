"""Columns that were once taken for what they are not: half a pair, an id, a number, another one than was evaluated."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from case_table import case
from lightune.cli.main import main
from tiny import sentences

pytestmark = pytest.mark.usefixtures("hashed_once")

COUNT = 40
FIRST = [f"a man plays an instrument, the {number}th of all" for number in range(COUNT)]
SECOND = [f"somebody makes music number {number}" for number in range(COUNT)]
LABELS = [("yes", "no")[number % 2] for number in range(COUNT)]
NUMBERS = [str(1000 + number) for number in range(COUNT)]
CODES = [f"B00-{number:04d}x" for number in range(COUNT)]
Check = Callable[..., dict[str, Any]]


def write(path: Path, **columns: Sequence[Any]) -> str:
    with path.open("w", encoding="utf-8", newline="") as sink:
        csv.writer(sink).writerows([columns, *zip(*columns.values(), strict=True)])
    return path.name


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Check:
    """Return a function that writes train.csv, checks it and returns the JSON with the status."""
    monkeypatch.chdir(tmp_path)

    def run(*further: str, **columns: Sequence[Any]) -> dict[str, Any]:
        status = main(["check", write(tmp_path / "train.csv", **columns), *further, "--json"])
        return {**json.loads(capsys.readouterr().out), "status": status}

    return run


PAIR = "the label is of both texts; half of them says nothing"


@pytest.mark.parametrize(
    ("names", "label"),
    [
        pytest.param(
            ("premise", "hypothesis"),
            "label",
            id="nli",
            marks=case(
                "I1: columns premise, hypothesis, label",
                "text = premise alone",
                "text = premise + hypothesis, said",
                PAIR,
            ),
        ),
        pytest.param(
            ("sentence1", "sentence2"),
            "gold_label",
            id="snli",
            marks=case(
                "columns sentence1, sentence2, gold_label", "DATA-025", "the pair, and gold_label as the label", PAIR
            ),
        ),
        pytest.param(
            ("question1", "question2"),
            "is_duplicate",
            id="qqp",
            marks=case("columns question1, question2, is_duplicate", "DATA-025", "the pair, said", PAIR),
        ),
        pytest.param(
            ("text_a", "text_b"),
            "label",
            id="a-b",
            marks=case("columns text_a, text_b, label", "text = text_a alone", "the pair, said", PAIR),
        ),
        pytest.param(
            ("Sentence1", "Sentence2"),
            "Label",
            id="capitals",
            marks=case("columns Sentence1, Sentence2, Label", "one of them alone", "the pair, said", PAIR),
        ),
        pytest.param(
            ("question", "sentence"),
            "label",
            id="qnli",
            marks=case("columns question, sentence, label", "text = sentence alone", "the pair, said", PAIR),
        ),
        pytest.param(
            ("query", "passage"),
            "label",
            id="retrieval",
            marks=case("columns query, passage, label", "one of them alone", "the pair, said", PAIR),
        ),
    ],
)
def test_a_pair_is_known_by_its_names(check: Check, names: tuple[str, str], label: str):
    found = check(**{names[0]: FIRST, names[1]: SECOND, label: LABELS})
    assert found["status"] == 0
    assert (found["columns"]["text"], found["columns"]["text_guessed"]) == (list(names), True)
    assert found["columns"]["label"] == label


@case("premise, hypothesis with --text-column premise", "premise alone", "premise alone", "the person says so")
def test_half_a_pair_can_be_stated(check: Check):
    found = check("--text-column", "premise", "--label-column", "label", premise=FIRST, hypothesis=SECOND, label=LABELS)
    assert (found["status"], found["columns"]["text"]) == (0, ["premise"])


@case(
    "--text-column premise,hypothesis",
    "DATA-024, there is no such column",
    "the pair",
    "a pair can be stated in one word",
)
def test_a_pair_can_be_stated(check: Check):
    found = check("--text-column", "left, right", "--label-column", "label", left=FIRST, right=SECOND, label=LABELS)
    assert (found["status"], found["columns"]["text"], found["columns"]["text_guessed"]) == (
        0,
        ["left", "right"],
        False,
    )


NO_TEXT = "it names a row or counts; no model can learn from it"


@pytest.mark.parametrize(
    ("columns", "further", "word"),
    [
        pytest.param(
            {"id": CODES, "label": LABELS},
            ("--text-column", "id"),
            "identifies the rows",
            id="id",
            marks=case("--text-column id", "ids are classified, no word", "DATA-029", NO_TEXT),
        ),
        pytest.param(
            {"review_id": CODES, "label": LABELS, "other": LABELS},
            ("--text-column", "review_id"),
            "identifies the rows",
            id="review-id",
            marks=case("--text-column review_id", "ids are classified", "DATA-029", NO_TEXT),
        ),
        pytest.param(
            {"text": NUMBERS, "label": LABELS},
            (),
            "whole numbers that all differ",
            id="numbers",
            marks=case(
                "a column text of whole numbers that all differ", "numbers are classified, no word", "DATA-029", NO_TEXT
            ),
        ),
        pytest.param(
            {"text": [f"{n}.5" for n in range(COUNT)], "label": LABELS},
            (),
            "numbers",
            id="prices",
            marks=case("a column text of prices", "numbers are classified, no word", "DATA-029", NO_TEXT),
        ),
        pytest.param(
            {"review": [n % 2 for n in range(COUNT)], "label": LABELS},
            (),
            "numbers",
            id="flags",
            marks=case("a column review of 0 and 1", "DATA-034, of two texts only", "DATA-029", NO_TEXT),
        ),
    ],
)
def test_what_cannot_be_the_text_is_refused(check: Check, columns: dict[str, Any], further: tuple[str, ...], word: str):
    found = check(*further, **columns)
    (fault,) = [fault for fault in found["faults"] if fault["code"] == "DATA-029"]
    assert found["status"] == 3
    assert word in fault["text"]
    assert "--text-column" in fault["hint"]


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        pytest.param(
            {"uuid": [f"{n:032x}" for n in range(COUNT)], "words": ["good", "bad"] * 20, "label": LABELS},
            "words",
            id="uuid",
            marks=case("uuid, short words, label", "text = uuid, the widest", "text = words", NO_TEXT),
        ),
        pytest.param(
            {"number": [str(10**30 + n) for n in range(COUNT)], "words": FIRST, "label": LABELS},
            "words",
            id="number",
            marks=case("long numbers, words, label", "text = words", "text = words", NO_TEXT),
        ),
        pytest.param(
            {"id": FIRST, "label": LABELS},
            "id",
            id="sentences",
            marks=case("a column id that holds sentences", "text = id", "text = id", "what it holds are words"),
        ),
        pytest.param(
            {"text": [*NUMBERS[:-1], "and a word"], "label": LABELS},
            "text",
            id="one-word",
            marks=case("a column text of numbers and one word", "text", "text", "not all of it is numbers"),
        ),
    ],
)
def test_the_text_is_chosen_among_what_can_be_one(check: Check, columns: dict[str, Any], text: str):
    found = check("--set", "data.on_duplicate=keep", **columns)
    assert (found["status"], found["columns"]["text"]) == (0, [text])


WITH_TITLE = "what a title says belongs to the text"
TITLED = {"Title": FIRST, "Text": SECOND, "label": LABELS}


@case("columns Text and Title", "Text alone", "text = Title + Text, said", WITH_TITLE)
def test_a_title_belongs_to_its_text(check: Check):
    found = check(**TITLED)
    assert (found["status"], found["columns"]["text"]) == (0, ["Title", "Text"])
    assert (found["columns"]["text_guessed"], found["columns"]["label"]) == (True, "label")


@pytest.mark.parametrize("title", ["title", "Headline", "subject"])
@pytest.mark.parametrize("text", ["content", "body", "Message", "description", "abstract"])
def test_titles_have_several_names(check: Check, title: str, text: str):
    assert check(**{text: SECOND, title: FIRST, "label": LABELS})["columns"]["text"] == [title, text]


@pytest.mark.parametrize(
    "title",
    [
        pytest.param([*FIRST[:-1], ""], id="missing", marks=case(
            "a title column with an empty cell", "Text alone", "Text alone", "a row without a title is no fault")),
        pytest.param([("The Third Man", "The Red Shoes")[number % 2] for number in range(COUNT)], id="product",
                     marks=case("a column Title of two films", "Text alone", "Text alone", "it names films")),
        pytest.param([f"item{number}" for number in range(COUNT)], id="no-words", marks=case(
            "a column Title of single words", "Text alone", "Text alone", "most titles have two words or more")),
    ],
)  # fmt: skip
def test_a_column_called_title_may_be_none_of_the_text(check: Check, title: list[str]):
    found = check(**{**TITLED, "Title": title})
    assert (found["status"], found["columns"]["text"]) == (0, ["Text"])


@case("columns Title and Text, the test file without a title", "Text", "Text", "both files are read in the same way")
def test_a_title_that_another_file_lacks_is_left_out(check: Check, tmp_path: Path):
    write(tmp_path / "test.csv", Text=[f"another text, number {number}" for number in range(COUNT)], label=LABELS)
    found = check("--test", "test.csv", **TITLED)
    assert (found["status"], found["columns"]["text"]) == (0, ["Text"])


PROMISED = ["text", "sentence", "review", "comment", "content", "body", "message"]
PROMISED_PAIRS = ["premise hypothesis", "sentence1 sentence2", "question1 question2", "text_a text_b", "title text"]
PROMISED_LABELS = ["label", "category", "class", "target", "sentiment", "intent", "stars", "rating", "gold_label",
                   "labels", "tags", "intents", "categories", "score", "value", "similarity"]  # fmt: skip


@pytest.mark.parametrize("name", [*PROMISED, *PROMISED_PAIRS])
def test_promised_names_of_texts_are_known(check: Check, name: str):
    """The column `other` has the longer texts, so that the name alone decides."""
    longer = [f"{text}, and more is said here than there" for text in FIRST]
    both = dict(zip(name.split(), (FIRST, SECOND), strict=False))
    assert check(other=longer, **both, label=LABELS)["columns"]["text"] == name.split()


@pytest.mark.parametrize("name", PROMISED_LABELS)
def test_promised_names_of_labels_are_known(check: Check, name: str):
    """The column `other` could as well be the label, so that the name alone decides."""
    scores = [f"{number % 7}.5" for number in range(COUNT)]
    found = check(text=FIRST, other=LABELS, **{name: scores if name in {"score", "value", "similarity"} else LABELS})
    assert (found["status"], found["columns"]["label"], found["columns"]["label_guessed"]) == (0, name, True)


@case("columns Text and TEXT", "the last one is taken, no word", "DATA-025 names both", "either may be meant")
def test_names_that_differ_by_case_are_ambiguous(check: Check):
    found = check(Text=FIRST, TEXT=SECOND, label=LABELS)
    assert [fault["code"] for fault in found["faults"]] == ["DATA-025"]
    assert "Text and TEXT" in found["faults"][0]["text"]


@case(
    "columns Text and text",
    "the last one is taken, no word",
    "text, as it is written in the list",
    "the usual spelling wins",
)
def test_the_usual_spelling_wins(check: Check):
    found = check(text=SECOND, Text=FIRST, label=LABELS)
    assert (found["status"], found["columns"]["text"]) == (0, ["text"])


@pytest.mark.parametrize(
    ("train", "test", "word"),
    [
        pytest.param(
            {"text": FIRST, "lable": LABELS},
            {"text": SECOND, "label": LABELS},
            '"lable"',
            id="lable",
            marks=case(
                "lable in train, label in test",
                "DATA-024 for test: no column lable",
                "DATA-024 for train: lable was taken",
                "the slip stands in the first file",
            ),
        ),
        pytest.param(
            {"txet": FIRST, "label": LABELS},
            {"text": SECOND, "label": LABELS},
            '"txet"',
            id="txet",
            marks=case(
                "txet in train, text in test",
                "DATA-024 for test: no column txet",
                "DATA-024 for train: txet was taken",
                "the slip stands in the first file",
            ),
        ),
        pytest.param(
            {"text": FIRST, "lable": LABELS},
            {"text": SECOND},
            '"lable"',
            id="nothing",
            marks=case(
                "lable in train, no labels in test",
                "DATA-024 for test",
                "DATA-024 for train, with test's columns",
                "the guess is shown where it was made",
            ),
        ),
    ],
)
def test_a_slip_in_a_columns_name_is_told_of_its_own_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, train: Any, test: Any, word: str
):
    monkeypatch.chdir(tmp_path)
    files = [write(tmp_path / "train.csv", **train), "--test", write(tmp_path / "test.csv", **test)]
    assert main(["check", *files, "--json"]) == 3
    (fault,) = json.loads(capsys.readouterr().out)["faults"]
    assert (fault["code"], fault["place"]) == ("DATA-024", "train.csv")
    assert word in fault["text"]
    assert "test.csv" in fault["text"]


@case(
    "a survey's csv: Timestamp, a question as a name, Rating",
    "text = the question",
    "text = the question",
    "a known label name shows that there is a header",
)
def test_a_question_may_be_a_columns_name(check: Check):
    found = check(**{"Timestamp": CODES, "What did you like about it?": FIRST, "Rating": LABELS})
    assert (found["status"], found["columns"]["text"]) == (0, ["What did you like about it?"])


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(("What did you think of it?", "Would you come again?"), id="questions"),
        pytest.param(("Please describe the problem:", "Department"), id="colon"),
        pytest.param(("Wie hat Ihnen der Kurs gefallen", "Bewertung"), id="german"),
    ],
)
@case("a survey whose questions are the column names", "read", "read", "questions are names where nothing repeats them")
def test_questions_are_column_names(check: Check, header: tuple[str, str]):
    found = check(**{header[0]: FIRST, header[1]: LABELS})
    assert (found["status"], found["columns"]["text"]) == (0, [header[0]])


@pytest.mark.parametrize(
    ("names", "text"),
    [
        pytest.param(
            ("text", "text_pair"), ["text", "text_pair"], id="text-pair",
            marks=case("columns text, text_pair, label", "text = text alone", "the pair, said", PAIR),
        ),
        pytest.param(
            ("q1", "q2"), ["q1", "q2"], id="q",
            marks=case("columns q1, q2, label", "one of them alone", "the pair, said", PAIR),
        ),
        pytest.param(
            ("sentence1", "sentence_2"), ["sentence1", "sentence_2"], id="mixed",
            marks=case("columns sentence1, sentence_2, label", "one of them alone", "the pair, said", PAIR),
        ),
        pytest.param(
            ("claim", "evidence"), ["claim", "evidence"], id="claim",
            marks=case("columns claim, evidence, label", "one of them alone", "the pair, said", PAIR),
        ),
    ],
)  # fmt: skip
def test_more_pairs_are_known(check: Check, names: tuple[str, str], text: list[str]):
    found = check(**{names[0]: FIRST, names[1]: SECOND, "label": LABELS})
    assert (found["status"], found["columns"]["text"]) == (0, text)


@case("url, headline, label, the url longer", "text = url, the longest", "text = headline", "an address holds no words")
def test_an_address_is_no_text_beside_words(check: Check):
    urls = [f"https://news.example/{n:06d}/{'a' * 60}.html" for n in range(COUNT)]
    found = check(url=urls, headline=FIRST, label=LABELS)
    assert (found["status"], found["columns"]["text"]) == (0, ["headline"])


@case("--text-column text,text", "a pair of itself, no word", "DATA-026", "a pair has two texts")
def test_a_column_is_no_pair_of_itself(check: Check):
    found = check("--text-column", "text,text", text=FIRST, label=LABELS)
    assert [fault["code"] for fault in found["faults"]] == ["DATA-026"]


@case(
    "H1: evaluate and predict on Title, review",
    "predict answers Title, evaluate review",
    "both take review",
    "one rule for all commands",
)
def test_evaluate_and_predict_take_the_same_column(tmp_path: Path, tiny_run: Any, capsys: Any):
    rows = sentences(12, seed=77)
    file = tmp_path / "reviews.csv"
    write(
        file, Title=["dreadful stale cold"] * 12, review=[text for text, _ in rows], label=[label for _, label in rows]
    )
    assert main(["evaluate", str(tiny_run.folder), "--test", str(file)]) == 0
    evaluated = capsys.readouterr().err
    assert main(["predict", str(tiny_run.folder), "--file", str(file)]) == 0
    answered = capsys.readouterr()
    assert "text = review" in evaluated
    assert "text = review" in answered.err
    assert len(answered.out.splitlines()) == 13


@case("evaluate and predict of a model of one text, on title and review", "both take review", "both take review",
      "a model of one text reads no title beside it")  # fmt: skip
def test_a_model_of_one_text_takes_no_title(tmp_path: Path, tiny_run: Any, capsys: Any):
    rows = sentences(12, seed=77)
    titles = [f"a title with the number {number}" for number in range(12)]
    file = tmp_path / "reviews.csv"
    write(file, title=titles, review=[text for text, _ in rows], label=[label for _, label in rows])
    assert main(["evaluate", str(tiny_run.folder), "--test", str(file), "--json"]) == 0
    printed = capsys.readouterr()
    assert "Columns guessed: text = review." in printed.err
    assert json.loads(printed.out)["examples"] == 12
    assert main(["predict", str(tiny_run.folder), "--file", str(file)]) == 0
    assert "text = review" in capsys.readouterr().err
