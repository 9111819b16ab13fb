"""Rows proposed from module trees: equal to the rows written by hand, right for families without one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lightune.cli.main import main
from lightune.errors import RecipeError
from lightune.models.architectures import ARCHITECTURES, Architecture
from lightune.models.load import ModelSource, load_model
from lightune.models.row_proposal import Proposal, as_row, propose
from tiny import classes, tiny_config

GPT_NEOX = Architecture(
    layers="gpt_neox.layers",
    query="attention.query_key_value",
    key="attention.query_key_value",
    value="attention.query_key_value",
    attention_out="attention.dense",
    ffn_in="mlp.dense_h_to_4h",
    ffn_out="mlp.dense_4h_to_h",
    attention="attention",
)
# By hand from transformers' sources; none of them stands in the table.
OTHERS = {
    "gpt_neox": GPT_NEOX,
    "bloom": Architecture(
        layers="transformer.h",
        query="self_attention.query_key_value",
        key="self_attention.query_key_value",
        value="self_attention.query_key_value",
        attention_out="self_attention.dense",
        ffn_in="mlp.dense_h_to_4h",
        ffn_out="mlp.dense_4h_to_h",
        attention="self_attention",
    ),
    "phi3": Architecture(
        layers="model.layers",
        query="self_attn.qkv_proj",
        key="self_attn.qkv_proj",
        value="self_attn.qkv_proj",
        attention_out="self_attn.o_proj",
        ffn_in="mlp.gate_up_proj",
        ffn_out="mlp.down_proj",
        attention="self_attn",
    ),
}
LAYERS = {"num_hidden_layers": 2}


def proposal_for(config: Any) -> Proposal:
    from transformers import AutoModelForSequenceClassification

    with torch.device("meta"):
        return propose(AutoModelForSequenceClassification.from_config(config))


def config_of(model_type: str, **values: Any) -> Any:
    from transformers import AutoConfig

    return AutoConfig.for_model(model_type, **values)


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes a folder with nothing but a config.json in it."""

    def make(**config: Any) -> Path:
        (tmp_path / "config.json").write_text(json.dumps(config))
        return tmp_path

    return make


def guessed(name: str) -> Architecture:
    """Return a row of the table as a guess has it: what keys are made of and the head reads is for a test to show."""
    return replace(ARCHITECTURES[name], projects_input=False, head_reads="")


def test_all_seventeen_known_rows_are_rediscovered() -> None:
    found = [proposal_for(tiny_config(name, words=60)) for name in ARCHITECTURES]
    exact = [
        name
        for name, proposal in zip(ARCHITECTURES, found, strict=True)
        if not proposal.unclear and proposal.architecture() == guessed(name)
    ]
    assert len(exact) == 17, set(ARCHITECTURES) - set(exact)


@pytest.mark.parametrize("model_type", OTHERS)
def test_the_row_of_an_unknown_architecture_is_as_one_would_write_it(model_type: str) -> None:
    assert model_type not in ARCHITECTURES
    proposal = proposal_for(config_of(model_type, **LAYERS))
    assert proposal.unclear == ()
    assert proposal.architecture() == OTHERS[model_type]


@pytest.mark.parametrize(
    ("model_type", "said"),
    [
        ("xlnet", "no module found for query"),  # its projections are bare parameters
        ("mixtral", "no module found for ffn_in"),  # so are its experts
        ("longformer", "several modules may be attention_out"),  # global attention has projections of its own
        ("xlm", "no module found for ffn_in"),  # attention and feed-forward parts lie in lists of their own
        ("t5", "an encoder and a decoder"),
    ],
)
def test_what_the_names_do_not_tell_is_said(model_type: str, said: str) -> None:
    proposal = proposal_for(config_of(model_type))
    assert any(said in line for line in proposal.unclear), proposal.unclear


def test_the_row_is_shown_as_it_would_stand_in_the_table() -> None:
    shown = as_row("gpt_neox", proposal_for(config_of("gpt_neox", **LAYERS)))
    assert eval(f"{{{shown}}}", {"Architecture": Architecture}) == {"gpt_neox": GPT_NEOX}  # noqa: S307
    roberta = as_row("roberta", proposal_for(tiny_config("roberta", words=60)))
    assert eval(f"{{{roberta}}}", {"Architecture": Architecture}) == {"roberta": guessed("roberta")}  # noqa: S307


def test_an_unknown_architecture_is_refused_with_the_row_it_needs(folder: Callable[..., Path]) -> None:
    """Refused though the row is complete: it was guessed from names."""
    place = folder(model_type="gpt_neox", **LAYERS)
    with pytest.raises(RecipeError, match='"gpt_neox" is not known yet') as caught:
        load_model(ModelSource("it", place, None), classes(["a", "b"]), 1)
    assert caught.value.code == "RECIPE-032"
    row = as_row("gpt_neox", proposal_for(config_of("gpt_neox", **LAYERS)))
    assert all(line.strip() in caught.value.hint for line in row.splitlines())
    assert "lightune/models/architectures.py" in caught.value.hint


def test_an_architecture_without_a_classifier_is_refused(folder: Callable[..., Path]) -> None:
    place = folder(model_type="mamba", **LAYERS)
    with pytest.raises(RecipeError, match='"mamba" is not known yet') as caught:
        load_model(ModelSource("it", place, None), classes(["a", "b"]), 1)
    assert "transformers has no sequence classifier" in caught.value.hint


# The command


def test_the_command_shows_the_roles_of_a_known_model(tiny_models: dict[str, Path], capsys: Any) -> None:
    assert main(["anatomy", str(tiny_models["llama"])]) == 0
    shown = capsys.readouterr().out
    assert "LlamaForSequenceClassification, architecture llama (known)" in shown
    assert "2 layers at model.layers" in shown
    assert "ffn_in         mlp.gate_proj, mlp.up_proj\n" in shown
    assert "head           score\n" in shown


def test_the_command_as_json_names_every_module(tiny_models: dict[str, Path], capsys: Any) -> None:
    assert main(["anatomy", str(tiny_models["gpt2"]), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["known"] is True
    assert found["modules"]["value"] == ["transformer.h.0.attn.c_attn", "transformer.h.1.attn.c_attn"]
    assert (found["head"], found["row"], found["layer_count"]) == (["score"], None, 2)


def test_the_command_needs_no_weights_and_proposes_a_row(folder: Callable[..., Path], capsys: Any) -> None:
    assert main(["anatomy", str(folder(model_type="gpt_neox", **LAYERS))]) == 0
    shown = capsys.readouterr().out
    assert "architecture gpt_neox (not known yet)" in shown
    assert '    "gpt_neox": Architecture(\n        layers="gpt_neox.layers",' in shown


def test_the_command_says_what_is_unclear(folder: Callable[..., Path], capsys: Any) -> None:
    assert main(["anatomy", str(folder(model_type="t5"))]) == 0
    assert "unclear: it has an encoder and a decoder" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"model_type": "mamba"}, "no sequence classifier"),
        ({"model_type": "no-such-thing"}, "cannot be loaded"),
        ({"model_type": "bert", "auto_map": {"AutoModel": "evil.Model"}}, "never done"),
    ],
)
def test_the_command_refuses_what_it_cannot_show(
    folder: Callable[..., Path], config: dict[str, Any], said: str, capsys: Any
) -> None:
    assert main(["anatomy", str(folder(**config))]) == 2
    assert said in capsys.readouterr().err
