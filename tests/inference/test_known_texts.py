"""Testing on what was trained on: known texts are counted, and the figures without them stand beside the others."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from sklearn.metrics import f1_score

import lightune
from case_table import case
from lightune.artifact import load_adapter
from lightune.cli.main import main
from lightune.data.fingerprints import FINGERPRINTS_FILE
from lightune.errors import ArtifactError, DataError
from lightune.inference import bulk
from lightune.report.words import known_texts
from lightune.safe_files import write_json, write_manifest
from reloading_here import reloading_here
from tiny import sentences, write_csv

Rows = list[tuple[str, str]]


def rows_of(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def run(tiny_run) -> str:
    return str(tiny_run.folder)


@pytest.fixture(scope="module")
def trained(tiny_data) -> Rows:
    return rows_of(tiny_data["train"])


@pytest.fixture(scope="module")
def validated(tiny_data) -> Rows:
    return rows_of(tiny_data["validation"])


@pytest.fixture(scope="module")
def new(tiny_data) -> Rows:
    """Rows that the run has seen in no split but test."""
    return rows_of(tiny_data["test"])


@pytest.fixture(scope="module")
def small_run(tiny_recipe, tmp_path_factory):
    """Return a function that makes a run of the head alone, with changes to the recipe's data block."""

    def make(**data) -> str:
        recipe = tiny_recipe("distilbert", "head", num_train_epochs=1)
        folder = tmp_path_factory.mktemp("runs") / "small-1"
        with reloading_here():
            lightune.run(recipe.model_copy(update={"data": recipe.data.model_copy(update=data)}), folder)
        return str(folder)

    return make


@pytest.fixture(scope="module")
def without_fingerprints(small_run) -> str:
    return small_run(fingerprints=False)


@pytest.fixture
def evaluated(capsys):
    """Return a function that evaluates a run on a file and returns the JSON."""

    def evaluate(run: str, path: Path | None = None, *more: str) -> dict:
        file = [] if path is None else ["--test", str(path)]
        assert main(["evaluate", run, *file, *more, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return evaluate


@pytest.fixture
def predicted(capsys):
    """Return a function that classifies a file and returns (the rows that came back, what stderr said)."""

    def predict(run: str, path: Path, *more: str) -> tuple[list[dict[str, str]], str]:
        assert main(["predict", run, "--file", str(path), *more]) == 0
        printed = capsys.readouterr()
        return list(csv.DictReader(printed.out.splitlines())), printed.err

    return predict


def own_accuracy(run: str, rows: Rows) -> float:
    """By hand: the share of rows whose label the classifier answers."""
    answers = lightune.load(run).predict([text for text, _ in rows])
    return sum(answer.label == label for answer, (_, label) in zip(answers, rows, strict=True)) / len(rows)


# How a text is written again


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(lambda text: text, id="as it stands", marks=case(
            "`evaluate --test` on the training file itself", "its accuracy, no word", "64 of 64 texts known",
            "a figure on texts that were trained on says nothing of new ones")),
        pytest.param(str.upper, id="upper case", marks=case(
            "the training texts in capitals as a test file", "accuracy on 64 texts, no word", "64 of 64 texts known",
            "case makes no other text")),
        pytest.param(lambda text: f"“{text}”!", id="punctuation", marks=case(
            "training texts in quotes with an exclamation mark", "accuracy on 64 texts, no word",
            "64 of 64 texts known", "punctuation at the ends makes no other text")),
        pytest.param(lambda text: f"  {text.replace(' ', '   ')}\t", id="spaces", marks=case(
            "training texts with more spaces", "accuracy on 64 texts, no word", "64 of 64 texts known",
            "spaces make no other text")),
        pytest.param(lambda text: text.replace(" ", "\n"), id="line breaks", marks=case(
            "training texts with line breaks for spaces", "accuracy on 64 texts, no word", "64 of 64 texts known",
            "text copied from a page is broken into lines")),
    ],
)  # fmt: skip
def test_trained_texts_are_known_however_they_are_written(run, trained, again, evaluated, tmp_path):
    found = evaluated(run, write_csv(tmp_path / "again.csv", [(again(text), label) for text, label in trained]))
    assert (found["examples"], found["known_examples"], found["without_known"]) == (64, 64, None)


@case(
    "`evaluate --test` on the validation file", "its accuracy, no word", "24 of 24 texts known",
    "the kept epoch was chosen on them",
)  # fmt: skip
def test_validation_texts_are_known_too(run, tiny_data, evaluated):
    assert evaluated(run, tiny_data["validation"])["known_examples"] == 24


@case(
    "a run on 20 of 64 training rows, then `evaluate` on all 64", "accuracy on 64 texts, no word",
    "20 known: 16 for training, 4 for validation", "what the run did not draw it has not learnt",
)  # fmt: skip
def test_rows_that_the_run_did_not_draw_are_not_known(small_run, tiny_data, evaluated):
    files = {"train": str(tiny_data["train"]), "test": str(tiny_data["test"])}
    run = small_run(source=lightune.Recipe(data={"source": files}).data.source, train_examples=20)
    found = evaluated(run, tiny_data["train"])
    assert (found["known_examples"], found["without_known"]["examples"]) == (20, 44)


# How many of a file are known


@pytest.fixture
def half(trained, validated, new, tmp_path) -> Path:
    """30 trained rows, 7 validated ones, and 40 new ones, six of them with the wrong label."""
    turned = [(text, {"positive": "negative", "negative": "positive"}[label]) for text, label in new[:6]]
    return write_csv(tmp_path / "half.csv", [*trained[:30], *turned, *validated[:7], *new[6:]])


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param(ending, marks=case(
            f"a {ending} with 37 of 77 texts from training and validation", "one accuracy on 77 texts",
            "37 known; accuracy, loss and macro F1 on the other 40", "only the 40 say how new texts are answered"))
        for ending in ("csv", "tsv", "jsonl", "parquet")
    ],
)  # fmt: skip
def test_the_figures_without_known_texts_are_those_of_the_others_alone(run, half, new, ending, evaluated, tmp_path):
    rows, path = rows_of(half), tmp_path / f"again.{ending}"
    if ending == "parquet":
        parquet.write_table(
            pa.table(
                {name: list(cells) for name, cells in zip(("text", "label"), zip(*rows, strict=True), strict=True)}
            ),
            path,
        )
    elif ending == "jsonl":
        path.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    else:
        separator = {"csv": ",", "tsv": "\t"}[ending]
        path.write_text("".join(f"{text}{separator}{label}\n" for text, label in [("text", "label"), *rows]))
    found = evaluated(run, path)
    unknown = [row for row in rows if row[0] in dict(new)]
    alone = evaluated(run, write_csv(tmp_path / "alone.csv", unknown))
    assert (found["examples"], found["known_examples"], found["without_known"]["examples"]) == (77, 37, 40)
    for figure in ("accuracy", "loss", "f1_macro"):
        assert found["without_known"][figure] == pytest.approx(alone[figure], abs=1e-6)
    assert found["accuracy"] == pytest.approx(own_accuracy(run, rows))
    assert alone["known_examples"] == 0


def test_macro_f1_without_known_texts_is_over_the_labels_that_are_left(run, trained, new, evaluated, tmp_path):
    """As in a group: a label that no new text has says nothing about the new texts."""
    rest = [row for row in new if row[1] == "positive"][:5]
    found = evaluated(run, write_csv(tmp_path / "some.csv", [*trained, *rest]))["without_known"]
    answers = [answer.label for answer in lightune.load(run).predict([text for text, _ in rest])]
    assert found["f1_macro"] == pytest.approx(f1_score(["positive"] * 5, answers, average="macro", zero_division=0))


def test_the_terminal_says_it_in_a_line(run, half, trained, new, tiny_data, tmp_path, capsys):
    def said(path: Path) -> str:
        assert main(["evaluate", run, "--test", str(path)]) == 0
        return " ".join(capsys.readouterr().out.split())

    unknown = [row for row in rows_of(half) if row[0] in dict(new)]
    without, everything = own_accuracy(run, unknown), own_accuracy(run, rows_of(half))
    figures = f"Without them: {without:.3f} accuracy on 40 texts ({everything:.3f} with them)."
    assert f"37 of 77 texts are from training or validation. {figures}" in said(half)
    one = said(write_csv(tmp_path / "one.csv", [trained[0], *new]))
    assert "1 of 41 texts is from training or validation. Without it:" in one
    assert "All 64 texts are from training or validation: there is no figure without them." in said(tiny_data["train"])
    assert "None of the 40 texts is from training or validation." in said(tiny_data["test"])


@case(
    "`evaluate RUN` on the run's own test split", "no word on known texts", "0 of 40 known, said so",
    "a run keeps its test texts out of training",
)  # fmt: skip
def test_no_text_of_the_own_test_split_is_known(run, evaluated):
    found = evaluated(run)
    assert (found["known_examples"], found["without_known"]["examples"]) == (0, 40)
    assert found["without_known"]["accuracy"] == found["accuracy"]


@case(
    "a run with `data.on_duplicate=keep` on 10 test texts that stand in training, then `evaluate RUN`",
    "one accuracy on 50 texts, no word", "10 of 50 known, and the figures on 40",
    "kept duplicates make the own test split as easy as any other",
)  # fmt: skip
def test_duplicates_that_a_run_kept_are_known_in_its_own_test_split(
    small_run, tiny_data, new, trained, tmp_path, evaluated
):
    test = write_csv(tmp_path / "test.csv", [*new, *trained[:10]])
    files = {"train": str(tiny_data["train"]), "validation": str(tiny_data["validation"]), "test": str(test)}
    run = small_run(source=lightune.Recipe(data={"source": files}).data.source, on_duplicate="keep")
    found = evaluated(run)
    assert (found["examples"], found["known_examples"], found["without_known"]["examples"]) == (50, 10, 40)


def test_groups_are_of_all_texts_as_before(run, trained, new, evaluated, tmp_path):
    rows = [(*row, "old") for row in trained[:9]] + [(*row, "new") for row in new[:5]]
    path = write_csv(tmp_path / "kinds.csv", rows, ("text", "label", "kind"))
    found = evaluated(run, path, "--by", "kind")
    assert {name: group["examples"] for name, group in found["groups"]["kind"].items()} == {"old": 9, "new": 5}
    assert found["groups"]["kind"]["new"]["accuracy"] == found["without_known"]["accuracy"]


# Pairs


@pytest.fixture(scope="module")
def pairs(small_run, tmp_path_factory) -> tuple[str, list[tuple[str, str, str]]]:
    """A run on pairs of texts, and its training rows."""
    place, rows = tmp_path_factory.mktemp("pairs"), sentences(160, seed=77)
    made = [(first, second, label) for (first, label), (second, _) in zip(rows[:80], rows[80:], strict=True)]
    header = ("premise", "hypothesis", "label")
    parts = {"train": made[:40], "validation": made[40:60], "test": made[60:]}
    files = {name: str(write_csv(place / f"{name}.csv", part, header)) for name, part in parts.items()}
    source = lightune.Recipe(data={"source": files}).data.source
    return small_run(source=source, text_column=("premise", "hypothesis")), made


@case(
    "a pairs run tested on its training pairs, on the same pairs turned round, and on each text with another partner",
    "accuracy on 120 pairs, no word", "40 of 120 pairs known", "a pair is its two texts in their order",
)  # fmt: skip
def test_pairs_are_known_as_pairs(pairs, evaluated, tmp_path):
    run, rows = pairs
    trained = [(first.upper(), f"{second} .", label) for first, second, label in rows[:40]]
    turned = [(second, first, label) for first, second, label in rows[:40]]
    mixed = [(first, rows[(place + 1) % 40][1], label) for place, (first, _, label) in enumerate(rows[:40])]
    path = write_csv(tmp_path / "p.csv", [*trained, *turned, *mixed], ("premise", "hypothesis", "label"))
    found = evaluated(run, path)
    assert (found["known_examples"], found["without_known"]["examples"]) == (40, 80)
    assert lightune.load(run).known([rows[0][:2], rows[0][1::-1]]) == [True, False]


def test_predict_counts_pairs_as_well(pairs, predicted, tmp_path):
    run, rows = pairs
    path = write_csv(tmp_path / "p.csv", rows[38:64], ("premise", "hypothesis", "label"))
    assert "22 of 26 texts are from training or validation." in predicted(run, path)[1]


# Without fingerprints


@case(
    "`run --no-fingerprints`, then `evaluate --test` on the training file", "fingerprints did not exist",
    "no file; null in --json, no word on the terminal", "who keeps none is not told a count of none",
)  # fmt: skip
def test_without_fingerprints_nothing_is_said_and_json_has_null(without_fingerprints, tiny_data, evaluated, capsys):
    assert not (Path(without_fingerprints) / "adapter" / FINGERPRINTS_FILE).exists()
    found = evaluated(without_fingerprints, tiny_data["train"])
    assert (found["known_examples"], found["without_known"]) == (None, None)
    assert main(["evaluate", without_fingerprints, "--test", str(tiny_data["train"])]) == 0
    assert main(["predict", without_fingerprints, "--file", str(tiny_data["train"])]) == 0
    printed = capsys.readouterr()
    assert "from training or validation" not in printed.out + printed.err
    assert main(["predict", without_fingerprints, "--file", str(tiny_data["train"]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["known"] is None
    assert lightune.load(without_fingerprints).known(["a film"]) is None


@pytest.fixture
def old_run(tiny_run, tmp_path) -> str:
    """A run folder as lightune left it before there were fingerprints."""
    folder = Path(shutil.copytree(tiny_run.folder, tmp_path / "old"))
    (folder / "adapter" / FINGERPRINTS_FILE).unlink()
    write_manifest(folder / "adapter")
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    del results["recipe"]["data"]["fingerprints"]
    for name in ("before", "after"):
        del results[name]["known_examples"], results[name]["without_known"]
    write_json(folder / "results.json", results)
    return str(folder)


@case(
    "a run folder made before there were fingerprints", "loads, evaluates, predicts", "the same; null in --json",
    "a new version reads old folders",
)  # fmt: skip
def test_an_old_run_folder_works_as_before(old_run, tiny_data, tiny_run, evaluated, predicted, capsys):
    assert evaluated(old_run)["known_examples"] is None
    assert evaluated(old_run)["accuracy"] == tiny_run.record.after.accuracy
    assert evaluated(old_run, tiny_data["train"])["without_known"] is None
    rows, said = predicted(old_run, tiny_data["train"])
    assert len(rows) == 64
    assert "training" not in said
    assert main(["report", old_run]) == 0


@case(
    "a finished model from elsewhere", "evaluates on any file", "the same; null in --json",
    "what it was trained on is not known here",
)  # fmt: skip
def test_a_finished_model_has_no_fingerprints(run, tiny_data, evaluated, tmp_path, capsys):
    lightune.load(run).save_pretrained(tmp_path / "stock")
    assert evaluated(str(tmp_path / "stock"), tiny_data["train"])["known_examples"] is None
    assert sorted(path.name for path in (tmp_path / "stock").glob("*.safetensors")) == ["model.safetensors"]


# Damage


@pytest.fixture
def copied(tiny_run, tmp_path) -> Path:
    return Path(shutil.copytree(tiny_run.folder / "adapter", tmp_path / "adapter"))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x7f"), "ARTIFACT-004", marks=case(
            "a fingerprints file with a changed byte", "the file did not exist", "refused, status 4",
            "a count of known texts that is wrong misleads")),
        pytest.param(lambda path: path.write_bytes(b""), "ARTIFACT-004", marks=case(
            "an emptied fingerprints file", "the file did not exist", "refused, status 4",
            "else every text would be new")),
        pytest.param(Path.unlink, "ARTIFACT-003", marks=case(
            "a run folder whose fingerprints file was removed", "the file did not exist", "refused, status 4",
            "leaving them out is a decision of the run")),
    ],
)  # fmt: skip
def test_a_changed_fingerprints_file_is_refused(copied, change, code, capsys, tiny_data):
    change(copied / FINGERPRINTS_FILE)
    with pytest.raises(ArtifactError) as caught:
        load_adapter(copied)
    assert (caught.value.code, FINGERPRINTS_FILE in caught.value.message) == (code, True)
    assert main(["evaluate", str(copied), "--test", str(tiny_data["test"])]) == 4
    assert main(["predict", str(copied), "a film"]) == 4  # the quick path verifies as well
    assert capsys.readouterr().out == ""


@case(
    "another run's fingerprints file put into a folder without one", "the file did not exist", "not read: null",
    "the manifest does not list it, so nothing vouches for it",
)  # fmt: skip
def test_a_file_that_the_manifest_does_not_list_is_not_read(old_run, tiny_run, tiny_data, evaluated):
    shutil.copy(tiny_run.folder / "adapter" / FINGERPRINTS_FILE, Path(old_run) / "adapter")
    assert evaluated(old_run, tiny_data["train"])["known_examples"] is None


# predict --file


@case(
    "`predict --file` on a labelled file, 37 of 77 texts known", "77 answers, no word",
    "the same answers; stderr: accuracy with and without the 37", "accuracy is counted from such files next",
)  # fmt: skip
def test_predict_says_the_accuracy_with_and_without_known_texts(run, half, new, predicted, capsys):
    rows, said = predicted(run, half)
    right = [row["prediction"] == row["label"] for row in rows]
    others = [place for place, row in enumerate(rows) if row["text"] in dict(new)]
    with_known, without = np.mean(right), np.mean([right[place] for place in others])
    assert (len(rows), len(others)) == (77, 40)
    assert f'By column "label" the accuracy is {with_known:.3f} on 77 texts.' in said
    assert (
        "37 of 77 texts are from training or validation. "
        f"Without them: {without:.3f} accuracy on 40 texts ({with_known:.3f} with them)."
    ) in said
    assert main(["predict", run, "--file", str(half), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["label"] for row in found["predictions"]] == [row["prediction"] for row in rows]
    accuracy, accuracy_without = pytest.approx(with_known), pytest.approx(without)
    metric = {
        "name": "accuracy",
        "title": "accuracy",
        "unit": "share",
        "higher_is_better": True,
        "hub_name": "accuracy",
        "by_group": "",
    }
    assert found["known"] == {
        "label_column": "label", "examples": 77, "known_examples": 37, "unknown_labels": 0, "missing_labels": 0,
        "abstained": 0, "metric": metric, "metrics": {"accuracy": accuracy}, "details": {}, "accuracy": accuracy,
        "without_known": {
            "examples": 40, "details": {}, "accuracy": accuracy_without, "loss": None, "f1_macro": None,
            "metrics": {"accuracy": accuracy_without, "loss": None, "f1_macro": None},
        },
    }  # fmt: skip


@case(
    "`predict --file` on labels that the model does not know, and on rows without one", "answers, no word",
    "answered; counted apart as 2 and 3 rows", "a label of another scheme is neither right nor wrong",
)  # fmt: skip
def test_labels_that_the_model_does_not_know_are_counted_apart(run, trained, new, predicted, tmp_path):
    odd = [(new[0][0], "neutral"), (trained[0][0], "Positive"), (new[1][0], ""), (new[2][0], "  "), (trained[1][0], "")]
    path = write_csv(tmp_path / "odd.csv", [*odd, *trained[2:6], (new[3][0], f" {new[3][1]} ")])
    rows, said = predicted(run, path)
    assert len(rows) == 10
    assert "4 of 5 texts are from training or validation." in said
    counted = "2 with a label that the model does not know and 3 with no label"
    assert f'Rows that do not count, by column "label": {counted}.' in said


def test_where_no_label_is_the_models_there_is_no_accuracy(run, new, predicted, tmp_path, capsys):
    path = write_csv(tmp_path / "odd.csv", [(text, "5 stars") for text, _ in new])
    said = predicted(run, path)[1]
    assert "40 with a label that the model does not know" in said
    assert "accuracy" not in said
    assert main(["predict", run, "--file", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["known"]["accuracy"] is None


@pytest.mark.parametrize(
    ("header", "column"),
    [(("text", "Sentiment"), "Sentiment"), (("sentence", "label"), "label"), (("text", "grade"), None)],
)
def test_labels_are_taken_from_a_column_that_is_called_so(run, trained, predicted, header, column, tmp_path, capsys):
    """The one other column of a file need not be its labels: it may hold ids or dates."""
    path = write_csv(tmp_path / "named.csv", trained, header)
    said = predicted(run, path)[1]
    assert (f'By column "{column}" the accuracy' in said) if column else ("accuracy" not in said)
    assert main(["predict", run, "--file", str(path), "--json"]) == 0
    known = json.loads(capsys.readouterr().out)["known"]
    assert (known and known["label_column"]) == column


def test_the_training_columns_own_name_comes_first(small_run, tiny_data, predicted, tmp_path):
    named = {
        name: write_csv(tmp_path / f"{name}.csv", rows_of(path), ("text", "stars")) for name, path in tiny_data.items()
    }
    files = {name: str(path) for name, path in named.items()}
    run = small_run(source=lightune.Recipe(data={"source": files}).data.source, label_column="stars")
    rows = [(text, "no label", label) for text, label in rows_of(tiny_data["train"])]
    path = write_csv(tmp_path / "both.csv", rows, ("text", "label", "stars"))
    assert 'By column "stars" the accuracy' in predicted(run, path)[1]


def test_known_texts_are_counted_over_all_chunks_and_in_every_way_of_output(run, half, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bulk, "CHUNK_ROWS", 10)
    target = tmp_path / "out.csv"
    assert main(["predict", run, "--file", str(half), "--output", str(target)]) == 0
    said = capsys.readouterr().err
    assert "37 of 77 texts" in said
    assert main(["predict", run, "--file", str(half), "--output", str(tmp_path / "2.csv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["known"]["known_examples"] == 37
    assert target.read_bytes() == (tmp_path / "2.csv").read_bytes()


# In Python, and in the words of a report


def test_the_python_api_says_of_each_text_whether_it_is_known(run, trained, new):
    classifier = lightune.load(run)
    assert classifier.known([trained[0][0].title(), new[0][0]]) == [True, False]
    assert classifier.known(trained[0][0]) == [True]
    assert classifier.known([]) == []
    with pytest.raises(DataError, match="text 2 is empty"):
        classifier.known(["a film", " "])


def test_adapters_of_a_bank_know_their_own_texts(run, without_fingerprints, trained):
    bank = lightune.load_adapters({"knows": run, "does not": without_fingerprints})
    assert bank["knows"].known([trained[0][0]]) == [True]
    assert bank["does not"].known([trained[0][0]]) is None


def test_nothing_known_is_told_apart_from_nothing_to_know_by(tiny_run):
    after, accuracy = tiny_run.record.after, tiny_run.record.task.headline
    assert known_texts(after, accuracy) == ""
    assert known_texts(after.model_copy(update={"known_examples": 0}), accuracy) != ""
