"""Any recipe, any options, any bytes: each is taken or refused with a code, and never ends as a bug of ours."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import peft  # noqa: F401  (seconds, which are no case's)
import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mutations import EDITS, FILES, TEXT_EDITS, VALID, VALUES, edited, mutated

from lightune.artifact_config import CONFIG_FILE, read_config, same_json
from lightune.cli.main import main
from lightune.errors import ArtifactError, LightuneError, RecipeError
from lightune.methods import METHODS, describe, make_method
from lightune.methods.any_peft import config_kind, describe_named, usable_names
from lightune.recipes.compose import compose, read_recipe, shipped, to_yaml
from lightune.safe_files import write_manifest
from saved_adapters import make_adapter

SECONDS = 2.0  # of one case; of the processor, since a shared machine may stall anywhere
CODE = re.compile(r"(process \d+: )?[A-Z]+-\d{3} |Usage: |Error: ")
# What a reader would get of Python's or pydantic's own words.
JUNK = re.compile(
    r"Traceback|BUG-\d|errors\.pydantic\.dev|input_value=|input_type=|<class '|object at 0x|validation error"
)
SHORT_AND_LONG = "cases"


def sized(short: int, long: int) -> Any:
    """Run a test with few cases in the default suite, and with all of them in `make faults`."""
    return pytest.mark.parametrize(SHORT_AND_LONG, [short, pytest.param(long, marks=pytest.mark.faults)])


def fuzzed(cases: int, case: Callable[..., str], **strategies: Any) -> Counter[str]:
    """Run a case so often and return how often each outcome came.

    LIGHTUNE_FUZZ_SEED chooses other cases than the usual ones; a failure prints the case itself.
    """
    outcomes: Counter[str] = Counter()
    own = os.environ.get("LIGHTUNE_FUZZ_SEED")
    phases = [Phase.explicit, Phase.generate, Phase.shrink]

    @settings(
        max_examples=cases, derandomize=own is None, phases=phases, print_blob=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(**strategies)
    def holds(**given_values: Any) -> None:
        begun = time.process_time()
        outcomes[case(**given_values)] += 1
        assert time.process_time() - begun < SECONDS

    (holds if own is None else hypothesis.seed(int(own))(holds))()
    return outcomes


def refused(error: LightuneError, *kinds: type[LightuneError]) -> str:
    """Check an error that refuses something, and return its kind."""
    assert isinstance(error, kinds), repr(error)
    assert CODE.match(f"{error} "), str(error)
    assert not JUNK.search(str(error)), str(error)
    return type(error).__name__


def command(*arguments: str) -> tuple[int, str]:
    """Run the command line in this process; its output is encoded as a terminal's is."""
    out, said = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
        status = main(list(arguments))
    said.seek(0)
    return status, said.read()


def ended_well(status: int, said: str, *valid: int) -> str:
    """Check the exit status of a command and what it said, and return the status in words."""
    assert status in valid, said
    assert not JUNK.search(said), said
    assert status == 0 or CODE.match(said) or not said, said
    return f"exit {status}"


SETTINGS = {
    "model": "minilm",
    "data": {"source": {"train": "a.csv", "test": "b.csv"}, "text_column": ["a", "b"], "label_columns": ["x", "y"]},
    "method": {"name": "lora", "rank": 4, "alpha": 8, "roles": ["query", "value"], "target_modules": ["q"]},
    "training": {"num_train_epochs": 2, "report_to": ["wandb"], "lr_scheduler_kwargs": {"power": 2}, "save_steps": 5},
    "evaluation": {"per_device_eval_batch_size": 4},
}
RECIPES = st.sampled_from([*(read_recipe(name) for name in shipped()), SETTINGS])


@pytest.mark.guarantee("Whatever a recipe holds, it is a valid recipe or refused with a code and exit 2")
@sized(60, 3_000)
def test_whatever_a_recipe_holds_it_is_valid_or_refused(
    cases: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    def of_keys(recipe: dict[str, Any], edits: Any) -> str:
        try:
            found = compose(edited(recipe, edits), {}).recipe
        except RecipeError as error:
            return refused(error, RecipeError)
        again = tmp_path / "again.yaml"
        again.write_text(to_yaml(found), encoding="utf-8")
        assert to_yaml(compose(str(again), {}).recipe) == to_yaml(found)  # a run folder's recipe has to be read again
        return "valid"

    def of_text(recipe: dict[str, Any], edits: Any, text_edits: Any, as_json: bool) -> str:
        path = tmp_path / "recipe.yaml"
        tree = recipe if as_json else edited(recipe, edits[:1])
        text = mutated(yaml.dump(tree, allow_unicode=True), text_edits)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return ended_well(*command("recipes", str(path), *(["--json"] if as_json else [])), 0, 2)

    found = fuzzed(cases // 2, of_keys, recipe=RECIPES, edits=EDITS)
    found += fuzzed(
        cases - cases // 2, of_text, recipe=RECIPES, edits=EDITS, text_edits=TEXT_EDITS, as_json=st.booleans()
    )
    assert min(found["valid"], found["RecipeError"], found["exit 0"], found["exit 2"]) > 0
    record_property("figure", f"{cases:,} recipes, {found['valid'] + found['exit 0']:,} of them valid")


@pytest.mark.parametrize("name", ["lora", "hra"])
def test_names_of_options_that_are_no_texts_are_unknown_options(name: str) -> None:
    """YAML has keys that are numbers, or null."""
    options: Any = {7: 1, None: 2}
    with pytest.raises(RecipeError, match=r"method\.7: .* no such option") as caught:
        make_method(name, options)
    assert caught.value.code == "RECIPE-011"


METHOD_OPTIONS = {row["name"]: row["options"] for row in describe()}


def options_of(name: str) -> dict[str, Any]:
    """Return every option of a method with its default, and for one of PEFT's what an adapter_config.json holds."""
    return (
        METHOD_OPTIONS[name]
        if name in METHOD_OPTIONS
        else {**config_kind(name)().to_dict(), **describe_named(name)["options"]}
    )


@pytest.mark.guarantee("Whatever the options of a method are, it is made or refused with a code")
@sized(60, 3_000)
def test_whatever_the_options_of_a_method_are_it_is_made_or_refused(
    cases: int, record_property: Callable[[str, object], None]
) -> None:
    def one(name: str, edits: Any, few: bool, value: Any) -> str:
        options = options_of(name)
        if few and options:  # so that one wrong option stands alone
            key = sorted(options)[len(str(value)) % len(options)]
            options = {key: value}
        else:
            options = edited(options, edits)
        try:
            make_method(name, options)
        except RecipeError as error:
            return refused(error, RecipeError)
        return "made"

    names = [*METHODS, *usable_names()]
    found = fuzzed(cases, one, name=st.sampled_from(names), edits=EDITS, few=st.booleans(), value=VALUES)
    assert min(found["made"], found["RecipeError"]) > 0
    record_property("figure", f"{cases:,} sets of options for {len(names)} methods, {found['made']:,} of them taken")


@pytest.mark.usefixtures("hashed_once")
@pytest.mark.parametrize("name", ["utf-16", "utf-32"])
def test_a_wide_encoding_that_is_stated_for_a_file_without_a_mark_is_a_fault(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(VALID[0][1])
    status, said = command("check", str(tmp_path / "a.csv"), "--encoding", name, "--json")
    assert (status, said) == (3, "")


SETTING_KEYS = ["data.separator", "data.encoding", "data.header_row", "data.text_column", "data.on_missing", "task"]


@pytest.mark.guarantee("Whatever a data file holds, it is read or refused with a code, exit 0, 2 or 3")
@pytest.mark.usefixtures("hashed_once")
@sized(80, 4_000)
def test_whatever_a_data_file_holds_it_is_read_or_refused(
    cases: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    def one(file: tuple[str, bytes], as_json: bool, setting: Any) -> str:
        path = tmp_path / f"data.{file[0]}"
        path.write_bytes(file[1])
        given = [] if setting is None else ["--set", f"{setting[0]}={setting[1]}"]
        return ended_well(*command("check", str(path), *given, *(["--json"] if as_json else [])), 0, 2, 3)

    one(VALID[0], False, None)  # imports what every case needs
    words = st.sampled_from(
        [
            "1",
            "3",
            "utf-16",
            "utf-32",
            "utf-7",
            "idna",
            "punycode",
            "unicode_escape",
            "hz",
            "iso2022_jp",
            "cp1252",
            "';'",
            "text",
            "label",
            "regression",
            "multi_label",
            "drop",
        ]
    )
    setting = st.none() | st.tuples(st.sampled_from(SETTING_KEYS), words)
    found = fuzzed(cases, one, file=FILES, as_json=st.booleans(), setting=setting)
    assert min(found["exit 0"], found["exit 2"], found["exit 3"]) > 0
    record_property("figure", f"{cases:,} files of 8 kinds, {found['exit 3']:,} of them refused with exit 3")


@pytest.mark.guarantee("Whatever an adapter's lightune.json holds, it is read as it was written or refused with exit 4")
@sized(40, 2_000)
def test_whatever_the_description_of_an_adapter_holds_it_is_read_or_refused(
    cases: int, tiny_models: dict[str, Path], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    folder = make_adapter(tiny_models["distilbert"], tmp_path / "adapter", "lora", ["no", "yes"])
    path = folder / CONFIG_FILE
    whole = json.loads(path.read_bytes())

    def one(edits: Any, text_edits: Any, as_text: bool) -> str:
        written = json.dumps(whole if as_text else written_keys(edited(whole, edits)), default=str)
        given = mutated(written, text_edits) if as_text else written
        path.write_bytes(given.encode("utf-8", "surrogatepass"))
        write_manifest(folder)
        try:
            found = read_config(folder)
        except ArtifactError as error:
            return refused(error, ArtifactError)
        told = json.loads(given)
        # A value that is valid instead of another is read as it is; test_damage.py has what comes of it.
        assert same_json({**found.as_json(), "files": told["files"]}, told)
        return "read"

    assert one([], [], False) == "read"
    found = fuzzed(cases, one, edits=EDITS, text_edits=TEXT_EDITS, as_text=st.booleans())
    assert found["ArtifactError"] > 0
    record_property("figure", f"{cases:,} descriptions, {found['ArtifactError']:,} of them refused")


def written_keys(tree: Any) -> Any:
    """Return a tree with the keys that JSON has, which are texts."""
    if isinstance(tree, dict):
        return {str(name): written_keys(value) for name, value in tree.items()}
    return [written_keys(one) for one in tree] if isinstance(tree, list | tuple) else tree
