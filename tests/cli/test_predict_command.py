"""`lightune predict`: texts, lines and files."""

from __future__ import annotations

import csv
import io
import json
import sys

import pytest

import lightune
from case_table import case
from lightune.cli.main import main
from saved_adapters import make_adapter
from tiny import sentences, write_csv

ROWS = sentences(5, seed=51)
TEXTS = [text for text, _ in ROWS]


@pytest.fixture(scope="module")
def run(tiny_run) -> str:
    return str(tiny_run.folder)


@pytest.fixture(scope="module")
def expected(run):
    """The answers of the Python API."""
    return lightune.load(run).predict(TEXTS)


@pytest.fixture(scope="module")
def pairs(tiny_models, tmp_path_factory) -> str:
    """A model of pairs, never trained, for which the order of a pair matters."""
    folder = tmp_path_factory.mktemp("pairs") / "adapter"
    return str(make_adapter(tiny_models["bert"], folder, "full", ["no", "yes"], columns=("premise", "hypothesis")))


@pytest.fixture
def pipe(monkeypatch):
    """Return a function that puts bytes on stdin."""

    def put(raw: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8", newline=""))

    return put


def test_texts_of_the_command_line_are_answered_in_their_order(run, expected, capsys):
    assert main(["predict", run, *TEXTS]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [answer.label for answer in expected]
    assert [line.split()[1] for line in lines] == [f"{answer.confidence:.3f}" for answer in expected]
    assert [line.split(maxsplit=2)[2] for line in lines] == TEXTS


def test_json_holds_every_probability_and_nothing_else_is_printed(run, expected, capsys):
    assert main(["predict", run, *TEXTS, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["predictions"]
    for text, answer, shown in zip(TEXTS, expected, found, strict=True):
        assert (shown["text"], shown["label"]) == (text, answer.label)
        assert shown["probabilities"] == pytest.approx(answer.probabilities)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_of_stdin_are_answered_and_blank_ones_passed_over(run, expected, capsys, pipe, end):
    pipe((end.join([TEXTS[0], "", "   ", *TEXTS[1:]]) + end).encode())
    assert main(["predict", run, "--json"]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)["predictions"]
    assert "2 blank lines" in printed.err
    assert [(shown["text"], shown["label"]) for shown in found] == [
        (text, answer.label) for text, answer in zip(TEXTS, expected, strict=True)
    ]


def test_empty_stdin_gives_no_answers_and_says_so(run, capsys, pipe):
    pipe(b"\n")
    assert main(["predict", run, "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"predictions": []}
    assert "nothing to classify" in printed.err


def test_stdin_that_is_not_utf8_is_refused(run, capsys, pipe):
    pipe("un café\n".encode("latin1"))
    assert main(["predict", run]) == 3
    assert "DATA-003 stdin" in capsys.readouterr().err


def test_a_terminal_is_never_waited_for(run, capsys, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    terminal.__iter__ = None
    monkeypatch.setattr(sys, "stdin", terminal)
    assert main(["predict", run]) == 2
    assert "give a text, --file, or pipe lines into it" in capsys.readouterr().err


def test_an_empty_text_is_refused(run, capsys):
    assert main(["predict", run, "fine", " "]) == 3
    printed = capsys.readouterr()
    assert "DATA-040 text 2 is empty" in printed.err
    assert printed.out == ""


def test_a_file_comes_back_on_stdout_with_the_answers(run, expected, capsys, tmp_path):
    source = write_csv(tmp_path / "in.csv", [(text, label, "é, x") for text, label in ROWS], ("text", "stars", "more"))
    assert main(["predict", run, "--file", str(source)]) == 0
    found = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["prediction"] for row in found] == [answer.label for answer in expected]
    assert [(row["text"], row["stars"]) for row in found] == ROWS
    assert {row["more"] for row in found} == {"é, x"}


def test_a_files_answers_as_json(run, expected, capsys, tmp_path):
    source = write_csv(tmp_path / "in.csv", ROWS, ("sentence", "stars"))
    assert main(["predict", run, "--file", str(source), "--text-column", "sentence", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    found = printed.pop("predictions")
    assert printed.pop("known")["known_examples"] == 0  # the rows have labels
    assert printed == {"rows_in": 5, "rows_answered": 5, "rows_abstained": 0, "rows_dropped": {}, "truncated": 0}
    assert [(row["row"]["sentence"], row["label"]) for row in found] == [
        (text, answer.label) for text, answer in zip(TEXTS, expected, strict=True)
    ]
    assert [row["confidence"] for row in found] == pytest.approx([answer.confidence for answer in expected], abs=1e-6)


def test_an_output_file_is_written_once_and_not_overwritten(run, capsys, tmp_path):
    source, target = write_csv(tmp_path / "in.csv", ROWS), tmp_path / "out.csv"
    command = ["predict", run, "--file", str(source), "--output", str(target), "--json"]
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.pop("known")["known_examples"] == 0  # the rows have labels
    counts = {"rows_in": 5, "rows_answered": 5, "rows_abstained": 0, "rows_dropped": {}, "truncated": 0}
    assert found == {"rows": 5, "output": str(target), **counts}
    written = target.read_bytes()
    assert len(written.splitlines()) == 6
    assert main(command) == 2
    assert "not overwritten" in capsys.readouterr().err
    assert target.read_bytes() == written


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["a text", "--file", "in.csv"], 2, "not both"),
        (["a text", "--output", "out.csv"], 2, "--output needs --file"),
        (["--file", "nowhere.csv"], 3, "DATA-001 nowhere.csv"),
        (["--file", "in.csv", "--text-column", "txet"], 3, 'Did you mean "text"?'),
        (["--file", "in.csv", "--output", "nowhere/out.csv"], 2, "there is no folder nowhere"),
        (["--file", "answered.csv"], 3, "a column called prediction already exists"),
        (["a text", "--batch-size", "0"], 2, "--batch-size"),
        (["a text", "--device", "tpu"], 2, "--device"),
    ],
)
def test_what_cannot_be_done_is_refused_and_leaves_nothing(run, arguments, status, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_csv(tmp_path / "in.csv", ROWS)
    write_csv(tmp_path / "answered.csv", ROWS, ("text", "prediction"))
    assert main(["predict", run, *arguments]) == status
    printed = capsys.readouterr()
    assert said in printed.err
    assert printed.out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answered.csv", "in.csv"]


def test_the_batch_size_changes_no_answer(run, capsys):
    main(["predict", run, *TEXTS])
    usual = capsys.readouterr().out
    assert main(["predict", run, *TEXTS, "--batch-size", "1"]) == 0
    assert capsys.readouterr().out == usual


@pytest.mark.parametrize("output", [False, True])
@case("predict --file --json with blank lines between rows", "the JSON did not tell of them",
      "rows_in, rows_answered, rows_dropped add up; stderr says so", "nothing is dropped in silence")  # fmt: skip
def test_what_was_dropped_is_in_the_json_and_on_stderr(run, capsys, tmp_path, output):
    source, target = tmp_path / "in.tsv", tmp_path / "out.csv"
    source.write_text(f'text\tid\n{TEXTS[0]}\t1\n\n\n"{TEXTS[1]}\t2\n"so ""far"""\t3\n', encoding="utf-8")
    assert main(["predict", run, "--file", str(source), "--json", *(["--output", str(target)] if output else [])]) == 0
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert found["rows_in"] == 5
    assert found["rows_answered"] == 3
    assert found["rows_dropped"] == {"blank line": 2}
    assert found["rows"] == 3 if output else len(found["predictions"]) == 3
    told = " ".join(printed.err.split())
    assert "2 blank lines were skipped." in told
    assert f"DATA-115 {source}:6: 1 cell is in quotes" in told


def test_two_texts_are_one_pair_for_a_model_of_pairs(pairs, capsys):
    given = [(TEXTS[0], TEXTS[1]), (TEXTS[1], TEXTS[0]), (TEXTS[2], TEXTS[3])]
    expected = lightune.load(pairs).predict(given)
    assert expected[0].confidence != pytest.approx(expected[1].confidence, abs=1e-4), "the order should matter"
    arguments = [text for pair in given for text in pair]
    assert main(["predict", pairs, *arguments]) == 0
    lines = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        [answer.label, f"{answer.confidence:.3f}", " | ".join(pair)]
        for answer, pair in zip(expected, given, strict=True)
    ]
    assert main(["predict", pairs, *arguments, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["predictions"]
    assert [row["text"] for row in shown] == [list(pair) for pair in given]
    assert [row["confidence"] for row in shown] == pytest.approx([answer.confidence for answer in expected], abs=1e-6)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (TEXTS[:1], "1 text was given; this classifier takes pairs (premise, hypothesis)."),
        (TEXTS[:3], "3 texts were given; this classifier takes pairs (premise, hypothesis)."),
        (["a premise", " "], "text 1 is empty."),
    ],
)
def test_texts_that_make_no_pairs_are_refused(pairs, given, told, capsys):
    assert main(["predict", pairs, *given]) == 3
    printed = capsys.readouterr()
    assert told in printed.err
    assert ("TEXT2" in printed.err) == ("given" in told)
    assert printed.out == ""


def test_a_line_of_stdin_is_no_pair_and_the_error_says_what_is(pairs, capsys, pipe):
    pipe("\n".join(TEXTS[:2]).encode())
    assert main(["predict", pairs]) == 3
    told = " ".join(capsys.readouterr().err.split())
    assert "DATA-041 text 1 has 1 part; this classifier takes 2." in told
    assert "on the command line TEXT TEXT2, or --file with them." in told


def test_a_pair_of_columns_is_refused_by_a_model_of_one_text_and_two_texts_are_two(run, expected, capsys, tmp_path):
    assert main(["predict", run, *TEXTS[:2], "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)["predictions"]
    assert [row["label"] for row in shown] == [answer.label for answer in expected[:2]]
    source = write_csv(tmp_path / "in.csv", [(text, text) for text in TEXTS], ("premise", "hypothesis"))
    assert main(["predict", run, "--file", str(source), "--text-column", "premise,hypothesis"]) == 3
    assert "hold a pair of texts; this classifier takes one text" in " ".join(capsys.readouterr().err.split())


def test_short_flags_are_the_long_ones(pairs, tiny_models, capsys, tmp_path):
    source = write_csv(tmp_path / "in.csv", list(zip(TEXTS[:2], TEXTS[2:4], strict=True)), ("first", "second"))
    how = ["--text-column", "first, second", "-m", str(tiny_models["bert"])]
    assert main(["predict", pairs, "--file", str(source), *how, "-o", str(tmp_path / "out.csv")]) == 0
    answers = [row["prediction"] for row in csv.DictReader((tmp_path / "out.csv").open(encoding="utf-8"))]
    expected = lightune.load(pairs).predict(list(zip(TEXTS[:2], TEXTS[2:4], strict=True)))
    assert answers == [answer.label for answer in expected]


def test_a_broken_row_far_down_leaves_nothing_and_prints_nothing(run, capsys, tmp_path):
    rows = "".join(f"{TEXTS[row % 5]},{row}\n" for row in range(3000))
    source = tmp_path / "in.csv"
    source.write_text(f"text,id\n{rows}alone\n", encoding="utf-8")
    assert main(["predict", run, "--file", str(source)]) == 3
    printed = capsys.readouterr()
    assert f"DATA-007 {source}:3002" in " ".join(printed.err.split())
    assert printed.out == ""


@pytest.fixture(scope="module")
def short_sighted(tiny_models, tmp_path_factory) -> str:
    """A model that reads 20 tokens."""
    folder = tmp_path_factory.mktemp("short") / "adapter"
    return str(make_adapter(tiny_models["distilbert"], folder, "lora", ["no", "yes"], max_length=20))


LONG = "a lovely film " * 20


@case("predict texts that are longer than the model reads", "no word", "stderr counts them",
      "an answer to the beginning of a text is not one to the text")  # fmt: skip
@pytest.mark.parametrize("precision", ["fp32", "bf16"])  # bf16 takes the usual path
def test_texts_that_were_cut_are_counted(short_sighted, capsys, precision):
    assert main(["predict", short_sighted, "fine", LONG, "--precision", precision]) == 0
    wanted = "1 text is longer than the model reads: its beginning was read, the rest was not.\n"
    assert capsys.readouterr().err.endswith(wanted)
    assert main(["predict", short_sighted, "fine", "--precision", precision]) == 0
    assert "longer" not in capsys.readouterr().err


def test_cut_texts_of_a_file_are_counted(short_sighted, capsys, tmp_path):
    rows = [("fine", "no"), (LONG, "yes"), (LONG, "yes"), (LONG + "indeed", "no")]
    source = write_csv(tmp_path / "in.csv", rows)
    assert main(["predict", short_sighted, "--file", str(source)]) == 0
    assert "2 texts are longer than the model reads: their beginning was read" in capsys.readouterr().err
    assert main(["predict", short_sighted, "--file", str(source), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["truncated"] == 2
    assert main(["evaluate", short_sighted, "--test", str(source)]) == 0
    assert "3 of 4 texts were truncated to 20 tokens; the rest was not read." in capsys.readouterr().err
