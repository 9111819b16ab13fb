"""Methods by PEFT's own names: each is tried or refused with its reason, and its options are checked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from adapter_trials import SEED, SMALL, require_sound
from lightune.errors import RecipeError
from lightune.methods import METHODS, make_method
from lightune.methods.any_peft import REFUSED, TRIED, peft_names, usable_names
from lightune.methods.name_patterns import is_pattern
from tiny import ARCHITECTURES

# A bias scale that nothing moves while the bias is zero, as all biases of the tiny models are.
STILL = {"glora"}
NO_CONV1D = {"beft", "c3a", "delora", "glora", "hra", "peanut", "psoft", "road", "shira", "supertuning"}


@pytest.mark.parametrize(
    ("name", "architecture"),
    [
        pytest.param(name, kind, marks=[] if kind == "distilbert" else pytest.mark.long)
        for name in sorted(TRIED - STILL)
        for kind in ARCHITECTURES
        if not (name in NO_CONV1D and kind == "gpt2")
    ],
)
def test_a_method_tried_is_sound(load_lively: Callable[..., Any], tmp_path: Path, name: str, architecture: str) -> None:
    require_sound(make_method(name, SMALL.get(name)), name, lambda: load_lively(architecture), tmp_path)


def test_glora_is_sound_where_biases_are_not_zero(load_lively: Callable[..., Any], tmp_path: Path) -> None:
    def load() -> Any:
        loaded = load_lively("distilbert")
        for value in loaded.model.parameters():
            if value.dim() == 1:
                value.data += 0.1
        return loaded

    require_sound(make_method("glora"), "glora", load, tmp_path)


@pytest.mark.parametrize("name", sorted(NO_CONV1D))
def test_conv1d_is_refused_with_the_reason(load_tiny: Callable[..., Any], name: str) -> None:
    loaded, method = load_tiny("gpt2"), make_method(name, SMALL.get(name))
    with pytest.raises(RecipeError, match=f"{name} cannot adapt Conv1D layers"):
        method.attach(loaded.model, loaded.anatomy, SEED)


def test_every_method_of_this_peft_is_ours_or_tried_or_refused() -> None:
    if version("peft") == "0.21.2":
        assert set(peft_names()) == TRIED | set(REFUSED)
        assert usable_names() == sorted(TRIED)
    assert not TRIED & set(METHODS)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_cannot_classify_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make_method(name)
    assert caught.value.code == "RECIPE-036"
    assert REFUSED[name] in caught.value.message


def test_peft_options_pass_through_and_survive_json(load_tiny: Callable[..., Any]) -> None:
    method = make_method("hra", {"r": 4, "roles": ["value"]})
    assert method.options() == {"r": 4, "roles": ["value"]}
    assert make_method("hra", json.loads(json.dumps(method.options()))) == method
    loaded = load_tiny("bert")
    model: Any = method.attach(loaded.model, loaded.anatomy, SEED).model
    assert model.peft_config["default"].r == 4
    layers = [f"bert.encoder.layer.{number}.attention.self.value" for number in (0, 1)]
    assert sorted(model.base_model.targeted_module_names) == layers


def test_target_modules_replace_the_roles(load_tiny: Callable[..., Any]) -> None:
    loaded, method = load_tiny("distilbert"), make_method("hra", {"target_modules": ["q_lin"]})
    changed = method.attach(loaded.model, loaded.anatomy, SEED).changed
    assert [name for name in changed if name.endswith("q_lin")] == list(changed[:2])
    assert make_method("hra", method.options()) == method


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("hraa", {}, 'Did you mean "hra"?'),
        ("lroa", {}, 'Did you mean "lora"?'),
        ("hra", {"rr": 4}, "Valid: r, apply_GS"),
        ("c3a", {"block_sise": 8}, 'Did you mean "block_size"?'),
        ("hra", {"task_type": "SEQ_CLS"}, "no such option"),
        ("hra", {"bias": "all"}, "no such option"),
        ("hra", {"roles": ["valeu"]}, 'Did you mean "value"?'),
        ("hra", {"roles": ["value"], "r": 4, "rr": 5}, "1 fault"),
    ],
)
def test_a_wrong_name_or_option_is_answered_with_the_right_ones(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make_method(name, options)
    assert said in str(caught.value)


def test_names_are_found_without_importing_peft() -> None:
    code = (
        "import sys; from lightune.methods.any_peft import usable_names; from lightune.methods import make_method; "
        "make_method('lora'); make_method('p_tuning'); assert 'hra' in usable_names(); "
        "print([name for name in ('torch', 'peft', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"roles": None}, "method.roles: a list of names is needed"),
        ({"roles": 3}, "method.roles: a list of names is needed"),
        ({"roles": "value"}, "method.roles: a list of names is needed (given: 'value')"),
        ({"roles": [["query"]]}, "method.roles: a list of names is needed"),
        ({"target_modules": "q_lin"}, "method.target_modules: a list of names is needed"),
        ({"r": "abc"}, "method.r: a whole number above 0 is needed (given: 'abc')"),
        ({"r": 0}, "method.r: a whole number above 0 is needed"),
        ({"r": 2.5}, "method.r: a whole number above 0 is needed"),
        ({"r": 4.0}, "method.r: a whole number above 0 is needed"),
        ({"r": float("inf")}, "method.r: a whole number above 0 is needed"),
        ({"apply_GS": 3}, "method.apply_GS: true or false is needed"),
        ({"apply_GS": "maybe"}, "method.apply_GS: true or false is needed"),
    ],
)
def test_values_of_the_wrong_kind_are_faults_of_the_recipe(options: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make_method("hra", options)
    assert caught.value.code == "RECIPE-011"
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("pvera", {"pvera_dropout": -1}, "method.pvera_dropout: a share from 0 to below 1 is needed"),
        ("pvera", {"pvera_dropout": float("nan")}, "method.pvera_dropout: a finite number is needed"),
        ("pvera", {"projection_prng_key": -1}, "method.projection_prng_key: a whole number of 0 or more is needed"),
    ],
)
def test_shares_and_seeds_have_bounds_of_their_own(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make_method(name, options)
    assert said in str(caught.value)


@pytest.mark.parametrize(("name", "option"), [("pvera", "projection_prng_key"), ("gralora", "hybrid_r")])
def test_a_default_of_none_at_all_can_be_said_aloud(name: str, option: str) -> None:
    assert make_method(name, {option: 0}).options()[option] == 0


@pytest.mark.parametrize(
    "pattern",
    ["layer.[01].*query", r"layer\.(0|1)\..*q_lin", "q_lin", "^distilbert.transformer.layer.0.attention.q_lin"],
)
def test_names_of_a_pattern_may_be_simple_regular_expressions(load_tiny: Callable[..., Any], pattern: str) -> None:
    """PEFT's documentation has the first one; where a name matches nothing the usual rank is used."""
    loaded = load_tiny("distilbert")
    method = make_method("delora", {"rank_pattern": {pattern: 4}, "r": 8})
    model = method.attach(loaded.model, loaded.anatomy, 1).model
    ranks = {name: value.shape[0] for name, value in model.named_parameters() if "delora_A" in name}
    assert method.options()["rank_pattern"] == {pattern: 4}
    assert (len(set(ranks.values())) == 2) == ("query" not in pattern), ranks


@pytest.mark.parametrize(
    "pattern",
    [
        0, None, "", "(.*a)*x", "(a|aa)+", "(?:a+)+$", ".*.*.*.*x", "(a|a)" * 20 + "x", "a?" * 30 + "a" * 30, r"(a)\1",
        "a{1,9}{1,9}", "(?=a)", "[", "(", "a**", "x" * 501,
    ],
)  # fmt: skip
def test_other_names_of_a_pattern_are_faults(pattern: Any) -> None:
    for option in ("rank_pattern", "lambda_pattern"):
        with pytest.raises(RecipeError, match="is not the name of a module"):
            make_method("delora", {option: {pattern: 4}})


def test_the_slowest_pattern_that_is_taken_takes_no_time() -> None:
    name, worst = "layer." * 12 + "a" * 60, "[a-z.]*[a-z.]*[a-z.]*X"
    assert is_pattern(worst)
    began = time.perf_counter()
    assert re.match(rf"(.*\.)?({worst})$", name) is None
    assert time.perf_counter() - began < 0.2
