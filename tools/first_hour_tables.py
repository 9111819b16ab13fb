"""The tables of first_hour.py: spreadsheets, scraped reviews, tickets."""

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
