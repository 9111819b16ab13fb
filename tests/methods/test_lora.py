"""What is LoRA's alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from hand_counts import BY_HAND, DISTILBERT_HEAD
from lightune.artifact import ArtifactConfig, save_adapter
from lightune.errors import RecipeError
from lightune.methods import METHODS, make_method
from lightune.models.load import ModelSource, load_model
from method_cases import SEED, Load, batch_of, logits_of, train_three_steps, trainable
from tiny import ARCHITECTURES, classes


def test_peft_spellings_are_accepted() -> None:
    spelt = make_method("lora", {"r": 4, "lora_alpha": 32, "lora_dropout": 0.1})
    assert spelt == make_method("lora", {"rank": 4, "alpha": 32, "dropout": 0.1})


def test_pefts_word_for_its_usual_start_is_accepted() -> None:
    assert make_method("lora", {"init_lora_weights": True}) == make_method("lora")
    for other in (False, 1, "true"):
        with pytest.raises(RecipeError, match=r"method\.init_lora_weights"):
            make_method("lora", {"init_lora_weights": other})


TAKE_TARGETS = [name for name, kind in METHODS.items() if "target_modules" in kind.__dataclass_fields__]


@pytest.mark.parametrize("name", [*TAKE_TARGETS, "hra"])
def test_pefts_word_for_all_linear_layers_means_those_of_the_blocks(load_tiny: Load, name: str) -> None:
    """In BERT's two blocks: query, key, value, the output of attention, and both of the feed-forward part."""
    parts = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
             "intermediate.dense", "output.dense")  # fmt: skip
    loaded = load_tiny("bert")
    method = make_method(name, {"target_modules": "all-linear", "roles": ["query"]})
    assert make_method(name, json.loads(json.dumps(method.options()))) == method
    wanted = {f"bert.encoder.layer.{number}.{part}" for number in (0, 1) for part in parts}
    assert set(method.full_names(loaded.model, loaded.anatomy)) == wanted
    assert set(method.attach(loaded.model, loaded.anatomy, SEED).changed) == {*wanted, *loaded.anatomy.head}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rank": 0}, "method.rank"),
        ({"rank": 2.5}, "method.rank"),
        ({"alpha": -1}, "method.alpha"),
        ({"alpha": float("nan")}, "method.alpha"),
        ({"alpha": float("inf")}, "method.alpha"),
        ({"dropout": 1.0}, "method.dropout"),
        ({"roles": ["query", "valeu"]}, 'Did you mean "value"?'),
        ({"roles": "query"}, "method.roles"),
        ({"r": 4, "rank": 8}, "given twice"),
        ({"target_modules": "query"}, "method.target_modules: a list is needed, [name] for one"),
        ({"rang": 4}, 'Did you mean "rank"?'),
    ],
)
def test_a_wrong_value_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make_method("lora", options)
    assert said in str(caught.value)


def test_all_faults_are_listed_at_once() -> None:
    with pytest.raises(RecipeError, match="3 faults") as caught:
        make_method("lora", {"rank": -1, "dropout": 2, "colour": "blue"})
    assert all(f"method.{name}" in caught.value.message for name in ("rank", "dropout", "colour"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"target_modules": ["no_such_module"]}, "no_such_module"),
        ({"roles": ["attention"]}, "attention"),
        ({"roles": []}, "nothing would be adapted"),
    ],
)
def test_targets_that_cannot_be_adapted_are_an_error_of_the_recipe(
    load_tiny: Load, options: dict[str, Any], said: str
) -> None:
    loaded = load_tiny("distilbert")
    with pytest.raises(RecipeError) as caught:
        make_method("lora", options).attach(loaded.model, loaded.anatomy, SEED)
    assert said in str(caught.value)


def test_only_the_roles_asked_for_are_adapted(load_tiny: Load) -> None:
    loaded = load_tiny("bert")
    changed = make_method("lora", {"roles": ["value"]}).attach(loaded.model, loaded.anatomy, SEED).changed
    layers = [f"bert.encoder.layer.{number}.attention.self.value" for number in (0, 1)]
    assert sorted(changed) == sorted([*layers, "classifier"])


def test_target_modules_replace_the_roles_and_the_formula_follows(load_tiny: Load) -> None:
    """q_lin and lin1 at rank 2, in two layers: 2 * 2 * ((32 + 32) + (32 + 64)), and the head."""
    loaded = load_tiny("distilbert")
    method = make_method("lora", {"rank": 2, "target_modules": ["q_lin", "lin1"]})
    formula = method.trainable_formula(loaded.model, loaded.anatomy)
    model = method.attach(loaded.model, loaded.anatomy, SEED).model
    assert formula == sum(value.numel() for value in trainable(model).values()) == 640 + DISTILBERT_HEAD


@pytest.mark.parametrize(("rank_stabilised", "scale"), [(False, 16 / 4), (True, 16 / 4**0.5)])
def test_the_update_is_scale_times_b_times_a(load_tiny: Load, rank_stabilised: bool, scale: float) -> None:
    """W + (alpha / rank) B A of the paper, computed here from the saved tensors."""
    loaded = load_tiny("distilbert")
    layer = "distilbert.transformer.layer.0.attention.q_lin"
    before = loaded.model.get_submodule(layer).weight.detach().clone()
    method = make_method("lora", {"rank": 4, "alpha": 16, "use_rslora": rank_stabilised})
    model = method.attach(loaded.model, loaded.anatomy, SEED).model
    train_three_steps(model, batch_of(loaded))
    state = {name: value.clone() for name, value in method.state(model).items()}
    down, up = (state[f"base_model.model.{layer}.lora_{part}.weight"] for part in "AB")
    assert (down.shape, up.shape) == ((4, 32), (32, 4))
    merged = method.merged(model)
    assert merged is not None
    torch.testing.assert_close(merged.get_submodule(layer).weight, before + scale * up @ down, rtol=0, atol=1e-6)


def test_a_pooler_that_the_checkpoint_lacks_is_trained_and_saved_too(
    tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    """BERT saved from masked language modelling: a pooler left unsaved would be another one after a reload."""
    folder = Path(shutil.copytree(tiny_models["bert"], tmp_path / "bert"))
    tensors = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in tensors.items() if not name.startswith("pooler.")}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    loaded = load_model(ModelSource("bert", folder, None), classes(["negative", "positive"]), 1)
    model = make_method("lora").attach(loaded.model, loaded.anatomy, SEED).model
    assert sum(value.numel() for value in trainable(model).values()) == BY_HAND["lora-bert"] + 32 * 32 + 32
    assert "base_model.model.bert.pooler.dense.weight" in make_method("lora").state(model)


def test_conv1d_and_linear_layers_are_adapted_side_by_side(load_lively: Load) -> None:
    """GPT-2 keeps its weights transposed; with one projection written as a Linear both kinds are targets."""
    loaded = load_lively("gpt2")
    batch, wanted = batch_of(loaded), logits_of(loaded.model, batch_of(loaded))
    conv, linear = loaded.model.transformer.h[0].mlp.c_fc, torch.nn.Linear(32, 128)
    with torch.no_grad():
        linear.weight.copy_(conv.weight.T)
        linear.bias.copy_(conv.bias)
    loaded.model.transformer.h[0].mlp.c_fc = linear
    method = make_method("lora")
    formula = method.trainable_formula(loaded.model, loaded.anatomy)
    with pytest.warns(UserWarning, match="fan_in_fan_out"):  # PEFT says that it sets it for the Conv1D layers
        model = method.attach(loaded.model, loaded.anatomy, SEED).model
    torch.testing.assert_close(logits_of(model, batch), wanted, rtol=0, atol=1e-5)
    assert sum(value.numel() for value in trainable(model).values()) == formula == BY_HAND["lora-gpt2"]
    train_three_steps(model, batch)
    after = logits_of(model, batch)
    assert float((after - wanted).abs().max()) > 1e-3
    merged = method.merged(model)
    assert merged is not None
    torch.testing.assert_close(logits_of(merged, batch), after, rtol=0, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_peft_itself_reads_what_is_saved(
    load_tiny: Load, tiny_models: dict[str, Path], tmp_path: Path, architecture: str
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    loaded, method = load_tiny(architecture), make_method("lora", {"rank": 4})
    model = method.attach(loaded.model, loaded.anatomy, SEED).model
    batch = batch_of(loaded)
    train_three_steps(model, batch)
    config = ArtifactConfig(2, architecture, None, "", "lora", {}, loaded.task, 64, ["text"], "label", 1)
    save_adapter(model, method, config, tmp_path / "adapter")

    torch.manual_seed(123)  # another head than ours before the adapter brings its own
    base = AutoModelForSequenceClassification.from_pretrained(tiny_models[architecture], num_labels=2)
    base.config.pad_token_id = loaded.tokenizer.pad_token_id
    theirs = PeftModel.from_pretrained(base, str(tmp_path / "adapter"))
    assert torch.equal(logits_of(theirs, batch), logits_of(model, batch))
