"""Roles of an architecture against the module names that its authors chose, written out by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import nn

from lightune.errors import RecipeError
from lightune.models.anatomy import LINEAR_ROLES, ROLES, architecture_of, check_role
from lightune.models.load import LoadedModel

EXPECTED = {
    "distilbert": {
        "query": ["distilbert.transformer.layer.0.attention.q_lin", "distilbert.transformer.layer.1.attention.q_lin"],
        "key": ["distilbert.transformer.layer.0.attention.k_lin", "distilbert.transformer.layer.1.attention.k_lin"],
        "value": ["distilbert.transformer.layer.0.attention.v_lin", "distilbert.transformer.layer.1.attention.v_lin"],
        "attention_out": [
            "distilbert.transformer.layer.0.attention.out_lin",
            "distilbert.transformer.layer.1.attention.out_lin",
        ],
        "ffn_in": ["distilbert.transformer.layer.0.ffn.lin1", "distilbert.transformer.layer.1.ffn.lin1"],
        "ffn_out": ["distilbert.transformer.layer.0.ffn.lin2", "distilbert.transformer.layer.1.ffn.lin2"],
        "attention": ["distilbert.transformer.layer.0.attention", "distilbert.transformer.layer.1.attention"],
    },
    "bert": {
        "query": ["bert.encoder.layer.0.attention.self.query", "bert.encoder.layer.1.attention.self.query"],
        "key": ["bert.encoder.layer.0.attention.self.key", "bert.encoder.layer.1.attention.self.key"],
        "value": ["bert.encoder.layer.0.attention.self.value", "bert.encoder.layer.1.attention.self.value"],
        "attention_out": [
            "bert.encoder.layer.0.attention.output.dense",
            "bert.encoder.layer.1.attention.output.dense",
        ],
        "ffn_in": ["bert.encoder.layer.0.intermediate.dense", "bert.encoder.layer.1.intermediate.dense"],
        "ffn_out": ["bert.encoder.layer.0.output.dense", "bert.encoder.layer.1.output.dense"],
        "attention": ["bert.encoder.layer.0.attention.self", "bert.encoder.layer.1.attention.self"],
    },
    "gpt2": {
        "query": ["transformer.h.0.attn.c_attn", "transformer.h.1.attn.c_attn"],
        "key": ["transformer.h.0.attn.c_attn", "transformer.h.1.attn.c_attn"],
        "value": ["transformer.h.0.attn.c_attn", "transformer.h.1.attn.c_attn"],
        "attention_out": ["transformer.h.0.attn.c_proj", "transformer.h.1.attn.c_proj"],
        "ffn_in": ["transformer.h.0.mlp.c_fc", "transformer.h.1.mlp.c_fc"],
        "ffn_out": ["transformer.h.0.mlp.c_proj", "transformer.h.1.mlp.c_proj"],
        "attention": ["transformer.h.0.attn", "transformer.h.1.attn"],
    },
}
# (input width, output width) of each role in a tiny model: 32 wide, feed-forward 64 (gpt2: four times the width).
WIDTHS = {"query": (32, 32), "key": (32, 32), "value": (32, 32), "attention_out": (32, 32)}
FEED_FORWARD = {"distilbert": 64, "bert": 64, "gpt2": 128}
HEADS = {"distilbert": ["pre_classifier", "classifier"], "bert": ["classifier"], "gpt2": ["score"]}

Load = Callable[..., LoadedModel]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("architecture", EXPECTED)
def test_a_role_is_these_modules(load_tiny: Load, architecture: str, role: str) -> None:
    loaded = load_tiny(architecture)
    assert loaded.anatomy.modules([role]) == EXPECTED[architecture][role]


@pytest.mark.parametrize("role", LINEAR_ROLES)
@pytest.mark.parametrize("architecture", EXPECTED)
def test_a_linear_role_has_the_width_of_its_place(load_tiny: Load, architecture: str, role: str) -> None:
    """A row that swapped feed-forward input and output, say, would name existing modules and still be wrong."""
    loaded = load_tiny(architecture)
    inner = FEED_FORWARD[architecture]
    wanted = {**WIDTHS, "ffn_in": (32, inner), "ffn_out": (inner, 32)}[role]
    for name in loaded.anatomy.modules([role]):
        module = loaded.model.get_submodule(name)
        if isinstance(module, nn.Linear):
            found = (module.in_features, module.out_features)
        else:  # GPT-2's Conv1D keeps its weight as (in, out), and c_attn is query, key and value side by side
            found = (module.weight.shape[0], module.weight.shape[1])
            found = (found[0], found[1] // 3) if name.endswith("c_attn") else found
        assert found == wanted


def test_a_fused_projection_answers_to_each_of_its_roles_once(load_tiny: Load) -> None:
    anatomy = load_tiny("gpt2").anatomy
    fused = ["transformer.h.0.attn.c_attn", "transformer.h.1.attn.c_attn"]
    assert anatomy.modules(["query", "key", "value"]) == fused
    assert len(anatomy.modules(LINEAR_ROLES)) == 2 * 4


@pytest.mark.parametrize("architecture", EXPECTED)
def test_the_head_ends_with_the_layer_that_makes_the_logits(load_tiny: Load, architecture: str) -> None:
    loaded = load_tiny(architecture, labels=["a", "b", "c"])
    assert sorted(loaded.anatomy.head) == sorted(HEADS[architecture])
    assert loaded.anatomy.output_layer == HEADS[architecture][-1]
    assert loaded.model.get_submodule(loaded.anatomy.output_layer).weight.shape[0] == 3


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
    assert "distilbert, bert, gpt2" in caught.value.hint
