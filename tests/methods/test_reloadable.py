"""A method that is accepted is one whose adapter can be loaded again: what is refused is refused before training."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from lightune.artifact import load_adapter, read_config
from lightune.artifact_config import require_readable
from lightune.errors import ArtifactError, RecipeError
from lightune.methods import make_method
from lightune.methods.sizes import require_reloadable
from lightune.safe_files import write_manifest
from saved_adapters import in_format_2, make_adapter

LABELS = ["negative", "positive"]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("lora", {"roles": ["query", "query"]}),
        ("lora", {"target_modules": ["q_lin", "v_lin", "q_lin"]}),
        ("ia3", {"target_modules": ["q_lin"], "feedforward_modules": ["lin2", "lin2"]}),
        ("hra", {"roles": ["query", "query"]}),
        ("hra", {"target_modules": ["q_lin", "q_lin"]}),
    ],
)
def test_a_name_given_twice_is_a_fault_of_the_recipe(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="is there twice") as caught:
        make_method(name, options)
    assert caught.value.code == "RECIPE-011"


def test_an_adapter_of_an_older_version_may_have_a_name_twice(tiny_models: Any, tmp_path: Path) -> None:
    """0.2.0 took such recipes, and trained each module once."""
    folder = make_adapter(tiny_models["distilbert"], tmp_path / "a", "lora", LABELS, options={"roles": ["query"]})
    about = in_format_2(folder) / "lightune.json"
    told = json.loads(about.read_bytes())
    told["method_options"]["roles"] *= 2
    about.write_text(json.dumps(told), encoding="utf-8")
    (folder / "MANIFEST.json").unlink()
    write_manifest(folder)
    assert read_config(folder).method_options["roles"] == ["query"]
    assert load_adapter(folder).method.options()["roles"] == ["query"]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("pvera", {"projection_prng_key": 424242}),
        ("frod", {"projection_prng_key": 424242}),
        ("unilora", {"proj_seed": 424242, "theta_d_length": 8000}),
        ("lora", {"alpha": 10_000}),
        ("adalora", {"interval": 10_000}),
    ],
)
def test_a_large_number_that_is_no_size_can_be_loaded(
    tiny_models: Any, tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    folder = make_adapter(tiny_models["distilbert"], tmp_path / "a", name, LABELS, options=options)
    found = load_adapter(folder)
    assert found.method.options()[next(iter(options))] == next(iter(options.values()))


def test_what_loading_would_refuse_is_refused_before_training(load_tiny: Callable[..., Any]) -> None:
    """A number of terms is the size of no tensor, and nothing says that it takes no memory."""
    for terms in (5, 5000):
        loaded = load_tiny("distilbert")
        method = make_method("psoft", {"num_cayley_neumann_terms": terms, "r": 4})
        attached = method.attach(loaded.model, loaded.anatomy, 1).model
        with pytest.raises(RecipeError, match="5,000") if terms == 5000 else nullcontext():
            require_reloadable(method, load_tiny("distilbert"), attached)


@pytest.mark.parametrize("value", [datetime.date(2020, 1, 1), float("nan")])
def test_an_option_that_json_does_not_hold_is_refused(value: Any) -> None:
    method = make_method("hra", {"init_weights": True})
    spoilt = type(method)(**{**vars(method), "settings": {"init_weights": value}})  # type: ignore[arg-type]
    with pytest.raises(RecipeError):
        require_readable("hra", spoilt)
    require_readable("hra", method)


def test_a_changed_adapter_with_a_name_twice_is_refused(tiny_models: Any, tmp_path: Path) -> None:
    folder = make_adapter(tiny_models["distilbert"], tmp_path / "a", "lora", LABELS, options={"roles": ["query"]})
    about = folder / "lightune.json"
    told = json.loads(about.read_bytes())
    told["method_options"]["roles"] *= 2
    about.write_text(json.dumps(told), encoding="utf-8")
    (folder / "MANIFEST.json").unlink()
    write_manifest(folder)
    with pytest.raises(ArtifactError):
        read_config(folder)
