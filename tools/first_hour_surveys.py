"""The surveys, pairs and bare text files of first_hour.py, and what is broken in them."""

from __future__ import annotations

from pathlib import Path

from first_hour_cases import case, lines, table
from first_hour_texts import ENGLISH, STARS, TICKETS, several, texts

GOOD = ("bad", "great")


@case("likert.csv", "a survey: 3 - neutral", "classification", 100, 5)
def _likert(path: Path) -> None:
    scale = ("1 - very unhappy", "2 - unhappy", "3 - neutral", "4 - happy", "5 - very happy")
    table(
        path,
        ["Comment", "Satisfaction"],
        [(text, scale[STARS.index(label)]) for text, label in texts(ENGLISH, 100, 15)],
    )


@case("boxes.csv", "a survey: a column of 0 and 1 for each box", "multi_label", 120, 4)
def _boxes(path: Path) -> None:
    names = list(TICKETS.words)
    rows = [
        (20000 + 7 * number, text, *(int(name in tags) for name in names))
        for number, (text, tags) in enumerate(several(120, 16))
    ]
    table(path, ["Respondent ID", "What happened?", *names], rows)


@case(
    "qualtrics.csv", "Qualtrics: question texts and import ids in rows 2 and 3", "classification", 90, 5,
    knows={"--text-column": "Q1", "--label-column": "Q2"},
)  # fmt: skip
def _qualtrics(path: Path) -> None:
    names = ["StartDate", "Finished", "ResponseId", "Q1", "Q2"]
    asked = ["Start Date", "Finished", "Response ID", "What did you think of the visit?", "How was it overall?"]
    ids = [f'{{"ImportId":"{name}"}}' for name in ("startDate", "finished", "_recordId", "QID1_TEXT", "QID2")]
    rows = [
        (f"2026-09-{number % 30 + 1:02} 10:00:00", "True", f"R_{number:08x}", text, label)
        for number, (text, label) in enumerate(texts(ENGLISH, 90, 17))
    ]
    table(path, names, [asked, ids, *rows], encoding="utf-8-sig")


@case(
    "surveymonkey.csv", "SurveyMonkey: a second row of names, columns without names, options as words",
    "classification", 90, 5, knows={"--text-column": "What did you think?", "--label-column": "How was it overall?"},
)  # fmt: skip
def _surveymonkey(path: Path) -> None:
    names = ["Respondent ID", "Start Date", "What did you think?", "How was it overall?", "What was it about?", "", ""]
    below = ["", "", "Open-Ended Response", "Response", "Food", "Price", "Service"]
    rows = [
        (11800000 + 13 * number, "09/01/2026 10:00:00", text, label,
         *(option if (number + place) % 3 == 0 else "" for place, option in enumerate(below[4:])))
        for number, (text, label) in enumerate(texts(ENGLISH, 90, 18))
    ]  # fmt: skip
    table(path, names, [below, *rows])


@case(
    "google_form.csv", "Google Forms: a timestamp, questions as names", "classification", 90, 3,
    knows={"--label-column": "Would you recommend the course?"},
)  # fmt: skip
def _form(path: Path) -> None:
    said = {"bad": "No", "fair": "Maybe", "great": "Yes"}
    asked = ["Timestamp", "What did you think of the course?", "How likely are you to come back (1-10)?"]
    rows = [
        (f"9/{number % 30 + 1}/2026 14:{number % 60:02}:05", text, number % 10 + 1, said[label])
        for number, (text, label) in enumerate(texts(ENGLISH, 90, 19, list(said)))
    ]
    table(path, [*asked, "Would you recommend the course?"], rows)


@case(
    "questions.csv", "pairs as Quora's: question1, question2, is_duplicate", "classification", 100, 2,
    knows={"--label-column": "is_duplicate"},
)  # fmt: skip
def _quora(path: Path) -> None:
    found = texts(TICKETS, 200, 20, ["billing", "login"])
    rows = [
        (number, 2 * number, 2 * number + 1, one, other, int(first == second))
        for number, ((one, first), (other, second)) in enumerate(zip(found[:100], found[100:], strict=True))
    ]
    table(path, ["id", "qid1", "qid2", "question1", "question2", "is_duplicate"], rows)


@case("nli.csv", "pairs: premise, hypothesis, label", "classification", 90, 3)
def _nli(path: Path) -> None:
    said = {"great": "entailment", "fair": "neutral", "bad": "contradiction"}
    rows = [(text, "The guests were happy.", said[label]) for text, label in texts(ENGLISH, 90, 21, list(said))]
    table(path, ["premise", "hypothesis", "label"], rows)


@case(
    "snli.jsonl", "pairs as SNLI's: gold_label is - where annotators disagree", "classification", 94, 3, dropped=4,
    knows={"--set": "data.on_missing=drop_words"},
)  # fmt: skip
def _snli(path: Path) -> None:
    said = {"great": "entailment", "fair": "neutral", "bad": "contradiction"}
    found = texts(ENGLISH, 94, 22, list(said))
    lines(path, [
        {"gold_label": "-" if number >= 90 else said[label], "sentence1": text, "sentence2": "The guests were happy.",
         "annotator_labels": [said[label]], "pairID": f"{number}r"}
        for number, (text, label) in enumerate(found)
    ])  # fmt: skip


@case("sst2.tsv", "a tsv as in GLUE, with a quote in a text", "classification", 80, 2)
def _glue(path: Path) -> None:
    rows = [
        f'{text.lower()} "{number}\t{GOOD.index(label)}\n'
        for number, (text, label) in enumerate(texts(ENGLISH, 80, 23, GOOD))
    ]
    path.write_text("sentence\tlabel\n" + "".join(rows), encoding="utf-8")


@case(
    "cola.tsv", "a tsv without column names: source, label, mark, text", "classification", 80, 2,
)  # fmt: skip
def _no_header(path: Path) -> None:
    rows = [
        f"gj{number:02}\t{GOOD.index(label)}\t\t{text}\n"
        for number, (text, label) in enumerate(texts(ENGLISH, 80, 24, GOOD))
    ]
    path.write_text("".join(rows), encoding="utf-8")


@case("no_names.csv", "a csv without column names: label, text", "classification", 80, 2)
def _no_names(path: Path) -> None:
    table(path, [], [(label, text) for text, label in texts(ENGLISH, 80, 25, GOOD)])


@case("fasttext.txt", "fastText: __label__great and the text on a line", "classification", 80, 2)
def _fasttext(path: Path) -> None:
    rows = [f"__label__{label} {text}\n" for text, label in texts(ENGLISH, 80, 26, GOOD)]
    path.write_text("".join(rows), encoding="utf-8")


@case("fasttext_tags.txt", "fastText: several labels on a line", "multi_label", 90, 4)
def _fasttext_tags(path: Path) -> None:
    rows = [f"{' '.join(f'__label__{tag}' for tag in tags)} {text}\n" for text, tags in several(90, 27)]
    path.write_text("".join(rows), encoding="utf-8")


@case("categories.parquet", "pandas' parquet with categories and an index", "classification", 80, 2)
def _parquet(path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame(texts(ENGLISH, 80, 28, GOOD), columns=["text", "label"])
    frame["label"] = frame["label"].astype("category")
    frame.sample(frac=1, random_state=0).to_parquet(path)


@case(
    "messy.csv", "mixed line ends, a NUL byte, a stray quote, a row too short", "classification", 90, 2, dropped=3,
)  # fmt: skip
def _messy(path: Path) -> None:
    rows = [f'"{text}",{label}' for text, label in texts(ENGLISH, 90, 29, GOOD)]
    rows[20] = rows[20].replace(" the ", " \0the ")
    rows[40] = 'He said "no,bad'
    rows[41] = '"stray" quote, and a comma,bad'
    rows[60] = "bad"
    ends = ("\n", "\r\n")
    written = "".join(f"{row}{ends[number % 2]}" for number, row in enumerate(["text,label", *rows]))
    path.write_bytes(written.encode())


@case(
    "helpdesk.csv", "labels typed by hand: Billing, billing, BILLING; one text of a label", "classification", 92, 4,
    dropped=2,
)  # fmt: skip
def _by_hand(path: Path) -> None:
    typed = (str.title, str.lower, str.upper, str.title)
    rows = [(text, typed[number % 4](label)) for number, (text, label) in enumerate(texts(TICKETS, 90, 30))]
    rows += [("Thank you all, the picnic was great.", "praise"), ("Please call me about a job.", "HR")]
    table(path, ["message", "queue"], rows)
