"""Labels that once went wrong in silence: one label written in two ways, look-alikes, numbers, several in one cell."""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from case_table import case
from lightune.cli.main import main
from lightune.data.cells import label_cells
from lightune.data.python_data import python_tables
from lightune.data.tables import Table
from lightune.tasks.label_names import names_in_column
from lightune.values.label_text import class_index, label_text

pytestmark = pytest.mark.usefixtures("hashed_once")

Check = Callable[..., dict[str, Any]]
SINGLE = ("--task", "classification")
ONE_TRUTH = "true is one label, whatever holds it"
ONE_LABEL = "a whole number is one label, whatever holds it (docs/own_data.md)"


def texts(count: int, kind: str = "review") -> list[str]:
    return [f"this is {kind} number {number} of a film" for number in range(count)]


def rows(labels: Sequence[Any], count: int = 40, kind: str = "review") -> list[tuple[str, Any]]:
    """Return texts with the labels in turn."""
    return [(text, labels[number % len(labels)]) for number, text in enumerate(texts(count, kind))]


def write(path: Path, given: list[tuple[str, Any]]) -> str:
    """Write rows in the format that the name asks for, by the standard library and pyarrow."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps({"text": a, "label": b}) + "\n" for a, b in given), encoding="utf-8")
    elif path.suffix == ".tsv":
        path.write_text("".join(f"{a}\t{b}\n" for a, b in [("text", "label"), *given]), encoding="utf-8")
    elif path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet

        pa.parquet.write_table(pa.table({"text": [a for a, _ in given], "label": [b for _, b in given]}), path)
    else:
        with path.open("w", encoding="utf-8", newline="") as sink:
            csv.writer(sink).writerows([("text", "label"), *given])
    return path.name


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Check:
    """Return a function that writes files by name, checks them and returns the JSON with the status."""
    monkeypatch.chdir(tmp_path)

    def run(train: list[tuple[str, Any]], kind: str = "csv", *further: str, **others: Any) -> dict[str, Any]:
        arguments = ["--train", write(tmp_path / f"train.{kind}", train)]
        for name, (given, other_kind) in others.items():
            arguments += [f"--{name}", write(tmp_path / f"{name}.{other_kind}", given)]
        status = main(["check", *arguments, *further, "--json"])
        return {**json.loads(capsys.readouterr().out), "status": status}

    return run


def codes(found: dict[str, Any]) -> list[str]:
    return [fault["code"] for fault in [*found["faults"], *found["warnings"]]]


@pytest.mark.parametrize(
    ("labels", "kind", "names"),
    [
        pytest.param(
            ["1", "0", "1.0", "0.0"],
            "csv",
            ["0", "1"],
            id="csv-1-and-1.0",
            marks=case("A1: labels 1 and 1.0 in one csv", "4 classes, no word", "2 classes, 0 and 1", ONE_LABEL),
        ),
        pytest.param(
            ["1", "0", "1.0", "0.0"],
            "tsv",
            ["0", "1"],
            id="tsv-1-and-1.0",
            marks=case("labels 1 and 1.0 in one tsv", "4 classes, no word", "2 classes", ONE_LABEL),
        ),
        pytest.param(
            [1, 0, "1.0", "0.0"],
            "jsonl",
            ["0", "1"],
            id="jsonl-number-and-text",
            marks=case('labels 1 and "1.0" in one jsonl', "4 classes, no word", "2 classes", ONE_LABEL),
        ),
        pytest.param(
            ["1.000000000000000000e+00", "0.000000000000000000e+00"],
            "csv",
            ["0", "1"],
            id="csv-scientific",
            marks=case(
                "A3: labels as numpy.savetxt writes them",
                "labels shown as 1.000000000000000000e+00",
                "0 and 1",
                ONE_LABEL,
            ),
        ),
        pytest.param(
            ["1E+00", "2E+00"],
            "csv",
            ["1", "2"],
            id="csv-spreadsheet",
            marks=case("labels as a spreadsheet writes numbers, 1E+00", "labels 1E+00 and 2E+00", "1 and 2", ONE_LABEL),
        ),
        pytest.param(
            [Decimal("1.0"), Decimal("0.0")],
            "parquet",
            ["0", "1"],
            id="parquet-decimal",
            marks=case("A5: Parquet labels of type decimal(10,1)", "labels 0.0 and 1.0", "0 and 1", ONE_LABEL),
        ),
        pytest.param(
            [1.0, 0.0],
            "parquet",
            ["0", "1"],
            id="parquet-float",
            marks=case("Parquet labels of type double", "0 and 1", "0 and 1", ONE_LABEL),
        ),
        pytest.param(
            ["-0.0", "0", "+1", "1"],
            "csv",
            ["0", "1"],
            id="csv-signs",
            marks=case("labels -0.0 beside 0 and +1 beside 1", "4 classes, no word", "2 classes", ONE_LABEL),
        ),
        pytest.param(
            ["-1.0", "1.0", "-1", "1"],
            "csv",
            ["-1", "1"],
            id="csv-minus",
            marks=case("labels -1.0 beside -1", "4 classes, no word", "2 classes", ONE_LABEL),
        ),
        pytest.param(
            ["007", "008"],
            "csv",
            ["007", "008"],
            id="csv-codes",
            marks=case("labels 007 and 008", "007 and 008", "007 and 008", "a leading zero makes it a code"),
        ),
        pytest.param(
            ["2e5", "3e5"],
            "csv",
            ["2e5", "3e5"],
            id="csv-product-codes",
            marks=case("labels 2e5 and 3e5", "2e5 and 3e5", "2e5 and 3e5", "a code, as no program writes a number"),
        ),
    ],
)
def test_a_whole_number_is_one_label(check: Check, labels: list[Any], kind: str, names: list[str]):
    found = check(rows(labels), kind)
    assert (found["status"], codes(found)) == (0, [])
    assert list(found["labels"]["train"]) == names
    assert sum(share["count"] for share in found["labels"]["train"].values()) == 40


@pytest.mark.parametrize(
    ("train", "kind", "test", "other"),
    [
        pytest.param(
            ["1.0", "0.0"],
            "csv",
            ["1", "0"],
            "csv",
            id="csv",
            marks=case("A2: 1.0 in train, 1 in test", "DATA-014 for all rows of test", "one label", ONE_LABEL),
        ),
        pytest.param(
            [1.0, 0.0],
            "jsonl",
            ["1", "0"],
            "csv",
            id="jsonl",
            marks=case("1.0 in a jsonl train, 1 in a csv test", "one label", "one label", ONE_LABEL),
        ),
        pytest.param(
            [Decimal("1.0"), Decimal("2.0")],
            "parquet",
            ["1", "2"],
            "csv",
            id="decimal",
            marks=case(
                "A5: decimal in a Parquet train, 1 in a csv test", "DATA-014 for all rows", "one label", ONE_LABEL
            ),
        ),
        pytest.param(
            ["True", "False"],
            "csv",
            [True, False],
            "jsonl",
            id="true",
            marks=case("True in a csv train, true in a jsonl test", "DATA-014 for all rows", "one label", ONE_TRUTH),
        ),
        pytest.param(
            ["1", "0"],
            "csv",
            ["1e+00", "0e+00"],
            "tsv",
            id="scientific",
            marks=case("1 in train, 1e+00 in test", "DATA-014 for all rows", "one label", ONE_LABEL),
        ),
    ],
)
def test_a_whole_number_is_one_label_across_files(check: Check, train: Any, kind: str, test: Any, other: str):
    found = check(rows(train), kind, test=(rows(test, 20, "comment"), other))
    assert (found["status"], codes(found)) == (0, [])
    assert list(found["labels"]["train"]) == list(found["labels"]["test"])
    assert {name: share["count"] for name, share in found["labels"]["test"].items()} == dict.fromkeys(
        found["labels"]["test"], 10
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param(
            np.float32(1), "1", id="float32", marks=case("a numpy float32 1.0", "label 1.0", "label 1", ONE_LABEL)
        ),
        pytest.param(np.int64(1), "1", id="int64", marks=case("a numpy int64 1", "label 1", "label 1", ONE_LABEL)),
        pytest.param(
            np.True_,
            "true",
            id="bool",
            marks=case(
                "a numpy True", "label True beside Python's true", "label true", "true is one label, whatever holds it"
            ),
        ),
        pytest.param(
            Decimal("1E+1"), "10", id="decimal", marks=case("Decimal('1E+1')", "label 1E+1", "label 10", ONE_LABEL)
        ),
        pytest.param(
            "12345678901234567890.0",
            "12345678901234567890",
            id="large",
            marks=case(
                "a whole number of twenty digits", "label 12345678901234567890.0", "every digit kept", ONE_LABEL
            ),
        ),
        pytest.param(
            "1e+99", "1e+99", id="huge", marks=case("label 1e+99", "1e+99", "1e+99", "nobody counts that far")
        ),
    ],
)
def test_what_python_holds_is_shown_as_people_write_it(value: Any, shown: str):
    assert label_text(value) == shown


@case(
    "class names in the file, classes held as floats 0.0 and 1.0",
    "labels 0 and 1, the names lost",
    "neg and pos",
    "the number of a class is a whole number, whatever holds it",
)
def test_class_names_answer_to_floats():
    assert [class_index(value, 2) for value in (0.0, np.float64(1), 1, Decimal(1))] == [0, 1, 1, 1]
    assert [class_index(value, 2) for value in (True, "1", 0.5, 2, -1, None)] == [None] * 6


LOOK = "no reader can tell them apart, so they are meant to be one"


@pytest.mark.parametrize(
    ("other", "common", "written"),
    [
        pytest.param(
            unicodedata.normalize("NFD", "café"),
            "café",
            "U+0301 COMBINING ACUTE ACCENT",
            id="nfd",
            marks=case("C1: café composed and decomposed", "2 classes, no word", "DATA-033 names U+0301", LOOK),
        ),
        pytest.param(
            "\ufeffpos",
            "pos",
            "<U+FEFF>pos",
            id="bom",
            marks=case("C3: a byte order mark before a label", "2 classes, no word", "DATA-033 writes <U+FEFF>", LOOK),
        ),
        pytest.param(
            "po\u00adsitive",
            "positive",
            "po<U+00AD>sitive",
            id="soft-hyphen",
            marks=case("C4: a soft hyphen in a label", "2 classes, no word", "DATA-033 writes <U+00AD>", LOOK),
        ),
        pytest.param(
            "pos\u200b",
            "pos",
            "pos<U+200B>",
            id="zero-width",
            marks=case("a zero-width space after a label", "2 classes, no word", "DATA-033 writes <U+200B>", LOOK),
        ),
        pytest.param(
            "\u200epos",
            "pos",
            "<U+200E>pos",
            id="order-mark",
            marks=case("a left-to-right mark before a label", "2 classes, no word", "DATA-033 writes <U+200E>", LOOK),
        ),
        pytest.param(
            "p\u043es",
            "pos",
            "U+043E CYRILLIC SMALL LETTER O",
            id="cyrillic",
            marks=case("a Cyrillic o in pos", "2 classes, no word", "DATA-033 names the letter", LOOK),
        ),
        pytest.param(
            "\uff11",
            "1",
            "U+FF11 FULLWIDTH DIGIT ONE",
            id="full-width",
            marks=case("a full-width digit beside 1", "2 classes, no word", "DATA-033 names the digit", LOOK),
        ),
        pytest.param(
            "\u22121",
            "-1",
            "U+2212 MINUS SIGN",
            id="minus",
            marks=case("a typographic minus beside -1", "2 classes, no word", "DATA-033 names the sign", LOOK),
        ),
        pytest.param(
            "\ufb01ne",
            "fine",
            "U+FB01 LATIN SMALL LIGATURE FI",
            id="ligature",
            marks=case("a ligature fi in fine", "2 classes, no word", "DATA-033 names the ligature", LOOK),
        ),
        pytest.param(
            "very\u00a0good",
            "very good",
            "very<U+00A0>good",
            id="no-break",
            marks=case("a no-break space in a label", "DATA-033, the space unseen", "DATA-033 writes <U+00A0>", LOOK),
        ),
        pytest.param(
            "\U0001f44d\ufe0f",
            "\U0001f44d",
            "<U+FE0F>",
            id="emoji",
            marks=case(
                "an emoji with and without variation selector", "2 classes, no word", "DATA-033 writes <U+FE0F>", LOOK
            ),
        ),
        pytest.param(
            "01",
            "1",
            '"1" and "01" are the same number',
            id="leading-zero",
            marks=case(
                "labels 01 and 1 in one file", "2 classes, no word", "DATA-033: one number", "one of them was meant"
            ),
        ),
    ],
)
def test_labels_that_look_alike_are_a_fault(check: Check, other: str, common: str, written: str):
    found = check(rows([common, "something", common, other]))
    assert found["status"] == 3
    (fault,) = [fault for fault in found["faults"] if fault["code"] == "DATA-033"]
    assert fault["place"] == "train.csv:5"
    assert written in fault["text"]
    assert f'"{common}"' in fault["text"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(
            "x²",
            "x2",
            id="square",
            marks=case("labels x² and x2", "2 classes", "2 classes", "they mean different things"),
        ),
        pytest.param(
            "1.1",
            "1.10",
            id="version",
            marks=case("labels 1.1 and 1.10 beside words", "2 classes", "2 classes", "versions differ"),
        ),
        pytest.param(
            "résumé",
            "resume",
            id="accent",
            marks=case("résumé and resume", "2 classes", "2 classes", "they do not look the same"),
        ),
        pytest.param(
            "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
            "\U0001f3f4",
            id="flag",
            marks=case("the flag of England and a black flag", "2 classes", "2 classes", "tags tell flags apart"),
        ),
    ],
)
def test_labels_that_differ_stay_apart(check: Check, one: str, other: str):
    found = check(rows([one, other, "word"]))
    assert (found["status"], found["faults"]) == (0, [])
    assert sorted(found["labels"]["train"]) == sorted([one, other, "word"])


@pytest.mark.parametrize(
    ("labels", "given"),
    [
        pytest.param(
            ["(A)", "(B)", "(C)"],
            "labels (A), (B), (C)",
            id="choices",
            marks=case("labels (A), (B), (C)", "3 classes", "3 classes", "brackets around one word are a name"),
        ),
        pytest.param(
            ["[NEG]", "[POS]"],
            "labels [NEG], [POS]",
            id="brackets",
            marks=case("labels [NEG], [POS]", "2 classes", "2 classes", "brackets around one word are a name"),
        ),
    ],
)
def test_names_in_brackets_are_names(check: Check, labels: list[str], given: str):
    found = check(rows(labels))
    assert (found["status"], codes(found)) == (0, []), given


@case(
    "labels 007 and 7 with --label-kind class",
    "2 classes, no word",
    "2 classes, as stated; without the flag DATA-033",
    "a fault has a way out for those who mean it",
)
def test_codes_that_are_one_number_can_be_stated(check: Check):
    found = check(rows(["007", "7", "x"]))
    assert codes(found) == ["DATA-033"]
    assert "--label-kind class" in found["faults"][0]["hint"]
    assert codes(check(rows(["007", "7", "x"]), "csv", "--label-kind", "class")) == []


@case(
    "a|b in two rows, a;b in half of all",
    "a warning about a|b alone",
    "DATA-036 for a;b beside the warning",
    "one oddity must not hide another",
)
def test_one_mark_does_not_hide_another(check: Check):
    given = rows(["a", "b", "a;b", "b;a"], 160)
    given[0], given[1] = (given[0][0], "a|b"), (given[1][0], "a|b")
    assert codes(check(given, "csv", *SINGLE))[:2] == ["DATA-036", "DATA-107"]


@case(
    "a test label with a byte order mark inside",
    'DATA-014: label "pos" is not among (neg, pos)',
    'DATA-014 writes pos<U+FEFF> and asks: Did you mean "pos"?',
    "the reader sees what differs",
)
def test_an_unseen_label_is_written_out(check: Check):
    found = check(
        rows(["neg", "pos"]), "csv", test=([*rows(["neg", "pos"], 10, "comment"), ("one more", "pos\ufeff")], "csv")
    )
    (fault,) = found["faults"]
    assert (fault["code"], fault["place"]) == ("DATA-014", "test.csv:12")
    assert 'label "pos<U+FEFF>" is not among' in fault["text"]
    assert fault["hint"].startswith('Did you mean "pos"?')


SEVERAL = "a|b looks like two labels; each combination would be a class"
DETECTED = "several labels a text; DATA-036 with --task classification"


@pytest.mark.parametrize(
    ("labels", "further", "outcome"),
    [
        pytest.param(
            ["food", "price", "food|price", "food", "price"],
            SINGLE,
            "DATA-036",
            id="bar",
            marks=case("food|price in a fifth of the rows", "3 classes, no word", DETECTED, SEVERAL),
        ),
        pytest.param(
            ["food", "food;price", "price", "price;food"],
            SINGLE,
            "DATA-036",
            id="semicolon",
            marks=case("food;price and price;food", "a warning", DETECTED, SEVERAL),
        ),
        pytest.param(
            ["food", "food, price", "price", "service", "service, food"],
            SINGLE,
            "DATA-036",
            id="comma",
            marks=case("food, price beside service, food", "a warning", DETECTED, SEVERAL),
        ),
        pytest.param(
            ["['food']", "['food', 'price']", "['price']"],
            SINGLE,
            "DATA-036",
            id="list",
            marks=case("Python lists in a csv cell", "3 classes, no word", DETECTED, "a list holds several labels"),
        ),
        pytest.param(
            ["food", "food|price", "price"],
            ("--label-kind", "class"),
            "DATA-107",
            id="stated",
            marks=case(
                "food|price with --label-kind class", "no such flag", "classes, with a warning", "the person says so"
            ),
        ),
        pytest.param(
            ["Books, Music", "Sports, Outdoors", "Home"],
            (),
            None,
            id="names",
            marks=case("class names with commas", "3 classes", "3 classes", "no part stands elsewhere"),
        ),
        pytest.param(
            ["AC/DC", "Queen", "ABBA"],
            (),
            None,
            id="slash",
            marks=case("a class called AC/DC", "3 classes", "3 classes", "no part stands elsewhere"),
        ),
    ],
)
def test_several_labels_in_one_cell(check: Check, labels: list[str], further: tuple[str, ...], outcome: str | None):
    found = check(rows(labels, 60), "csv", *further)
    assert codes(found) == ([outcome] if outcome else [])
    assert found["status"] == (3 if outcome == "DATA-036" else 0)
    if outcome == "DATA-036":
        assert "--label-kind class" in found["faults"][0]["hint"]
        assert "--task multi_label" in found["faults"][0]["hint"]
        detected = check(rows(labels, 60))
        assert (detected["status"], codes(detected)) == (0, [])
        named = {name for name in ("food", "price", "service") if name in " ".join(labels)}
        assert set(detected["labels"]["train"]) == named


NUMBER = "so many whole numbers without names are a quantity"


@pytest.mark.parametrize(
    ("labels", "further", "code"),
    [
        pytest.param(
            list(range(21)),
            SINGLE,
            "DATA-035",
            id="21",
            marks=case(
                "21 different whole numbers as labels",
                "21 classes, no word",
                "numbers to predict; DATA-035 with --task classification",
                NUMBER,
            ),
        ),
        pytest.param(
            list(range(20)),
            (),
            None,
            id="20",
            marks=case("20 different whole numbers as labels", "20 classes", "20 classes", "the limit"),
        ),
        pytest.param(
            list(range(21)),
            ("--label-kind", "class"),
            None,
            id="stated",
            marks=case("21 whole numbers with --label-kind class", "no such flag", "21 classes", "the person says so"),
        ),
        pytest.param(
            [*range(30), "unknown"],
            SINGLE,
            "DATA-035",
            id="and-a-word",
            marks=case(
                "30 whole numbers and the word unknown",
                "31 classes, no word",
                "DATA-013 with the lines of the word; DATA-035 with --task classification",
                NUMBER,
            ),
        ),
        pytest.param(
            [f"c{number}" for number in range(30)],
            (),
            None,
            id="names",
            marks=case("30 classes called c0 to c29", "30 classes", "30 classes", "they are names"),
        ),
        pytest.param(
            ["1.5", "2.5", "3.5"],
            ("--label-kind", "class"),
            None,
            id="fractions",
            marks=case("labels 1.5, 2.5, 3.5 with --label-kind class", "DATA-020", "3 classes", "the person says so"),
        ),
    ],
)
def test_whole_numbers_without_names(check: Check, labels: list[Any], further: tuple[str, ...], code: str | None):
    found = check(rows(labels, 10 * len(labels)), "csv", *further)
    assert codes(found) == ([code] if code else [])
    if code:
        assert "looks like a quantity" in found["faults"][0]["text"]
        assert "--label-kind class" in found["faults"][0]["hint"]
        assert "--task regression" in found["faults"][0]["hint"]


def test_a_quantity_is_predicted_as_a_number_and_words_in_it_are_named_with_their_lines(check: Check):
    assert codes(check(rows(list(range(0, 63, 3)), 210))) == []
    assert codes(check(rows(list(range(21)), 210))) == ["DATA-035"], "0 to 20 without a gap may be classes"
    found = check(rows([*range(0, 90, 3), "unknown"], 310))
    assert {(fault["code"], fault["place"]) for fault in found["faults"]} == {
        ("DATA-013", f"train.csv:{line}") for line in range(32, 312, 31)
    }


@case(
    "77 whole numbers with the file's own class names", "77 classes", "77 classes", "the file says what they are called"
)
def test_numbers_with_class_names_are_classes():
    names = [f"intent {number}" for number in range(77)]
    table = Table("a.parquet", {"label": list(range(77)) * 3}, range(231), {"label": names})
    assert names_in_column(label_cells(table, ["label"])) == names


@pytest.mark.parametrize(
    "word",
    [
        pytest.param(
            "nan",
            marks=case(
                "a label called nan",
                "a class of its own, no word",
                "warning DATA-116",
                "programs write so where nothing stands",
            ),
        ),
        pytest.param(
            "NULL",
            marks=case(
                "a label called NULL", "a class of its own, no word", "warning DATA-116", "a database writes so"
            ),
        ),
    ],
)
def test_a_label_that_says_nothing_is_warned_of(check: Check, word: str):
    found = check(rows(["good", "bad", word]))
    assert (found["status"], codes(found)) == (0, ["DATA-116"])
    assert f'"{word}" (13)' in found["warnings"][0]["text"]


@case("a text of zero-width spaces only", "accepted as a text", "DATA-013 with its line", "there is nothing to read")
def test_a_text_that_cannot_be_seen_is_empty(check: Check):
    found = check([*rows(["a", "b"]), ("\u200b\u200b\u2060", "a")])
    assert [(fault["code"], fault["place"]) for fault in found["faults"]] == [("DATA-013", "train.csv:42")]


@case(
    "a list among jsonl texts, far down",
    "str(list) became the text",
    "DATA-027 with its line",
    "the head of a column is not all of it",
)
def test_a_list_far_down_is_refused(check: Check):
    found = check([*rows(["a", "b"], 80), (["not", "a", "text"], "a")], "jsonl")  # type: ignore[list-item]
    assert [(fault["code"], fault["place"]) for fault in found["faults"]] == [("DATA-027", "train.jsonl:81")]


def test_python_lists_fold_numbers_too():
    table = python_tables([("a text", 1), ("b text", "1.0"), ("c text", Decimal("0")), ("d text", 0.0)]).train
    assert names_in_column(label_cells(table, ["label"])) == ["0", "1"]
