"""What stands in the first lines: the best cheap baseline by name, and what the accuracy would hide."""

from __future__ import annotations

import html
import io
import json
import re

import pytest
from rich.console import Console
from view_records import bare

from case_table import case
from example_record import counted_predictions, example_predictions, example_record
from lightune.record import RunRecord
from lightune.report import gains, tables
from lightune.report.card import render_card
from lightune.report.files import read_run, write_reports
from lightune.report.html import render_html
from lightune.report.summary import print_evaluation, print_summary
from lightune.report.views import brief
from lightune.tasks.classification import Classification
from lightune.tasks.schema1 import upgraded_record
from records_of_version_1 import older

TWO = ("no", "yes")
MAIL = ("ham", "spam")
SIX = ("a", "b", "c", "d", "e", "f")
PROBE = "a linear probe of the untouched model"
HEADLINE = "the headline compares with what was hardest to beat"


def _record(labels, examples, **right) -> RunRecord:
    return example_record(labels, counted_predictions(labels, examples, **right))


def _shown(record: RunRecord, width: int = 1000) -> str:
    sink = io.StringIO()
    print_summary(record, Console(file=sink, width=width))
    return sink.getvalue()


# Intervals by hand: gain -+ 1.96 sqrt((share that changed - gain^2) / n), as the example's comparison has them.
@pytest.mark.parametrize(
    ("labels", "examples", "right", "best", "expected"),
    [
        pytest.param(
            TWO, (100, 100), {"after": (80, 80), "tfidf": (75, 75), "probe": (70, 70)}, "tfidf",
            "0.800 accuracy, 5.0 points above word counts (TF-IDF) (95%: 2.0 to 8.0): better.",
            id="tfidf", marks=case("word counts beat the probe", f"10.0 points above {PROBE}: better",
                                   "5.0 points above word counts (TF-IDF): better", HEADLINE),
        ),
        pytest.param(
            TWO, (100, 100), {"after": (80, 80), "tfidf": (85, 85), "probe": (70, 70)}, "tfidf",
            "0.800 accuracy, 5.0 points below word counts (TF-IDF) (95%: -8.0 to -2.0): worse.",
            id="tfidf-won", marks=case("word counts beat the adapted model, the probe does not",
                                       f"10.0 points above {PROBE}: better", "5.0 points below word counts: worse",
                                       "a run that lost to word counts is no success"),
        ),
        pytest.param(
            TWO, (100, 100), {"after": (80, 80), "tfidf": (70, 70), "probe": (75, 75)}, "probe",
            f"0.800 accuracy, 5.0 points above {PROBE} (95%: 2.0 to 8.0): better.",
            id="probe", marks=case("the probe is the best baseline", "compared with the probe", "the same",
                                   HEADLINE),
        ),
        pytest.param(
            MAIL, (180, 20), {"after": (170, 8), "tfidf": (174, 3), "probe": (172, 4)}, "majority_class",
            "0.890 accuracy, 1.0 points below always answering ham (95%: -5.2 to 3.2): no clear difference.",
            id="majority", marks=case("always answering ham is right more often than any model",
                                      f"1.0 points above {PROBE}", "1.0 points below always answering ham",
                                      "the commonest label is a baseline like any other"),
        ),
        pytest.param(
            TWO, (100, 100), {"after": (80, 80), "tfidf": (75, 75), "probe": (70, 80)}, "probe",
            f"0.800 accuracy, 5.0 points above {PROBE} (95%: 2.0 to 8.0): better.",
            id="tie-probe-tfidf", marks=case("the probe and the word counts are equally right",
                                             "compared with the probe", "the same", "it knows more of the model"),
        ),
        pytest.param(
            MAIL, (150, 50), {"after": (150, 10), "tfidf": (140, 10), "probe": (130, 10)}, "tfidf",
            "0.800 accuracy, 5.0 points above word counts (TF-IDF) (95%: 2.0 to 8.0): better.",
            id="tie-tfidf-majority", marks=case("word counts and the majority class are equally right",
                                                f"10.0 points above {PROBE}", "compared with the word counts",
                                                "of equals the one that reads the text"),
        ),
        pytest.param(
            MAIL, (150, 50), {"after": (150, 0), "tfidf": (150, 0), "probe": (150, 0)}, "probe",
            f"0.750 accuracy, level with {PROBE} (95%: 0.0 to 0.0): no clear difference.",
            id="all-equal", marks=case("nothing beats always answering ham", "level with the probe",
                                       "the same, and a sentence that spam is never answered",
                                       "all four are the same classifier"),
        ),
    ],
)  # fmt: skip
def test_the_headline_names_the_best_baseline_wherever_it_stands(labels, examples, right, best, expected):
    record = _record(labels, examples, **right)
    # The example's record chooses like any maximum; what a run chooses, tests/test_run_files.py says.
    comparison = record.comparison.model_copy(update={"best_baseline": best})
    record = record.model_copy(update={"comparison": comparison})
    assert gains.headline(record) == expected
    assert _shown(record).splitlines()[0] == expected
    assert f"<h1>{html.escape(expected, quote=False)}</h1>" in html.unescape(render_html(record, [])).replace(
        "&", "&amp;"
    )
    assert expected in render_card(record).replace("\\", "")
    gain = record.comparison.gains[best]
    shown = f"{record.baselines[best].title}: {100 * gain.value:+.1f} points"
    assert record.figures()[1][0] == "over the best baseline"
    assert record.figures()[1][1].startswith(shown)


NEVER = "a label that is never found stands in the first lines, not only in the confusion matrix"


@pytest.mark.parametrize(
    ("labels", "examples", "right", "expected"),
    [
        pytest.param(
            MAIL, (866, 134), {"after": (866, 0), "tfidf": (860, 100), "probe": (850, 100)},
            ['All 1,000 test texts get the same answer, "ham": nothing is told apart.',
             'It never answers "spam": 0 of 134 such texts were found.'],
            id="never", marks=case("a model that answers ham to every text", "8.4 points below the probe, no more",
                                   'It never answers "spam": 0 of 134 such texts were found.', NEVER),
        ),
        pytest.param(
            MAIL, (99, 1), {"after": (99, 0), "tfidf": (90, 0), "probe": (90, 0)},
            ['All 100 test texts get the same answer, "ham": nothing is told apart.',
             'It never answers "spam": 0 of 1 such text was found.'],
            id="one-text", marks=case("a rare label of one test text, never answered", "nothing",
                                      "0 of 1 such text was found", NEVER),
        ),
        pytest.param(
            SIX, (50, 30, 4, 20, 9, 0), {"after": (50, 30, 0, 20, 0, 0), "probe": (50, 30, 4, 20, 9, 0)},
            ['It never answers 2 of the 6 labels: "e" (0 of 9) and "c" (0 of 4).',
             'No test text has the label "f": nothing is measured there, and macro F1 counts 0.'],
            id="two-of-six", marks=case("two of six labels never answered, a third without test rows", "nothing",
                                        "both named, the one without test rows left out",
                                        "where there is nothing to find, nothing is missed"),
        ),
        pytest.param(
            SIX[:3], (50, 30, 20), {"after": (48, 0, 20), "probe": (50, 30, 20)},
            ['It is never right when it answers "b": 0 of 2 answers, and 0 of 30 such texts were found.'],
            id="always-wrong", marks=case("a label that is answered, but never rightly", "nothing",
                                          'It is never right when it answers "b"',
                                          "as bad as never answering it"),
        ),
        pytest.param(
            tuple(f"intent {number}" for number in range(77)), (20, 20, *[2 + n % 7 for n in range(75)]),
            {"after": (20, 20, *[0] * 75), "probe": (20, 20, *[2] * 75)},
            ['It never answers 75 of the 77 labels: "intent 8" (0 of 8), "intent 15" (0 of 8), "intent 22" (0 of 8), '
             '"intent 29" (0 of 8), "intent 36" (0 of 8) and 70 more.'],
            id="75-of-77", marks=case("75 of 77 labels never answered", "nothing",
                                      "the five commonest named, 70 more counted", "one sentence, and a table of all"),
        ),
        pytest.param(
            MAIL, (170, 30), {"after": (170, 3), "tfidf": (150, 20), "probe": (140, 5)},
            # By hand: ham 2*170/(170+197), spam 2*3/(30+3); word counts: ham 2*150/(170+160), spam 2*20/(30+40).
            ['Macro F1 is 0.554, 18.6 points below word counts (TF-IDF), though accuracy is not: it does worst on '
             '"spam" (F1 0.182).'],
            id="macro-f1", marks=case("more accurate than word counts, but it hardly finds spam",
                                      "14.0 points above the probe, no more", "macro F1 is 18.6 points below",
                                      "accuracy rewards neglecting rare labels"),
        ),
        pytest.param(
            MAIL, (100, 100), {"after": (80, 80), "tfidf": (90, 90), "probe": (70, 70)}, [],
            id="both-below", marks=case("below word counts in accuracy and in macro F1", "nothing beside the headline",
                                        "the same: the headline says it", "one thing is said once"),
        ),
        pytest.param(
            TWO, (10_000, 10_000), {"after": (8_000, 8_000), "tfidf": (8_001, 7_998), "probe": (7_998, 8_001)}, [],
            id="no-gap", marks=case("macro F1 alike to the shown decimals", "nothing", "nothing",
                                    "0.0 points are no gap"),
        ),
    ],
)  # fmt: skip
def test_what_the_accuracy_hides_stands_in_the_first_lines(labels, examples, right, expected):
    record = _record(labels, examples, **right)
    assert record.comparison.cautions == expected
    lines = _shown(record).splitlines()
    assert lines[1 : 1 + len(expected)] == expected
    page, card = html.unescape(render_html(record, [])), render_card(record).replace("\\", "")
    for sentence in expected:
        assert page.index("<h1>") < page.index(sentence) < page.index("<svg")
        assert card.index("# reviews") < card.index(sentence) < card.index("## What it is")
        assert ("but", sentence) in record.figures()[:4]
        assert sentence in record.summary()
    assert page.count('class="caution"') == len(expected)


@case("a run less accurate than its commonest label", "only in the table of results",
      "Always answering ham is right more often", "a model that does harm says so first")  # fmt: skip
def test_a_run_below_the_majority_class_says_so_in_an_older_record_too():
    record = _record(MAIL, (180, 20), after=(160, 10), tfidf=(150, 10), probe=(170, 5))
    assert gains.headline(record).startswith("0.850 accuracy, 5.0 points below always answering ham")
    said = upgraded_record(older(record))["comparison"]["cautions"]
    assert "Always answering ham is right more often: 0.900 against 0.850." in said
    assert said[-1].startswith("Always answering ham: 0.900, linear probe: 0.875; an older lightune wrote this record")


@case("the results.json of an older version, whose word counts beat its probe", "compared with the probe, no word",
      "still compared with the probe, and the first lines say that word counts were better",
      "a paired comparison cannot be made up afterwards")  # fmt: skip
def test_an_older_record_is_read_and_shown_and_says_what_it_lacks(tmp_path):
    fields = older(_record(TWO, (100, 100), after=(80, 80), tfidf=(85, 85), probe=(70, 70)))
    rows = counted_predictions(TWO, (100, 100), after=(80, 80), tfidf=(85, 85), probe=(70, 70))
    rows = [{key: value for key, value in row.items() if key != "tfidf_prediction"} for row in rows]
    (tmp_path / "results.json").write_text(json.dumps(fields), encoding="utf-8")
    lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    (tmp_path / "predictions.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    read, predictions = read_run(tmp_path)
    write_reports(read, predictions, tmp_path)
    headline, *cautions = _shown(read).splitlines()[:2]
    assert headline.startswith(f"0.800 accuracy, 10.0 points above {PROBE}")
    assert cautions == [
        "Word counts (TF-IDF): 0.850, linear probe: 0.700; an older lightune wrote this record and compared only "
        "with the latter."
    ]
    assert read.figures()[1][0] == "over a baseline"
    assert [row[0] for row in tables.gained(read).rows] == ["over the linear probe", "over before (untrained head)"]
    assert brief(read.after, read.task)[0].rows[0] == ["no", "0.800", "0.800", "0.800", "100", "100"]


def test_the_gains_table_has_a_row_for_each_baseline_and_the_headline_s_comes_first():
    record = _record(TWO, (100, 100), after=(80, 80), tfidf=(75, 75), probe=(70, 70))
    names = [row[0] for row in tables.gained(record).rows]
    assert names == [
        "over word counts (TF-IDF)",
        "over the linear probe",
        "over always answering no",
        "over before (untrained head)",
    ]
    assert [row[1] for row in tables.gained(record).rows] == ["5.0 points", "10.0 points", "30.0 points", "80.0 points"]
    plot = re.search(r'aria-label="Gain in accuracy[^"]*"', render_html(record, [])).group()
    places = [
        plot.index(f"over {name}") for name in ("word counts", "the linear probe", "always answering no", "before")
    ]
    assert places == sorted(places)
    card = render_card(record)
    assert all(f"| {name.split(' (')[0]}" in card for name in names)


@pytest.mark.parametrize("count", [2, 10, 11, 77])
def test_every_label_has_its_figures(count):
    labels = tuple(f"intent {number}" for number in range(count))
    rows = example_predictions(labels, examples=5 * count)
    record = example_record(labels, rows)
    page, card = render_html(record, rows), render_card(record)
    part = bare(page[page.index('id="labels"') : page.index('id="groups"')])
    for label, scores in record.after.per_label.items():
        cells = [f"{scores[name]:.3f}" for name in ("precision", "recall", "f1")]
        shown = "".join(f"<td>{cell}</td>" for cell in [*cells, scores["examples"], scores["answered"]])
        if scores["answered"] and scores["examples"]:
            assert f'<th scope="row">{label}</th>{shown}' in part
        assert f"\n| {label} | " in card
    text = _shown(record)
    assert ("per label  " in text and "intent 1  " in text) == (count <= 10)
    if count > 10:
        assert f"the figures of all {count} are in the report" in text


def test_what_was_not_divided_is_a_dash():
    record = _record(SIX[:3], (10, 10, 0), after=(10, 0, 0), probe=(9, 9, 0))
    assert brief(record.after, record.task)[0].rows[1:] == [
        ["b", "-", "0.000", "0.000", "10", "0"],
        ["c", "-", "-", "-", "0", "0"],
    ]


def test_an_evaluation_says_per_label_what_the_terminal_has_room_for():
    record = _record(MAIL, (9, 4), after=(9, 0), probe=(9, 0))
    sink = io.StringIO()
    said = Classification(MAIL).cautions(record.after, {}, None)
    print_evaluation(record.after, record.task, said, Console(file=sink, width=80))
    lines = sink.getvalue().splitlines()
    assert lines[0] == 'All 13 test texts get the same answer, "ham": nothing is told apart.'
    assert lines[1] == 'It never answers "spam": 0 of 4 such texts were found.'
    assert ["ham", "0.692", "1.000", "0.818", "9", "13"] in [line.split() for line in lines]
    assert ["spam", "-", "0.000", "0.000", "4", "0"] in [line.split() for line in lines]


@case("a run with nine notes", "four printed, and \"5 more in the report\"", "all nine printed",
      "a note may be the one that matters")  # fmt: skip
def test_every_note_is_printed():
    notes = [f"Note number {number}, of some length, so that it is wrapped over two lines." for number in range(9)]
    text = " ".join(_shown(example_record(notes=notes), 80).split())
    assert all(note in text for note in notes)
    assert "more in the report" not in text


def test_a_label_like_markup_or_of_any_length_is_only_text():
    labels = ("<b>$x_1$</b>", "long " * 60)
    record = _record(labels, (20, 5), after=(20, 0), probe=(10, 0), tfidf=(9, 0))
    page, text = render_html(record, []), _shown(record)
    assert "<b>$" not in page
    assert "always answering &lt;b&gt;$x_1$&lt;/b&gt;" in page
    assert 'never answers "long long' in text
    assert max(map(len, record.comparison.cautions)) < 120
