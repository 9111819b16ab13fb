"""A recipe file, then flags, then --set: the later wins, and what cannot be meant is refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from case_table import case
from lightune.errors import RecipeError
from lightune.recipe import Recipe
from lightune.recipes.compose import FLAGS, compose

RECIPE = """
name: mine
model: bert-base-uncased
data: {source: {train: a.csv}, label_column: verdict, train_examples: 100}
method: {name: lora, rank: 4, roles: [query]}
training: {learning_rate: 5.0e-5, seed: 1, num_train_epochs: 2}
"""


@pytest.fixture
def mine(tmp_path: Path) -> str:
    """A recipe file."""
    return str(write(tmp_path / "my.yaml", RECIPE))


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refused(act: Callable[..., Any], *arguments: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        act(*arguments)
    assert caught.value.exit_code == 2
    return str(caught.value)


def value_at(recipe: Any, key: str) -> Any:
    for part in key.split("."):
        recipe = recipe[part]
    return recipe


@pytest.mark.parametrize(
    ("flag", "value", "key"),
    [
        ("model", "gpt2", "model"),
        ("task", "classification", "task"),
        ("data", "owner/films", "data.source"),
        ("train", "b.csv", "data.source.train"),
        ("validation", "v.csv", "data.source.validation"),
        ("test", "t.csv", "data.source.test"),
        ("text_column", "body", "data.text_column"),
        ("label_column", "stars", "data.label_column"),
        ("label_columns", ("anger", "joy"), "data.label_columns"),
        ("label_separator", ";", "data.label_separator"),
        ("separator", "|", "data.separator"),
        ("encoding", "cp1252", "data.encoding"),
        ("header_row", 4, "data.header_row"),
        ("column_names", ("label", "text"), "data.column_names"),
        ("sheet", "Answers", "data.sheet"),
        ("decimal", "comma", "data.decimal"),
        ("label_kind", "class", "data.label_kind"),
        ("train_examples", 7, "data.train_examples"),
        ("validation_examples", 8, "data.validation_examples"),
        ("test_examples", 9, "data.test_examples"),
        ("fingerprints", False, "data.fingerprints"),
        ("method", "full", "method.name"),
        ("epochs", 3, "training.num_train_epochs"),
        ("batch_size", 8, "training.per_device_train_batch_size"),
        ("learning_rate", 0.01, "training.learning_rate"),
        ("seed", 5, "training.seed"),
        ("device", "cpu", "device"),
        ("precision", "fp32", "training.precision"),
    ],
)
def test_each_flag_sets_its_key(tmp_path: Path, flag: str, value: Any, key: str):
    text = RECIPE.replace("label_column: verdict, ", "") if flag == "label_columns" else RECIPE
    mine = str(write(tmp_path / "my.yaml", text))
    before, after = (compose(mine, flags).recipe.model_dump() for flags in ({}, {flag: value}))
    assert value_at(after, key) == value
    if not key.startswith(("data.source", "method")):
        *path, last = key.split(".")
        block = value_at(after, ".".join(path)) if path else after
        block[last] = value_at(before, key)
        assert after == before


def test_every_flag_is_tried_above():
    (tried,) = [mark.args[1] for mark in test_each_flag_sets_its_key.pytestmark]
    assert {flag: key for flag, _, key in tried} == FLAGS


@pytest.mark.parametrize(
    ("stated", "flags", "named"),
    [
        ("label_column: verdict", {"label_columns": "anger,joy"}, ("anger", "joy")),
        ("label_columns: [anger, joy]", {"label_column": "verdict"}, ("verdict",)),
    ],
)
def test_a_flag_that_names_the_labels_otherwise_takes_the_place_of_the_recipes_key(
    tmp_path: Path, stated: str, flags: dict[str, Any], named: tuple[str, ...]
):
    path = write(tmp_path / "my.yaml", RECIPE.replace("label_column: verdict", stated))
    assert compose(str(path), flags).recipe.data.named_labels == named


@pytest.mark.parametrize(
    ("flags", "settings", "code", "said"),
    [
        ({"task": "clasification"}, [], "RECIPE-010", 'Did you mean "classification"?'),
        ({}, ["training.metric_for_best_model=acuracy"], "RECIPE-015", 'Did you mean "accuracy"?'),
        ({"task": "classification"}, ["training.metric_for_best_model=pearson"], "RECIPE-015", "Valid: accuracy"),
    ],
)
def test_a_task_or_a_metric_that_there_is_not_is_refused(
    mine: str, flags: dict[str, Any], settings: list[str], code: str, said: str
):
    with pytest.raises(RecipeError) as caught:
        compose(mine, flags, settings)
    assert caught.value.code == code
    assert said in caught.value.hint


def test_flags_that_were_not_given_change_nothing(mine: str):
    assert compose(mine, dict.fromkeys(FLAGS)) == compose(mine, {})


def test_set_wins_over_flags_and_flags_over_the_file(mine: str):
    assert compose(mine, {}).recipe.training.seed == 1
    assert compose(mine, {"seed": 2}).recipe.training.seed == 2
    assert compose(mine, {"seed": 2}, ["training.seed=3"]).recipe.training.seed == 3
    assert compose(mine, {"seed": 2}, ["training.seed=3", "training.seed=4"]).recipe.training.seed == 4


@pytest.mark.parametrize(
    ("setting", "key", "value"),
    [
        ("training.learning_rate=1e-3", "training.learning_rate", 0.001),
        ("training.lr_scheduler_kwargs.min_lr=1e-5", "training.lr_scheduler_kwargs.min_lr", 1e-5),
        ("training.lr_scheduler_kwargs.power=2E0", "training.lr_scheduler_kwargs.power", 2.0),
        ("training.lr_scheduler_kwargs.tag=1e5x", "training.lr_scheduler_kwargs.tag", "1e5x"),
        ("method.alpha=1e1", "method.alpha", 10.0),
        ("method.roles=[key, value]", "method.roles", ["key", "value"]),
        ("training.report_to=[tensorboard]", "training.report_to", ("tensorboard",)),
        ("training.gradient_checkpointing=true", "training.gradient_checkpointing", True),
        ("training.learning_rate=", "training.learning_rate", None),
        ("data.train_examples=null", "data.train_examples", None),
        (" data.label_column = stars ", "data.label_column", "stars"),
        ("model=a=b", "model", "a=b"),
        ("data.source={train: c.csv, test: d.csv}", "data.source.test", "d.csv"),
    ],
)
def test_set_reads_the_value_as_yaml(mine: str, setting: str, key: str, value: Any):
    found = value_at(compose(mine, {}, [setting]).recipe.model_dump(), key)
    assert found == value
    assert type(found) is type(value)


def test_a_number_with_an_exponent_is_a_number_in_a_file_too(tmp_path: Path):
    text = "training: {learning_rate: 2e-4, lr_scheduler_kwargs: {min_lr: 1e-6, word: '1e-6'}}"
    training = compose(str(write(tmp_path / "a.yaml", text)), {}).recipe.training
    assert training.learning_rate == 2e-4
    assert training.lr_scheduler_kwargs == {"min_lr": 1e-6, "word": "1e-6"}


@pytest.mark.parametrize("setting", ["training.seed", "=3", "  =3", "", "model=[1", "name=2001-13-45", "a=!!bool x"])
def test_a_setting_that_cannot_be_read_is_refused(setting: str):
    assert refused(compose, None, {}, [setting]).startswith(f'RECIPE-007 --set "{setting}"')


def test_a_misspelt_setting_is_answered_with_the_right_key():
    told = refused(compose, None, {}, ["training.learning_rat=1e-3"])
    assert 'training.learning_rat: unknown key. Did you mean "learning_rate"?' in told


@pytest.mark.parametrize("setting", ["method.name=full", "method=full"])
def test_another_method_replaces_the_whole_block_and_its_learning_rate_gives_way(mine: str, setting: str):
    expected = ["The recipe's learning rate 5e-05 was for lora; full uses its own default."]
    for composed in (compose(mine, {"method": "full"}), compose(mine, {}, [setting])):
        assert composed.recipe.method.model_dump() == {"name": "full"}
        assert composed.recipe.training.learning_rate is None
        assert composed.recipe.training.num_train_epochs == 2
        assert composed.notes == expected


def test_the_same_method_by_flag_replaces_the_block_too_but_keeps_its_learning_rate(mine: str):
    composed = compose(mine, {"method": "lora"})
    assert composed.recipe.method.model_dump() == {"name": "lora"}
    assert composed.recipe.training.learning_rate == 5e-5
    assert composed.notes == []


@pytest.mark.parametrize("arguments", [({"learning_rate": 1e-4}, []), ({}, ["training.learning_rate=1e-4"])])
def test_a_learning_rate_that_was_set_here_stays(mine: str, arguments: tuple[dict[str, float], list[str]]):
    flags, settings = arguments
    composed = compose(mine, {"method": "full", **flags}, settings)
    assert composed.recipe.training.learning_rate == 1e-4
    assert composed.notes == []


def test_options_set_beside_a_method_are_its_options(mine: str):
    composed = compose(mine, {"method": "lora"}, ["method.rank=2"])
    assert composed.recipe.method.model_dump() == {"name": "lora", "rank": 2}


def test_without_another_method_its_options_are_merged_with_the_files(mine: str):
    composed = compose(mine, {}, ["method.rank=2"])
    assert composed.recipe.method.model_dump() == {"name": "lora", "rank": 2, "roles": ["query"]}
    assert composed.recipe.training.learning_rate == 5e-5


def test_a_method_given_by_its_name_alone_can_be_refined(tmp_path: Path):
    path = str(write(tmp_path / "a.yaml", "method: lora"))
    assert compose(path, {}, ["method.rank=2"]).recipe.method.model_dump() == {"name": "lora", "rank": 2}


@pytest.mark.parametrize("method", ["{r: 4, lora_alpha: 8, lora_dropout: 0.1}", "{rank: 4, alpha: 8, dropout: 0.1}"])
def test_pefts_spellings_are_ours(tmp_path: Path, method: str):
    from lightune.methods import make_method

    recipe = compose(str(write(tmp_path / "a.yaml", f"method: {method}")), {}).recipe
    lora = make_method(recipe.method.name, recipe.method.options)
    assert (lora.rank, lora.alpha, lora.dropout) == (4, 8, 0.1)


def test_an_option_in_both_spellings_is_refused(tmp_path: Path):
    told = refused(compose, str(write(tmp_path / "a.yaml", "method: {name: lora, r: 4, rank: 8}")), {})
    assert "method.rank: given twice" in told


def test_the_faults_of_recipe_and_method_are_reported_at_once(tmp_path: Path):
    path = write(tmp_path / "a.yaml", "sede: 3\ntraining: {seed: x}\nmethod: {name: lora, rnak: 4, alpha: -1}")
    told = refused(compose, str(path), {})
    for fault in ("sede: unknown key", "training.seed: ", "method.rnak: ", 'Did you mean "rank"?', "method.alpha: "):
        assert fault in told


def test_an_unknown_method_is_answered_with_the_known_ones():
    told = refused(compose, None, {"method": "lroa"})
    assert 'there is no method "lroa".' in told
    assert 'Did you mean "lora"?' in told
    assert "full" in told


def test_other_data_takes_the_columns_away_and_keeps_the_label_budget(mine: str):
    data = compose(mine, {"train": "b.csv", "text_column": "body"}).recipe.data
    assert (data.label_column, data.train_examples, data.text_column) == (None, 100, "body")
    other = compose("rotten-tomatoes", {"data": "owner/films"}).recipe.data
    assert (other.train_examples, other.test_examples, other.text_column) == (500, None, None)


@case(
    "a recipe with `data.fingerprints: false`, run with `--train other.csv`", "the key did not exist",
    "still no fingerprints", "whoever wants none kept wants none of other texts either",
)  # fmt: skip
def test_a_recipe_that_keeps_no_fingerprints_keeps_none_of_other_data(tmp_path: Path):
    recipe = str(write(tmp_path / "none.yaml", "data: {source: a.csv, fingerprints: false}"))
    assert not compose(recipe, {"train": "b.csv"}).recipe.data.fingerprints
    assert compose(recipe, {"train": "b.csv", "fingerprints": True}).recipe.data.fingerprints


@pytest.mark.parametrize("flag", ["test", "validation"])
@pytest.mark.parametrize("recipe", [None, "rotten-tomatoes"])
def test_a_test_file_without_a_training_file_is_refused(recipe: str | None, flag: str):
    told = refused(compose, recipe, {flag: "t.csv"})
    assert told.startswith("RECIPE-006")
    assert "Add --train FILE." in told


def test_a_test_file_goes_with_a_recipes_training_file(mine: str):
    source = compose(mine, {"test": "t.csv"}).recipe.data.source
    assert (source.train, source.test) == ("a.csv", "t.csv")


@pytest.mark.parametrize(
    ("train", "name"),
    [
        ("reviews-2024.csv", "reviews-2024"),
        ("films/train.csv", "films"),
        ("films/Training.jsonl", "films"),
        ("data/data.parquet", "data"),
        ("my reviews (1).csv", "my-reviews--1"),
        ("größe.csv", "gr--e"),
        ("字.csv", "run"),
        ("..csv", "run"),
        (".hidden.csv", "hidden"),
        ("x" * 99 + ".csv", "x" * 64),
    ],
)
def test_a_run_is_named_after_its_data(train: str, name: str):
    assert compose(None, {"train": train}).recipe.name == name


def test_a_run_on_a_hub_data_set_is_named_after_it():
    assert compose(None, {"data": "owner/rotten_tomatoes"}).recipe.name == "rotten_tomatoes"


def test_a_name_that_was_given_stays(mine: str):
    assert compose(mine, {"train": "b.csv"}).recipe.name == "mine"
    assert compose(None, {"train": "b.csv"}, ["name=chosen"]).recipe.name == "chosen"


@pytest.mark.parametrize(("file", "name"), [("plain.yaml", "plain"), ("my recipe.yaml", "my-recipe"), ("ä.yml", "run")])
def test_a_recipe_without_a_name_is_named_after_its_file(tmp_path: Path, file: str, name: str):
    assert compose(str(write(tmp_path / file, "model: minilm")), {}).recipe.name == name


def test_the_quickstarts_settings_were_chosen_for_its_own_model_and_data():
    assert compose(None, {}).recipe.training != Recipe().training
    chosen = compose(None, {}).recipe.training.model_dump() | {"seed": 7}
    assert compose(None, {"seed": 7}).recipe.training.model_dump() == chosen
    assert compose(None, {"train": "a.csv"}).recipe.training == Recipe().training
    other = compose(None, {"model": "owner/bert-base"}).recipe
    assert (other.training, other.name) == (Recipe().training, "bert-base")
    assert compose(None, {"model": "minilm", "data": "reviews"}) == compose(None, {})


def test_other_data_takes_the_default_which_is_a_recipe_like_any_other():
    shown, taken = compose("default", {}).recipe, compose(None, {"train": "a.csv"}).recipe
    assert (taken.training, taken.method, taken.evaluation) == (shown.training, shown.method, shown.evaluation)
    assert (taken.name, taken.description) == ("a", "")
    left_to_the_data = shown.training.num_train_epochs, shown.training.load_best_model_at_end, shown.training.head_start
    assert left_to_the_data == ("auto", "auto", "auto")


def test_the_quickstarts_description_is_not_said_of_other_data_or_models():
    assert "embedded" in compose(None, {}).recipe.description
    for flags in ({"train": "b.csv"}, {"data": "owner/films"}, {"model": "gpt2"}):
        assert compose(None, flags).recipe.description == ""


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("model: a\ntraining:\n  seed: 1\n  weight_decay: 0\n  seed: 2\n", 'line 5: the key "seed" occurs twice'),
        ("model: a\nmodel: b\n", 'line 2: the key "model" occurs twice'),
        ("- model\n", "a recipe is a mapping of keys to values"),
        ("just words", "a recipe is a mapping of keys to values"),
        ("", "a recipe is a mapping of keys to values"),
        ("model: [a\n", "not readable as YAML"),
        ("model: !!python/object:os.system x\n", "not readable as YAML"),
        ("name: 2001-13-45\n", "not readable as YAML"),
        (b"model: caf\xe9\n", "not readable as YAML"),
        ("model: " + "[" * 1500, "not readable as YAML"),
        ("{? [a, b] : c}", "not readable as YAML"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_by_name(tmp_path: Path, text: str | bytes, told: str):
    found = refused(compose, str(write(tmp_path / "bad.yaml", text)), {})
    assert f"{tmp_path}/bad.yaml: " in found
    assert told in found


@pytest.mark.parametrize("block", ["method", "training", "data"])
@pytest.mark.parametrize("value", ["", "5", "[1]"])
def test_a_block_that_is_no_mapping_is_a_fault_of_the_recipe(tmp_path: Path, block: str, value: str):
    path = str(write(tmp_path / "a.yaml", f"{block}: {value}\n"))
    assert f"{block}: Input should be a valid dictionary" in refused(compose, path, {})
    assert isinstance(refused(compose, path, {"method": "full", "test": "t.csv"}), str)


def test_a_learning_rate_in_words_is_a_fault_and_no_crash_beside_another_method(tmp_path: Path):
    path = str(write(tmp_path / "a.yaml", "training: {learning_rate: fast}\n"))
    assert compose(path, {"method": "full"}).notes == [
        "The recipe's learning rate fast was for lora; full uses its own default."
    ]
    assert "training.learning_rate: " in refused(compose, path, {})


def test_yaml_anchors_can_be_merged(tmp_path: Path):
    text = "training: &t {seed: 3}\nevaluation:\n  <<: {per_device_eval_batch_size: 8}\n"
    recipe = compose(str(write(tmp_path / "a.yaml", text)), {}).recipe
    assert (recipe.training.seed, recipe.evaluation.per_device_eval_batch_size) == (3, 8)


def test_an_unknown_recipe_is_answered_with_the_shipped_ones():
    told = refused(compose, "rotten-tomatos", {})
    assert told.startswith('RECIPE-003 there is no recipe "rotten-tomatos".')
    assert 'Did you mean "rotten-tomatoes"?' in told
    assert "quickstart" in told


@pytest.mark.parametrize("flags", [{"data": "reviews", "train": "a.csv"}, {"train": "a.csv", "data": "reviews"}])
def test_data_named_twice_is_refused(flags: dict[str, str]) -> None:
    with pytest.raises(RecipeError, match="once"):
        compose(None, flags)


@pytest.mark.parametrize(("given", "said"), [("train.csv", "data, not a recipe"), ("none.yaml", "no such file")])
def test_what_is_no_recipe_is_told_apart(given: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        compose(given, {})


def test_a_name_a_mapping_or_a_recipe_stands_for_a_recipe() -> None:
    assert compose({"method": "head"}, {}).recipe.method.name == "head"
    assert compose(Recipe(), {}).recipe == Recipe()
    with pytest.raises(RecipeError, match='Did you mean "quickstart"'):
        compose("quikstart", {})
    with pytest.raises(RecipeError, match="modle"):
        compose({"modle": "minilm"}, {})


def test_flags_and_settings_change_a_recipe_and_a_mapping_but_not_in_place() -> None:
    mapping = {"training": {"seed": 3, "learning_rate": 0.5}, "method": {"name": "lora", "rank": 2}}
    before = copy.deepcopy(mapping)
    found = compose(mapping, {"epochs": 2, "method": "full"}, {"training.weight_decay": 0.5})
    assert mapping == before
    training = found.recipe.training
    assert (training.num_train_epochs, training.seed, training.weight_decay) == (2, 3, 0.5)
    assert (found.recipe.method.name, training.learning_rate) == ("full", None)
    assert found.notes == ["The recipe's learning rate 0.5 was for lora; full uses its own default."]
    start = Recipe(training={"seed": 5})
    batched = start.training.model_copy(update={"per_device_train_batch_size": 4})
    assert compose(start, {"batch_size": 4}).recipe == start.model_copy(update={"training": batched})


def test_an_unknown_flag_is_answered_with_the_closest() -> None:
    with pytest.raises(RecipeError, match='there is no flag "epoch"') as caught:
        compose(None, {"epoch": 3})
    assert caught.value.code == "RECIPE-013"
    assert caught.value.hint.startswith('Did you mean "epochs"? Valid: model, task, ')
