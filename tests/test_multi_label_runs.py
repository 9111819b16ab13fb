"""Several labels a text on tiny models: the run, what is saved of it, and what else reads that."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score
from transformers import AutoModelForSequenceClassification

import lightune
from lightune.cli.main import main
from lightune.report import usage
from tiny import write_csv
from tiny_tasks import KINDS, SPLITS, UNSEEN, TinyRun, labels_of, logits_by, row_of, tiny_runner

LABELS = tuple(sorted(KINDS))
NAMED = {"label_column": "labels"}


@pytest.fixture(scope="module")
def runner(tiny_models: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TinyRun]:
    return tiny_runner(tiny_models, tmp_path_factory.mktemp("several-labels"))


@pytest.fixture(scope="module")
def run(runner: Callable[..., TinyRun]) -> TinyRun:
    """LoRA."""
    return runner("lora", data=NAMED)


@pytest.fixture(scope="module")
def full(runner: Callable[..., TinyRun]) -> TinyRun:
    """Full fine-tuning, with class weights and the head start that the task chooses."""
    return runner("full", method="full", data=NAMED, head_start="auto", class_weights="auto", learning_rate=1e-3)


@pytest.fixture(scope="module")
def published(full: TinyRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stock model folder."""
    folder = tmp_path_factory.mktemp("published") / "model"
    lightune.load(full.folder, device="cpu").save_pretrained(folder)
    return folder


def targets_of(texts: list[str]) -> Any:
    return np.array([[label in labels_of(text) for label in LABELS] for text in texts])


def shares_of(run: TinyRun, texts: list[str]) -> Any:
    """Probabilities with the temperature that lightune.json holds."""
    logits = np.asarray(run.classifier.logits(texts), float)
    return 1 / (1 + np.exp(-logits / stored_task(run)["temperature"]))


def stored_task(run: TinyRun) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run.folder / "adapter" / "lightune.json").read_text())["task"]
    return found


def test_the_card_s_code_for_a_stock_model_answers_with_the_thresholds(
    run: TinyRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    wanted = run.classifier.predict(UNSEEN)
    several = next(place for place, answer in enumerate(wanted) if len(answer.labels) > 1)
    exec(usage.stock_code(run.record).replace("A text to classify.", UNSEEN[several]), {})  # noqa: S102 (our own card)
    assert capsys.readouterr().out.strip() == str(list(wanted[several].labels))


def test_the_run_learns_and_reloads(run: TinyRun):
    found = run.record
    assert (found.status, found.task.name, tuple(found.task.labels)) == ("completed", "multi_label", LABELS)
    assert found.reload_check.passed
    assert found.after.metrics["average_precision"] > found.before.metrics["average_precision"]
    assert set(found.baselines) == {"commonest_set", "tfidf", "probe"}
    assert "loss" not in found.baselines["tfidf"].metrics


@pytest.mark.parametrize("name", ["run", "full"])
def test_thresholds_are_stored_and_the_metrics_follow_from_them(name: str, request: pytest.FixtureRequest):
    """Computed anew from the answers of the reloaded run."""
    found: TinyRun = request.getfixturevalue(name)
    stored = stored_task(found)["thresholds"]
    assert len(stored) == len(LABELS)
    assert set(stored) != {0.5}
    shares = shares_of(found, SPLITS["test"])
    answers = shares >= stored
    measured = found.record.after.metrics
    targets = targets_of(SPLITS["test"])
    assert measured["f1_micro"] == pytest.approx(f1_score(targets, answers, average="micro"))
    assert measured["exact_match"] == pytest.approx((answers == targets).all(axis=1).mean())
    told = found.record.after.details["per_label"]
    assert [told[label]["threshold"] for label in LABELS] == stored
    for text, share, said in zip(UNSEEN, shares_of(found, UNSEEN), found.classifier.predict(UNSEEN),
                                 strict=True):  # fmt: skip
        assert said.labels == tuple(np.array(LABELS)[share >= stored]), text


def test_the_thresholds_are_the_best_for_the_validation_texts(run: TinyRun):
    targets = targets_of(SPLITS["validation"])
    shares, cuts = shares_of(run, SPLITS["validation"]), np.array(run.classifier.task.thresholds)
    best = f1_score(targets, shares >= cuts, average="micro")
    assert best >= f1_score(targets, shares >= 0.5, average="micro")
    for label in range(len(LABELS)):
        for cut in np.unique(shares[:, label]):
            other = cuts.copy()
            other[label] = cut
            assert f1_score(targets, shares >= other, average="micro") <= best + 1e-9


def test_peft_alone_gives_the_same_logits(run: TinyRun):
    wanted = run.classifier.logits(UNSEEN)
    np.testing.assert_allclose(run.logits_by_peft(UNSEEN).numpy(), wanted, atol=1e-5)


def test_transformers_alone_gives_the_same_logits_and_knows_the_task(full: TinyRun, published: Path):
    model = AutoModelForSequenceClassification.from_pretrained(published)
    assert model.config.problem_type == "multi_label_classification"
    assert tuple(model.config.id2label.values()) == LABELS
    wanted = full.classifier.logits(UNSEEN)
    np.testing.assert_allclose(logits_by(model, published, UNSEEN).numpy(), wanted, rtol=1e-3, atol=1e-3)
    again = lightune.load(published, device="cpu")
    assert again.task == full.classifier.task, "with its thresholds"
    assert [answer.labels for answer in again.predict(UNSEEN)] == [
        answer.labels for answer in full.classifier.predict(UNSEEN)
    ]


def test_the_loss_of_transformers_is_the_one_that_is_reported(full: TinyRun, published: Path):
    model = AutoModelForSequenceClassification.from_pretrained(published).eval()
    tokenizer = full.classifier.tokenizer(SPLITS["test"], padding=True, return_tensors="pt")
    with torch.no_grad():
        loss = model(**tokenizer, labels=torch.tensor(targets_of(SPLITS["test"])).float()).loss.item()
    assert full.record.after.metrics["loss"] == pytest.approx(loss, rel=1e-4)


def test_predict_writes_labels_and_the_probability_of_each(run: TinyRun, tmp_path: Path, capsys: Any):
    path = write_csv(tmp_path / "texts.csv", [(text,) for text in UNSEEN], ("text",))
    assert main(["predict", str(run.folder), "--file", str(path), "--output", str(tmp_path / "out.csv")]) == 0
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    shares = shares_of(run, UNSEEN)
    for row, share, answer in zip(rows, shares, run.classifier.predict(UNSEEN), strict=True):
        assert row["predictions"] == "|".join(answer.labels)
        assert [float(row[f"probability_{label}"]) for label in LABELS] == pytest.approx(share, abs=1e-5)
    capsys.readouterr()
    assert main(["predict", str(run.folder), UNSEEN[0], "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["predictions"]
    assert found["labels"] == list(run.classifier.predict(UNSEEN[0])[0].labels)
    assert found["probabilities"] == pytest.approx(dict(zip(LABELS, shares[0], strict=True)), abs=1e-5)


def test_evaluate_gives_the_runs_figures_and_those_of_a_file_of_columns(run: TinyRun, tmp_path: Path, capsys: Any):
    assert main(["evaluate", str(run.folder), "--json"]) == 0
    own = json.loads(capsys.readouterr().out)
    assert own["f1_micro"] == run.record.after.metrics["f1_micro"]
    rows = [(text, *(int(label in labels_of(text)) for label in ("meal", "art", "blame", "praise"))) for text in UNSEEN]
    columns = write_csv(tmp_path / "columns.csv", rows, ("text", "meal", "art", "blame", "praise"))
    joined = write_csv(tmp_path / "j.csv", [(text, ";".join(labels_of(text))) for text in UNSEEN], ("text", "labels"))
    lists = tmp_path / "lists.jsonl"
    lists.write_text("".join(json.dumps(row_of(text)) + "\n" for text in UNSEEN), encoding="utf-8")
    targets, answers = targets_of(UNSEEN), shares_of(run, UNSEEN) >= run.classifier.task.thresholds
    for path in (columns, lists):
        assert main(["evaluate", str(run.folder), "--test", str(path), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["f1_micro"] == pytest.approx(f1_score(targets, answers, average="micro")), path.name
        assert found["f1_macro"] == pytest.approx(f1_score(targets, answers, average="macro", zero_division=0))
    assert main(["evaluate", str(run.folder), "--test", str(joined)]) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert 'labels are joined by ";"' in said
    assert 'and by "|" in training' in said


def test_a_finished_head_is_used_where_the_labels_agree_in_any_order(runner: Any, full: TinyRun, published: Path):
    """Its rows are put in the order of the data, whose columns come the other way round."""

    def columns(text: str) -> dict[str, Any]:
        return {"text": text, **{label.upper(): int(label in labels_of(text)) for label in reversed(LABELS)}}

    found = runner("again", model=published, method="head", row=columns, num_train_epochs=1, learning_rate=1e-9)
    assert found.record.model.head == "checkpoint"
    assert found.record.recipe["training"]["head_start"] == "random", "a linear model would replace it"
    assert tuple(found.record.task.labels) == tuple(label.upper() for label in reversed(LABELS))
    wanted = full.classifier.logits(UNSEEN)[:, ::-1]
    np.testing.assert_allclose(found.classifier.logits(UNSEEN), wanted, rtol=1e-3, atol=1e-3)
    assert any("its rows were put in the order of the data's labels" in note for note in found.record.notes)


def test_a_finished_head_is_replaced_where_the_labels_differ(runner: Any, published: Path):
    def renamed(text: str) -> dict[str, Any]:
        return {"text": text, "labels": [f"{label}s" for label in labels_of(text)]}

    found = runner("other", model=published, method="head", row=renamed, num_train_epochs=1)
    assert found.record.model.head == "new"
    assert any("are not those of the data" in note for note in found.record.notes)


def test_a_head_for_one_label_a_text_is_replaced_though_its_labels_agree(runner: Any, published: Path, tmp_path: Path):
    folder = tmp_path / "single"
    shutil.copytree(published, folder)
    config = json.loads((folder / "config.json").read_text())
    config.pop("lightune_task", None)
    (folder / "config.json").write_text(json.dumps({**config, "problem_type": "single_label_classification"}))
    found = runner("from-single", model=folder, method="head", data=NAMED, num_train_epochs=1)
    assert found.record.model.head == "new"
    assert any("is for another task" in note for note in found.record.notes)


def test_pairs_have_the_baselines_of_their_two_texts(runner: Any):
    def pair(text: str) -> dict[str, Any]:
        first, _, second = text.partition(" ")
        return {"premise": first, "hypothesis": second, "labels": labels_of(text)}

    found = runner("pair", row=pair, num_train_epochs=1)
    assert found.record.reload_check.passed
    assert set(found.record.baselines) == {"commonest_set", "tfidf", "probe"}
    pairs = [tuple(text.split(" ", 1)) for text in UNSEEN]
    np.testing.assert_allclose(found.logits_by_peft(pairs).numpy(), found.classifier.logits(pairs), atol=1e-5)


def test_a_temperature_is_stored_and_used_by_the_stock_model_too(full: TinyRun, published: Path):
    temperature = stored_task(full)["temperature"]
    assert temperature != 1
    details = full.record.after.details["calibration"]
    assert details["temperature"] == temperature
    assert details["loss_uncalibrated"] == full.record.after.metrics["loss"]
    again = lightune.load(published, device="cpu").predict(UNSEEN)
    for answer, other in zip(full.classifier.predict(UNSEEN), again, strict=True):
        assert answer.probabilities == pytest.approx(other.probabilities, abs=1e-3)


def test_calibration_can_be_left_out(runner: Any, run: TinyRun):
    plain = runner("plain", data=NAMED, calibration="none")
    assert stored_task(plain)["temperature"] == 1
    assert stored_task(run)["temperature"] != 1
    np.testing.assert_allclose(plain.classifier.logits(UNSEEN), run.classifier.logits(UNSEEN), atol=1e-5)
    for name in ("loss", "average_precision"):
        assert plain.record.after.metrics[name] == pytest.approx(run.record.after.metrics[name], rel=1e-5)
    calibration = plain.record.after.details["calibration"]
    assert calibration["bins"] == calibration["bins_uncalibrated"]


def test_a_set_of_labels_is_left_out_for_its_least_certain_label(run: TinyRun, tmp_path: Path, capsys: Any):
    answers, shares = run.classifier.predict(UNSEEN), shares_of(run, UNSEEN)
    said = shares >= stored_task(run)["thresholds"]
    sure = np.where(said, shares, 1 - shares).min(axis=1)
    bound = str(round(float(np.median(sure)), 3))
    path = write_csv(tmp_path / "texts.csv", [(text,) for text in UNSEEN], ("text",))
    assert main(["predict", str(run.folder), "--file", str(path), "--abstain-below", bound, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["predictions"]
    for row, answer, confidence in zip(rows, answers, sure, strict=True):
        is_left = confidence < float(bound)
        assert (row["labels"], row["abstained"]) == (None if is_left else list(answer.labels), is_left)
        assert row["confidence"] == pytest.approx(confidence, abs=1e-5)
    assert {row["abstained"] for row in rows} == {True, False}
    targets = targets_of(SPLITS["validation"])
    shares = shares_of(run, SPLITS["validation"])
    said = shares >= stored_task(run)["thresholds"]
    sure = np.where(said, shares, 1 - shares).min(axis=1)
    kept = sure >= (below := round(float(np.median(sure)), 2))
    assert run.classifier.coverage is not None
    found = run.classifier.coverage.at(below)
    assert found.answered_share == pytest.approx(kept.mean())
    assert found.accuracy == pytest.approx((said == targets).all(axis=1)[kept].mean())


def test_predict_proba_has_one_probability_for_each_label(run: TinyRun):
    answers = run.classifier.predict(UNSEEN)
    found = run.classifier.predict_proba(UNSEEN)
    assert run.classifier.classes_.tolist() == list(LABELS)
    assert found.tolist() == [[answer.probabilities[label] for label in LABELS] for answer in answers]
    assert not np.allclose(found.sum(axis=1), 1), "each label has a probability of its own"
