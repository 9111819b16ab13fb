"""Roles of an architecture against the module names that its authors chose, written out by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import nn

from lightune.errors import RecipeError
from lightune.methods import make_method
from lightune.models.anatomy import (
    LINEAR_ROLES,
    ROLES,
    anatomy_of,
    architecture_of,
    check_role,
    layer_runner,
    layer_stack,
)
from lightune.models.architectures import ARCHITECTURES
from lightune.models.load import LoadedModel

# The path of the layers, then query, key, value, attention_out, ffn_in, ffn_out, attention; "+" joins two modules.
BERT = (
    "attention.self.query attention.self.key attention.self.value attention.output.dense intermediate.dense "
    "output.dense attention.self"
)
LLAMA = (
    "self_attn.q_proj self_attn.k_proj self_attn.v_proj self_attn.o_proj mlp.gate_proj+mlp.up_proj mlp.down_proj "
    "self_attn"
)
NAMES = {
    "distilbert": (
        "distilbert.transformer.layer",
        "attention.q_lin attention.k_lin attention.v_lin attention.out_lin ffn.lin1 ffn.lin2 attention",
    ),
    "bert": ("bert.encoder.layer", BERT),
    "roberta": ("roberta.encoder.layer", BERT),
    "xlm-roberta": ("roberta.encoder.layer", BERT),
    "camembert": ("roberta.encoder.layer", BERT),
    "electra": ("electra.encoder.layer", BERT),
    "deberta-v2": (
        "deberta.encoder.layer",
        "attention.self.query_proj attention.self.key_proj attention.self.value_proj attention.output.dense "
        "intermediate.dense output.dense attention.self",
    ),
    "mpnet": (
        "mpnet.encoder.layer",
        "attention.attn.q attention.attn.k attention.attn.v attention.attn.o intermediate.dense output.dense "
        "attention.attn",
    ),
    "albert": (
        "albert.encoder.albert_layer_groups.0.albert_layers",
        "attention.query attention.key attention.value attention.dense ffn ffn_output attention",
    ),
    "modernbert": ("model.layers", "attn.Wqkv attn.Wqkv attn.Wqkv attn.Wo mlp.Wi mlp.Wo attn"),
    "gpt2": ("transformer.h", "attn.c_attn attn.c_attn attn.c_attn attn.c_proj mlp.c_fc mlp.c_proj attn"),
    "opt": (
        "model.decoder.layers",
        "self_attn.q_proj self_attn.k_proj self_attn.v_proj self_attn.out_proj fc1 fc2 self_attn",
    ),
    "llama": ("model.layers", LLAMA),
    "mistral": ("model.layers", LLAMA),
    "qwen2": ("model.layers", LLAMA),
    "qwen3": ("model.layers", LLAMA),
    "gemma": ("model.layers", LLAMA),
}
LAYERS = {"albert": 1}  # of the tiny models; the others have two
FUSED = {"c_attn": 3, "Wqkv": 3, "Wi": 2}  # how many projections lie side by side
GROUPED = {"llama", "mistral", "qwen2", "qwen3", "gemma"}  # two key/value heads of 8 for four query heads
FEED_FORWARD = {"gpt2": 128}  # four times the width; the others are told 64

Load = Callable[..., LoadedModel]


@pytest.fixture(scope="module", params=list(NAMES))
def loaded(request: pytest.FixtureRequest, load_tiny: Load) -> LoadedModel:
    return load_tiny(request.param, labels=["a", "b", "c"])


def expected(architecture: str, role: str) -> list[str]:
    layers, names = NAMES[architecture]
    paths = dict(zip(ROLES, names.split(), strict=True))[role].split("+")
    return [f"{layers}.{number}.{path}" for number in range(LAYERS.get(architecture, 2)) for path in paths]


def width_of(module: nn.Module) -> tuple[int, int]:
    """Input and output width of one projection; GPT-2's Conv1D keeps its weight as (in, out)."""
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    return module.weight.shape[0], module.weight.shape[1]


def test_there_is_a_row_for_each_of_these() -> None:
    assert len(NAMES) == 17
    assert set(ARCHITECTURES) == set(NAMES)


def test_a_role_is_these_modules(loaded: LoadedModel) -> None:
    for role in ROLES:
        assert loaded.anatomy.modules([role]) == expected(loaded.anatomy.model_type, role), role


def test_the_module_of_a_role_has_the_width_of_that_role(loaded: LoadedModel) -> None:
    """A row that swapped feed-forward input and output, say, would name existing modules and still be wrong."""
    architecture = loaded.anatomy.model_type
    inner, shared = FEED_FORWARD.get(architecture, 64), 16 if architecture in GROUPED else 32
    widths = {"query": (32, 32), "key": (32, shared), "value": (32, shared), "attention_out": (32, 32),
              "ffn_in": (32, inner), "ffn_out": (inner, 32)}  # fmt: skip
    for role in LINEAR_ROLES:
        for name in loaded.anatomy.modules([role]):
            into, out_of = width_of(loaded.model.get_submodule(name))
            parts = FUSED.get(name.rpartition(".")[2], 1)
            assert (into, out_of // parts) == widths[role], name


def test_the_six_roles_are_every_projection_of_the_layers_once(loaded: LoadedModel) -> None:
    """Nothing inside a layer is forgotten, and a fused projection stands there once."""
    from transformers.pytorch_utils import Conv1D

    layers = NAMES[loaded.anatomy.model_type][0]
    inside = [
        name
        for name, module in loaded.model.named_modules()
        if name.startswith(layers) and isinstance(module, nn.Linear | Conv1D)
    ]
    assert sorted(loaded.anatomy.modules(LINEAR_ROLES)) == sorted(inside)


def test_the_attention_module_holds_the_query(loaded: LoadedModel) -> None:
    for attention, query in zip(loaded.anatomy.modules(["attention"]), loaded.anatomy.modules(["query"]), strict=True):
        assert query.startswith(f"{attention}.")
        assert "Attention" in type(loaded.model.get_submodule(attention)).__name__


def test_a_fused_projection_answers_to_each_of_its_roles_once(load_tiny: Load) -> None:
    anatomy = load_tiny("gpt2").anatomy
    fused = ["transformer.h.0.attn.c_attn", "transformer.h.1.attn.c_attn"]
    assert anatomy.modules(["query", "key", "value"]) == fused
    assert len(anatomy.modules(LINEAR_ROLES)) == 2 * 4


def test_a_row_that_does_not_fit_the_model_is_an_error(load_tiny: Load) -> None:
    model = load_tiny("bert").model
    model.config.model_type = "gpt2"
    with pytest.raises(RecipeError, match="the row for gpt2 does not fit"):
        anatomy_of(model)


def test_an_unknown_role_is_answered_with_the_valid_ones() -> None:
    with pytest.raises(RecipeError) as caught:
        check_role("querry")
    assert 'Did you mean "query"?' in caught.value.hint
    assert all(role in caught.value.hint for role in ROLES)


def test_no_role_at_all_is_an_error(load_tiny: Load) -> None:
    with pytest.raises(RecipeError, match="nothing would be adapted"):
        load_tiny("bert").anatomy.modules([])


def test_an_unknown_architecture_is_answered_with_the_known_ones() -> None:
    with pytest.raises(RecipeError) as caught:
        architecture_of("mamba")
    assert '"mamba" is not known yet' in caught.value.message
    assert all(name in caught.value.hint for name in NAMES)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_layers_and_what_runs_them_are_found_inside_an_adapted_model(load_lively, architecture):
    """The layers are as many as the model is configured to have, and the module above them is searched for here."""
    loaded = load_lively(architecture)
    layers = loaded.model.get_submodule(loaded.anatomy.architecture.layers)
    model = make_method("lora").attach(loaded.model, loaded.anatomy, 3).model
    above = [module for module in model.modules() if any(child is layers for child in module.children())]
    assert layer_stack(model) is layers
    assert [layer_runner(model)] == above
