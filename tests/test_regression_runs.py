"""Numbers on tiny models: the run, what is saved of it, and what else reads that, all in the unit of the data."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import mean_absolute_error, r2_score
from transformers import AutoModelForSequenceClassification

import lightune
from lightune.cli.main import main
from lightune.errors import RecipeError
from lightune.tasks.columns import Wishes
from tiny import write_csv
from tiny_tasks import SPLITS, UNSEEN, TinyRun, logits_by, row_of, score_of, tiny_runner

ONE, TWO = {"label_column": "score"}, {"label_columns": ["score", "length"]}
# For weights that keep what six digits of an answer near 1,000 are made of.
CLOSE = {"rtol": 1e-5, "atol": 1e-2}


@pytest.fixture(scope="module")
def runner(tiny_models: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TinyRun]:
    return tiny_runner(tiny_models, tmp_path_factory.mktemp("numbers"))


@pytest.fixture(scope="module")
def one(runner: Callable[..., TinyRun]) -> TinyRun:
    """LoRA, one number, the head start that the task chooses."""
    return runner("one", data=ONE, head_start="auto", num_train_epochs=5)


@pytest.fixture(scope="module")
def two(runner: Callable[..., TinyRun]) -> TinyRun:
    """Full fine-tuning, two numbers in unlike units."""
    return runner("two", method="full", data=TWO, num_train_epochs=4, learning_rate=5e-3)


@pytest.fixture(scope="module")
def without_bias(runner: Callable[..., TinyRun]) -> TinyRun:
    """GPT-2, whose head has no bias."""
    return runner("gpt2", model="gpt2", data=ONE)


@pytest.fixture(scope="module")
def published(two: TinyRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "model"
    lightune.load(two.folder, device="cpu").save_pretrained(folder)
    return folder


def targets_of(texts: list[str], *names: str) -> Any:
    return np.array([[row_of(text)[name] for name in names or ("score",)] for text in texts])


@pytest.mark.parametrize("name", ["one", "two", "without_bias"])
def test_the_run_reloads_and_its_figures_are_in_the_unit_of_the_data(name: str, request: pytest.FixtureRequest):
    """Computed anew from the answers of the reloaded run."""
    found: TinyRun = request.getfixturevalue(name)
    columns = found.classifier.task.columns
    assert (found.record.status, found.record.task.name) == ("completed", "regression")
    assert found.record.reload_check.passed
    answers, targets = found.classifier.logits(SPLITS["test"]), targets_of(SPLITS["test"], *columns)
    measured = found.record.after.metrics
    assert measured["r2"] == pytest.approx(r2_score(targets, answers), rel=1e-3, abs=1e-3)
    assert measured["mae"] == pytest.approx(mean_absolute_error(targets, answers), rel=1e-3)
    each = [spearmanr(said, true).statistic for said, true in zip(answers.T, targets.T, strict=True)]
    assert measured["spearman"] == pytest.approx(np.mean(each), abs=1e-3)
    assert set(found.record.baselines) == {"mean", "tfidf", "probe"}
    mean = np.mean(targets_of(SPLITS["train"], *columns), axis=0)
    constant = mean_absolute_error(targets, np.tile(mean, (len(targets), 1)))
    assert found.record.baselines["mean"].metrics["mae"] == pytest.approx(constant, rel=1e-6)


def test_training_brings_the_answers_near_numbers_far_from_0(one: TinyRun, two: TinyRun):
    for found in (one, two):
        assert found.record.after.metrics["r2"] > 0.1
        assert found.classifier.logits(UNSEEN)[:, 0].mean() == pytest.approx(targets_of(UNSEEN).mean(), rel=0.02)


def test_the_recorded_recipe_says_what_auto_chose_which_the_task_accepts(one: TinyRun):
    chosen = one.record.recipe["training"]["head_start"], one.record.recipe["task"]
    assert chosen == ("random", "regression"), "there are few texts"
    one.classifier.task.require(Wishes(task="regression", head_start="probe"))
    with pytest.raises(RecipeError, match="no classes to weight"):
        one.classifier.task.require(Wishes(task="regression", class_weights="auto"))


@pytest.mark.parametrize("name", ["one", "without_bias"])
def test_peft_alone_gives_the_same_answers_in_the_unit(name: str, request: pytest.FixtureRequest):
    found: TinyRun = request.getfixturevalue(name)
    np.testing.assert_allclose(found.logits_by_peft(UNSEEN).numpy(), found.classifier.logits(UNSEEN), **CLOSE)


def test_transformers_alone_gives_the_same_answers_in_the_unit(two: TinyRun, published: Path):
    model = AutoModelForSequenceClassification.from_pretrained(published)
    assert model.config.problem_type == "regression"
    assert list(model.config.id2label.values()) == ["score", "length"]
    wanted = two.classifier.logits(UNSEEN)
    np.testing.assert_allclose(logits_by(model, published, UNSEEN).numpy(), wanted, **CLOSE)
    assert wanted[:, 0].min() > 900
    again = lightune.load(published, device="cpu")
    assert again.task == two.classifier.task
    np.testing.assert_allclose(again.logits(UNSEEN), wanted, **CLOSE)


def test_numbers_cannot_be_left_out(one: TinyRun, tmp_path: Path, capsys: Any):
    path = write_csv(tmp_path / "texts.csv", [(text,) for text in UNSEEN], ("text",))
    for given in (["a text"], ["--file", str(path)], ["--file", str(path), "--output", str(tmp_path / "out.csv")]):
        assert main(["predict", str(one.folder), *given, "--abstain-below", "0.8"]) == 2
        printed = capsys.readouterr()
        assert "RECIPE-096" in printed.err
        assert "the task regression have no confidence" in " ".join(printed.err.split())
        assert printed.out == ""
    assert not (tmp_path / "out.csv").exists()
    assert one.classifier.coverage is None


def test_predict_writes_the_number_and_of_several_each(one: TinyRun, two: TinyRun, tmp_path: Path, capsys: Any):
    path = write_csv(tmp_path / "texts.csv", [(text,) for text in UNSEEN], ("text",))
    for found in (one, two):
        output = tmp_path / f"{found.folder.parent.name}.csv"
        assert main(["predict", str(found.folder), "--file", str(path), "--output", str(output)]) == 0
        with output.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        answers = found.classifier.logits(UNSEEN)
        for row, answer in zip(rows, answers, strict=True):
            assert [float(cell) for cell in row["prediction"].split("|")] == pytest.approx(answer.tolist(), rel=1e-5)
            if len(answer) > 1:
                assert float(row["prediction_length"]) == pytest.approx(answer[1], rel=1e-4)
    capsys.readouterr()
    assert main(["predict", str(two.folder), UNSEEN[0], "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["predictions"]
    assert found["value"] is None
    assert list(found["values"].values()) == pytest.approx(two.classifier.logits(UNSEEN[:1])[0].tolist(), rel=1e-5)
    assert main(["predict", str(one.folder), UNSEEN[0], "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["predictions"]
    assert (
        found["value"] == found["values"]["score"] == pytest.approx(one.classifier.logits(UNSEEN[:1]).item(), rel=1e-5)
    )


def test_evaluate_gives_the_runs_figures_and_those_of_another_file(
    one: TinyRun, two: TinyRun, tmp_path: Path, capsys: Any
):
    for found, names in ((one, ("score",)), (two, ("length", "score"))):
        assert main(["evaluate", str(found.folder), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["r2"] == pytest.approx(found.record.after.metrics["r2"])
        rows = [(text, *(row_of(text)[name] for name in names)) for text in UNSEEN]
        path = write_csv(tmp_path / "other.csv", rows, ("text", *names))
        assert main(["evaluate", str(found.folder), "--test", str(path), "--json"]) == 0
        measured = json.loads(capsys.readouterr().out)
        columns = found.classifier.task.columns
        wanted = r2_score(targets_of(UNSEEN, *columns), found.classifier.logits(UNSEEN))
        assert measured["r2"] == pytest.approx(wanted, rel=1e-3, abs=1e-3)
    renamed = write_csv(tmp_path / "renamed.csv", [(text, score_of(text)) for text in UNSEEN], ("text", "points"))
    assert main(["evaluate", str(one.folder), "--test", str(renamed), "--label-column", "points", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)["r2"]
    assert again == pytest.approx(r2_score(targets_of(UNSEEN), one.classifier.logits(UNSEEN)), rel=1e-3, abs=1e-3)
    wrong = write_csv(tmp_path / "wrong.csv", [("a film", "1001,5"), ("a book", "1000.5")], ("text", "score"))
    assert main(["evaluate", str(one.folder), "--test", str(wrong)]) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert f"{wrong}:2" in said
    assert "a point in place of the comma: 1001.5" in said


def test_a_finished_head_is_used_where_the_numbers_agree_in_any_order(runner: Any, two: TinyRun, published: Path):
    """Nothing is learnt, and the answers are still in the unit."""
    swapped = {"label_columns": ["length", "score"]}
    found = runner("again", model=published, method="head", data=swapped, num_train_epochs=1, learning_rate=1e-9)
    assert found.record.model.head == "checkpoint"
    assert found.record.recipe["training"]["head_start"] == "random", "a linear model would replace it"
    np.testing.assert_allclose(
        found.classifier.logits(UNSEEN), two.classifier.logits(UNSEEN)[:, ::-1], rtol=1e-4, atol=1e-2
    )
    assert found.record.before.metrics["r2"] == pytest.approx(two.record.after.metrics["r2"], abs=1e-3)


def test_a_finished_head_of_other_numbers_is_replaced(runner: Any, published: Path):
    found = runner("other", model=published, method="head", data=ONE, num_train_epochs=1)
    assert found.record.model.head == "new"
    assert any("are not those of the data" in note for note in found.record.notes)


def test_pairs_have_the_cosine_of_their_two_texts_for_a_baseline(runner: Any):
    def pair(text: str) -> dict[str, Any]:
        first, _, second = text.partition(" ")
        return {"sentence1": first, "sentence2": second, "similarity": score_of(text)}

    found = runner("pair", row=pair, data={"text_column": ["sentence1", "sentence2"]}, num_train_epochs=1)
    assert (found.record.task.name, found.record.reload_check.passed) == ("regression", True)
    assert set(found.record.baselines) == {"mean", "tfidf", "cosine", "probe"}
    pairs = [tuple(text.split(" ", 1)) for text in UNSEEN]
    np.testing.assert_allclose(found.logits_by_peft(pairs).numpy(), found.classifier.logits(pairs), **CLOSE)


def test_adapters_of_different_tasks_stand_on_one_base(runner: Any, one: TinyRun, tiny_run: Any):
    """Each answers as it does alone."""
    several = runner("several", data={"label_column": "labels"}, num_train_epochs=1)
    folders = {"number": one.folder, "labels": several.folder, "sentiment": tiny_run.folder}
    bank = lightune.load_adapters(folders, device="cpu")
    alone = {name: lightune.load(folder, device="cpu") for name, folder in folders.items()}
    for name, classifier in alone.items():
        np.testing.assert_allclose(bank[name].logits(UNSEEN), classifier.logits(UNSEEN), rtol=1e-5, atol=1e-4)
        assert type(bank[name].predict(UNSEEN[0])[0]) is type(classifier.predict(UNSEEN[0])[0])
    assert {name: bank[name].task.name for name in folders} == {
        "number": "regression", "labels": "multi_label", "sentiment": "classification",
    }  # fmt: skip


def test_numbers_have_no_classes_and_no_probabilities(one: TinyRun):
    with pytest.raises(RecipeError, match=r"the task regression has no probabilities of labels") as caught:
        one.classifier.predict_proba(UNSEEN[:2])
    assert caught.value.hint == "predict gives its answers."
    assert one.classifier.classes_.shape == (0,)


def test_decimal_commas_are_read_in_a_file_to_answer_as_in_one_to_measure(one: TinyRun, tmp_path: Path, capsys: Any):
    rows = [(text, f"{score_of(text) + 0.25:.2f}") for text in UNSEEN]
    path = tmp_path / "a.csv"
    written = "".join(f"{text};{score.replace('.', ',')}\n" for text, score in rows)
    path.write_text(f"text;score\n{written}", encoding="utf-8")
    points = write_csv(tmp_path / "b.csv", rows, header=("text", "score"))
    told = []
    for file in (points, path):
        assert main(["predict", str(one.folder), "--file", str(file), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        told.append(found["known"])
        assert found["known"]["examples"] == len(UNSEEN)
    assert told[0] == told[1]
    assert found["predictions"][0]["row"]["score"].count(",") == 1  # the cells of the file stay as they are
