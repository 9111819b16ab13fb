"""The tables of first_hour.py: spreadsheets, scraped reviews, tickets, surveys, pairs."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

from first_hour_cases import case, lines, table
from first_hour_texts import (
    ENGLISH,
    FRENCH,
    GERMAN,
    JAPANESE,
    POLISH,
    PRIORITIES,
    RUSSIAN,
    STARS,
    TICKETS,
    several,
    texts,
)

GOOD = ("bad", "great")


@case(
    "bewertungen.csv", "Excel, German: cp1252, semicolons, a number and prices beside it", "classification", 90, 2,
    knows={"--label-column": "Stimmung"},
)  # fmt: skip
def _german(path: Path) -> None:
    rows = [
        (number, text, label, f"{number % 40 + 5},{number % 10}0")
        for number, (text, label) in enumerate(texts(GERMAN, 90))
    ]
    table(path, ["Nr.", "Text", "Stimmung", "Preis (€)"], rows, ";", "cp1252", "\r\n")


@case("zufriedenheit.csv", "Excel, German: cp1252, semicolons, grades such as 3,5 and 4", "regression", 90, 1)
def _grades(path: Path) -> None:
    rng, rows = random.Random(1), []
    for text, label in texts(GERMAN, 90, 1):
        grade = rng.choice((1, 1.5, 2, 2.5)) if label == "negativ" else rng.choice((3.5, 4, 4.5, 5))
        rows.append((text, f"{grade:g}".replace(".", ",")))
    table(path, ["Kommentar", "Zufriedenheit"], rows, ";", "cp1252", "\r\n")


@case("avis.csv", "Excel, French: cp1252, semicolons, accents in the labels", "classification", 80, 2)
def _french(path: Path) -> None:
    table(path, ["avis", "tonalité"], texts(FRENCH, 80), ";", "cp1252", "\r\n")


@case("opinie.csv", "Excel, Polish: cp1250, semicolons", "classification", 80, 2)
def _polish(path: Path) -> None:
    table(path, ["opinia", "ocena"], texts(POLISH, 80), ";", "cp1250", "\r\n")


@case("kuchikomi.csv", "Excel, Japanese: cp932, commas", "classification", 80, 2)
def _japanese(path: Path) -> None:
    table(path, ["口コミ", "評価"], texts(JAPANESE, 80), ",", "cp932", "\r\n")


@case("otzyvy.csv", "Excel, Russian: cp1251, semicolons", "classification", 80, 2)
def _russian(path: Path) -> None:
    table(path, ["отзыв", "оценка"], texts(RUSSIAN, 80), ";", "cp1251", "\r\n")


@case("unicode.txt", "Excel's Unicode text: UTF-16 with its mark, tabs, quotes", "classification", 80, 2)
def _unicode_text(path: Path) -> None:
    rows = [(f'{text} They said "{label}"', label) for text, label in texts(ENGLISH, 80, 2, GOOD)]
    table(path, ["Review", "Sentiment"], rows, "\t", "utf-16", "\r\n")


@case(
    "csv_utf8.csv", "Excel's CSV UTF-8: a mark, semicolons, empty rows and columns at the end", "classification", 80, 2
)
def _bom(path: Path) -> None:
    rows = [(text, label, "", "") for text, label in texts(GERMAN, 80, 2)]
    table(path, ["Text", "Label", "", ""], [*rows, [""] * 4, [""] * 4], ";", "utf-8-sig", "\r\n")


@case("sep_line.csv", "Excel's first line sep=;", "classification", 60, 2)
def _sep(path: Path) -> None:
    table(path, ["sep=;"], [["text;label"]], "\0")
    with path.open("w", encoding="utf-8", newline="") as stream:
        stream.write("sep=;\r\ntext;label\r\n")
        stream.writelines(f'"{text}";{label}\r\n' for text, label in texts(ENGLISH, 60, 3, GOOD))


@case("report.csv", "an export with a title and a date above the column names", "classification", 70, 2)
def _titled_csv(path: Path) -> None:
    rows = [("Feedback report",), ("Created 2026-11-02",), (), ("comment", "sentiment"), *texts(ENGLISH, 70, 4, GOOD)]
    table(path, [], rows)


@case("titled.xlsx", "Excel: a title row above the column names, empty rows, another sheet", "classification", 70, 2)
def _titled_xlsx(path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Reviews"
    for row in [("Guest reviews 2026",), (), ("Review", "Sentiment")]:
        sheet.append(row)
    for number, row in enumerate(texts(ENGLISH, 70, 5, GOOD)):
        sheet.append(row)
        if number == 30:
            sheet.append(())
    book.create_sheet("Legend").append(("good", "a guest who liked it"))
    book.save(path)


@case(
    "sheets.xlsx", "Excel: a cover sheet before the sheet of the data", "classification", 70, 2,
    knows={"--sheet": "Answers"},
)  # fmt: skip
def _sheets(path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = "About"
    for row in [("Survey of guests", "2026"), ("Made by", "the front desk"), ("Rows", 70)]:
        book.active.append(row)
    sheet = book.create_sheet("Answers")
    for row in [("comment", "sentiment"), *texts(ENGLISH, 70, 6, GOOD)]:
        sheet.append(row)
    book.save(path)


@case(
    "scraped.jsonl", "scraped reviews: nested fields, a date, an address", "classification", 100, 5,
    knows={"--text-column": "review.body", "--label-column": "review.stars"},
)  # fmt: skip
def _scraped(path: Path) -> None:
    records = [
        {
            "url": f"https://shop.example/p/{number}", "scraped_at": "2026-10-01T10:00:00Z",
            "product": {"name": "kettle", "price": {"value": 19.9, "currency": "EUR"}},
            "review": {"body": text, "stars": STARS.index(label) + 1, "author": {"name": f"user{number}"}},
        }
        for number, (text, label) in enumerate(texts(ENGLISH, 100, 7))
    ]  # fmt: skip
    lines(path, records)


@case(
    "scraped_html.csv", "scraped reviews: tags, entities, emoji, 4/5 stars, repeated rows, missing texts",
    "classification", 107, 5, dropped=7,
)  # fmt: skip
def _html(path: Path) -> None:
    rows = [
        (f"<p>{text}</p>&nbsp;Tom &amp; I &#128077; 😀", f"{STARS.index(label) + 1}/5 stars")
        for text, label in texts(ENGLISH, 100, 8)
    ]
    missing = [("", "1/5 stars"), ("", "5/5 stars"), (" ", "3/5 stars")]
    table(path, ["review", "rating"], [*rows[:50], *missing, *rows[50:], *rows[:4]])


@case(
    "amazon.jsonl.gz", "product reviews as Amazon's: overall 1.0 to 5.0, reviewText beside a summary, gzip",
    "classification", 100, 5, knows={"--label-column": "overall"},
)  # fmt: skip
def _amazon(path: Path) -> None:
    import json

    records = [
        {
            "overall": float(STARS.index(label) + 1), "verified": number % 3 > 0, "reviewerID": f"A{number:06}",
            "asin": f"B00{number % 7}", "reviewText": text, "summary": " ".join(text.split()[:4]),
            "unixReviewTime": 1400000000 + 86400 * number,
        }
        for number, (text, label) in enumerate(texts(ENGLISH, 100, 9))
    ]  # fmt: skip
    with gzip.open(path, "wt", encoding="utf-8") as stream:
        stream.writelines(json.dumps(record) + "\n" for record in records)


@case(
    "tickets.csv", "tickets: subject, body of several lines, priority, tags, a date", "classification", 120, 3,
    knows={"--label-column": "priority"},
)  # fmt: skip
def _tickets(path: Path) -> None:
    rows = [
        (1000 + number, f"Ticket {number} of {label}", f'{text}\n\n> "quoted" line\nRegards', PRIORITIES[label],
         f"{label};web", f"2026-10-{number % 28 + 1:02}")
        for number, (text, label) in enumerate(texts(TICKETS, 120, 10))
    ]  # fmt: skip
    table(path, ["id", "subject", "body", "priority", "tags", "created_at"], rows)


@case("ticket_tags.csv", "tickets with tags in one column: billing;refund, none in some", "multi_label", 120, 4)
def _tags(path: Path) -> None:
    rows = [(number, text, ";".join(tags)) for number, (text, tags) in enumerate(several(120, 11, least=0))]
    table(path, ["id", "body", "tags"], rows)


@case(
    "dump.txt", "a dump separated by bars", "classification", 100, 4, knows={"--label-column": "queue"},
)  # fmt: skip
def _dump(path: Path) -> None:
    rows = [(number, text, label) for number, (text, label) in enumerate(texts(TICKETS, 100, 12))]
    table(path, ["ticket_id", "body", "queue"], rows, "|")


@case("pandas.csv", "pandas' to_csv with its index", "classification", 80, 2)
def _pandas(path: Path) -> None:
    import pandas as pd

    pd.DataFrame(texts(ENGLISH, 80, 13, GOOD), columns=["text", "label"]).to_csv(path)


@case("views.csv", "numbers with commas between thousands: 1,204", "regression", 80, 1, knows={"--decimal": "point"})
def _views(path: Path) -> None:
    rng = random.Random(14)
    rows = [(text, f"{rng.randint(*((1000, 2000) if label == 'bad' else (5000, 9000))):,}")
            for text, label in texts(ENGLISH, 80, 14, GOOD)]  # fmt: skip
    table(path, ["title", "views"], rows)


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
