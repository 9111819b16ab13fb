"""Which task a column, a recipe, a finished model or lightune.json means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import pytest

import lightune
from lightune.errors import ArtifactError, DataError, RecipeError
from lightune.measured import Metric
from lightune.tasks import TASKS, find_task, label_columns, require_task, task_from_json, task_of_checkpoint
from lightune.tasks.columns import LabelColumn, Wishes
from tiny import classes

Classification: Any = TASKS["classification"]


@dataclass(frozen=True)
class Marks(Classification):
    """A task of school marks from A to F, which claims its columns."""

    name: ClassVar[str] = "marks"
    metrics: ClassVar[tuple[Metric, ...]] = (Metric(name="kappa", title="kappa"),)
    label_columns: ClassVar[tuple[str, ...]] = ("mark", "label")

    @classmethod
    def claims(cls, column: LabelColumn, wishes: Wishes) -> str:
        """Say that there are marks alone."""
        return "holds marks alone" * (set(column.values) <= set("ABCDEF"))


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave classification alone in the registry, so that no other task matters here."""
    monkeypatch.setattr(TASKS, "_objects", {"classification": Classification})


@pytest.fixture
def marks(monkeypatch: pytest.MonkeyPatch, registered: None) -> None:
    """Register marks beside it."""
    monkeypatch.setattr(TASKS, "_objects", {"classification": Classification, "marks": Marks})


def column(*values: Any) -> LabelColumn:
    return LabelColumn("label", "a.csv", values * 4, 4 * len(values))


def test_a_column_that_no_task_claims_is_classification():
    assert find_task(column("good", "bad"), Wishes()).task == classes(["bad", "good"])
    assert find_task(column("A", "B"), Wishes()).task == classes(["A", "B"])


def test_a_task_that_claims_a_column_comes_before_classification(marks: None):
    assert find_task(column("A", "B"), Wishes()).task == Marks(("A", "B"))
    assert find_task(column("good", "bad"), Wishes()).task == classes(["bad", "good"])


def test_the_task_that_a_recipe_names_is_taken_whatever_claims_the_column(marks: None):
    assert find_task(column("A", "B"), Wishes("classification")).task == classes(["A", "B"])
    assert find_task(column("good", "bad"), Wishes("marks")).task == Marks(("bad", "good"))


def test_a_column_that_no_task_can_use_is_refused_as_labels_are():
    with pytest.raises(DataError, match="fractions") as caught:
        find_task(column(0.5, 1.5), Wishes())
    assert caught.value.code == "DATA-020"
    assert find_task(column(0.5, 1.5), Wishes(label_kind="class")).task == classes(["0.5", "1.5"])


def test_the_usual_names_of_all_tasks_are_known_each_once(marks: None):
    assert label_columns("marks") == ("mark", "label")
    assert label_columns("classification") == Classification.label_columns
    assert label_columns() == (*Classification.label_columns, "mark")


def test_a_task_and_a_metric_are_required_to_be_there(marks: None):
    for task, metric in [
        ("auto", None), ("classification", None), ("marks", "kappa"), ("auto", "kappa"), ("auto", "f1_macro"),
    ]:  # fmt: skip
        require_task(task, metric)
    with pytest.raises(RecipeError) as caught:
        require_task("mark")
    hint = 'Did you mean "marks"? Valid: classification, marks.'
    assert (caught.value.code, caught.value.hint) == ("RECIPE-010", hint)
    with pytest.raises(RecipeError, match='"kappa" is not a metric of the task classification') as caught:
        require_task("classification", "kappa")
    assert (caught.value.code, caught.value.hint) == ("RECIPE-015", "Valid: accuracy, f1_macro, loss.")


@pytest.mark.parametrize(
    ("recipe", "code"),
    [({"task": "clasification"}, "RECIPE-010"), ({"training": {"metric_for_best_model": "acuracy"}}, "RECIPE-015")],
)
def test_a_run_refuses_them_before_anything_is_read(recipe: dict[str, Any], code: str, tmp_path: Any):
    with pytest.raises(RecipeError) as caught:
        lightune.run({**recipe, "data": {"source": str(tmp_path / "none.csv")}}, tmp_path / "run")
    assert caught.value.code == code
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("config", "labels"),
    [
        ({"id2label": {"0": "no", "1": "yes"}}, ["no", "yes"]),
        ({"id2label": {"1": "yes", "0": "no", "10": "k", "2": "b"}}, ["no", "yes", "b", "k"]),
        ({}, ["LABEL_0", "LABEL_1"]),
        ({"num_labels": 3}, ["LABEL_0", "LABEL_1", "LABEL_2"]),
        ({"problem_type": "single_label_classification", "num_labels": 2}, ["LABEL_0", "LABEL_1"]),
        ({"problem_type": None}, ["LABEL_0", "LABEL_1"]),
    ],
)
def test_a_finished_model_with_two_labels_or_more_is_a_classifier(config: dict[str, Any], labels: list[str]):
    assert task_of_checkpoint(config, "m") == classes(labels)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"id2label": {"0": "LABEL_0"}}, "problem_type None, 1 labels"),
        ({"num_labels": 1}, "problem_type None, 1 labels"),
        ({"problem_type": "regression", "num_labels": 2}, "problem_type 'regression', 2 labels"),
        ({"problem_type": "multi_label_classification", "num_labels": 4}, "multi_label_classification', 4 labels"),
    ],
)
def test_finished_models_that_no_task_has_are_refused(config: dict[str, Any], said: str):
    with pytest.raises(ArtifactError, match="no task has such a model") as caught:
        task_of_checkpoint(config, "m")
    assert caught.value.code == "ARTIFACT-015"
    assert said in caught.value.message


def test_a_task_that_is_not_installed_is_named_with_those_that_are():
    with pytest.raises(ArtifactError) as caught:
        task_from_json({"name": "ranking", "depth": 3}, "lightune.json")
    assert caught.value.code == "ARTIFACT-046"
    assert 'trained for the task "ranking"' in caught.value.message
    assert "Installed: classification" in caught.value.hint
