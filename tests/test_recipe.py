"""The recipe: what is valid survives YAML, what is not is refused with every fault and a way out."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lightune.errors import RecipeError
from lightune.recipe import (
    SCHEDULERS,
    DataBlock,
    EvaluationBlock,
    Files,
    Recipe,
    TrainingBlock,
    parse_recipe,
)
from lightune.recipes.compose import compose, read_recipe, shipped, to_yaml
from lightune.tasks import TASKS

# As the design document gives it: other tools rely on these names.
DESIGN = """
name: rotten-tomatoes
model: distilbert-base-uncased
device: auto
data:   {source: cornell-movie-review-data/rotten_tomatoes, text_column: text, label_column: label,
         train_examples: 500, validation_examples: null, test_examples: 500, max_length: null,
         on_unseen_label: error, on_duplicate: drop, fingerprints: true}
method: {name: lora, rank: 8, alpha: 16, dropout: 0.0, roles: [query, key, value, attention_out, ffn_in, ffn_out]}
training: {num_train_epochs: 5, per_device_train_batch_size: 16, gradient_accumulation_steps: 1,
           learning_rate: 5.0e-5, weight_decay: 0.01, warmup_steps: 0.1, lr_scheduler_type: linear,
           max_grad_norm: 1.0, seed: 42, precision: auto, head_start: auto, metric_for_best_model: accuracy,
           early_stopping_patience: null, save_steps: null}
evaluation: {per_device_eval_batch_size: 64}
"""
BLOCKS = {
    "": Recipe,
    "data": DataBlock,
    "data.source": Files,
    "training": TrainingBlock,
    "evaluation": EvaluationBlock,
}

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
# Words that YAML could take for something else stand beside arbitrary ones.
NAME = st.one_of(
    TEXT, st.sampled_from(["1e3", "-1E-5", "no", "null", "~", "2024-01-01", "0x1f", "1:30", "# x", "a: b"])
)
COUNT = st.integers(1, 10**12)
POSITIVE = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
NON_NEGATIVE = st.floats(min_value=0, allow_infinity=False)
SHARE = st.floats(0, 1, exclude_max=True)
# No infinity: results.json holds the recipe too, and JSON has none.
SCALAR = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), NAME)
PLAIN = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAME, inner, max_size=3))


def some_of(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=values)


DATA = some_of(
    source=NAME
    | st.fixed_dictionaries({"train": NAME}, optional={"validation": st.none() | NAME, "test": st.none() | NAME}),
    revision=st.none() | NAME,
    text_column=st.none() | NAME | st.lists(NAME, min_size=2, max_size=2),
    label_column=st.none() | NAME,
    train_examples=st.none() | COUNT,
    validation_examples=st.none() | COUNT,
    test_examples=st.none() | COUNT,
    max_length=st.none() | st.integers(4, 10**6),
    on_unseen_label=st.sampled_from(["error", "drop"]),
    on_missing=st.sampled_from(["error", "drop", "drop_words"]),
    on_unreadable=st.sampled_from(["error", "drop"]),
    header_row=st.none() | COUNT,
    column_names=st.none() | st.lists(NAME.filter(str.strip), min_size=1, max_size=3, unique_by=str.strip),
    sheet=st.none() | NAME,
    decimal=st.none() | st.sampled_from(["comma", "point"]),
    separator=st.none() | st.sampled_from([";", "\t", "|", "#"]),
    encoding=st.none() | st.sampled_from(["cp1252", "utf-16", "shift_jis"]),
    on_duplicate=st.sampled_from(["drop", "keep", "error"]),
    fingerprints=st.booleans(),
)
TRAINING = some_of(
    num_train_epochs=COUNT,
    per_device_train_batch_size=COUNT,
    gradient_accumulation_steps=COUNT,
    train_sampling_strategy=st.sampled_from(["random", "group_by_length"]),
    learning_rate=st.none() | POSITIVE,
    weight_decay=NON_NEGATIVE,
    adam_beta1=SHARE,
    adam_beta2=SHARE,
    adam_epsilon=POSITIVE,
    warmup_steps=SHARE | st.integers(0, 10**6),
    lr_scheduler_type=st.sampled_from(SCHEDULERS),
    lr_scheduler_kwargs=st.dictionaries(NAME, PLAIN, max_size=3),
    max_grad_norm=NON_NEGATIVE,
    gradient_checkpointing=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
    precision=st.sampled_from(["auto", "fp32", "bf16"]),
    head_start=st.sampled_from(["random", "probe"]),
    metric_for_best_model=st.sampled_from(["accuracy", "f1_macro", "loss"]),
    early_stopping_patience=st.none() | COUNT,
    save_steps=st.none() | COUNT,
    report_to=st.none() | st.sampled_from(["tensorboard", "none"]) | st.lists(st.sampled_from(["trackio", "wandb"])),
)
METHOD = NAME | st.builds(
    lambda name, options: {**options, "name": name}, NAME, st.dictionaries(NAME, PLAIN, max_size=3)
)
VALID = some_of(
    name=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True) | st.just("1e3"),
    description=TEXT,
    model=NAME.filter(str.strip),
    model_revision=st.none() | NAME,
    model_precision=st.sampled_from(["fp32", "bf16", "int8", "nf4"]),
    device=st.sampled_from(["auto", "cpu", "cuda", "mps"]),
    data=DATA,
    method=METHOD,
    training=TRAINING,
    evaluation=some_of(per_device_eval_batch_size=COUNT),
)

KEYS = [name for block in BLOCKS.values() for name in block.model_fields]
ANYTHING = st.recursive(
    st.one_of(SCALAR, st.floats(), st.binary(max_size=3), st.dates(), st.just(object())),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | NAME | st.integers() | st.none() | st.dates(), inner, max_size=4)
        | st.tuples(inner, inner)
    ),
    max_leaves=12,
)


def faults_of(mapping: Mapping[str, Any]) -> str:
    """Parse what is no recipe and return what the user is told."""
    with pytest.raises(RecipeError) as caught:
        parse_recipe(mapping)
    assert caught.value.exit_code == 2
    return str(caught.value)


def nested(path: str, value: Any) -> dict[str, Any]:
    """Return {"a": {"b": value}} for "a.b"; a data source keeps the file it needs."""
    for part in reversed(path.split(".")):
        value = {part: value}
        if part == "source":
            value[part].setdefault("train", "a.csv")
    return value


@given(mapping=VALID)
def test_any_valid_recipe_comes_back_from_yaml(tmp_path_factory: pytest.TempPathFactory, mapping: dict[str, Any]):
    """Through our own reader as through anybody's."""
    recipe = parse_recipe(mapping)
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    path.write_bytes(to_yaml(recipe).encode())
    assert parse_recipe(read_recipe(str(path))) == recipe
    assert parse_recipe(yaml.safe_load(path.read_bytes())) == recipe


@given(mapping=VALID)
def test_what_was_given_is_what_the_recipe_holds(mapping: dict[str, Any]):
    recipe = parse_recipe(mapping)
    for key, value in mapping.get("training", {}).items():
        if key not in {"report_to", "lr_scheduler_kwargs"}:
            assert getattr(recipe.training, key) == value
    if isinstance(mapping.get("method"), dict):
        assert {"name": recipe.method.name, **recipe.method.options} == mapping["method"]


@given(mapping=st.dictionaries(st.sampled_from(KEYS) | NAME | st.integers(), ANYTHING, min_size=1, max_size=6))
def test_garbage_is_a_recipe_error_and_never_another(mapping: dict[Any, Any]):
    try:
        parse_recipe(mapping)
    except RecipeError:
        return
    assert set(mapping) <= set(Recipe.model_fields)


@given(where=st.sampled_from(sorted(BLOCKS)), key=TEXT)
def test_an_unknown_key_is_refused_in_every_block(where: str, key: str):
    if key not in BLOCKS[where].model_fields:
        assert "unknown key" in faults_of(nested(f"{where}.{key}".lstrip(".") if where else key, 1))


@pytest.mark.parametrize(
    ("where", "key"), [(where, key) for where, block in BLOCKS.items() for key in block.model_fields]
)
def test_a_misspelt_key_is_answered_with_the_right_one(where: str, key: str):
    """With a letter doubled, as fingers do."""
    wrong = ".".join(filter(None, [where, key[:2] + key[1:]]))
    assert f'  {wrong}: unknown key. Did you mean "{key}"?' in faults_of(nested(wrong, 1))


def test_a_key_like_no_other_is_answered_with_all_of_them():
    assert "evaluation.xyz: unknown key. Valid: per_device_eval_batch_size." in faults_of({"evaluation": {"xyz": 1}})


@pytest.mark.parametrize(
    "path", ["files", "training.name", "data.files", "<files>", "data.<pair>", "data.source.<name>"]
)
def test_an_unknown_key_keeps_its_whole_path(path: str):
    """Words that the validation uses inside are no exception."""
    assert f"  {path}: unknown key." in faults_of(nested(path, 1))


def test_all_faults_are_reported_at_once():
    told = faults_of(
        {
            "nmae": "x",
            "device": "tpu",
            "data": {"source": {"test": "t.csv"}, "train_examples": 0, "text_column": 5},
            "method": {"name": 3},
            "training": {"seed": -1, "lr_scheduler_type": "cosin", "warmup_steps": 2.5, "learning_rate": "fast"},
            "evaluation": {"per_device_eval_batch_size": None},
        }
    )
    places = [line.strip().split(":")[0] for line in told.splitlines()[1:]]
    assert sorted(places) == [
        "data.source.train",
        "data.text_column",
        "data.train_examples",
        "device",
        "evaluation.per_device_eval_batch_size",
        "method.name",
        "nmae",
        "training.learning_rate",
        "training.lr_scheduler_type",
        "training.seed",
        "training.warmup_steps",
    ]
    assert "11 faults" in told


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("training.lr_scheduler_type", "cosin", 'Did you mean "cosine"?'),
        ("training.report_to", ["tensorbord"], 'Did you mean "tensorboard"?'),
        ("training.report_to", 5, "Valid: tensorboard, trackio, wandb"),
        ("training.warmup_steps", 2.5, "a share below 1, or a whole number of steps"),
        ("training.warmup_steps", float("inf"), "finite"),
        ("training.learning_rate", 0, "greater than 0"),
        ("training.seed", 2**32, "less than 4294967296"),
        ("training.precision", "fp16", "'auto', 'fp32' or 'bf16'"),
        ("data.max_length", 3, "greater than or equal to 4"),
        ("data.text_column", ["a", "b", "c"], "at most 2"),
        ("data.on_duplicate", "merge", "'drop', 'keep' or 'error'"),
        ("device", "gpu", "'auto', 'cpu', 'cuda' or 'mps'"),
        ("name", "../up", "pattern"),
        ("name", "x" * 65, "pattern"),
        ("model", " ", "at least 1 character"),
    ],
)
def test_a_value_out_of_range_is_told_what_would_be_valid(path: str, value: Any, told: str):
    found = faults_of(nested(path, value))
    assert found.startswith("RECIPE-001 the recipe has 1 fault:\n")
    assert f"  {path}: " in found
    assert told in found


def test_the_design_is_a_valid_recipe_and_names_the_defaults():
    mapping = yaml.safe_load(DESIGN)
    recipe = parse_recipe(mapping)
    assert recipe.method.options == {key: value for key, value in mapping["method"].items() if key != "name"}
    defaults = Recipe().model_dump()
    for block in ("training", "evaluation"):
        # By the method, by the task, by the number of texts.
        chosen_later = {"learning_rate": None, "metric_for_best_model": None, "num_train_epochs": "auto"}
        expected = {**mapping[block], **(chosen_later if block == "training" else {})}
        assert {key: defaults[block][key] for key in expected} == expected
    assert TASKS["classification"].metric(None).name == mapping["training"]["metric_for_best_model"] == "accuracy"
    assert (Recipe().model, Recipe().data.source, Recipe().method.name) == ("minilm", "reviews", "lora")


def test_a_recipe_cannot_be_changed_afterwards():
    with pytest.raises(ValueError, match="frozen"):
        Recipe().training.seed = 3


def test_a_number_in_words_and_a_date_are_no_count():
    assert "valid integer" in faults_of({"training": {"per_device_train_batch_size": "five"}})
    assert "valid integer" in faults_of({"training": {"per_device_train_batch_size": datetime.date(2024, 1, 1)}})


@pytest.mark.parametrize(
    ("key", "value", "valid"),
    [
        ("num_train_epochs", "Auto", "a whole number from 1, or auto (given: 'Auto')"),
        ("num_train_epochs", 0, "a whole number from 1, or auto (given: 0)"),
        ("load_best_model_at_end", "atuo", "true or false, or auto (given: 'atuo')"),
    ],
)
def test_a_slip_in_what_may_be_left_to_the_data_is_one_fault(key: str, value: Any, valid: str):
    assert faults_of({"training": {key: value}}).endswith(f"has 1 fault:\n  training.{key}: {valid}")


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_shipped_recipe_is_valid_and_says_what_it_is(name: str):
    composed = compose(name, {})
    assert composed.recipe.name == name
    assert composed.notes == []
    assert shipped()[name]


def test_the_rotten_tomatoes_recipe_is_the_usual_tutorial():
    recipe = compose("rotten-tomatoes", {}).recipe
    assert recipe.model == "distilbert-base-uncased"
    assert recipe.data.source == "cornell-movie-review-data/rotten_tomatoes"
    assert (recipe.data.train_examples, recipe.data.test_examples) == (500, 500)
    assert (recipe.data.text_column, recipe.data.label_column) == ("text", "label")
    assert recipe.method.name == "lora"
    training = recipe.training
    assert (training.learning_rate, training.weight_decay) == (5e-5, 0.01)
    assert (training.per_device_train_batch_size, training.gradient_accumulation_steps) == (16, 1)
    assert 0 < training.warmup_steps < 1
    assert training.lr_scheduler_type == "linear"


def test_the_quickstart_needs_no_network():
    recipe = compose(None, {}).recipe
    assert (recipe.name, recipe.model, recipe.data.source) == ("quickstart", "minilm", "reviews")


def test_a_pinned_recipe_names_the_hubs_commits_and_no_hash_of_packaged_weights():
    recipe = parse_recipe({"model": "a/b", "data": {"source": "c/d"}})
    pinned = recipe.pinned("a" * 40, "b" * 40)
    assert (pinned.model_revision, pinned.data.revision) == ("a" * 40, "b" * 40)
    assert pinned.pinned(None, None) == pinned
    assert recipe.pinned("sha256:53aa", None) == recipe


@pytest.mark.parametrize(("given", "mark"), [("tab", "\t"), ("\\t", "\t"), ("Semicolon", ";"), ("|", "|"), (" ", " ")])
def test_a_separator_is_one_character_or_its_name(given: str, mark: str):
    assert DataBlock(separator=given).separator == mark


@pytest.mark.parametrize(
    "wrong", [{"separator": "::"}, {"separator": '"'}, {"encoding": "klingon"}, {"encoding": "hex"}]
)
def test_other_separators_and_encodings_are_refused(wrong: dict[str, str]):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DataBlock.model_validate(wrong)
